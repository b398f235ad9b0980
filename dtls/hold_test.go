package dtls

import (
	"testing"
	"time"
)

// While the retransmission timer is held, no flight is sent again. After that, the
// timeout counts from the time when the flight was sent.
func TestHoldRetransmission(t *testing.T) {
	p := newPair(t, nil)
	c := p.client
	c.HoldRetransmission(true)
	before := c.FlightChanges()
	c.Start(p.now)
	if c.FlightChanges() == before {
		t.Error("the first flight does not count as a change")
	}
	take := func() (n int) {
		t.Helper()
		for {
			if _, ok := c.AppendDatagram(p.now, nil, 1200); !ok {
				return n
			}
			n++
		}
	}
	if n := take(); n == 0 {
		t.Fatal("no flight")
	}
	flights := c.FlightChanges()
	c.Advance(p.now.Add(10 * time.Second))
	if n := take(); n != 0 || c.FlightChanges() != flights {
		t.Errorf("%d datagrams while the timer is held", n)
	}
	c.Resend()
	if n := take(); n == 0 || c.FlightChanges() == flights {
		t.Error("Resend sends nothing")
	}
	c.HoldRetransmission(false)
	if got, want := c.NextTimeout(), p.now.Add(defaultInitialTimeout); !got.Equal(want) {
		t.Errorf("the timer runs out at %v, want %v", got, want)
	}
	p.now = p.now.Add(10 * time.Second)
	c.HoldRetransmission(true)
	c.HoldRetransmission(false)
	c.Advance(p.now)
	if n := take(); n == 0 {
		t.Error("a late flight is not sent again")
	}
	p.client.HoldRetransmission(false)
	p.server.Start(p.now)
	c.Resend()
	p.run()
	if !c.Established() {
		t.Fatalf("client: %v", c.Err())
	}
	c.Resend()
	if n := take(); n != 0 {
		t.Errorf("%d datagrams of a flight that has arrived", n)
	}
}
