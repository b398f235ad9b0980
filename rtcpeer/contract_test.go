package rtcpeer

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"purertc/datachannel"
	"purertc/dtls"
	"purertc/ice"
	"purertc/sctp"
)

// A zero Conn and a zero DataChannel do nothing but say so.
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

func TestErrClosed(t *testing.T) {
	cause := errors.New("why")
	err := closedBy(cause)
	if !errors.Is(ErrClosed, ErrInvalidState) || !errors.Is(err, ErrClosed) || !errors.Is(err, ErrInvalidState) || !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	for want, err := range map[string]error{
		"rtcpeer: closed":                               closedBy(nil),
		"rtcpeer: closed: why":                          err,
		"rtcpeer: closed by the peer":                   closedBy(errRemoteClosed),
		"rtcpeer: closed: connection failed: DTLS: why": closedBy(failedBy(fmt.Errorf("rtcpeer: DTLS: %w", cause))),
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
	if errors.Is(ErrInvalidState, ErrClosed) || errors.Is(ErrClosed, ErrUnavailable) {
		t.Error("too much is ErrClosed")
	}
}

// After Close, and after an Initialize that failed, everything else is
// ErrClosed, until Initialize.
func TestClosed(t *testing.T) {
	for _, how := range []string{"Close", "Initialize"} {
		c := New()
		ch, err := c.CreateDataChannel("x", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if how == "Close" {
			err = c.Close()
		} else {
			err = c.Initialize(Config{ICEServers: []ICEServer{{URLs: []string{"http://x"}}}})
			if !errors.Is(err, ErrInvalidParameter) {
				t.Errorf("Initialize: %v", err)
			}
			err = nil
		}
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		_, _, rerr := ch.Receive(ctx)
		for name, err := range map[string]error{
			"CreateOffer": c.CreateOffer(), "SetLocalDescription": c.SetLocalDescription("offer", ""), "rollback": c.SetLocalDescription("rollback", ""),
			"SetRemoteDescription": c.SetRemoteDescription("what", ""), "AddICECandidate": c.AddICECandidate("", 0, ""),
			"Wait": c.Wait(ctx), "RestartICE": c.RestartICE(), "SetICEServers": c.SetICEServers(nil), "Shutdown": c.Shutdown(ctx),
			"CreateDataChannel": second(c.CreateDataChannel("", ChannelOptions{})), "OpenDataChannel": second(c.OpenDataChannel("", ChannelOptions{})),
			"PutPacket": ch.PutPacket([]byte("x")), "Send": ch.Send(ctx, nil, false), "Receive": rerr,
		} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s after %s: %v", name, how, err)
			}
		}
		if err := c.Poll(); err != nil {
			t.Errorf("Poll: %v", err)
		}
		if err := c.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := errors.Join(c.Close(), ch.Close(), ch.Poll()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if _, err := ch.GetPacket(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("GetPacket: %v", err)
		}
		if c.ConnectionState() != StateClosed || c.SignalingState() != SignalingStateClosed || ch.ReadyState() != ChannelStateClosed {
			t.Errorf("states %v, %v, %v", c.ConnectionState(), c.SignalingState(), ch.ReadyState())
		}
		// Only Initialize makes it usable again.
		if err := c.Initialize(Config{}); err != nil {
			t.Fatal(err)
		}
		if c.ConnectionState() != StateNew || c.SignalingState() != SignalingStateStable || c.GatheringState() != GatheringStateNew {
			t.Errorf("states %v, %v, %v", c.ConnectionState(), c.SignalingState(), c.GatheringState())
		}
		if err := c.CreateOffer(); !errors.Is(err, ErrInvalidState) {
			t.Errorf("CreateOffer without a channel since Initialize: %v", err)
		}
		if ch.ReadyState() != ChannelStateClosed || !errors.Is(ch.PutPacket(nil), ErrClosed) {
			t.Error("the old channel lives again")
		}
		c.Close()
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

	// A channel that never opened closes at once; the closed one counts.
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

// deaf is a Conn whose descriptions the test passes on itself.
type deaf struct {
	*Conn
	created    [][2]string
	candidates []string
}

func newDeaf(t *testing.T, n *memNet, addr string) *deaf {
	d := &deaf{Conn: newMemConn(t, n, addr, Config{})}
	d.OnSessionDescriptionCreated(func(typ, sdp string) { d.created = append(d.created, [2]string{typ, sdp}) })
	d.OnICECandidateCreated(func(media string, index int, name string) {
		d.candidates = append(d.candidates, fmt.Sprint(media, " ", index, " ", name))
	})
	t.Cleanup(func() { d.Close() })
	return d
}

// offered makes an offer and returns it.
func (d *deaf) offered(t *testing.T) string {
	t.Helper()
	if !d.hasChannel() {
		if _, err := d.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	return d.next(t, "offer")
}

func (d *deaf) hasChannel() bool {
	d.Conn.mu.Lock()
	defer d.Conn.mu.Unlock()
	return d.Conn.created || d.Conn.agreed
}

// next polls for the one description that was created.
func (d *deaf) next(t *testing.T, typ string) string {
	t.Helper()
	d.Poll()
	if len(d.created) != 1 || d.created[0][0] != typ {
		t.Fatalf("created %q, want one %s", d.created, typ)
	}
	sdp := d.created[0][1]
	d.created = nil
	return sdp
}

func (d *deaf) local(t *testing.T, typ, sdp string) {
	t.Helper()
	if err := d.SetLocalDescription(typ, sdp); err != nil {
		t.Fatalf("SetLocalDescription(%s): %v", typ, err)
	}
}

func (d *deaf) remote(t *testing.T, typ, sdp string) {
	t.Helper()
	if err := d.SetRemoteDescription(typ, sdp); err != nil {
		t.Fatalf("SetRemoteDescription(%s): %v", typ, err)
	}
}

func (d *deaf) want(t *testing.T, s SignalingState) {
	t.Helper()
	if got := d.SignalingState(); got != s {
		t.Fatalf("signalling state %v, want %v", got, s)
	}
}

// The signalling states, and what is refused in each.
func TestSignaling(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newDeaf(t, n, "10.0.0.1"), newDeaf(t, n, "10.0.0.2")
		if _, err := b.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)}); err != nil {
			t.Fatal(err)
		}
		for _, typ := range []string{"", "Offer", "answer ", "x"} {
			if err := a.SetLocalDescription(typ, ""); !errors.Is(err, ErrInvalidParameter) {
				t.Errorf("local %q: %v", typ, err)
			}
			if err := a.SetRemoteDescription(typ, ""); !errors.Is(err, ErrInvalidParameter) {
				t.Errorf("remote %q: %v", typ, err)
			}
		}
		wrong := func(who *deaf, local bool, typ, sdp string, want error) {
			t.Helper()
			before := who.SignalingState()
			set := who.SetRemoteDescription
			if local {
				set = who.SetLocalDescription
			}
			if err := set(typ, sdp); !errors.Is(err, want) {
				t.Errorf("%s in %v: %v, want %v", typ, before, err, want)
			}
			if who.SignalingState() != before {
				t.Errorf("%s that failed: %v became %v", typ, before, who.SignalingState())
			}
		}
		// Bad text is told with line and column.
		err := a.SetRemoteDescription("offer", "v=0\no=x\n")
		if !errors.Is(err, ErrInvalidParameter) || !strings.Contains(err.Error(), "line 2 column 3") {
			t.Errorf("bad text: %v", err)
		}
		offer := a.offered(t)
		a.want(t, SignalingStateStable)
		if a.GatheringState() != GatheringStateNew {
			t.Error("gathering before SetLocalDescription")
		}
		wrong(a, true, "answer", offer, ErrInvalidState)
		wrong(a, true, "pranswer", offer, ErrInvalidState)
		wrong(a, true, "rollback", "", ErrInvalidState)
		wrong(a, false, "rollback", "", ErrInvalidState)
		wrong(a, false, "answer", offer, ErrInvalidState)
		wrong(a, false, "pranswer", offer, ErrInvalidState)
		// Altered, or of another.
		for _, line := range []string{"a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:sha-256 ", "a=tls-id:"} {
			i := strings.Index(offer, line) + len(line)
			c := "0"
			if offer[i] == '0' {
				c = "1"
			}
			wrong(a, true, "offer", offer[:i]+c+offer[i+1:], ErrInvalidParameter)
		}
		wrong(a, true, "offer", strings.Replace(offer, "setup:actpass", "setup:active", 1), ErrInvalidParameter)
		wrong(b, true, "offer", offer, ErrInvalidParameter)
		a.local(t, "offer", offer)
		a.want(t, SignalingStateHaveLocalOffer)
		a.local(t, "offer", offer) // the same again
		if typ, text := a.LocalDescription(); typ != "offer" || !strings.Contains(text, "a=candidate:") || !strings.Contains(text, "a=end-of-candidates") {
			t.Errorf("LocalDescription: %s\n%s", typ, text)
		}
		if typ, text := a.LocalDescription(); a.SetLocalDescription(typ, text) != nil {
			t.Error("the same with candidates is not the same again")
		}
		if err := a.CreateOffer(); !errors.Is(err, ErrInvalidState) {
			t.Errorf("CreateOffer in have-local-offer: %v", err)
		}
		wrong(a, true, "answer", offer, ErrInvalidState)

		b.remote(t, "offer", offer)
		b.want(t, SignalingStateHaveRemoteOffer)
		if b.ConnectionState() != StateConnecting {
			t.Errorf("state %v after a remote offer", b.ConnectionState())
		}
		if typ, text := b.RemoteDescription(); typ != "offer" || text != offer {
			t.Errorf("RemoteDescription: %s", typ)
		}
		answer := b.next(t, "answer")
		wrong(b, true, "offer", offer, ErrInvalidState)
		wrong(b, false, "answer", answer, ErrInvalidState)
		if err := b.CreateOffer(); !errors.Is(err, ErrInvalidState) {
			t.Errorf("CreateOffer in have-remote-offer: %v", err)
		}
		wrong(b, true, "answer", strings.Replace(answer, "setup:active", "setup:passive", 1), ErrInvalidParameter)
		b.remote(t, "offer", offer) // the same again makes another answer
		answer = b.next(t, "answer")
		b.local(t, "pranswer", answer)
		b.want(t, SignalingStateHaveLocalPranswer)
		if typ, _ := b.LocalDescription(); typ != "pranswer" {
			t.Errorf("LocalDescription: %s", typ)
		}
		b.local(t, "pranswer", answer)
		wrong(b, true, "rollback", "", ErrInvalidState)
		wrong(b, false, "offer", offer, ErrInvalidState)

		a.remote(t, "pranswer", answer)
		a.want(t, SignalingStateHaveRemotePranswer)
		wrong(a, false, "rollback", "", ErrInvalidState)
		a.local(t, "offer", offer) // still the same again
		wrong(a, true, "offer", strings.Replace(offer, " 1 IN IP4", " 7 IN IP4", 1), ErrInvalidState)
		i := strings.Index(answer, "sha-256 ") + 8
		wrong(a, false, "answer", answer[:i]+strings.Map(flipHex, answer[i:i+2])+answer[i+2:], ErrInvalidParameter)
		wrong(a, false, "answer", strings.Replace(answer, "a=mid:0", "a=mid:9", 1), ErrInvalidParameter)
		wrong(a, false, "answer", strings.Replace(answer, "setup:active", "setup:actpass", 1), ErrInvalidParameter)
		wrong(a, false, "answer", strings.Replace(answer, "setup:active", "setup:holdconn", 1), ErrInvalidParameter)
		wrong(a, false, "answer", strings.Replace(answer, "setup:active", "setup:passive", 1), ErrInvalidParameter)

		// A provisional answer connects already; candidates go on.
		give := func(from, to *deaf) {
			t.Helper()
			from.Poll()
			for _, c := range from.candidates {
				f := strings.SplitN(c, " ", 3)
				if err := to.AddICECandidate(f[0], 0, f[2]); err != nil {
					t.Errorf("AddICECandidate(%q): %v", c, err)
				}
			}
			from.candidates = nil
		}
		give(a, b)
		give(b, a)
		waitFor(t, "connected by the pranswer", func() bool {
			a.Poll()
			b.Poll()
			return a.ConnectionState() == StateConnected && b.ConnectionState() == StateConnected
		})
		b.local(t, "answer", answer)
		b.local(t, "answer", answer)
		b.want(t, SignalingStateStable)
		a.remote(t, "answer", answer)
		a.want(t, SignalingStateStable)
		a.local(t, "offer", offer) // again, in stable
		a.want(t, SignalingStateStable)
		if typ, _ := b.LocalDescription(); typ != "answer" {
			t.Errorf("LocalDescription: %s", typ)
		}
		wrong(b, true, "pranswer", answer, ErrInvalidState)

		// Renegotiation, from the other side, keeps everything.
		again := b.offered(t)
		if !strings.Contains(again, "a=ice-ufrag:") || ufragOf(again) != ufragOf(answer) {
			t.Errorf("a later offer without a restart has other credentials\n%s", again)
		}
		b.local(t, "offer", again)
		a.remote(t, "offer", again)
		again = a.next(t, "answer")
		wrong(a, true, "answer", answer, ErrInvalidParameter)
		a.local(t, "answer", again)
		// The certificate may not change, nor the role together with tls-id.
		otherRole := strings.Replace(again, "setup:passive", "setup:active", 1)
		i = strings.Index(otherRole, "a=tls-id:") + 9
		wrong(b, false, "answer", otherRole[:i]+strings.Map(flipHex, otherRole[i:i+1])+otherRole[i+1:], ErrInvalidParameter)
		i = strings.Index(otherRole, "sha-256 ") + 8
		wrong(b, false, "answer", otherRole[:i]+strings.Map(flipHex, otherRole[i:i+2])+otherRole[i+2:], ErrInvalidParameter)
		b.remote(t, "answer", otherRole) // a role that is not theirs, by itself, means nothing
		a.want(t, SignalingStateStable)
		b.want(t, SignalingStateStable)
		a.Poll()
		b.Poll()
		if a.ConnectionState() != StateConnected || b.ConnectionState() != StateConnected {
			t.Errorf("states %v, %v after a renegotiation", a.ConnectionState(), b.ConnectionState())
		}
		// The certificate may not change.
		i = strings.Index(offer, "sha-256 ") + 8
		wrong(b, false, "offer", offer[:i]+strings.Map(flipHex, offer[i:i+2])+offer[i+2:], ErrInvalidParameter)
	})
}

