package rtcpeer

import (
	"testing"
	"time"

	"purertc/rtcpeer/internal/simnet"
)

// TestStats compares a connection's statistics with its traffic.
func TestStats(t *testing.T) {
	w := simnet.New(3)
	w.Default = simnet.Path{Delay: 10 * time.Millisecond}
	a, b := newSimPair(t, w, Config{})
	if s := a.Stats(); s.Transport.ICEState != "new" || s.Transport.DTLSState != "new" || s.Transport.PacketsSent != 0 {
		t.Errorf("before: %+v", s)
	}
	ch, err := a.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got *DataChannel
	b.OnDataChannelReceived(func(d *DataChannel) { got = d })
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	until(t, w, 5*time.Second, "both channels are open", func() bool { return ch.ReadyState() == ChannelStateOpen && got != nil })
	for range 10 {
		if err := ch.PutPacket(make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, w, 5*time.Second, "the packets arrive", func() bool { return got.AvailablePacketCount() == 10 })
	for range 10 {
		if _, err := got.GetPacket(); err != nil {
			t.Fatal(err)
		}
	}
	until(t, w, 5*time.Second, "all is acknowledged", func() bool { return a.Stats().SCTPTransport.UnackData == 0 })
	x, y := a.Stats(), b.Stats()
	if x.Transport.ICERole != "controlling" || y.Transport.ICERole != "controlled" || x.Transport.DTLSRole == y.Transport.DTLSRole {
		t.Errorf("roles: %+v and %+v", x.Transport, y.Transport)
	}
	if x.Transport.DTLSVersion != "1.3" || x.Transport.DTLSGroup != "X25519MLKEM768" || x.Transport.DTLSState != "connected" {
		t.Errorf("DTLS: %+v", x.Transport)
	}
	if x.Transport.BytesSent < 50_000 || y.Transport.BytesReceived < 50_000 || x.Transport.PacketsSent < y.Transport.PacketsReceived {
		t.Errorf("traffic: %+v and %+v", x.Transport, y.Transport)
	}
	if r := x.CandidatePair; r.CurrentRoundTripTime < 19*time.Millisecond || r.CurrentRoundTripTime > 25*time.Millisecond || r.Remote.Addr().String() != "10.0.0.2" {
		t.Errorf("pair: %+v", r)
	}
	if r := x.SCTPTransport; r.SmoothedRoundTripTime < 19*time.Millisecond || r.CongestionWindow == 0 || r.ReceiverWindow == 0 || r.MTU < 1000 {
		t.Errorf("association: %+v", r)
	}
	if s := ch.Stats(); s.MessagesSent != 10 || s.BytesSent != 50_000 || s.MessagesReceived != 0 {
		t.Errorf("our channel: %+v", s)
	}
	if s := got.Stats(); s.MessagesReceived != 10 || s.BytesReceived != 50_000 {
		t.Errorf("their channel: %+v", s)
	}
	if n := testing.AllocsPerRun(100, func() { a.Stats() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if (&Conn{}).Stats() != (Stats{}) || (&DataChannel{}).Stats() != (DataChannelStats{}) {
		t.Error("the zero values have figures")
	}
}
