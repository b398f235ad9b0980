package sctp

import "testing"

// The pool of sent messages is bounded by the memory that the messages take with their
// overhead, so that many short messages do not take many times the memory of a few
// long ones.
func TestMessagePoolBound(t *testing.T) {
	for _, size := range []int{1, 32, 33, 1000, 1 << maxPoolClass} {
		var p messagePool
		for range 2 * maxPoolBytes / (size + poolOverhead) {
			p.put(&outMessage{data: make([]byte, 0, 1<<poolClass(size))})
		}
		kept := 0
		for m := p.free[poolClass(size)-minPoolClass]; m != nil; m = m.next {
			kept += cap(m.data) + poolOverhead
		}
		if kept != p.bytes || kept > maxPoolBytes || kept < maxPoolBytes/2 {
			t.Errorf("messages of %d bytes: %d bytes are kept, of which %d are counted", size, kept, p.bytes)
		}
		for p.free[poolClass(size)-minPoolClass] != nil {
			p.get(size)
		}
		if p.bytes != 0 {
			t.Errorf("messages of %d bytes: %d bytes of none are counted", size, p.bytes)
		}
	}
}