func flipHex(r rune) rune {
	if r == '0' {
		return '1'
	}
	return '0'
}

func ufragOf(sdp string) string {
	_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
	ufrag, _, _ := strings.Cut(rest, "\r")
	return ufrag
}

// Both offer at once; the polite one's offer is rolled back.
func TestGlare(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newDeaf(t, n, "10.0.0.1"), newDeaf(t, n, "10.0.0.2")
		offerA, offerB := a.offered(t), b.offered(t)
		a.local(t, "offer", offerA)
		b.local(t, "offer", offerB)
		a.Poll()
		b.Poll()
		states := 0
		b.OnStateChanged(func() { states++ })
		b.remote(t, "offer", offerA)
		b.want(t, SignalingStateHaveRemoteOffer)
		answer := b.next(t, "answer")
		if states == 0 {
			t.Error("no OnStateChanged")
		}
		// The rolled back offer cannot be applied any more.
		if err := b.SetLocalDescription("offer", offerB); !errors.Is(err, ErrInvalidState) {
			t.Errorf("the offer that was rolled back: %v", err)
		}
		b.local(t, "answer", answer)
		typ, full := b.LocalDescription()
		a.remote(t, typ, full)
		waitFor(t, "connected after glare", func() bool {
			a.Poll()
			b.Poll()
			return a.ConnectionState() == StateConnected && b.ConnectionState() == StateConnected
		})

		// Again, with a restart on both sides.
		for _, c := range []*deaf{a, b} {
			if err := c.RestartICE(); err != nil {
				t.Fatal(err)
			}
			c.candidates = nil
		}
		offerA, offerB = a.offered(t), b.offered(t)
		a.local(t, "offer", offerA)
		b.local(t, "offer", offerB)
		b.remote(t, "offer", offerA)
		answer = b.next(t, "answer")
		b.local(t, "answer", answer)
		typ, full = b.LocalDescription()
		a.remote(t, typ, full)
		if ufragOf(full) == ufragOf(offerB) {
			t.Error("credentials of an offer that was rolled back were used again")
		}
		for range 30 {
			pause()
			a.Poll()
			b.Poll()
			if a.ConnectionState() != StateConnected || b.ConnectionState() != StateConnected {
				t.Fatalf("states %v and %v", a.ConnectionState(), b.ConnectionState())
			}
		}
	})
}

// A restart that is rolled back leaves the connection as it was, also for the
// other end's next offer.
func TestRollbackOfRestart(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newDeaf(t, n, "10.0.0.1"), newDeaf(t, n, "10.0.0.2")
		exchange(t, a, b)
		old := ufragOf(first(a.LocalDescription()))
		if err := a.RestartICE(); err != nil {
			t.Fatal(err)
		}
		offer := a.offered(t)
		if ufragOf(offer) == old {
			t.Fatal("the offer does not restart")
		}
		a.local(t, "offer", offer)
		a.local(t, "rollback", "")
		a.want(t, SignalingStateStable)
		if got := first(a.LocalDescription()); ufragOf(got) != old || !strings.Contains(got, "a=candidate:") {
			t.Errorf("after the rollback the local description is\n%s", got)
		}
		offer = b.offered(t)
		b.local(t, "offer", offer)
		a.remote(t, "offer", offer)
		answer := a.next(t, "answer")
		if ufragOf(answer) != old {
			t.Error("an answer restarts ICE without being asked")
		}
		a.local(t, "answer", answer)
		b.remote(t, "answer", answer)
		for range 40 {
			pause()
			a.Poll()
			b.Poll()
			if a.ConnectionState() != StateConnected || b.ConnectionState() != StateConnected {
				t.Fatalf("states %v and %v", a.ConnectionState(), b.ConnectionState())
			}
		}
		// The wish to restart is still there.
		if offer := a.offered(t); ufragOf(offer) == old {
			t.Error("RestartICE was forgotten")
		}
	})
}

