package rtcpeer

import (
	"crypto/tls"
	"net/netip"
	"time"

	"purertc/dtls"
	"purertc/sdp"
)

// dtlsVersion accepts TLS's version numbers and DTLS's own.
func dtlsVersion(v uint16) (dtls.Version, error) {
	switch v {
	case 0:
		return 0, nil
	case tls.VersionTLS12, uint16(dtls.VersionDTLS12):
		return dtls.VersionDTLS12, nil
	case tls.VersionTLS13, uint16(dtls.VersionDTLS13):
		return dtls.VersionDTLS13, nil
	}
	return 0, invalid("DTLS version %#04x is unknown: want tls.VersionTLS12 or tls.VersionTLS13", v)
}

// certificate returns the certificate of the DTLS handshake.
func (t *transport) certificate() (*tls.Certificate, error) {
	if t.cfg.Certificate == nil {
		c, err := sharedCertificate()
		if err != nil {
			return nil, err
		}
		t.cfg.Certificate = c // the local descriptions have its fingerprint
	}
	return t.cfg.Certificate, nil
}

// fill is a filler: it adds the fingerprint and the candidates.
func (t *transport) fill(params sdp.Params) (sdp.Params, error) {
	cert, err := t.certificate()
	if err != nil {
		return params, err
	}
	f, err := dtls.CertificateFingerprint("sha-256", cert.Certificate[0])
	if err != nil {
		return params, err
	}
	params.Fingerprints = []sdp.Fingerprint{{Hash: f.Hash, Value: f.Value}}
	params.MaxMessageSize = t.cfg.maxMessageSize()
	params.ICELite = t.cfg.ICELite
	params.SCTPInit = t.core.localInit()
	params.ICEOptions = t.core.sped.iceOptions(params.ICEOptions...)
	if params.Ufrag == t.gatherer.ufrag { // an ICE restart gathers candidates of its own
		params.Candidates, params.EndOfCandidates = t.gatherer.delivered()
	}
	return params, nil
}

func (t *transport) createOffer() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return t.cause
	}
	d, err := t.neg.makeOffer(t.fill)
	if err != nil {
		return err
	}
	t.core.timeline.begin(t.now())
	t.emit(Event{Kind: EventSessionDescription, Type: "offer", SDP: d.text})
	return nil
}

func (t *transport) setLocalDescription(typ, text string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return t.cause
	}
	if typ == "rollback" {
		return t.rollback()
	}
	now := t.now()
	n := &t.neg
	d, again, err := n.checkLocal(typ, text)
	switch {
	case err != nil:
		return err
	case again && d.typ == typ:
		return nil
	case again:
		d.typ = typ // the pranswer is now the answer
	default:
		if err := t.applyLocal(now, d); err != nil {
			return err
		}
	}
	switch typ {
	case "offer":
		n.state = SignalingStateHaveLocalOffer
	case "pranswer":
		n.state = SignalingStateHaveLocalPranswer
	case "answer":
		n.agree(t.state == StateConnected)
	}
	t.emit(Event{Kind: EventSignalingState, State: int(n.state)})
	t.run(now)
	return nil
}

// applyLocal applies a local description. The first one begins gathering, as does one
// that restarts ICE. An answer starts the transport.
func (t *transport) applyLocal(now time.Time, d *description) error {
	n := &t.neg
	old := n.pendingLocal
	n.pendingLocal = d
	if c := d.credentials(); c.ufrag != "" && c.ufrag != t.gatherer.ufrag {
		own := n.local // a string of its own: one of d's would keep the whole text in memory
		if c == n.next {
			own = n.next
			t.core.agent.Restart(now, own.ufrag, own.pwd)
		}
		if err := t.gatherer.gather(now, own.ufrag); err != nil {
			n.pendingLocal = old
			return err
		}
		t.emitGathering()
	}
	for _, name := range t.gatherer.takeUnsignalled() {
		t.emitCandidate(name)
	}
	if t.core.dtls == nil {
		// RFC 8445 §6.1.1: the offerer is controlling. Set now, since the answerer's
		// checks may come before its answer.
		t.core.agent.SetControlling(now, d.typ == "offer")
	}
	if d.typ == "offer" {
		return nil
	}
	if err := t.startTransport(now); err != nil {
		n.pendingLocal = old
		return err
	}
	if n.tagChanged(n.pendingRemote) {
		t.core.answerApplied(now)
	}
	return nil
}

func (t *transport) setRemoteDescription(typ, text string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return t.cause
	}
	if typ == "rollback" {
		return t.rollback()
	}
	now := t.now()
	n := &t.neg
	d, err := n.checkRemote(typ, text)
	if err != nil {
		return err
	}
	if typ == "offer" {
		if err := t.remoteOffer(now, d); err != nil {
			return err
		}
	} else if err := t.remoteAnswer(now, typ, d); err != nil {
		return err
	}
	t.emit(Event{Kind: EventSignalingState, State: int(n.state)})
	t.run(now)
	return nil
}

