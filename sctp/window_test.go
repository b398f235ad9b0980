package sctp

import (
	"math"
	"testing"
	"time"
)

// The window grows, up to its bound, while the program reads more than half of it in a
// round trip. It does not grow for a program that reads slowly.
func TestReceiveWindowGrows(t *testing.T) {
	for _, test := range []struct {
		name  string
		read  int // bytes read in a round trip
		fixed int
		want  int
	}{
		{"fast", 3 << 20, 0, 8 << 20},
		{"very fast", 100 << 20, 0, maxReceiveWindow},
		{"slow", 100 << 10, 0, defaultReceiveBuffer},
		{"fixed", 100 << 20, 2 << 20, 2 << 20},
	} {
		a := NewAssociation(Config{ReceiveBuffer: test.fixed})
		a.SetRTT(100 * time.Millisecond)
		now := time.Unix(1e9, 0)
		for range 1000 {
			a.Release(now, test.read/100)
			now = now.Add(time.Millisecond)
		}
		if got := a.memory.receiveWindow(); got != test.want {
			t.Errorf("%s: window %d, want %d", test.name, got, test.want)
		}
	}
}

// The largest window that can be announced also works on systems with an int of 32
// bits.
func TestLargestWindow(t *testing.T) {
	if n := windowOf(math.MaxUint32); n < 1<<30 {
		t.Errorf("a window of %d bytes", n)
	}
}
