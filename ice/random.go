package ice

import (
	crand "crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"io"
	"time"

	"purertc/stun"
)

// A randomSource produces random values. The zero value reads crypto/rand.
type randomSource struct {
	reader  io.Reader
	scratch [16]byte // buffer, because a local array would escape to the heap
}

// fill fills b, which is a part of scratch, with random bytes. A reader that fails is
// replaced by crypto/rand, which never fails. Unexpected bytes are better than
// predictable ones.
func (r *randomSource) fill(b []byte) []byte {
	if r.reader == nil {
		r.reader = crand.Reader
	}
	if _, err := io.ReadFull(r.reader, b); err != nil {
		r.reader = crand.Reader
		io.ReadFull(r.reader, b)
	}
	return b
}

func (r *randomSource) uint64() uint64 { return binary.BigEndian.Uint64(r.fill(r.scratch[:8])) }

func (r *randomSource) transactionID() stun.TransactionID {
	return stun.TransactionID(r.fill(r.scratch[:12]))
}

// between returns a random duration from least to most.
func (r *randomSource) between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.uint64()%uint64(most-least+1))
}

// iceChars returns n random ice-chars, four for three random bytes: base64 and RFC
// 8839 §5.4 have the same characters. n is a multiple of 4, at most 20.
func (r *randomSource) iceChars(n int) string {
	return base64.StdEncoding.EncodeToString(r.fill(r.scratch[:n/4*3]))
}
