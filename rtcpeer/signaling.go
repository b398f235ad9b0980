package rtcpeer

import (
	"crypto/tls"
	"errors"
	"fmt"
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
func (p *peer) certificate() (*tls.Certificate, error) {
	if p.cfg.Certificate == nil {
		c, err := sharedCertificate()
		if err != nil {
			return nil, err
		}
		p.cfg.Certificate = c // the one that descriptions of this peer name
	}
	return p.cfg.Certificate, nil
}

// fill is a filler.
func (p *peer) fill(params sdp.Params) (sdp.Params, error) {
	cert, err := p.certificate()
	if err != nil {
		return params, err
	}
	f, err := dtls.CertificateFingerprint("sha-256", cert.Certificate[0])
	if err != nil {
		return params, err
	}
	params.Fingerprints = []sdp.Fingerprint{{Hash: f.Hash, Value: f.Value}}
	params.MaxMessageSize = p.cfg.maxMessageSize()
	params.ICELite = p.cfg.ICELite
	if params.Ufrag == p.gatherer.ufrag { // a restart has candidates of its own
		params.Candidates, params.EndOfCandidates = p.gatherer.delivered()
	}
	return params, nil
}

func (p *peer) createOffer() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return p.cause
	}
	d, err := p.neg.makeOffer(p.fill)
	if err != nil {
		return err
	}
	p.emit(Event{Kind: EventSessionDescription, Type: "offer", SDP: d.text})
	return nil
}

func (p *peer) setLocalDescription(typ, text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return p.cause
	}
	if typ == "rollback" {
		return p.rollback()
	}
	now := p.now()
	n := &p.neg
	d, again, err := n.checkLocal(typ, text)
	switch {
	case err != nil:
		return err
	case again && d.typ == typ:
		return nil
	case again:
		d.typ = typ // what was provisional is the answer
	default:
		if err := p.applyLocal(now, d); err != nil {
			return err
		}
	}
	switch typ {
	case "offer":
		n.state = SignalingStateHaveLocalOffer
	case "pranswer":
		n.state = SignalingStateHaveLocalPranswer
	case "answer":
		p.agree()
	}
	p.emit(Event{Kind: EventSignalingState, State: int(n.state)})
	p.run(now)
	return nil
}

// applyLocal has a description of ours take effect: gathering begins where it
// is the first or restarts ICE, and an answer starts the transport.
func (p *peer) applyLocal(now time.Time, d *description) error {
	n := &p.neg
	old := n.pendingLocal
	n.pendingLocal = d
	if c := d.credentials(); c.ufrag != "" && c.ufrag != p.gatherer.ufrag {
		own := n.local // which is no part of a text that would be kept with it
		if c == n.next {
			own = n.next
			p.core.agent.Restart(now, own.ufrag, own.pwd)
		}
		if err := p.gather(now, own.ufrag); err != nil {
			n.pendingLocal = old
			return err
		}
	}
	p.emitUnsignalled()
	if p.core.dtls == nil {
		// RFC 8445 §6.1.1: the offerer controls. The answerer's checks may
		// come before its answer.
		p.core.agent.SetControlling(now, d.typ == "offer")
	}
	if d.typ == "offer" {
		return nil
	}
	if err := p.startTransport(now); err != nil {
		n.pendingLocal = old
		return err
	}
	if n.tagChanged(n.pendingRemote) {
		p.answerApplied(now)
	}
	return nil
}

func (p *peer) setRemoteDescription(typ, text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return p.cause
	}
	if typ == "rollback" {
		return p.rollback()
	}
	now := p.now()
	n := &p.neg
	d, err := n.checkRemote(typ, text)
	if err != nil {
		return err
	}
	if typ == "offer" {
		if err := p.remoteOffer(now, d); err != nil {
			return err
		}
	} else if err := p.remoteAnswer(now, typ, d); err != nil {
		return err
	}
	p.emit(Event{Kind: EventSignalingState, State: int(n.state)})
	p.run(now)
	return nil
}

// agree makes the pending descriptions the current ones.
func (p *peer) agree() {
	p.neg.agree()
	if p.state == StateConnected {
		p.neg.forget()
	}
}

// remoteOffer takes an offer of the peer. One of ours that is pending is
// rolled back first.
func (p *peer) remoteOffer(now time.Time, d *description) error {
	n := &p.neg
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
	answer, err := n.makeAnswer(d, p.fill)
	if err != nil {
		*n = before
		return err
	}
	if glare {
		p.rollbackRestart(now)
	}
	n.pendingRemote, n.state = d, SignalingStateHaveRemoteOffer
	p.dropAnswer()
	if n.tagChanged(d) {
		p.tagChanges(now)
	}
	p.emitAnswer(now, answer)
	return nil
}