// remoteOffer applies a remote offer. A pending local one is rolled back first.
func (t *transport) remoteOffer(now time.Time, d *description) error {
	n := &t.neg
	before := *n
	glare := n.state == SignalingStateHaveLocalOffer
	n.glare = noGlare
	if glare {
		local := n.pendingLocal.credentials()
		if err := n.rollback(); err != nil {
			return err
		}
		n.glare = local.glareWith(d.credentials())
	}
	answer, err := n.makeAnswer(d, t.fill)
	if err != nil {
		*n = before
		return err
	}
	if glare {
		t.rollbackRestart(now)
	}
	n.pendingRemote, n.state = d, SignalingStateHaveRemoteOffer
	t.core.timeline.begin(now)
	t.core.dropAnswer()
	if n.tagChanged(d) {
		t.core.hold(now.Add(answerWaitMost)) // see replacement.go
	}
	t.emitAnswer(now, answer)
	return nil
}

func (t *transport) remoteAnswer(now time.Time, typ string, d *description) error {
	n := &t.neg
	if a, o := d.data(), n.pendingLocal.data(); a.Index != o.Index || a.Mid != o.Mid && a.Mid != "" {
		return invalid("%s has the data section at %d with mid %q, the offer at %d with mid %q", typ, a.Index, a.Mid, o.Index, o.Mid)
	}
	before := n.pendingRemote
	n.pendingRemote = d
	if err := t.startTransport(now); err != nil {
		n.pendingRemote = before
		return err
	}
	n.state = SignalingStateHaveRemotePranswer
	if typ == "answer" {
		n.agree(t.state == StateConnected)
	}
	return nil
}

func (t *transport) rollback() error {
	if err := t.neg.rollback(); err != nil {
		return err
	}
	now := t.now()
	t.rollbackRestart(now)
	t.core.dropAnswer()
	t.emit(Event{Kind: EventSignalingState, State: int(t.neg.state)})
	t.run(now)
	return nil
}

// rollbackRestart returns to the current descriptions' candidates if the description
// that was rolled back had restarted ICE.
func (t *transport) rollbackRestart(now time.Time) {
	if t.neg.currentLocal != nil && t.gatherer.ufrag != t.neg.local.ufrag {
		t.core.agent.Rollback(now)
		t.gatherer.rollback(t.neg.local.ufrag)
	}
}

// restartICE makes the next offer restart ICE.
func (t *transport) restartICE() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return t.cause
	}
	t.neg.restart = true
	return nil
}

// setICEServers sets the servers, and asks them if gathering has begun.
func (t *transport) setICEServers(servers []ICEServer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return t.cause
	}
	if t.cfg.ICELite && len(servers) > 0 {
		return invalid("ICELite has host candidates only: no ICEServers")
	}
	now := t.now()
	t.gatherer.setServers(now, servers)
	t.run(now)
	return nil
}

// emitGathering emits the gathering state if it has changed.
func (t *transport) emitGathering() {
	if s := t.gatherer.state; s != t.gathering {
		t.gathering = s
		t.emit(Event{Kind: EventGatheringState, State: int(s)})
	}
}

// emitCandidate emits a local candidate, "" for the end of candidates (RFC 8838 §13).
func (t *transport) emitCandidate(name string) {
	d, ufrag := t.neg.localApplied(), ""
	if d != nil {
		ufrag = d.credentials().ufrag
	}
	if t.gatherer.signal(name, ufrag) {
		data := d.data()
		t.emit(Event{Kind: EventICECandidate, Media: data.TransportMid, Index: data.Transport, Name: name})
	}
}

func (t *transport) gatheringComplete() {
	if t.gatherer.state != GatheringStateGathering {
		return
	}
	if !t.cfg.PlainCandidates {
		t.emitCandidate("")
	}
	t.gatherer.state = GatheringStateComplete
	t.emitGathering()
}

// candidateDelivered notes that the program has taken a candidate.
func (t *transport) candidateDelivered(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gatherer.candidateDelivered(name)
}

// addressesChanged takes all addresses of the machine after a change.
func (t *transport) addressesChanged(all []netip.Addr) {
	if !t.enter(true, true) {
		t.post(func(in *input) { in.addresses = all })
		return
	}
	defer t.mu.Unlock()
	if !t.closed {
		now := t.now()
		t.notePair()
		t.gatherer.newAddresses(now, all)
		t.run(now)
	}
}

func (t *transport) localDescription() (typ, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.neg.localApplied()
	if d == nil {
		return "", ""
	}
	parsed := d.read()
	if parsed.data.Rejected {
		return d.typ, d.text
	}
	g := &t.gatherer
	return d.typ, parsed.session.WithCandidates(parsed.data.Transport, g.candidates, g.state == GatheringStateComplete)
}

func (t *transport) remoteDescription() (typ, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d := t.neg.remote()
	if d == nil {
		return "", ""
	}
	return d.typ, d.text
}

// addICECandidate takes a candidate of the remote, or the end of candidates.
func (t *transport) addICECandidate(media string, index int, name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return t.cause
	}
	now := t.now()
	if err := t.remoteCandidates.add(now, media, name, t.neg.remote()); err != nil {
		return err
	}
	t.core.discover() // a relayed candidate lowers the limit of path MTU discovery
	t.run(now)
	return nil
}
