package rtcpeer

import (
	"context"
	"strings"

	"purertc/ice"
)

// A Description is an offer or answer as it travels between the peers. Its JSON is the
// W3C's RTCSessionDescriptionInit, so a page can pass it to setRemoteDescription, and
// its own localDescription to json.Unmarshal.
type Description struct {
	Type string `json:"type"` // "offer", "answer", "pranswer" or "rollback"
	SDP  string `json:"sdp"`
}

// A Candidate is an ICE candidate as it travels between the peers. Its JSON is the
// W3C's RTCIceCandidateInit.
type Candidate struct {
	// Candidate is the line "candidate:…". Empty: no more candidates follow.
	Candidate string `json:"candidate"`
	// SDPMid is the mid of the candidate's media section.
	SDPMid string `json:"sdpMid"`
	// SDPMLineIndex is the index of that section, from 0.
	SDPMLineIndex int `json:"sdpMLineIndex"`
	// UsernameFragment is the ufrag of the ICE generation that the candidate belongs
	// to. Empty: the line says it, or the candidate belongs to the latest description.
	UsernameFragment string `json:"usernameFragment,omitempty"`
}

func candidateOf(media string, index int, name string) Candidate {
	c := Candidate{Candidate: name, SDPMid: media, SDPMLineIndex: index}
	if parsed, err := ice.ParseCandidate(name); err == nil {
		c.UsernameFragment = parsed.Ufrag
	}
	return c
}

// AddCandidate adds a remote candidate, like AddICECandidate.
func (c *Conn) AddCandidate(candidate Candidate) error {
	name := candidate.Candidate
	if u := candidate.UsernameFragment; u != "" && name != "" && !strings.Contains(name, " ufrag ") {
		name += " ufrag " + u
	}
	return c.AddICECandidate(candidate.SDPMid, candidate.SDPMLineIndex, name)
}

// Offer creates an offer, applies it and returns it, to be sent to the remote, whose
// answer goes to SetAnswer. It needs a stable signalling state and a data channel, like
// CreateOffer.
//
// Offer waits until gathering is complete, which Config.GatherTimeout bounds, and returns
// the offer with all candidates. If there is a handler of candidates, set by
// OnCandidate or OnICECandidateCreated, Offer does not wait: the candidates follow
// through the handler.
//
// Nobody needs to call Poll for Offer, Answer and SetAnswer. If ctx ends first, the
// error is ctx's, and the offer stays applied: LocalDescription has the candidates
// gathered so far. OnSessionDescriptionCreated is not called for the offer.
func (c *Conn) Offer(ctx context.Context) (Description, error) {
	return c.describe(ctx, "offer", c.createOffer)
}

// Answer applies an offer of the remote, creates an answer, applies it and returns it,
// to be sent to the remote. It waits for candidates as Offer does. After an error that
// is not ctx's, SetRemoteDescription with "rollback" takes the remote offer back.
func (c *Conn) Answer(ctx context.Context, offer Description) (Description, error) {
	if offer.Type != "offer" {
		return Description{}, invalid("description type %q is not offer: an answer goes to SetAnswer", offer.Type)
	}
	return c.describe(ctx, "answer", func() error { return c.setRemote(offer.Type, offer.SDP) })
}

// SetAnswer applies the remote's answer, or its pranswer, to the local offer.
func (c *Conn) SetAnswer(answer Description) error {
	if answer.Type != "answer" && answer.Type != "pranswer" {
		return invalid("description type %q is not answer or pranswer: an offer goes to Answer", answer.Type)
	}
	return c.SetRemoteDescription(answer.Type, answer.SDP)
}

// describe creates a local description by create, applies it, and waits for its
// candidates.
func (c *Conn) describe(ctx context.Context, typ string, create func() error) (Description, error) {
	d := &Description{Type: typ}
	c.mu.Lock()
	if c.wanted != nil {
		c.mu.Unlock()
		return Description{}, wrongState("another Offer or Answer has not returned")
	}
	c.wanted = d
	generation := c.generation
	err := create()
	c.mu.Unlock()
	if err == nil {
		err = c.await(ctx, func() (bool, error) {
			if c.generation != generation {
				return false, ErrClosed
			}
			return d.SDP != "", c.live.closedErr()
		})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = nil
	if err == nil {
		err = c.setLocal(typ, d.SDP)
	}
	if err != nil || c.handlers.candidate != nil {
		return *d, err
	}
	return c.gathered(ctx, d, generation)
}

// gathered waits until gathering is complete, and returns the local description with its
// candidates. c.mu is held before and after, but not during the wait.
func (c *Conn) gathered(ctx context.Context, d *Description, generation uint32) (Description, error) {
	c.mu.Unlock()
	err := c.await(ctx, func() (bool, error) {
		if c.generation != generation {
			return false, ErrClosed
		}
		return c.live.gathering == GatheringStateComplete, c.live.closedErr()
	})
	c.mu.Lock()
	if err != nil {
		return Description{}, err
	}
	if x, ok := c.ext.(DescriptionExtension); ok {
		if typ, sdp := x.LocalDescription(); typ == d.Type {
			d.SDP = sdp
		}
	}
	return *d, nil
}
