package dtls

import (
	"testing"
	"time"
)

// TestPathLost checks that a flight that was lost with its path is sent again at once
// on the next path.
func TestPathLost(t *testing.T) {
	p := newPair(t, nil)
	p.client.PathLost(p.now) // nothing is in flight
	lost := 0
	p.meddle = func(i int, d []byte) []delivery { lost++; return nil }
	p.start()
	for range 4 {
		p.step() // the timer backs off
	}
	p.meddle = nil
	before := p.now
	p.client.PathLost(p.now)
	p.flush()
	if wait := p.client.NextTimeout().Sub(p.now); lost == 0 || wait != defaultInitialTimeout {
		t.Errorf("%d datagrams lost; the next wait is %v", lost, wait)
	}
	p.run()
	if took := p.now.Sub(before); !p.client.Established() || took > 200*time.Millisecond {
		t.Errorf("established %v, after %v", p.client.Established(), took)
	}
	p.client.PathLost(p.now)
	if b, ok := p.client.AppendDatagram(p.now, nil, 1200); ok {
		t.Errorf("a flight that was answered is sent again: %x", b)
	}
}