func first(_, text string) string { return text }

// exchange connects two by offer and answer of a, with candidates inside.
func exchange(t *testing.T, a, b *deaf) {
	t.Helper()
	if _, err := b.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)}); err != nil {
		t.Fatal(err)
	}
	a.local(t, "offer", a.offered(t))
	b.remote(t, "offer", first(a.LocalDescription()))
	b.local(t, "answer", b.next(t, "answer"))
	a.remote(t, "answer", first(b.LocalDescription()))
	waitFor(t, "connected", func() bool {
		a.Poll()
		b.Poll()
		return a.ConnectionState() == StateConnected && b.ConnectionState() == StateConnected
	})
}

// An offer rolled back leaves the state Connecting, and a connection can be
// made after it from either side, with all candidates signalled.
func TestRollback(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newDeaf(t, n, "10.0.0.1"), newDeaf(t, n, "10.0.0.2")
		a.local(t, "offer", a.offered(t))
		a.local(t, "rollback", "")
		a.want(t, SignalingStateStable)
		if a.ConnectionState() != StateConnecting {
			t.Errorf("state %v after a rollback", a.ConnectionState())
		}
		if typ, sdp := a.LocalDescription(); typ+sdp != "" {
			t.Errorf("LocalDescription: %s", typ)
		}
		b.remote(t, "offer", a.offered(t))
		b.Poll()
		b.remote(t, "rollback", "")
		b.want(t, SignalingStateStable)
		if err := b.CreateOffer(); !errors.Is(err, ErrInvalidState) {
			t.Errorf("CreateOffer after a rollback, without a channel: %v", err)
		}
		a.created, b.created = nil, nil
		exchangeFrom(t, b, a)
	})
}

func exchangeFrom(t *testing.T, a, b *deaf) {
	t.Helper()
	if _, err := a.OpenDataChannel("x", ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	a.local(t, "offer", a.offered(t))
	b.remote(t, "offer", first(a.LocalDescription()))
	b.local(t, "answer", b.next(t, "answer"))
	a.remote(t, "answer", first(b.LocalDescription()))
	waitFor(t, "connected", func() bool {
		a.Poll()
		b.Poll()
		return a.ConnectionState() == StateConnected && b.ConnectionState() == StateConnected
	})
}

// A description that is created has the candidates that the program was given
// before, and no others: those are still to be signalled.
func TestCandidatesOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newDeaf(t, n, "10.0.0.1"), newDeaf(t, n, "10.0.0.2")
		b.remote(t, "offer", a.offered(t))
		b.local(t, "answer", b.next(t, "answer"))
		if err := b.CreateOffer(); err != nil { // while the candidates wait for a Poll
			t.Fatal(err)
		}
		offer := b.next(t, "offer")
		if strings.Contains(offer, "a=candidate") || strings.Contains(offer, "end-of-candidates") || len(b.candidates) < 2 {
			t.Errorf("candidates %q are also in\n%s", b.candidates, offer)
		}
		if later := b.offered(t); strings.Count(later, "a=candidate") != len(b.candidates)-1 || !strings.Contains(later, "end-of-candidates") {
			t.Errorf("candidates %q are not in\n%s", b.candidates, later)
		}
	})
}

// Candidates: their forms, those that come early, and those that never fit.
func TestCandidates(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newDeaf(t, n, "10.0.0.1"), newDeaf(t, n, "10.0.0.2")
		for _, bad := range []string{"x", "candidate:x", "candidate:1 1 udp 1 10.0.0.1 99999 typ host", "candidate:1 1 udp 1 10.0.0.1 1 type host"} {
			if err := a.AddICECandidate("0", 0, bad); !errors.Is(err, ErrInvalidParameter) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		// What cannot be used is dropped without a word.
		for _, name := range []string{
			"candidate:1 1 tcp 1 10.0.0.9 9 typ host tcptype active", "a=candidate:1 2 udp 1 10.0.0.9 9 typ host",
			"candidate:1 1 udp 1 nowhere.invalid 9 typ host", "1 1 udp 1 10.0.0.9 9 typ host",
		} {
			if err := a.AddICECandidate("0", 0, name); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
		if _, err := b.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)}); err != nil {
			t.Fatal(err)
		}
		offer := a.offered(t)
		a.local(t, "offer", offer)
		if a.GatheringState() != GatheringStateNew {
			t.Error("the gathering state shows before Poll")
		}
		a.Poll()
		if a.GatheringState() != GatheringStateComplete {
			t.Errorf("gathering state %v", a.GatheringState())
		}
		if len(a.candidates) != 2 || !strings.HasPrefix(a.candidates[0], "0 0 candidate:") || a.candidates[1] != "0 0 " ||
			!strings.Contains(a.candidates[0], " ufrag "+ufragOf(offer)) {
			t.Fatalf("candidates %q", a.candidates)
		}
		name := strings.SplitN(a.candidates[0], " ", 3)[2]
		// They come before the offer, after others of another time.
		for i := range 3 * maxEarlyCandidates {
			if err := b.AddICECandidate("0", 0, fmt.Sprintf("candidate:1 1 udp 1 10.9.9.9 %d typ host ufrag other", i+1)); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(b.ext.(*stack).peer.remote.early); got != maxEarlyCandidates {
			t.Errorf("%d candidates are kept", got)
		}
		if err := errors.Join(b.AddICECandidate("0", 0, "a="+name), b.AddICECandidate("0", 0, "")); err != nil {
			t.Fatal(err)
		}
		b.remote(t, "offer", offer)
		if err := b.AddICECandidate("nine", 0, name); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("candidate of a media section that is not there: %v", err)
		}
		answer := b.next(t, "answer")
		b.local(t, "answer", answer)
		a.remote(t, "answer", answer) // without any candidate
		waitFor(t, "connected by early candidates", func() bool {
			a.Poll()
			b.Poll()
			return a.ConnectionState() == StateConnected && b.ConnectionState() == StateConnected
		})
		// They may still come, and do not have the description read again.
		if d := b.ext.(*stack).peer.neg.remote(); d.parsed != nil {
			t.Error("the description is kept parsed")
		} else if err := b.AddICECandidate("0", 0, name); err != nil || d.parsed != nil {
			t.Errorf("a late candidate: %v", err)
		}
		if err := b.AddICECandidate("nine", 0, name); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("late candidate of a media section that is not there: %v", err)
		}
		for _, end := range []string{"", "candidate:", "a=end-of-candidates"} {
			if err := a.AddICECandidate("0", 0, end); err != nil {
				t.Errorf("end of candidates %q: %v", end, err)
			}
		}
		// Other servers: gathering begins and ends again.
		var states []GatheringState
		a.OnStateChanged(func() { states = append(states, a.GatheringState()) })
		a.candidates = nil
		if err := a.SetICEServers([]ICEServer{{URLs: []string{"ftp:x"}}}); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("SetICEServers: %v", err)
		}
		if err := a.SetICEServers(nil); err != nil {
			t.Fatal(err)
		}
		a.Poll()
		if len(states) != 2 || states[0] != GatheringStateGathering || states[1] != GatheringStateComplete || len(a.candidates) != 1 {
			t.Errorf("states %v, candidates %q", states, a.candidates)
		}
	})
}

// An offer with audio first is answered; one without a section is no offer.
func TestForeignOffers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newDeaf(t, n, "10.0.0.1"), newDeaf(t, n, "10.0.0.2")
		a.local(t, "offer", a.offered(t))
		offer := first(a.LocalDescription())
		head, section, _ := strings.Cut(offer, "m=application")
		audio := "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:a\r\n"
		err := b.SetRemoteDescription("offer", head)
		if !errors.Is(err, ErrInvalidParameter) || b.SignalingState() != SignalingStateStable {
			t.Errorf("an offer without a section: %v", err)
		}
		b.remote(t, "offer", head+audio+"m=application"+section)
		answer := b.next(t, "answer")
		if !strings.Contains(answer, "m=audio 0 ") {
			t.Errorf("the audio section is not rejected:\n%s", answer)
		}
		// Our offer has one section: an answer with two is no answer to it.
		if err := a.SetRemoteDescription("answer", answer); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("an answer with another section first: %v", err)
		}
		b.remote(t, "rollback", "")
		b.remote(t, "offer", strings.Replace(offer, "m=application 9", "m=application 0", 1))
		answer = b.next(t, "answer")
		b.local(t, "answer", answer)
		b.Poll()
		if b.ConnectionState() != StateFailed || b.Poll() == nil {
			t.Errorf("state %v after an offer of nothing", b.ConnectionState())
		}
		// The offerer learns the same.
		a.remote(t, "answer", strings.Replace(first(b.LocalDescription()), "a=inactive", "a=inactive", 1))
		a.Poll()
		if a.ConnectionState() != StateFailed {
			t.Errorf("state %v after an answer of nothing", a.ConnectionState())
		}
	})
}

