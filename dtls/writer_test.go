package dtls

import (
	"bytes"
	"testing"
)

// TestWriter: fields within fields have their lengths, and one that has more
// bytes than its length can say is an error.
func TestWriter(t *testing.T) {
	w := newWriter(0)
	outer := w.open(3)
	w.uint16(0x0102)
	w.field(2, []byte{3, 4, 5})
	inner := w.open(1)
	w.string("6")
	w.close(inner)
	w.close(outer)
	w.field(1, nil)
	want := []byte{0, 0, 9, 1, 2, 0, 3, 3, 4, 5, 1, '6', 0}
	if got, err := w.body(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x, %v", got, err)
	}
	for _, n := range []int{1, 2} {
		longest := 1<<(8*n) - 1
		w := newWriter(0)
		w.field(n, make([]byte, longest))
		if got, err := w.body(); err != nil || len(got) != n+longest {
			t.Errorf("%d bytes with a length of %d: %v", longest, n, err)
		}
		w.field(n, make([]byte, longest+1))
		w.field(n, nil)
		if _, err := w.body(); err == nil {
			t.Errorf("%d bytes with a length of %d are not too many", longest+1, n)
		}
	}
}
