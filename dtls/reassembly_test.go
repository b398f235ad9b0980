package dtls

import (
	"bytes"
	"testing"
)

// TestReassemblerPieces checks that messages are reassembled however they are split,
// and that a repeated fragment of a complete message changes nothing.
func TestReassemblerPieces(t *testing.T) {
	body := make([]byte, 3000)
	for i := range body {
		body[i] = byte(i * 7)
	}
	for _, size := range []int{1, 3, 8, 13, 64, 1000, 2999, 3000} {
		for _, length := range []int{0, 1, 9, usualMessage, len(body)} {
			var r reassembler
			piece := func(from, to int) bool {
				return r.add(0, fragment{typ: typeFinished, length: length, offset: from, data: body[from:to]})
			}
			for from := 0; from < length || from == 0; from += size {
				if !piece(from, min(from+size, length)) {
					t.Fatalf("size %d: no place for the piece at %d", size, from)
				}
				if from > 0 {
					piece(from-1, min(from+size/2, length)) // a fragment that overlaps
				}
			}
			piece(0, min(size, length))
			m, ok := r.pop()
			if !ok || !bytes.Equal(m.body, body[:length]) || r.size != 0 {
				t.Errorf("%d bytes in pieces of %d: whole %v, %d bytes, %d are still counted", length, size, ok, len(m.body), r.size)
			}
		}
	}
}