// Poll: order, nesting, what a handler causes, Close and Initialize inside.
func TestPoll(t *testing.T) {
	f := &fakeExtension{}
	c := connOf(f)
	var got []string
	depth := 0
	c.OnSessionDescriptionCreated(func(typ, sdp string) {
		got = append(got, typ+sdp)
		depth++
		defer func() { depth-- }()
		if err := c.Poll(); err != nil || depth > 1 {
			t.Errorf("nested Poll: %v at depth %d", err, depth)
		}
		switch sdp {
		case "1":
			f.event(Event{Kind: EventSessionDescription, Type: "d", SDP: "5"})
		case "close":
			c.Close()
		case "initialize":
			if err := c.Initialize(Config{}); err != nil {
				t.Error(err)
			}
		}
	})
	put := func(names ...string) {
		for _, n := range names {
			f.event(Event{Kind: EventSessionDescription, Type: "d", SDP: n})
		}
	}
	poll := func(want string) {
		t.Helper()
		got = nil
		if err := c.Poll(); err != nil {
			t.Error(err)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("Poll delivered %q, want %q", s, want)
		}
	}
	put("1", "2", "3")
	poll("d1 d2 d3")
	poll("d5")
	poll("")
	put("initialize", "2")
	poll("dinitialize")
	if c.ConnectionState() != StateNew {
		t.Errorf("state %v", c.ConnectionState())
	}
	poll("")
	put("close", "2")
	poll("dclose")
	poll("")
	if c.ConnectionState() != StateClosed {
		t.Errorf("state %v", c.ConnectionState())
	}
}

// A second goroutine's Poll waits for the first.
func TestPollOfTwo(t *testing.T) {
	f := &fakeExtension{}
	c := connOf(f)
	inside, release := make(chan struct{}), make(chan struct{})
	done := false
	c.OnICECandidateCreated(func(string, int, string) {
		close(inside)
		<-release
		done = true
	})
	f.event(Event{Kind: EventICECandidate})
	first, second := make(chan error), make(chan error)
	go func() { first <- c.Poll() }()
	<-inside
	go func() {
		err := c.Poll()
		if !done { // the race detector objects too, if Poll did not wait
			err = errors.New("returned while the first was inside")
		}
		second <- err
	}()
	for range 1000 {
		runtime.Gosched()
	}
	close(release)
	if err := errors.Join(<-first, <-second); err != nil {
		t.Error(err)
	}
}

// A handler's Poll never waits: not of its own connection, nor of one that
// another goroutine polls, whose handler may poll this one.
func TestPollInHandlers(t *testing.T) {
	var (
		exts   [2]*fakeExtension
		conns  [2]*Conn
		inside sync.WaitGroup
		polled [2]error
	)
	inside.Add(2)
	for i := range conns {
		exts[i] = &fakeExtension{}
		conns[i] = connOf(exts[i])
		exts[i].event(Event{Kind: EventICECandidate})
	}
	deep := func(depth int, f func() error) (err error) { return f() }
	for range 100 { // more frames than are looked at in one go
		inner := deep
		deep = func(depth int, f func() error) error { return inner(depth+1, f) }
	}
	for i, c := range conns {
		c.OnICECandidateCreated(func(string, int, string) {
			inside.Done()
			inside.Wait()
			polled[i] = errors.Join(c.Poll(), deep(0, conns[1-i].Poll))
		})
	}
	done := make(chan error)
	for _, c := range conns {
		go func() { done <- c.Poll() }()
	}
	if err := errors.Join(<-done, <-done, polled[0], polled[1]); err != nil {
		t.Error(err)
	}
}

func TestPollAllocatesNothing(t *testing.T) {
	c := New()
	defer c.Close()
	if _, err := c.CreateDataChannel("x", ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Poll()
	if n := testing.AllocsPerRun(100, func() { c.Poll() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWaitAndRun(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := &fakeExtension{}
		c := connOf(f)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait: %v", err)
		}
		if err := c.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run: %v", err)
		}
		// Any number of goroutines wait.
		done := make(chan error, 3)
		for range 3 {
			go func() { done <- c.Wait(context.Background()) }()
		}
		pause()
		f.event(Event{Kind: EventICECandidate})
		for range 3 {
			if err := <-done; err != nil {
				t.Errorf("Wait: %v", err)
			}
		}
		// Run returns at StateFailed, goes on when it is called again, and ends
		// at the remote close.
		states := 0
		c.OnStateChanged(func() { states++ })
		go func() { done <- c.Run(context.Background()) }()
		cause := errors.New("why")
		f.event(Event{Kind: EventError, Err: cause})
		f.event(Event{Kind: EventConnectionState, State: int(StateFailed)})
		if err := <-done; !errors.Is(err, ErrFailed) || !errors.Is(err, cause) {
			t.Errorf("Run at StateFailed: %v", err)
		}
		go func() { done <- c.Run(context.Background()) }()
		pause()
		if err := c.Poll(); err == nil || states != 1 {
			t.Errorf("Poll after StateFailed: %v, %d states", err, states)
		}
		f.event(Event{Kind: EventConnectionState, State: int(StateConnected)})
		pause()
		if err := c.Poll(); err != nil {
			t.Errorf("Poll after it came back: %v", err)
		}
		f.event(Event{Kind: EventConnectionState, State: int(StateClosed)})
		if err := <-done; err != nil || states != 3 || c.SignalingState() != SignalingStateClosed {
			t.Errorf("Run: %v, %d states", err, states)
		}
		if err := c.Wait(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("Wait: %v", err)
		}
		// A handler that always causes more does not hold up ctx.
		if err := c.Initialize(Config{}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel = context.WithCancel(context.Background())
		n := 0
		c.OnICECandidateCreated(func(string, int, string) {
			f.event(Event{Kind: EventICECandidate})
			if n++; n == 100 {
				cancel()
			}
		})
		f.event(Event{Kind: EventICECandidate})
		if err := c.Run(ctx); !errors.Is(err, context.Canceled) || n != 100 {
			t.Errorf("Run: %v after %d", err, n)
		}
	})
}

// A peer that is connected, with every kind of message both ways.
func TestMessages(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{Protocol: "proto"})
		defer p.close()
		if p.y.Label() != "x" || p.y.Protocol() != "proto" || p.y.ID() != p.x.ID() || p.x.ID() > 65534 || p.y.IsNegotiated() || !p.y.IsOrdered() ||
			p.y.MaxRetransmits() != 65535 || p.y.MaxPacketLifeTime() != 65535 {
			t.Error("the getters of a received channel")
		}
		if p.x.MaxPacketSize() != 262144 {
			t.Errorf("MaxPacketSize %d", p.x.MaxPacketSize())
		}
		ctx := context.Background()
		big := bytes.Repeat([]byte("0123456789abcdef"), 262144/16)
		for _, m := range []struct {
			b    []byte
			text bool
		}{{[]byte("hello"), true}, {[]byte{0, 255}, false}, {nil, true}, {[]byte{}, false}, {big, false}, {[]byte("end"), true}} {
			for _, d := range [][2]*DataChannel{{p.x, p.y}, {p.y, p.x}} {
				if err := d[0].Send(ctx, m.b, m.text); err != nil {
					t.Fatal(err)
				}
				b, text, err := d[1].Receive(ctx)
				if err != nil || !bytes.Equal(b, m.b) || text != m.text || d[1].WasStringPacket() != m.text {
					t.Fatalf("got %d bytes, text %v, %v", len(b), text, err)
				}
			}
		}
		p.x.SetWriteMode(WriteModeText)
		if err := p.x.PutPacket([]byte("text")); err != nil {
			t.Fatal(err)
		}
		if b, text, err := p.y.Receive(ctx); err != nil || !text || string(b) != "text" {
			t.Errorf("%q, %v, %v", b, text, err)
		}
		if err := p.x.PutPacket(make([]byte, 262145)); !errors.Is(err, ErrMessageTooLarge) {
			t.Errorf("a packet too large: %v", err)
		}
		if err := p.x.Send(ctx, make([]byte, 262145), false); !errors.Is(err, ErrMessageTooLarge) {
			t.Errorf("a packet too large: %v", err)
		}
		// The slice is the caller's, and the argument is copied.
		b := []byte("before")
		p.x.PutPacket(b)
		copy(b, "after!")
		if got, _, _ := p.y.Receive(ctx); string(got) != "before" {
			t.Errorf("got %q", got)
		}
		if s := p.a.Stats().Transport; s.DTLSState != "connected" || s.DTLSRole != "server" || s.DTLSVersion == "" || s.DTLSCipher == "" {
			t.Errorf("stats %+v", s)
		}
		if s := p.b.Stats().Transport; s.DTLSRole != "client" {
			t.Errorf("stats %+v", s)
		}
	})
}

// A handler that is set when the channel has opened already hears of it, once.
func TestLateStateHandler(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		ch, err := p.a.OpenDataChannel("late", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "it is open", func() bool { return ch.ReadyState() == ChannelStateOpen })
		p.stop() // nobody polls
		pause()
		for want := 1; want >= 0; want-- {
			var states []ChannelState
			ch.OnStateChanged(func() { states = append(states, ch.ReadyState()) })
			if len(states) != 0 {
				t.Error("called before Poll")
			}
			p.a.Poll()
			p.a.Poll()
			if len(states) != want || want == 1 && states[0] != ChannelStateOpen {
				t.Errorf("told of %v, want %d", states, want)
			}
		}
	})
}

