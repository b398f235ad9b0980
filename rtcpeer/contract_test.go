package rtcpeer

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	"purertc/sctp"
)

// The methods of a zero Conn and a zero DataChannel return an error and have no
// effect.
func TestZero(t *testing.T) {
	var c Conn
	ctx := context.Background()
	for name, err := range map[string]error{
		"Initialize": c.Initialize(Config{}), "CreateOffer": c.CreateOffer(), "SetLocalDescription": c.SetLocalDescription("offer", ""),
		"SetRemoteDescription": c.SetRemoteDescription("offer", ""), "AddICECandidate": c.AddICECandidate("", 0, ""),
		"Poll": c.Poll(), "Close": c.Close(), "Wait": c.Wait(ctx), "Run": c.Run(ctx), "RestartICE": c.RestartICE(),
		"SetICEServers": c.SetICEServers(nil), "Shutdown": c.Shutdown(ctx),
		"CreateDataChannel": second(c.CreateDataChannel("", ChannelOptions{})), "OpenDataChannel": second(c.OpenDataChannel("", ChannelOptions{})),
	} {
		if !errors.Is(err, ErrUnconfigured) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.OnSessionDescriptionCreated(nil)
	c.OnICECandidateCreated(nil)
	c.OnDataChannelReceived(nil)
	c.OnStateChanged(nil)
	if typ, sdp := c.LocalDescription(); typ+sdp != "" {
		t.Errorf("LocalDescription: %q %q", typ, sdp)
	}
	if typ, sdp := c.RemoteDescription(); typ+sdp != "" {
		t.Errorf("RemoteDescription: %q %q", typ, sdp)
	}
	if s := c.Stats(); s != (Stats{}) {
		t.Errorf("Stats: %+v", s)
	}

	var d DataChannel
	_, rerr := d.GetPacket()
	_, _, cerr := d.Receive(ctx)
	for name, err := range map[string]error{
		"Poll": d.Poll(), "Close": d.Close(), "PutPacket": d.PutPacket(nil), "Send": d.Send(ctx, nil, false),
		"GetPacket": rerr, "Receive": cerr, "NetConn": second(d.NetConn()),
	} {
		if !errors.Is(err, ErrUnconfigured) {
			t.Errorf("DataChannel.%s: %v", name, err)
		}
	}
	d.SetWriteMode(WriteModeText)
	d.OnStateChanged(nil)
	d.OnPacketReceived(nil)
	d.OnBufferedAmountLow(0, nil)
	if d.ReadyState() != ChannelStateClosed || d.AvailablePacketCount() != 0 || d.MaxPacketSize() != 0 || d.WasStringPacket() ||
		d.WriteMode() != WriteModeBinary || d.Label()+d.Protocol() != "" || d.ID() != 65535 || !d.IsOrdered() || d.IsNegotiated() ||
		d.MaxRetransmits() != 65535 || d.MaxPacketLifeTime() != 65535 || d.BufferedAmount() != 0 {
		t.Error("a zero DataChannel's getters")
	}
}

func second[T any](_ T, err error) error { return err }

func TestWords(t *testing.T) {
	for i, want := range []string{"new", "connecting", "connected", "disconnected", "failed", "closed", "invalid"} {
		if got := ConnectionState(i).String(); got != want {
			t.Errorf("ConnectionState %d: %q", i, got)
		}
	}
	for i, want := range []string{"new", "gathering", "complete", "invalid"} {
		if got := GatheringState(i).String(); got != want {
			t.Errorf("GatheringState %d: %q", i, got)
		}
	}
	for i, want := range []string{"stable", "have-local-offer", "have-remote-offer", "have-local-pranswer", "have-remote-pranswer", "closed", "invalid"} {
		if got := SignalingState(i).String(); got != want {
			t.Errorf("SignalingState %d: %q", i, got)
		}
	}
	for i, want := range []string{"connecting", "open", "closing", "closed", "invalid"} {
		if got := ChannelState(i).String(); got != want {
			t.Errorf("ChannelState %d: %q", i, got)
		}
	}
	for i, want := range []string{"text", "binary", "invalid"} {
		if got := WriteMode(i).String(); got != want {
			t.Errorf("WriteMode %d: %q", i, got)
		}
	}
	if ConnectionState(-1).String() != "invalid" {
		t.Error("a negative state")
	}
}

func TestInitializeChecks(t *testing.T) {
	for name, cfg := range map[string]Config{
		"negative MaxMessageSize":      {MaxMessageSize: -1},
		"huge MaxMessageSize":          {MaxMessageSize: 1<<30 + 1},
		"negative MemoryLimit":         {MemoryLimit: -1},
		"MemoryLimit for no message":   {MemoryLimit: 600_000},
		"negative MaxChannels":         {MaxChannels: -1},
		"MaxChannels beyond the ids":   {MaxChannels: 65536},
		"negative SendBufferSize":      {SendBufferSize: -1},
		"unknown CongestionControl":    {CongestionControl: sctp.CongestionReno + 1},
		"small MaxDatagramSize":        {MaxDatagramSize: 575},
		"large MaxDatagramSize":        {MaxDatagramSize: 65536},
		"unknown policy":               {ICETransportPolicy: 7},
		"unknown MinDTLS":              {MinDTLS: tls.VersionTLS11},
		"unknown MaxDTLS":              {MaxDTLS: 0x1234},
		"no version between":           {MinDTLS: tls.VersionTLS13, MaxDTLS: tls.VersionTLS12},
		"empty certificate":            {Certificate: &tls.Certificate{}},
		"certificate without key":      {Certificate: &tls.Certificate{Certificate: [][]byte{{1}}}},
		"key that nobody can use":      {Certificate: &tls.Certificate{Certificate: [][]byte{{1}}, PrivateKey: "x"}},
		"zero Host":                    {Host: &Host{}},
		"server without urls":          {ICEServers: []ICEServer{{}}},
		"username without credential":  {ICEServers: []ICEServer{{URLs: []string{"turn:x"}, Username: "u"}}},
		"credential without username":  {ICEServers: []ICEServer{{URLs: []string{"turn:x"}, Credential: "u"}}},
		"second server with a bad URL": {ICEServers: []ICEServer{{URLs: []string{"stun:x"}}, {URLs: []string{"stun:y", "y"}}}},
	} {
		c := New()
		if err := c.Initialize(cfg); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("%s: %v", name, err)
		}
		if c.ConnectionState() != StateClosed {
			t.Errorf("%s: state %v", name, c.ConnectionState())
		}
	}
	c := New()
	defer c.Close()
	for name, cfg := range map[string]Config{
		"zero": {}, "TLS numbers": {MinDTLS: tls.VersionTLS12, MaxDTLS: tls.VersionTLS13}, "DTLS numbers": {MinDTLS: 0xfefd, MaxDTLS: 0xfefc},
		"turn without both": {ICEServers: []ICEServer{{URLs: []string{"turn:x"}}}},
	} {
		if err := c.Initialize(cfg); err != nil || c.ConnectionState() != StateNew {
			t.Errorf("%s: %v, %v", name, err, c.ConnectionState())
		}
	}
}

