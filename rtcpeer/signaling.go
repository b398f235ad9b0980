package rtcpeer

import (
	"crypto/tls"
	"errors"
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

// fill adds what the transport has to say to a description.
func (p *peer) fill(params *sdp.Params) error {
	cert, err := p.certificate()
	if err != nil {
		return err
	}
	f, err := dtls.CertificateFingerprint("sha-256", cert.Certificate[0])
	if err != nil {
		return err
	}
	params.Fingerprints = []sdp.Fingerprint{{Hash: f.Hash, Value: f.Value}}
	params.MaxMessageSize = p.cfg.maxMessageSize()
	if params.Ufrag == p.neg.local.ufrag { // a restart has candidates of its own
		params.Candidates = p.gatherer.candidates
		params.EndOfCandidates = p.gatherer.state == GatheringStateComplete
	}
	return nil
}

func (p *peer) createOffer() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return p.cause
	}
	var ferr error
	d, err := p.neg.makeOffer(func(params *sdp.Params) { ferr = p.fill(params) })
	if err := errors.Join(err, ferr); err != nil {
		return err
	}
	p.emit(Event{Kind: EventSessionDescription, Type: "offer", SDP: d.text})
	return nil
}

func (p *peer) createAnswer(offer *description) error {
	var ferr error
	d, err := p.neg.makeAnswer(offer, func(params *sdp.Params) { ferr = p.fill(params) })
	if err := errors.Join(err, ferr); err != nil {
		return err
	}
	p.emit(Event{Kind: EventSessionDescription, Type: "answer", SDP: d.text})
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
	form := typ
	if typ == "pranswer" {
		form = "answer" // a pranswer is the created answer, applied provisionally
	}
	d, again, err := n.checkLocal(form, text)
	if err != nil || again && !(form == "answer" && n.state == SignalingStateHaveLocalPranswer && typ == "answer") {
		return err
	}
	if !again {
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
		n.agree()
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
	if d.data.Ufrag != "" {
		if c := (credentials{d.data.Ufrag, d.data.Pwd}); c == n.next {
			p.core.agent.Restart(now, c.ufrag, c.pwd)
			p.gatherer.candidates = nil
		}
		if p.gatherer.state == GatheringStateNew || len(p.gatherer.candidates) == 0 {
			if err := p.gather(now); err != nil {
				n.pendingLocal = old
				return err
			}
		}
	}
	if p.core.dtls == nil {
		// RFC 8445 §6.1.1: the offerer controls. The answerer's checks may
		// come before its answer.
		p.core.agent.SetControlling(now, d.typ == "offer")
	}
	if d.typ == "offer" {
		return nil
	}
	return p.startTransport(now)
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
		if err := p.remoteOffer(d); err != nil {
			return err
		}
	} else if err := p.remoteAnswer(now, typ, d); err != nil {
		return err
	}
	p.emit(Event{Kind: EventSignalingState, State: int(n.state)})
	p.run(now)
	return nil
}

// remoteOffer takes an offer of the peer. One of ours that is pending is
// rolled back first.
func (p *peer) remoteOffer(d *description) error {
	n := &p.neg
	before := *n
	if n.state == SignalingStateHaveLocalOffer {
		if err := n.rollback(); err != nil {
			return err
		}
	}
	if err := p.createAnswer(d); err != nil {
		*n = before
		return err
	}
	n.pendingRemote, n.state = d, SignalingStateHaveRemoteOffer
	return nil
}

func (p *peer) remoteAnswer(now time.Time, typ string, d *description) error {
	n := &p.neg
	if d.data.Index != n.pendingLocal.data.Index || d.data.Mid != n.pendingLocal.data.Mid && d.data.Mid != "" {
		return invalid("%s has the data section at %d with mid %q, the offer at %d with mid %q",
			typ, d.data.Index, d.data.Mid, n.pendingLocal.data.Index, n.pendingLocal.data.Mid)
	}
	before := n.pendingRemote
	n.pendingRemote = d
	if err := p.startTransport(now); err != nil {
		n.pendingRemote = before
		return err
	}
	n.state = SignalingStateHaveRemotePranswer
	if typ == "answer" {
		n.agree()
	}
	return nil
}

func (p *peer) rollback() error {
	if err := p.neg.rollback(); err != nil {
		return err
	}
	p.emit(Event{Kind: EventSignalingState, State: int(p.neg.state)})
	return nil
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
	if d.data.Rejected {
		return d.typ, d.text
	}
	g := &p.gatherer
	return d.typ, d.session.WithCandidates(d.data.Index, g.candidates, g.state == GatheringStateComplete).String()
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

// remoteCandidates are candidates that cannot be used yet.
type remoteCandidates struct {
	early []ice.Candidate
	ended []string // ufrags whose end came; "" is the generation that comes next
}

func (p *peer) addICECandidate(media string, index int, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return p.cause
	}
	now := p.now()
	name = strings.TrimPrefix(strings.TrimSpace(name), "a=")
	applied := p.core.dtls != nil
	remote := p.neg.remote()
	if name == "" || name == "candidate:" || name == "end-of-candidates" {
		if applied && p.neg.pendingRemote == nil {
			p.core.agent.EndOfRemote(now)
		} else if len(p.remote.ended) < 4 {
			p.remote.ended = append(p.remote.ended, "")
		}
		p.run(now)
		return nil
	}
	c, err := ice.ParseCandidate(name)
	if err != nil {
		return invalid("candidate: %w", err)
	}
	if remote != nil && media != "" && !remote.hasMid(media) {
		return invalid("candidate for media %q, which the remote description does not have", media)
	}
	current := p.neg.currentRemote
	switch {
	case current != nil && applied && (c.Ufrag == current.data.Ufrag || c.Ufrag == "" && p.neg.pendingRemote == nil):
		p.addRemote(now, c)
	case applied && remote != nil && (c.Ufrag == remote.data.Ufrag || c.Ufrag == "") && p.neg.state == SignalingStateHaveRemotePranswer:
		p.addRemote(now, c)
	case len(p.remote.early) < maxEarlyCandidates:
		p.remote.early = append(p.remote.early, c)
	}
	p.run(now)
	return nil
}

// hasMid tells whether a section has this mid.
func (d *description) hasMid(mid string) bool {
	for i := range d.session.Media {
		if v, ok := d.session.Media[i].Attribute("mid"); ok && v == mid {
			return true
		}
	}
	return false
}

// apply gives the agent what has come for a description: the candidates in
// it, and those that came before it.
func (r *remoteCandidates) apply(p *peer, now time.Time, d *description) {
	for _, line := range d.data.Candidates {
		// One that cannot be read is no reason to refuse the others.
		if c, err := ice.ParseCandidate(line); err == nil {
			p.addRemote(now, c)
		}
	}
	var rest []ice.Candidate
	for _, c := range r.early {
		if c.Ufrag == "" || c.Ufrag == d.data.Ufrag {
			p.addRemote(now, c)
		} else if len(rest) < maxEarlyCandidates {
			rest = append(rest, c)
		}
	}
	r.early = rest
	if d.data.EndOfCandidates || len(r.ended) > 0 {
		p.core.agent.EndOfRemote(now)
	}
	r.ended = nil
}

func (p *peer) addRemote(now time.Time, c ice.Candidate) {
	if err := p.core.agent.AddRemote(now, c); err != nil {
		p.log.Info("candidate dropped", "candidate", c.String(), "error", err)
	}
}