// A handler that is set when the channel has closed already hears of it, once.
// The connection does not keep the channel for it.
func TestLateStateHandlerOfClosed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		known := func() (n int) {
			p.a.mu.Lock()
			defer p.a.mu.Unlock()
			p.a.channels.each(func(*channel) { n++ })
			return n
		}
		before := known()
		var chs [3]*DataChannel
		for i := range chs {
			ch, err := p.a.OpenDataChannel("late", ChannelOptions{})
			if err != nil {
				t.Fatal(err)
			}
			waitFor(t, "it is open", func() bool { return ch.ReadyState() == ChannelStateOpen })
			ch.Close()
			waitFor(t, "it is closed", func() bool { return ch.ReadyState() == ChannelStateClosed })
			chs[i] = ch
		}
		told := 0
		handler := func() {
			if told++; chs[0].ReadyState() != ChannelStateClosed {
				t.Errorf("told of %v", chs[0].ReadyState())
			}
		}
		if n := known(); n != before {
			t.Errorf("%d channels are kept, %d before", n, before)
		}
		chs[0].OnStateChanged(handler) // Run tells
		waitFor(t, "it is told", func() bool { return told == 1 })
		p.stop() // nobody polls
		pause()
		chs[0].OnStateChanged(handler)
		chs[1].OnStateChanged(handler)
		chs[1].OnStateChanged(nil)
		chs[1].OnPacketReceived(func() { t.Error("a packet") })
		if told != 1 {
			t.Error("called before Poll")
		}
		p.a.Poll()
		p.a.Poll()
		if told != 1 {
			t.Error("a handler that was taken back was called, or a first one again")
		}
		chs[1].OnStateChanged(handler)
		p.a.Poll()
		p.a.Poll()
		if told != 2 {
			t.Errorf("told %d times of two channels", told)
		}
		if n := known(); n != before {
			t.Errorf("%d channels are kept, %d before", n, before)
		}
		chs[2].OnStateChanged(handler)
		p.a.Close() // in its stead
		p.a.Poll()
		if _, _, err := chs[2].Receive(context.Background()); told != 2 || err != io.EOF {
			t.Errorf("told %d times; %v", told, err)
		}
		p.x.OnStateChanged(handler) // closed by the connection's Close: none is told
		p.a.Poll()
		if told != 2 {
			t.Error("told of what Close of the connection closed")
		}
	})
}

// A remote close: what was received is delivered, then closed.
func TestRemoteClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		p.stop() // nobody polls
		pause()
		var order []string
		p.y.OnPacketReceived(func() { order = append(order, "packet") })
		p.y.OnStateChanged(func() { order = append(order, p.y.ReadyState().String()) })
		p.b.OnStateChanged(func() { order = append(order, p.b.ConnectionState().String()) })
		var late *DataChannel
		p.b.OnDataChannelReceived(func(ch *DataChannel) {
			late = ch
			order = append(order, "channel")
			ch.OnPacketReceived(func() { order = append(order, "late packet") })
		})
		ch, err := p.a.OpenDataChannel("late", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.x.PutPacket([]byte("1")), p.x.PutPacket([]byte("2")), ch.PutPacket([]byte("3"))); err != nil {
			t.Fatal(err)
		}
		pause()
		start := time.Now()
		p.a.Close()
		waitFor(t, "the peer has freed everything", func() bool {
			q := p.b.ext.(*stack).peer
			q.mu.Lock()
			defer q.mu.Unlock()
			return q.closed && q.ports == nil
		})
		if took := time.Since(start); took > 20*time.Millisecond {
			t.Errorf("the close was seen after %v, two round trips", took)
		}
		if s := p.b.ConnectionState(); s != StateConnected {
			t.Errorf("state %v before Poll", s)
		}
		for range 5 {
			if err := p.b.Poll(); err != nil {
				t.Error(err)
			}
		}
		if got, want := strings.Join(order, ", "), "channel, packet, closed, late packet, closed"; got != want {
			t.Errorf("order %q, want %q", got, want)
		}
		for _, want := range []string{"1", "2"} {
			if b, err := p.y.GetPacket(); err != nil || string(b) != want {
				t.Errorf("GetPacket: %q, %v", b, err)
			}
		}
		if b, _, err := late.Receive(context.Background()); err != nil || string(b) != "3" {
			t.Errorf("Receive: %q, %v", b, err)
		}
		if _, _, err := late.Receive(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("Receive: %v", err)
		}
		if p.b.ConnectionState() != StateClosed || p.y.ReadyState() != ChannelStateClosed {
			t.Errorf("states %v, %v", p.b.ConnectionState(), p.y.ReadyState())
		}
		if err := p.b.Run(context.Background()); err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := p.b.CreateOffer(); !errors.Is(err, ErrClosed) {
			t.Errorf("CreateOffer: %v", err)
		}
	})
}

// pause lets a second pass, and everything come to rest.
func pause() {
	<-time.After(time.Second)
	synctest.Wait()
}

// The end that is the DTLS server tells of its end by close_notify too: an
// ABORT alone may be lost.
func TestCloseNotify(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		pause()
		for _, c := range []*Conn{p.a, p.b} {
			q := c.ext.(*stack).peer
			q.mu.Lock()
			now := time.Now()
			q.core.dtls.Close(now)
			_, _, ok := q.core.appendDatagram(now, nil, false)
			q.mu.Unlock()
			if !ok {
				t.Errorf("DTLS %s: no close_notify", c.Stats().Transport.DTLSRole)
			}
		}
	})
}

// A channel's close: what is queued arrives first, then both ends are closed,
// and the stream can be used again.
func TestChannelClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		ctx := context.Background()
		received := make(chan *DataChannel, 10)
		p.b.OnDataChannelReceived(func(ch *DataChannel) { received <- ch })
		ids := map[int]bool{}
		for i := range 5 {
			ch, err := p.a.OpenDataChannel("again", ChannelOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var states []ChannelState
			ch.OnStateChanged(func() { states = append(states, ch.ReadyState()) })
			if err := ch.Send(ctx, make([]byte, 100_000), false); err != nil {
				t.Fatal(err)
			}
			peer := <-received
			ids[ch.ID()] = true
			if err := ch.Close(); err != nil || ch.ReadyState() != ChannelStateClosing {
				t.Fatalf("%v, %v", err, ch.ReadyState())
			}
			if err := ch.PutPacket(nil); !errors.Is(err, ErrInvalidState) {
				t.Errorf("PutPacket while closing: %v", err)
			}
			if b, _, err := peer.Receive(ctx); err != nil || len(b) != 100_000 {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
			if _, _, err := peer.Receive(ctx); err != io.EOF {
				t.Errorf("after a clean close: %v", err)
			}
			if _, _, err := ch.Receive(ctx); err != io.EOF {
				t.Errorf("after a clean close: %v", err)
			}
			waitFor(t, "both ends are closed", func() bool {
				return ch.ReadyState() == ChannelStateClosed && peer.ReadyState() == ChannelStateClosed
			})
			if n := len(states); i > 0 && (n < 2 || states[n-1] != ChannelStateClosed || states[n-2] != ChannelStateClosing) {
				t.Errorf("states %v", states)
			}
		}
		if len(ids) > 2 {
			t.Errorf("five channels one after the other used the ids %v", ids)
		}
	})
}

// A program that stops reading stalls its peer, and neither's memory.
func TestBackpressure(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		cfg := Config{SendBufferSize: 100_000}
		p := connect(t, cfg, ChannelOptions{})
		defer p.close()
		ctx := context.Background()
		low := make(chan struct{}, 100)
		p.x.OnBufferedAmountLow(10_000, func() { low <- struct{}{} })
		total := 0
		for {
			err := p.x.PutPacket(make([]byte, 10_000))
			if errors.Is(err, ErrBufferFull) {
				pause() // nothing moves any more?
				if err = p.x.PutPacket(make([]byte, 10_000)); errors.Is(err, ErrBufferFull) {
					break
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			if total += 10_000; total > 64<<20 {
				t.Fatal("64 MB were taken, and nobody read")
			}
		}
		if n := p.x.BufferedAmount(); n < 100_000 || n >= 110_000 {
			t.Errorf("%d bytes are buffered", n)
		}
		for len(low) > 0 {
			<-low
		}
		// Send waits until there is room.
		sent := make(chan error, 1)
		go func() { sent <- p.x.Send(ctx, []byte("last"), true) }()
		pause()
		if len(sent) != 0 {
			t.Fatal("Send did not wait")
		}
		for got := 0; ; {
			b, text, err := p.y.Receive(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if text {
				if got != total || string(b) != "last" {
					t.Errorf("%d bytes of %d, then %q", got, total, b)
				}
				break
			}
			got += len(b)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		pause()
		if len(low) != 1 {
			t.Errorf("OnBufferedAmountLow was called %d times", len(low))
		}
		// Below the threshold nothing is called.
		p.x.PutPacket([]byte("x"))
		pause()
		if len(low) != 1 {
			t.Errorf("OnBufferedAmountLow was called %d times", len(low))
		}
	})
}

// Unreliable channels drop the oldest instead.
func TestUnreliableNotRead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{Ordered: new(false), MaxRetransmits: new(0)})
		defer p.close()
		if p.y.IsOrdered() || p.y.MaxRetransmits() != 0 {
			t.Error("the options of the received channel")
		}
		if _, err := p.y.NetConn(); !errors.Is(err, ErrInvalidState) {
			t.Errorf("NetConn: %v", err)
		}
		for i := range 300 {
			if err := p.x.Send(context.Background(), bytes.Repeat([]byte{byte(i)}, 10_000), false); err != nil {
				t.Fatal(err)
			}
			<-time.After(20 * time.Millisecond)
		}
		n := p.y.AvailablePacketCount()
		if n > 1<<20/10_000 || n < 10 {
			t.Errorf("%d packets wait", n)
		}
		b, err := p.y.GetPacket()
		if err != nil || b[0] == 0 {
			t.Errorf("the oldest is still there: %v", err)
		}
	})
}

