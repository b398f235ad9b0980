package rtcpeer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"purertc/datachannel"
	"purertc/dtls"
	"purertc/sctp"
)

// A deaf Conn receives descriptions only from the test, which passes them on.
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

// offered creates an offer and returns it.
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

// next polls until a description of this type has been created, and returns it.
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

// TestSignaling checks the signalling states, and which calls return an error in each
// state.
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
		// A syntax error is reported with its line and column.
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
		// The description was altered, or belongs to another connection.
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
		a.local(t, "offer", offer) // the same description a second time
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
		b.remote(t, "offer", offer) // the same offer a second time causes another answer
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
		a.local(t, "offer", offer) // the same description is still accepted
		wrong(a, true, "offer", strings.Replace(offer, " 1 IN IP4", " 7 IN IP4", 1), ErrInvalidState)
		i := strings.Index(answer, "sha-256 ") + 8
		wrong(a, false, "answer", answer[:i]+strings.Map(flipHex, answer[i:i+2])+answer[i+2:], ErrInvalidParameter)
		wrong(a, false, "answer", strings.Replace(answer, "a=mid:0", "a=mid:9", 1), ErrInvalidParameter)
		wrong(a, false, "answer", strings.Replace(answer, "setup:active", "setup:actpass", 1), ErrInvalidParameter)
		wrong(a, false, "answer", strings.Replace(answer, "setup:active", "setup:holdconn", 1), ErrInvalidParameter)
		wrong(a, false, "answer", strings.Replace(answer, "setup:active", "setup:passive", 1), ErrInvalidParameter)

		// The connection works after a pranswer. Candidates are still exchanged.
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
		a.local(t, "offer", offer) // the same offer in state stable
		a.want(t, SignalingStateStable)
		if typ, _ := b.LocalDescription(); typ != "answer" {
			t.Errorf("LocalDescription: %s", typ)
		}
		wrong(b, true, "pranswer", answer, ErrInvalidState)

		// An offer of the remote end changes nothing.
		again := b.offered(t)
		if !strings.Contains(again, "a=ice-ufrag:") || ufragOf(again) != ufragOf(answer) {
			t.Errorf("a later offer without a restart has other credentials\n%s", again)
		}
		b.local(t, "offer", again)
		a.remote(t, "offer", again)
		again = a.next(t, "answer")
		wrong(a, true, "answer", answer, ErrInvalidParameter)
		a.local(t, "answer", again)
		// Neither the certificate nor the role may change while the tls-id stays the
		// same.
		otherRole := strings.Replace(again, "setup:passive", "setup:active", 1)
		i = strings.Index(otherRole, "a=tls-id:") + 9
		wrong(b, false, "answer", otherRole[:i]+strings.Map(flipHex, otherRole[i:i+1])+otherRole[i+1:], ErrInvalidParameter)
		i = strings.Index(otherRole, "sha-256 ") + 8
		wrong(b, false, "answer", otherRole[:i]+strings.Map(flipHex, otherRole[i:i+2])+otherRole[i+2:], ErrInvalidParameter)
		b.remote(t, "answer", otherRole) // a role that is not the remote's has no effect of its own
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

// Both ends offer at once. The offer of the polite end is rolled back.
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

		// The same sequence with an ICE restart of both ends.
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

// An ICE restart that is rolled back changes nothing for the connection, and nothing
// for the next offer of the remote end.
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
		// The requested ICE restart is still pending.
		if offer := a.offered(t); ufragOf(offer) == old {
			t.Error("RestartICE was forgotten")
		}
	})
}

func first(_, text string) string { return text }

// connectDeaf passes an offer of a and an answer of b with all candidates, and waits
// until both ends are connected.
func connectDeaf(t *testing.T, a, b *deaf) {
	t.Helper()
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

// exchange connects two ends by an offer of a and an answer of b that contain all
// candidates.
func exchange(t *testing.T, a, b *deaf) {
	t.Helper()
	if _, err := b.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)}); err != nil {
		t.Fatal(err)
	}
	connectDeaf(t, a, b)
}

// After the rollback of a first offer the state is still StateConnecting. Either end
// can connect, with all candidates signalled.
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

// exchangeFrom does the same as exchange, and a opens a channel in band.
func exchangeFrom(t *testing.T, a, b *deaf) {
	t.Helper()
	if _, err := a.OpenDataChannel("x", ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	connectDeaf(t, a, b)
}

// An offer with an audio section first is answered. A text without a section is not an
// offer.
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
		// The offer has one section: an answer with two does not match.
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
		// The offerer gets the same error.
		a.remote(t, "answer", strings.Replace(first(b.LocalDescription()), "a=inactive", "a=inactive", 1))
		a.Poll()
		if a.ConnectionState() != StateFailed {
			t.Errorf("state %v after an answer of nothing", a.ConnectionState())
		}
	})
}

// With a wrong fingerprint, the connection fails and the error contains the reason.
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

// The remote may use another SCTP port than 5000 (RFC 8841 §5), but must not change
// it later.
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

// A call that applies a description returns an error if all fingerprints of the
// description have weak hashes. The call has no other effect.
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

// Ends without a common version of DTLS both return an error with this reason from
// every call, also after Close.
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
