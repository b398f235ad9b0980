package udpmux

import (
	"runtime"
	"testing"

	"purertc/ice"
)

// TestIdleSocketsHoldNoBuffer opens many sockets, has each read something,
// and looks at the memory that is left in use.
func TestIdleSocketsHoldNoBuffer(t *testing.T) {
	const sockets = 100
	far := attach(t, open(t, Config{}), newRecorder(), 1, true)
	inUse := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // pools keep what they have for one collection
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := inUse()
	for range sockets {
		s, h := open(t, Config{}), newRecorder()
		attach(t, s, h, 1, true)
		for range 3 {
			far.Write(ice.Route{Remote: s.LocalAddr()}, []byte{33, 33}, 2)
		}
		h.wait(t, 3)
	}
	if each := (inUse() - before) / sockets; each > 8<<10 {
		t.Errorf("an idle socket holds %d bytes", each)
	}
}