// OnPacketReceived is called once for what has come, not again for what the
// last call left.
func TestOnPacketReceived(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		calls := 0
		p.x.PutPacket([]byte("1"))
		pause()
		p.y.OnPacketReceived(func() { calls++ }) // it waits already
		pause()
		if calls != 1 {
			t.Errorf("%d calls for a packet that waited", calls)
		}
		pause()
		p.x.PutPacket([]byte("2"))
		pause()
		if calls != 2 || p.y.AvailablePacketCount() != 2 {
			t.Errorf("%d calls, %d packets", calls, p.y.AvailablePacketCount())
		}
		p.y.GetPacket()
		pause()
		if calls != 2 {
			t.Errorf("%d calls, though nothing came", calls)
		}
		p.y.OnPacketReceived(nil)
		p.x.PutPacket([]byte("3"))
		pause()
		if calls != 2 {
			t.Errorf("%d calls of a handler that was taken away", calls)
		}
	})
}

// MaxPacketSize by the far end's line.
func TestMaxPacketSize(t *testing.T) {
	for line, want := range map[string]int{"a=max-message-size:100\r\n": 100, "": 65536, "a=max-message-size:0\r\n": 300_000, "a=max-message-size:9999999\r\n": 300_000} {
		inBubble(t, func(t *testing.T) {
			n := newMemNet()
			a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", Config{MaxMessageSize: 300_000})
			defer a.Close()
			defer b.Close()
			ch, err := b.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(1)})
			if err != nil {
				t.Fatal(err)
			}
			a.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(1)})
			a.OnSessionDescriptionCreated(func(typ, sdp string) {
				a.SetLocalDescription(typ, sdp)
				_, sdp = a.LocalDescription()
				if err := b.SetRemoteDescription(typ, strings.Replace(sdp, "a=max-message-size:262144\r\n", line, 1)); err != nil {
					t.Error(err)
				}
			})
			signalTo(t, b, a)
			a.CreateOffer()
			a.Poll()
			waitFor(t, "open", func() bool { a.Poll(); b.Poll(); return ch.ReadyState() == ChannelStateOpen })
			if got := ch.MaxPacketSize(); got != want {
				t.Errorf("%q: %d, want %d", line, got, want)
			}
			if err := ch.PutPacket(make([]byte, want+1)); !errors.Is(err, ErrMessageTooLarge) {
				t.Errorf("%q: %v", line, err)
			}
		})
	}
}

// A channel's announcement is no message: it may be longer than those.
func TestLongLabelShortMessages(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{MaxMessageSize: 1}, ChannelOptions{})
		defer p.close()
		received := make(chan *DataChannel, 1)
		p.b.OnDataChannelReceived(func(ch *DataChannel) { received <- ch })
		long := strings.Repeat("l", 65535)
		ch, err := p.a.OpenDataChannel(long, ChannelOptions{Protocol: long})
		if err != nil {
			t.Fatal(err)
		}
		if far := <-received; far.Label() != long || far.Protocol() != long {
			t.Errorf("label of %d bytes, protocol of %d", len(far.Label()), len(far.Protocol()))
		}
		if err := ch.PutPacket([]byte("ab")); !errors.Is(err, ErrMessageTooLarge) {
			t.Errorf("two bytes: %v", err)
		}
	})
}

// A far end that does not heed our max-message-size loses the channel, and we
// hear why; the connection lives.
func TestMaxMessageSizeNotHeeded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", Config{MaxMessageSize: 100})
		defer a.Close()
		defer b.Close()
		signalTo(t, a, b)
		b.OnSessionDescriptionCreated(func(typ, sdp string) {
			b.SetLocalDescription(typ, sdp)
			_, sdp = b.LocalDescription()
			if err := a.SetRemoteDescription(typ, strings.Replace(sdp, "a=max-message-size:100\r\n", "", 1)); err != nil {
				t.Error(err)
			}
		})
		var near, far [2]*DataChannel
		for id := range near {
			near[id], _ = a.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(id)})
			far[id], _ = b.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(id)})
		}
		a.CreateOffer()
		poll := func() { a.Poll(); b.Poll() }
		waitFor(t, "open", func() bool { poll(); return near[0].ReadyState() == ChannelStateOpen })
		for _, size := range []int{100, 101} {
			if err := near[0].PutPacket(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		waitFor(t, "closed", func() bool { poll(); return near[0].ReadyState() == ChannelStateClosed })
		if p, _, err := far[0].Receive(context.Background()); len(p) != 100 || err != nil {
			t.Errorf("%d bytes, %v", len(p), err)
		}
		if _, _, err := far[0].Receive(context.Background()); !errors.Is(err, datachannel.ErrProtocol) {
			t.Errorf("then %v", err)
		}
		near[1].PutPacket([]byte("y"))
		waitFor(t, "other", func() bool { poll(); return far[1].AvailablePacketCount() == 1 })
	})
}

// A NetConn's Write that begins before the channel opens is cut as the far end
// wants it, which is not known then.
func TestNetConnWriteBeforeOpen(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		n := newMemNet()
		a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", Config{MaxMessageSize: 1000})
		signalTo(t, a, b)
		signalTo(t, b, a)
		received := make(chan *DataChannel, 1)
		b.OnDataChannelReceived(func(ch *DataChannel) { received <- ch })
		ch, err := a.CreateDataChannel("x", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := ch.NetConn()
		if err != nil {
			t.Fatal(err)
		}
		var running sync.WaitGroup
		running.Go(func() {
			if n, err := c.Write(make([]byte, 2500)); n != 2500 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		})
		synctest.Wait()
		if err := a.CreateOffer(); err != nil {
			t.Fatal(err)
		}
		running.Go(func() { a.Run(context.Background()) })
		running.Go(func() { b.Run(context.Background()) })
		defer running.Wait()
		defer b.Close()
		defer a.Close()
		var far *DataChannel
		select {
		case far = <-received:
		case <-ctx.Done():
			t.Fatal("no channel")
		}
		for _, want := range []int{1000, 1000, 500} {
			if p, _, err := far.Receive(ctx); len(p) != want || err != nil {
				t.Errorf("%d bytes, %v, want %d", len(p), err, want)
			}
		}
	})
}

// A NetConn that is closed while the far end sends does not hold up the other
// channels, although nobody reads what was under way.
func TestNetConnCloseFreesTheWindow(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		received := make(chan *DataChannel, 1)
		p.b.OnDataChannelReceived(func(ch *DataChannel) { received <- ch })
		other, err := p.a.OpenDataChannel("other", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		far := <-received
		for p.x.PutPacket(make([]byte, 50_000)) == nil {
		}
		pause() // the window is shut
		c, err := p.y.NetConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Close(), other.PutPacket([]byte("x"))); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if b, _, err := far.Receive(ctx); string(b) != "x" {
			t.Errorf("on the other channel: %q, %v", b, err)
		}
		waitFor(t, "both ends are closed", func() bool {
			return p.x.ReadyState() == ChannelStateClosed && p.y.ReadyState() == ChannelStateClosed
		})
		runtime.KeepAlive(p)
	})
}

// A NetConn stays closed, whatever deadline is set.
func TestNetConnDeadlineAfterClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		c, err := p.y.NetConn()
		if err != nil {
			t.Fatal(err)
		}
		p.net.setCut(true) // the channel cannot end
		c.Close()
		c.SetDeadline(time.Time{})
		start := time.Now()
		if n, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read: %d, %v", n, err)
		}
		if n, err := c.Write(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write: %d, %v", n, err)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("Read and Write waited for %v", took)
		}
	})
}

