package sctp

import (
	"strconv"
	"testing"
	"unsafe"
)

// An association is one object, for which Go takes 1792 bytes with a header of 8,
// or 2048 if it is any larger. Whoever adds to it looks for a gap between its
// fields first.
func TestAssociationSize(t *testing.T) {
	if n := unsafe.Sizeof(Association{}); strconv.IntSize == 64 && n > 1792-8 {
		t.Errorf("%d bytes, which take 2048", n)
	}
}
