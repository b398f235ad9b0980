package rtcpeer

import (
	"errors"
	"testing"
	"time"
)

// TestPriority sends on two channels over a slow path. The channel with high priority
// gets four times as much as the other one, which began first.
func TestPriority(t *testing.T) {
	const size, count = 8000, 60
	w := newNATWorld(1)
	w.Default.Rate = 10e6
	a, b := newSimPeer(t, w, withSTUN, "198.51.100.7"), newSimPeer(t, w, withSTUN, "198.51.100.8")
	a.other, b.other = b, a
	low, err := a.CreateDataChannel("low", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	high, err := a.CreateDataChannel("high", ChannelOptions{Priority: PriorityHigh})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]*DataChannel{}
	b.OnDataChannelReceived(func(d *DataChannel) { got[d.Label()] = d })
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	until(t, w, 5*time.Second, "both channels", func() bool { return len(got) == 2 })
	if got["low"].Priority() != PriorityLow || got["high"].Priority() != PriorityHigh {
		t.Errorf("the remote has the priorities %v and %v", got["low"].Priority(), got["high"].Priority())
	}
	for _, d := range []*DataChannel{low, high} {
		for range count {
			if err := d.PutPacket(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
	}
	until(t, w, 10*time.Second, "all of the high one", func() bool { return got["high"].AvailablePacketCount() == count })
	if n := got["low"].AvailablePacketCount(); n < count/8 || n > count/2 {
		t.Errorf("%d of %d packets of the low priority arrived in that time, want a quarter", n, count)
	}
	until(t, w, 10*time.Second, "all of the low one", func() bool { return got["low"].AvailablePacketCount() == count })
	a.Close()
	b.Close()
}

func TestPriorityWords(t *testing.T) {
	for p, weight := range priorityWeights {
		if got := priorityOf(weight); got != Priority(p) {
			t.Errorf("%v is %d, which is %v", Priority(p), weight, got)
		}
	}
	for weight, want := range map[uint16]string{0: "very-low", 300: "low", 1023: "medium", 65535: "high"} {
		if got := priorityOf(weight).String(); got != want {
			t.Errorf("%d is %s, want %s", weight, got, want)
		}
	}
	c := New()
	defer c.Close()
	if _, err := c.CreateDataChannel("x", ChannelOptions{Priority: 4}); !errors.Is(err, ErrInvalidParameter) {
		t.Errorf("an unknown priority: %v", err)
	}
}