// Shutdown flushes everything, and ends in time where the peer is gone.
func TestShutdown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		for range 40 {
			if err := p.x.PutPacket(make([]byte, 50_000)); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error, 1)
		go func() { done <- p.a.Shutdown(context.Background()) }()
		for range 40 {
			if b, _, err := p.y.Receive(context.Background()); err != nil || len(b) != 50_000 {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
		}
		if err := <-done; err != nil || p.a.ConnectionState() != StateClosed {
			t.Errorf("%v, state %v", err, p.a.ConnectionState())
		}
		waitFor(t, "the peer sees it", func() bool { return p.b.ConnectionState() == StateClosed })
		if _, _, err := p.y.Receive(context.Background()); !errors.Is(err, ErrClosed) && err != io.EOF {
			t.Errorf("Receive: %v", err)
		}
	})
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		p.net.setCut(true)
		p.x.PutPacket([]byte("x"))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.a.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || p.a.ConnectionState() != StateClosed {
			t.Errorf("Shutdown: %v, %v", err, p.a.ConnectionState())
		}
		start := time.Now()
		if err := p.b.Shutdown(context.Background()); err == nil || time.Since(start) > 40*time.Second {
			t.Errorf("Shutdown with a vanished peer: %v after %v", err, time.Since(start))
		}
	})
	// Failed before, with something left to deliver, or not.
	for _, data := range []bool{true, false} {
		inBubble(t, func(t *testing.T) {
			p := connect(t, Config{}, ChannelOptions{})
			defer p.close()
			p.net.setCut(true)
			if data {
				p.x.PutPacket([]byte("x"))
			}
			waitFor(t, "failed", func() bool { return p.a.ConnectionState() == StateFailed })
			if err := p.a.Shutdown(context.Background()); errors.Is(err, ice.ErrConsentExpired) != data || (err != nil) != data {
				t.Errorf("Shutdown after a failure, data %v: %v", data, err)
			}
		})
	}
	// Closed by either end before all is delivered.
	for _, who := range []string{"peer", "program"} {
		inBubble(t, func(t *testing.T) {
			p := connect(t, Config{}, ChannelOptions{})
			defer p.close()
			for p.x.PutPacket(make([]byte, 50_000)) == nil {
			}
			done := make(chan error, 1)
			go func() { done <- p.a.Shutdown(context.Background()) }()
			pause() // nobody reads
			if who == "peer" {
				p.b.Close()
			} else {
				p.a.Close()
			}
			if err := <-done; !errors.Is(err, ErrClosed) {
				t.Errorf("Shutdown that the %s's Close ended: %v", who, err)
			}
		})
	}
	c := New()
	if err := c.Shutdown(context.Background()); err != nil || c.ConnectionState() != StateClosed {
		t.Errorf("Shutdown before anything: %v", err)
	}
}

// A peer that vanishes, and returns; and one that does not.
func TestVanish(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		start := time.Now()
		p.net.setCut(true)
		waitFor(t, "disconnected", func() bool { return p.a.ConnectionState() != StateConnected })
		if d := time.Since(start); p.a.ConnectionState() != StateDisconnected || d > 10*time.Second {
			t.Errorf("%v after %v", p.a.ConnectionState(), d)
		}
		p.x.PutPacket([]byte("meanwhile"))
		p.net.setCut(false)
		waitFor(t, "back", func() bool { return p.a.ConnectionState() == StateConnected && p.b.ConnectionState() == StateConnected })
		if b, _, err := p.y.Receive(context.Background()); err != nil || string(b) != "meanwhile" {
			t.Errorf("%q, %v", b, err)
		}
		start = time.Now()
		p.net.setCut(true)
		waitFor(t, "failed", func() bool { return p.a.ConnectionState() == StateFailed && p.b.ConnectionState() == StateFailed })
		if d := time.Since(start); d < 20*time.Second || d > 31*time.Second {
			t.Errorf("failed after %v", d)
		}
		if err := p.a.Poll(); err == nil {
			t.Error("Poll has no cause")
		}
		// Nothing is lost by a restart, from the answerer's side.
		p.net.setCut(false)
		p.x.PutPacket([]byte("after"))
		if err := p.b.RestartICE(); err != nil {
			t.Fatal(err)
		}
		if err := p.b.CreateOffer(); err != nil {
			t.Fatal(err)
		}
		go p.a.Run(context.Background()) // it returned at StateFailed
		go p.b.Run(context.Background())
		waitFor(t, "recovered", func() bool { return p.a.ConnectionState() == StateConnected && p.b.ConnectionState() == StateConnected })
		if b, _, err := p.y.Receive(context.Background()); err != nil || string(b) != "after" {
			t.Errorf("%q, %v", b, err)
		}
		if err := p.a.Poll(); err != nil {
			t.Errorf("Poll after recovery: %v", err)
		}
	})
}

// Calls that wait return when the connection fails, and wait again once a
// restart is wanted.
func TestFailureEndsWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		full, err := p.a.OpenDataChannel("full", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		stream, err := p.x.NetConn()
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the second channel is open", func() bool { return full.ReadyState() == ChannelStateOpen })
		p.y.PutPacket([]byte("last words"))
		pause()
		p.net.setCut(true)
		for full.PutPacket(make([]byte, 50_000)) == nil {
		}
		type result struct {
			what string
			err  error
		}
		results := make(chan result, 10)
		wait := func(what string, f func() error) { go func() { results <- result{what, f()} }() }
		ctx := context.Background()
		wait("Run", func() error { return p.a.Run(ctx) })
		wait("Send", func() error { return full.Send(ctx, []byte("x"), false) })
		wait("Receive", func() error { _, _, err := full.Receive(ctx); return err })
		wait("Read", func() error {
			b := make([]byte, 100)
			if n, err := stream.Read(b); string(b[:n]) != "last words" {
				return fmt.Errorf("%q, %v", b[:n], err)
			}
			_, err := stream.Read(b)
			return err
		})
		for range 4 {
			if r := <-results; !errors.Is(r.err, ErrFailed) || !errors.Is(r.err, ice.ErrConsentExpired) {
				t.Errorf("%s: %v", r.what, r.err)
			}
		}
		if _, _, err := full.Receive(ctx); !errors.Is(err, ErrFailed) {
			t.Errorf("Receive after StateFailed: %v", err)
		}
		// A channel that is closed now is closed at once.
		if err := full.Close(); err != nil {
			t.Error(err)
		}
		if _, _, err := full.Receive(ctx); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrFailed) {
			t.Errorf("Receive after Close: %v", err)
		}
		p.a.Poll()
		if s := full.ReadyState(); s != ChannelStateClosed {
			t.Errorf("closed in StateFailed, the channel is %v", s)
		}
		// A restart makes calls wait again.
		p.net.setCut(false)
		if err := errors.Join(p.a.RestartICE(), p.a.CreateOffer()); err != nil {
			t.Fatal(err)
		}
		wait("Receive", func() error { _, _, err := p.x.Receive(ctx); return err })
		go p.a.Run(ctx)
		go p.b.Run(ctx)
		waitFor(t, "both are connected", func() bool { return p.a.ConnectionState() == StateConnected && p.b.ConnectionState() == StateConnected })
		if err := p.y.Send(ctx, []byte("again"), false); err != nil {
			t.Error(err)
		}
		if r := <-results; r.err != nil {
			t.Errorf("Receive while ICE restarts: %v", r.err)
		}
	})
}

// A first connection that never works fails within a minute at the offerer. The
// answerer, which hears nothing, waits: the answer may be on its way. A restart
// makes the connection work.
func TestNeverConnects(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		n.setCut(true)
		a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", Config{})
		defer a.Close()
		defer b.Close()
		signalTo(t, a, b)
		signalTo(t, b, a)
		a.CreateDataChannel("x", ChannelOptions{})
		a.CreateOffer()
		start := time.Now()
		both := func(s ConnectionState) func() bool {
			return func() bool {
				a.Poll()
				b.Poll()
				return a.ConnectionState() == s && b.ConnectionState() == s
			}
		}
		waitFor(t, "the offerer has failed", func() bool { both(StateFailed)(); return a.ConnectionState() == StateFailed })
		if d := time.Since(start); d > time.Minute || b.ConnectionState() != StateConnecting {
			t.Errorf("failed after %v, and the answerer is %v", d, b.ConnectionState())
		}
		n.setCut(false)
		if err := errors.Join(a.RestartICE(), a.CreateOffer()); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "both are connected", both(StateConnected))
	})
}

// A wrong fingerprint never opens, and says so.
func TestWrongFingerprint(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", Config{})
		defer a.Close()
		defer b.Close()
		signalTo(t, b, a)
		a.OnSessionDescriptionCreated(func(typ, sdp string) {
			a.SetLocalDescription(typ, sdp)
			_, sdp = a.LocalDescription()
			i := strings.Index(sdp, "sha-256 ") + 8
			b.SetRemoteDescription(typ, sdp[:i]+strings.Map(flipHex, sdp[i:i+2])+sdp[i+2:])
		})
		ch, _ := a.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)})
		other, _ := b.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)})
		a.CreateOffer()
		for range 3000 {
			<-time.After(10 * time.Millisecond)
			a.Poll()
			b.Poll()
			if other.ReadyState() == ChannelStateOpen || ch.ReadyState() == ChannelStateOpen ||
				a.ConnectionState() == StateConnected || b.ConnectionState() == StateConnected {
				t.Fatal("open with a wrong fingerprint")
			}
		}
		if b.ConnectionState() != StateFailed || !strings.Contains(fmt.Sprint(b.Poll()), "fingerprint") {
			t.Errorf("state %v, %v", b.ConnectionState(), b.Poll())
		}
		if other.ReadyState() != ChannelStateClosed {
			t.Errorf("channel %v", other.ReadyState())
		}
		for what, err := range failures(b, other) {
			if !errors.Is(err, ErrClosed) || !errors.Is(err, dtls.ErrFingerprintMismatch) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if s := b.Stats().Transport.DTLSState; s != "failed" {
			t.Errorf("stats: %s", s)
		}
	})
}

