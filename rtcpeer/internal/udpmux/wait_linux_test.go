package udpmux

import (
	"runtime"
	"testing"

	"purertc/ice"
)

// TestIdleSocketsHoldNoBuffer opens many sockets, lets each of them read a datagram,
// and measures the memory that is in use after that.
func TestIdleSocketsHoldNoBuffer(t *testing.T) {
	const sockets = 100
	far := attach(t, open(t, Config{}), newRecorder(), 1, true)
	inUse := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // a sync.Pool keeps its contents for one collection
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
