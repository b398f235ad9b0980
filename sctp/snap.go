package sctp

import (
	"errors"
	"fmt"
	"io"
)

// SNAP (draft-hancke-tsvwg-snap): the two ends exchange their INIT chunks in their
// descriptions. Over DTLS, which authenticates them, no cookie is needed, so the
// association is established when both chunks are known, without any packet (§6).

// ErrInit is wrapped by the errors of CheckInit and SetRemoteInit.
var ErrInit = errors.New("sctp: not a valid INIT chunk")

// LocalInit returns the INIT chunk that this end signals, and that Connect sends if
// SetRemoteInit was not called. It changes no state but the identity, which is drawn
// once (draft §6). The error is ErrClosed after Connect, and ErrRand.
func (a *Association) LocalInit() ([]byte, error) {
	if a.state != StateClosed || a.ended {
		return nil, ErrClosed
	}
	if !a.handshake.draw(a.cfg.Rand) {
		return nil, ErrRand
	}
	p := a.cfg.announce(a.handshake.localTag, a.handshake.localTSN, a.memory.receiveWindow())
	return p.appendInitChunk(nil), nil
}

// draw draws the local tag and initial TSN, unless it has drawn them already. It reports
// false if the random source fails.
func (h *handshake) draw(random io.Reader) bool {
	if h.localTag != 0 {
		return true
	}
	tag, tsn, ok := drawIdentity(random)
	if ok {
		h.begin(tag, tsn)
	}
	return ok
}

// CheckInit returns an error if b is not an INIT chunk that SetRemoteInit accepts.
func CheckInit(b []byte) error {
	_, err := parseSignalledInit(b)
	return err
}

// SetRemoteInit takes the INIT chunk that the remote has signalled. Both ends must have
// signalled one: LocalInit must have been called. Connect then establishes the
// association at once. The error wraps ErrInit, or is ErrClosed after Connect.
func (a *Association) SetRemoteInit(b []byte) error {
	p, err := parseSignalledInit(b)
	switch {
	case err != nil:
		return err
	case a.state != StateClosed || a.ended || a.handshake.localTag == 0:
		return ErrClosed
	}
	a.handshake.signalled = &p
	return nil
}

// parseSignalledInit reads a whole INIT chunk, with or without padding at its end.
func parseSignalledInit(b []byte) (p initParams, err error) {
	c, rest, ok := nextChunk(b)
	if !ok || c.typ != chunkInit || len(rest) > 0 {
		return p, fmt.Errorf("%w: it has another type or length", ErrInit)
	}
	ic, err := parseInit(c.body)
	switch {
	case err != nil:
		return p, fmt.Errorf("%w: its parameters are malformed", ErrInit)
	case ic.tag == 0:
		return p, fmt.Errorf("%w: its tag is 0", ErrInit)
	}
	if code, _ := ic.defect(); code != 0 {
		return p, fmt.Errorf("%w: %v", ErrInit, code)
	}
	return ic.initParams, nil
}