// The far end may have another SCTP port than the usual one (RFC 8841 §5). It
// cannot take a third later.
func TestOtherSCTPPort(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", Config{})
		defer a.Close()
		defer b.Close()
		p, err := a.ext.(*stack).made()
		if err != nil {
			t.Fatal(err)
		}
		p.core.assoc = sctp.NewAssociation(sctp.Config{LocalPort: 6000})
		p.core.session = datachannel.NewSession(p.core.assoc, datachannel.Config{})
		port := "6000"
		signalTo(t, a, b)
		signalTo(t, b, a)
		var refused error
		a.OnSessionDescriptionCreated(func(typ, sdp string) {
			a.SetLocalDescription(typ, sdp)
			err := b.SetRemoteDescription(typ, strings.Replace(sdp, "a=sctp-port:5000", "a=sctp-port:"+port, 1))
			if refused = err; err != nil && port == "6000" {
				t.Error(err)
			}
		})
		x, _ := a.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)})
		y, _ := b.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)})
		poll := func() { a.Poll(); b.Poll() }
		a.CreateOffer()
		waitFor(t, "the channel is open", func() bool {
			poll()
			return x.ReadyState() == ChannelStateOpen && y.ReadyState() == ChannelStateOpen
		})
		a.CreateOffer()
		waitFor(t, "another offer is taken", func() bool { poll(); return a.SignalingState() == SignalingStateStable })
		port = "7000"
		a.CreateOffer()
		poll()
		if !errors.Is(refused, ErrInvalidParameter) || !strings.Contains(refused.Error(), "port 7000") {
			t.Errorf("an offer with another port: %v", refused)
		}
	})
}

// A description whose fingerprints prove nothing is refused when it comes, and not
// half applied.
func TestWeakFingerprint(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newDeaf(t, n, "10.0.0.1"), newDeaf(t, n, "10.0.0.2")
		weak := func(text string) string {
			i := strings.Index(text, "a=fingerprint:")
			end := i + strings.Index(text[i:], "\r\n")
			return text[:i] + "a=fingerprint:sha-1 " + strings.Repeat("AB:", 19) + "AB" + text[end:]
		}
		short := func(text string) string {
			i := strings.Index(text, "a=fingerprint:")
			end := i + strings.Index(text[i:], "\r\n")
			return text[:end-3] + text[end:]
		}
		offer := a.offered(t)
		for what, change := range map[string]func(string) string{"weak": weak, "short": short} {
			if err := b.SetRemoteDescription("offer", change(offer)); !errors.Is(err, ErrInvalidParameter) {
				t.Errorf("%s offer: %v", what, err)
			}
		}
		b.want(t, SignalingStateStable)
		a.local(t, "offer", offer)
		b.remote(t, "offer", offer)
		answer := b.next(t, "answer")
		for what, change := range map[string]func(string) string{"weak": weak, "short": short} {
			if err := a.SetRemoteDescription("answer", change(answer)); !errors.Is(err, ErrInvalidParameter) {
				t.Errorf("%s answer: %v", what, err)
			}
		}
		a.want(t, SignalingStateHaveLocalOffer)
		b.local(t, "answer", answer)
		a.remote(t, "answer", answer)
	})
}

// failures are the errors of calls on a connection that has failed, and on its
// channel.
func failures(c *Conn, ch *DataChannel) map[string]error {
	ctx := context.Background()
	return map[string]error{
		"PutPacket":       ch.PutPacket([]byte("x")),
		"Send":            ch.Send(ctx, []byte("x"), false),
		"Receive":         third(ch.Receive(ctx)),
		"OpenDataChannel": second(c.OpenDataChannel("late", ChannelOptions{})),
	}
}

func third[T, U any](_ T, _ U, err error) error { return err }

// Ends that speak no common version of DTLS both say so, on every call, and
// after Close too.
func TestNoCommonVersion(t *testing.T) {
	only12, only13 := Config{MaxDTLS: tls.VersionTLS12}, Config{MinDTLS: tls.VersionTLS13}
	for _, cfg := range [][2]Config{{only12, only13}, {only13, only12}} {
		inBubble(t, func(t *testing.T) {
			n := newMemNet()
			a, b := newMemConn(t, n, "10.0.0.1", cfg[0]), newMemConn(t, n, "10.0.0.2", cfg[1])
			signalTo(t, a, b)
			signalTo(t, b, a)
			x, _ := a.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)})
			y, _ := b.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)})
			a.CreateOffer()
			waitFor(t, "both have failed", func() bool {
				a.Poll()
				b.Poll()
				return a.ConnectionState() == StateFailed && b.ConnectionState() == StateFailed
			})
			check := func(when, what string, err error) {
				var alert *dtls.AlertError
				if !errors.Is(err, ErrClosed) || !errors.As(err, &alert) || alert.Alert != dtls.AlertProtocolVersion {
					t.Errorf("%s %s: %v", what, when, err)
				}
			}
			for c, ch := range map[*Conn]*DataChannel{a: x, b: y} {
				for what, err := range failures(c, ch) {
					check("after the failure", what, err)
				}
				c.Close()
				check("after Close", "PutPacket", ch.PutPacket(nil))
				check("after Close", "Receive", third(ch.Receive(context.Background())))
				if text := c.Report().String(); !strings.Contains(text, "cause: rtcpeer: closed: connection failed: DTLS: ") {
					t.Errorf("report after Close:\n%s", text)
				}
			}
		})
	}
}

// A far end that opens channels without end, while nobody polls, is bounded.
func TestUnpolledChannels(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		p.stop()
		pause()
		label := strings.Repeat("x", 60_000)
		go p.a.Run(context.Background())
		for i := range 300 {
			ch, err := p.a.OpenDataChannel(label, ChannelOptions{})
			if err != nil {
				t.Fatal(i, err)
			}
			ch.OnStateChanged(func() {}) // keep it
			ch.Send(context.Background(), make([]byte, 10), false)
		}
		<-time.After(20 * time.Second)
		q := p.b.ext.(*stack).peer
		charged := func() int {
			q.mu.Lock()
			defer q.mu.Unlock()
			return q.core.assoc.Memory().Used()
		}
		before := charged()
		var kept []*DataChannel
		p.b.OnDataChannelReceived(func(ch *DataChannel) { kept = append(kept, ch) })
		p.b.Poll()
		if n := len(kept); n < sctp.DefaultReserve/4/60_000 || n*60_000 > before || before > sctp.DefaultReserve+1<<20 {
			t.Errorf("%d channels after Poll, %d bytes were charged", n, before)
		}
		for _, ch := range kept {
			ch.Close()
		}
		<-time.After(20 * time.Second)
		p.b.Poll()
		if n := charged(); n > before/10 {
			t.Errorf("%d bytes stay charged of %d", n, before)
		}
	})
}

// MaxChannels and MemoryLimit hold for what the remote opens and sends.
func TestMemoryLimitAndMaxChannels(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const limit = 2 << 20
		n := newMemNet()
		cfg := Config{MemoryLimit: limit, MaxChannels: 5}
		a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", cfg)
		defer a.Close()
		defer b.Close()
		signalTo(t, a, b)
		signalTo(t, b, a)
		x, err := a.OpenDataChannel("x", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got []*DataChannel
		b.OnDataChannelReceived(func(ch *DataChannel) { got = append(got, ch) })
		a.CreateOffer()
		poll := func(d time.Duration) {
			for range d / (10 * time.Millisecond) {
				a.Poll()
				b.Poll()
				<-time.After(10 * time.Millisecond)
			}
		}
		poll(5 * time.Second)
		var more []*DataChannel
		for range 8 {
			ch, err := a.OpenDataChannel("more", ChannelOptions{})
			if err != nil {
				t.Fatal(err)
			}
			more = append(more, ch)
		}
		poll(5 * time.Second)
		closed := 0
		for _, ch := range more {
			if ch.ReadyState() == ChannelStateClosed {
				closed++
			}
		}
		if len(got) != 5 || closed != 4 {
			t.Errorf("%d channels came, %d were refused", len(got), closed)
		}
		if _, err := b.OpenDataChannel("one more", ChannelOptions{}); !errors.Is(err, ErrInvalidState) {
			t.Errorf("OpenDataChannel beyond MaxChannels: %v", err)
		}
		for range 200 {
			x.PutPacket(make([]byte, 20_000))
		}
		poll(5 * time.Second)
		q := b.ext.(*stack).peer
		q.mu.Lock()
		m := q.core.assoc.Memory()
		used, most := m.Used(), m.Limit()
		q.mu.Unlock()
		if most > limit || used > most || used < limit/4 {
			t.Errorf("%d bytes are charged, at most %d", used, most)
		}
	})
}
