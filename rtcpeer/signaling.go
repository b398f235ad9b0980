package rtcpeer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"purertc/dtls"
	"purertc/ice"
	"purertc/sdp"
)

// errRejected is the cause where a description has no place for data channels.
var errRejected = errors.New("rtcpeer: the data section was rejected")

// dtlsVersion reads a version number in TLS's form or in DTLS's own.
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

// certificate is what we show in the DTLS handshake.
func (t *transport) certificate() (*tls.Certificate, error) {
	if t.cfg.Certificate == nil {
		c, err := sharedCertificate()
		if err != nil {
			return nil, err
		}
		t.cfg.Certificate = c // the one that descriptions of this peer name
	}
	return t.cfg.Certificate, nil
}

// fill is a filler.
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
	if params.Ufrag == t.gatherer.ufrag { // a restart has candidates of its own
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
		d.typ = typ // what was provisional is the answer
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
		t.agree()
	}
	t.emit(Event{Kind: EventSignalingState, State: int(n.state)})
	t.run(now)
	return nil
}

// applyLocal has a description of ours take effect: gathering begins where it
// is the first or restarts ICE, and an answer starts the transport.
func (t *transport) applyLocal(now time.Time, d *description) error {
	n := &t.neg
	old := n.pendingLocal
	n.pendingLocal = d
	if c := d.credentials(); c.ufrag != "" && c.ufrag != t.gatherer.ufrag {
		own := n.local // which is no part of a text that would be kept with it
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
		// RFC 8445 §6.1.1: the offerer controls. The answerer's checks may
		// come before its answer.
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
		t.answerApplied(now)
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

// agree makes the pending descriptions the current ones.
func (t *transport) agree() {
	t.neg.agree()
	if t.state == StateConnected {
		t.neg.forget()
	}
}

// remoteOffer takes an offer of the peer. One of ours that is pending is
// rolled back first.
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
	t.dropAnswer()
	if n.tagChanged(d) {
		t.tagChanges(now)
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
		t.agree()
	}
	return nil
}

func (t *transport) rollback() error {
	if err := t.neg.rollback(); err != nil {
		return err
	}
	now := t.now()
	t.rollbackRestart(now)
	t.dropAnswer()
	t.emit(Event{Kind: EventSignalingState, State: int(t.neg.state)})
	t.run(now)
	return nil
}

// rollbackRestart goes back to the candidates of the descriptions agreed on,
// where what was rolled back had restarted ICE.
func (t *transport) rollbackRestart(now time.Time) {
	if t.neg.currentLocal != nil && t.gatherer.ufrag != t.neg.local.ufrag {
		t.core.agent.Rollback(now)
		t.gatherer.rollback(t.neg.local.ufrag)
	}
}

// restartICE has the next offer restart ICE.
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

// maxEarlyCandidates bounds the candidates that are kept for a description
// that has not come yet.
const maxEarlyCandidates = 64

// errOtherTransport says that a candidate is of a section whose own transport
// the bundle does not use (RFC 9143 §8).
var errOtherTransport = errors.New("rtcpeer: candidate of a transport that the bundle does not use")

// remoteCandidates are candidates that cannot be used yet.
type remoteCandidates struct {
	applied *description // whose credentials the agent has; nil at first
	early   []earlyCandidate
	ended   bool // the end of those of the description that comes next
}

// An earlyCandidate is a candidate that was signalled before the description
// that it belongs to.
type earlyCandidate struct {
	ice.Candidate
	media string // mid; "" if it was signalled without
}

func (t *transport) addICECandidate(media string, index int, name string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return t.cause
	}
	now := t.now()
	r := &t.remote
	remote := t.neg.remote()
	current := r.applied != nil && r.applied == remote
	name = strings.TrimPrefix(strings.TrimSpace(name), "a=")
	if name == "" || name == "candidate:" || name == "end-of-candidates" {
		if current {
			t.core.agent.EndOfRemote(now)
			t.run(now)
		} else {
			r.ended = true
		}
		return nil
	}
	c, err := ice.ParseCandidate(name)
	if err != nil {
		return invalid("candidate: %w", err)
	}
	if remote != nil {
		ufrag, ok := remote.ufragOf(media)
		if !ok {
			return invalid("candidate for media %q, which the remote description does not have", media)
		}
		if c.Ufrag == "" && current && ufrag != r.applied.ufrag {
			t.dropRemote(c.String(), errOtherTransport)
			return nil
		}
	}
	if c.Ufrag == "" && current || c.Ufrag != "" && t.core.agent.Knows(c.Ufrag) {
		t.addRemote(now, c)
		t.run(now)
		return nil
	}
	if len(r.early) == maxEarlyCandidates {
		t.dropRemote(r.early[0].String(), errTooEarly)
		r.early = append(r.early[:0], r.early[1:]...) // the oldest may be of a generation long gone
	}
	r.early = append(r.early, earlyCandidate{c, media})
	return nil
}

// apply gives the agent what has come for a description: the candidates in
// it, and those that came before it.
func (r *remoteCandidates) apply(t *transport, now time.Time, d *description) {
	r.applied = d
	data := d.data()
	for _, line := range data.Candidates {
		// One that cannot be read is no reason to refuse the others.
		c, err := ice.ParseCandidate(line)
		if err != nil {
			t.dropRemote(line, err)
			continue
		}
		t.addRemote(now, c)
	}
	if data.MoreCandidates > 0 {
		t.dropRemote(fmt.Sprintf("%d more of the description", data.MoreCandidates), ice.ErrTooManyCandidates)
	}
	var rest []earlyCandidate
	for _, c := range r.early {
		ufrag := c.Ufrag
		if ufrag == "" {
			ufrag, _ = d.ufragOf(c.media)
		}
		if ufrag == d.ufrag {
			t.addRemote(now, c.Candidate)
		} else if c.Ufrag != "" {
			rest = append(rest, c)
		}
	}
	r.early = rest
	if data.EndOfCandidates || r.ended {
		t.core.agent.EndOfRemote(now)
	}
	r.ended = false
}

func (t *transport) addRemote(now time.Time, c ice.Candidate) {
	if err := t.core.agent.AddRemote(now, c); err != nil {
		t.log.Info("candidate dropped", "candidate", c.String(), "error", err)
	}
	t.core.discover() // the far end may turn out to be behind a relay
}

// dropRemote has Report name a candidate of the peer that is not used.
func (t *transport) dropRemote(candidate string, reason error) {
	t.log.Info("candidate dropped", "candidate", candidate, "error", reason)
	t.core.agent.Drop(ice.Dropped{Candidate: candidate, Reason: reason})
}

var errTooEarly = errors.New("rtcpeer: too many candidates came before the remote description that they belong to")