func (p *peer) remoteAnswer(now time.Time, typ string, d *description) error {
	n := &p.neg
	if a, o := d.data(), n.pendingLocal.data(); a.Index != o.Index || a.Mid != o.Mid && a.Mid != "" {
		return invalid("%s has the data section at %d with mid %q, the offer at %d with mid %q", typ, a.Index, a.Mid, o.Index, o.Mid)
	}
	before := n.pendingRemote
	n.pendingRemote = d
	if err := p.startTransport(now); err != nil {
		n.pendingRemote = before
		return err
	}
	n.state = SignalingStateHaveRemotePranswer
	if typ == "answer" {
		p.agree()
	}
	return nil
}

func (p *peer) rollback() error {
	if err := p.neg.rollback(); err != nil {
		return err
	}
	now := p.now()
	p.rollbackRestart(now)
	p.dropAnswer()
	p.emit(Event{Kind: EventSignalingState, State: int(p.neg.state)})
	p.run(now)
	return nil
}

// rollbackRestart goes back to the candidates of the descriptions agreed on,
// where what was rolled back had restarted ICE.
func (p *peer) rollbackRestart(now time.Time) {
	g := &p.gatherer
	if p.neg.currentLocal != nil && g.ufrag != p.neg.local.ufrag {
		p.core.agent.Rollback(now)
		g.ufrag, g.candidates, g.unsignalled = p.neg.local.ufrag, g.replaced, nil
	}
}

// restartICE has the next offer restart ICE.
func (p *peer) restartICE() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return p.cause
	}
	p.neg.restart = true
	return nil
}

func (p *peer) localDescription() (typ, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.neg.localApplied()
	if d == nil {
		return "", ""
	}
	parsed := d.read()
	if parsed.data.Rejected {
		return d.typ, d.text
	}
	g := &p.gatherer
	return d.typ, parsed.session.WithCandidates(parsed.data.Transport, g.candidates, g.state == GatheringStateComplete)
}

func (p *peer) remoteDescription() (typ, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.neg.remote()
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

func (p *peer) addICECandidate(media string, index int, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return p.cause
	}
	now := p.now()
	r := &p.remote
	remote := p.neg.remote()
	current := r.applied != nil && r.applied == remote
	name = strings.TrimPrefix(strings.TrimSpace(name), "a=")
	if name == "" || name == "candidate:" || name == "end-of-candidates" {
		if current {
			p.core.agent.EndOfRemote(now)
			p.run(now)
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
			p.dropRemote(c.String(), errOtherTransport)
			return nil
		}
	}
	if c.Ufrag == "" && current || c.Ufrag != "" && p.core.agent.Knows(c.Ufrag) {
		p.addRemote(now, c)
		p.run(now)
		return nil
	}
	if len(r.early) == maxEarlyCandidates {
		p.dropRemote(r.early[0].String(), errTooEarly)
		r.early = append(r.early[:0], r.early[1:]...) // the oldest may be of a generation long gone
	}
	r.early = append(r.early, earlyCandidate{c, media})
	return nil
}

// apply gives the agent what has come for a description: the candidates in
// it, and those that came before it.
func (r *remoteCandidates) apply(p *peer, now time.Time, d *description) {
	r.applied = d
	data := d.data()
	for _, line := range data.Candidates {
		// One that cannot be read is no reason to refuse the others.
		c, err := ice.ParseCandidate(line)
		if err != nil {
			p.dropRemote(line, err)
			continue
		}
		p.addRemote(now, c)
	}
	if data.MoreCandidates > 0 {
		p.dropRemote(fmt.Sprintf("%d more of the description", data.MoreCandidates), ice.ErrTooManyCandidates)
	}
	var rest []earlyCandidate
	for _, c := range r.early {
		ufrag := c.Ufrag
		if ufrag == "" {
			ufrag, _ = d.ufragOf(c.media)
		}
		if ufrag == d.ufrag {
			p.addRemote(now, c.Candidate)
		} else if c.Ufrag != "" {
			rest = append(rest, c)
		}
	}
	r.early = rest
	if data.EndOfCandidates || r.ended {
		p.core.agent.EndOfRemote(now)
	}
	r.ended = false
}

func (p *peer) addRemote(now time.Time, c ice.Candidate) {
	if err := p.core.agent.AddRemote(now, c); err != nil {
		p.log.Info("candidate dropped", "candidate", c.String(), "error", err)
	}
	p.core.discover() // the far end may turn out to be behind a relay
}

// dropRemote has Report name a candidate of the peer that is not used.
func (p *peer) dropRemote(candidate string, reason error) {
	p.log.Info("candidate dropped", "candidate", candidate, "error", reason)
	p.core.agent.Drop(ice.Dropped{Candidate: candidate, Reason: reason})
}

var errTooEarly = errors.New("rtcpeer: too many candidates came before the remote description that they belong to")
