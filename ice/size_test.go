package ice

import (
	"strconv"
	"testing"
	"unsafe"
)

// An agent is one object, for which Go takes 640 bytes with a header of 8, or 704
// if it is any larger.
func TestAgentSize(t *testing.T) {
	if n := unsafe.Sizeof(Agent{}); strconv.IntSize == 64 && n > 640-8 {
		t.Errorf("%d bytes, which take 704", n)
	}
}
