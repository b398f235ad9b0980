package dtls

import (
	"encoding/binary"
	"hash"
)

// A transcript is what both ends have said in a handshake. It belongs to one
// version: begin12 and begin13 make it, each with the ClientHello inside, so
// that none exists before the version is known and none is empty after.
type transcript struct {
	messages []byte    // of DTLS 1.2, in whole: a signature covers them
	digest   hash.Hash // of DTLS 1.3; nil in DTLS 1.2
	header   [4]byte   // scratch of add
}

// add appends a message of either end.
func (t *transcript) add(m message) {
	if t.digest == nil {
		t.messages = m.appendTranscript12(t.messages)
		return
	}
	// RFC 9147 §5.2: with the header of TLS, without number and fragments.
	binary.BigEndian.PutUint32(t.header[:], uint32(m.typ)<<24|uint32(len(m.body)))
	t.digest.Write(t.header[:])
	t.digest.Write(m.body)
}

// retry puts the hash of the first ClientHello in its place (RFC 8446 §4.4.1).
func (t *transcript) retry() {
	first := t.digest.Sum(nil)
	t.digest.Reset()
	t.add(message{typ: typeMessageHash, body: first})
}

// clone copies the transcript as it is now.
func (t *transcript) clone() (transcript, error) {
	// A copy may append to the messages of the other: the capacity ends here.
	copied := transcript{messages: t.messages[:len(t.messages):len(t.messages)]}
	if t.digest == nil {
		return copied, nil
	}
	digest, err := t.digest.(hash.Cloner).Clone()
	copied.digest = digest
	return copied, err
}
