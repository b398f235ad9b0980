package sctp

import (
	"strconv"
	"testing"
	"unsafe"
)

// An association is one object. Go allocates 1792 bytes for it, including a header of 8,
// or 2048 if it is larger.
func TestAssociationSize(t *testing.T) {
	if n := unsafe.Sizeof(Association{}); strconv.IntSize == 64 && n > 1792-8 {
		t.Errorf("%d bytes, which take 2048", n)
	}
}