func TestCreateDataChannel(t *testing.T) {
	c := New()
	defer c.Close()
	for name, o := range map[string]ChannelOptions{
		"negotiated without id": {Negotiated: true}, "id without negotiated": {ID: new(1)},
		"negative id": {Negotiated: true, ID: new(-1)}, "id 65535": {Negotiated: true, ID: new(65535)},
		"both limits": {MaxRetransmits: new(1), MaxPacketLifeTime: new(1)}, "negative retransmits": {MaxRetransmits: new(-1)},
		"many retransmits": {MaxRetransmits: new(65536)}, "negative life": {MaxPacketLifeTime: new(-1)}, "long life": {MaxPacketLifeTime: new(65536)},
		"protocol not UTF-8": {Protocol: "\xff"}, "long protocol": {Protocol: strings.Repeat("x", 65536)},
	} {
		if _, err := c.CreateDataChannel("x", o); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, label := range []string{"\xff", strings.Repeat("x", 65536)} {
		if _, err := c.CreateDataChannel(label, ChannelOptions{}); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("label %.5q: %v", label, err)
		}
	}
	if err := c.CreateOffer(); !errors.Is(err, ErrInvalidState) || errors.Is(err, ErrClosed) {
		t.Errorf("CreateOffer without a channel: %v", err)
	}
	if c.ConnectionState() != StateNew {
		t.Errorf("a CreateOffer that failed made the state %v", c.ConnectionState())
	}

	d, err := c.CreateDataChannel("ö", ChannelOptions{Negotiated: true, ID: new(7), Ordered: new(false), MaxRetransmits: new(3), Protocol: "p"})
	if err != nil {
		t.Fatal(err)
	}
	if d.Label() != "ö" || d.Protocol() != "p" || d.ID() != 7 || d.IsOrdered() || !d.IsNegotiated() || d.MaxRetransmits() != 3 ||
		d.MaxPacketLifeTime() != 65535 || d.ReadyState() != ChannelStateConnecting || d.BufferedAmount() != 0 || d.AvailablePacketCount() != 0 {
		t.Error("the getters of a new channel")
	}
	if d.WriteMode() != WriteModeBinary {
		t.Errorf("write mode %v", d.WriteMode())
	}
	if d.SetWriteMode(WriteModeText); d.WriteMode() != WriteModeText {
		t.Errorf("write mode %v", d.WriteMode())
	}
	if _, err := c.CreateDataChannel("again", ChannelOptions{Negotiated: true, ID: new(7)}); !errors.Is(err, ErrInvalidParameter) {
		t.Errorf("an id in use: %v", err)
	}
	if err := d.PutPacket([]byte("x")); !errors.Is(err, ErrInvalidState) || errors.Is(err, ErrClosed) {
		t.Errorf("PutPacket while connecting: %v", err)
	}
	if err := d.PutPacket([]byte("\xff")); !errors.Is(err, ErrInvalidParameter) {
		t.Errorf("text that is not UTF-8: %v", err)
	}
	if _, err := d.GetPacket(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("GetPacket: %v", err)
	}
	if _, err := d.NetConn(); !errors.Is(err, ErrInvalidState) {
		t.Errorf("NetConn: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := d.Send(ctx, nil, false); !errors.Is(err, context.Canceled) {
		t.Errorf("Send: %v", err)
	}
	if _, _, err := d.Receive(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Receive: %v", err)
	}
	e, err := c.CreateDataChannel("", ChannelOptions{MaxPacketLifeTime: new(9)})
	if err != nil || e.ID() != 65535 || e.MaxPacketLifeTime() != 9 || e.MaxRetransmits() != 65535 || !e.IsOrdered() || e.IsNegotiated() {
		t.Errorf("%v, id %d", err, e.ID())
	}

	// A channel that never opened closes at once. A closed channel suffices for an
	// offer.
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil || e.ReadyState() != ChannelStateClosing {
		t.Errorf("%v, %v", err, e.ReadyState())
	}
	c.Poll()
	if e.ReadyState() != ChannelStateClosed {
		t.Errorf("state %v after Poll", e.ReadyState())
	}
	if err := c.CreateOffer(); err != nil {
		t.Errorf("CreateOffer after the channel was closed: %v", err)
	}
	if c.ConnectionState() != StateConnecting {
		t.Errorf("state %v after CreateOffer", c.ConnectionState())
	}
	if _, err := c.CreateDataChannel("late", ChannelOptions{}); !errors.Is(err, ErrInvalidState) {
		t.Errorf("CreateDataChannel after CreateOffer: %v", err)
	}
	if _, err := c.OpenDataChannel("late", ChannelOptions{}); err != nil {
		t.Errorf("OpenDataChannel after CreateOffer: %v", err)
	}
}
