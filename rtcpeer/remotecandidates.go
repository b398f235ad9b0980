package rtcpeer

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"purertc/ice"
)

// maxEarlyCandidates limits the candidates that are kept for a description that has
// not arrived yet.
const maxEarlyCandidates = 64

var (
	// errOtherTransport is the reason for a candidate of a section with its own
	// transport, which the bundle does not use (RFC 9143 §8).
	errOtherTransport = errors.New("rtcpeer: candidate of a transport that the bundle does not use")
	errTooEarly       = errors.New("rtcpeer: too many candidates came before the remote description that they belong to")
)

// remoteCandidates gives the remote's candidates to the agent. It keeps candidates
// that arrive before their description.
type remoteCandidates struct {
	agent   *ice.Agent
	log     *slog.Logger
	applied *description // the description with the credentials that the agent has; nil: none
	early   []earlyCandidate
	ended   bool // the end of candidates was signalled before its description
}

// An earlyCandidate is a candidate that was signalled before its description.
type earlyCandidate struct {
	ice.Candidate
	media string // mid of the section; "": the candidate was signalled without a mid
}

// add takes a signalled candidate, or the end of candidates. remote is the latest
// remote description; nil: there is none.
func (r *remoteCandidates) add(now time.Time, media, name string, remote *description) error {
	current := r.applied != nil && r.applied == remote
	name = strings.TrimPrefix(strings.TrimSpace(name), "a=")
	if name == "" || name == "candidate:" || name == "end-of-candidates" {
		if current {
			r.agent.EndOfRemote(now)
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
			r.drop(now, c.String(), errOtherTransport)
			return nil
		}
	}
	if c.Ufrag == "" && current || c.Ufrag != "" && r.agent.Knows(c.Ufrag) {
		r.use(now, c)
		return nil
	}
	if len(r.early) == maxEarlyCandidates {
		r.drop(now, r.early[0].String(), errTooEarly)
		r.early = append(r.early[:0], r.early[1:]...) // the oldest candidate is removed, because it may belong to an old generation
	}
	r.early = append(r.early, earlyCandidate{c, media})
	return nil
}

// apply gives the agent the candidates of a description: the candidates in its text,
// and those that were signalled before it.
func (r *remoteCandidates) apply(now time.Time, d *description) {
	r.applied = d
	data := d.data()
	for _, line := range data.Candidates {
		// A candidate that cannot be parsed is no reason to refuse the other
		// candidates.
		c, err := ice.ParseCandidate(line)
		if err != nil {
			r.drop(now, line, err)
			continue
		}
		r.use(now, c)
	}
	if data.MoreCandidates > 0 {
		r.drop(now, fmt.Sprintf("%d more of the description", data.MoreCandidates), ice.ErrTooManyCandidates)
	}
	var later []earlyCandidate
	for _, c := range r.early {
		ufrag := c.Ufrag
		if ufrag == "" {
			ufrag, _ = d.ufragOf(c.media)
		}
		if ufrag == d.ufrag {
			r.use(now, c.Candidate)
		} else if c.Ufrag != "" {
			later = append(later, c)
		}
	}
	r.early = later
	if data.EndOfCandidates || r.ended {
		r.agent.EndOfRemote(now)
	}
	r.ended = false
}

func (r *remoteCandidates) use(now time.Time, c ice.Candidate) {
	if err := r.agent.AddRemote(now, c); err != nil {
		r.log.Info("candidate dropped", "candidate", c.String(), "error", err)
	}
}

// drop adds a candidate that is not used to the connection's Report.
func (r *remoteCandidates) drop(now time.Time, candidate string, reason error) {
	r.log.Info("candidate dropped", "candidate", candidate, "error", reason)
	r.agent.Drop(now, ice.Dropped{Candidate: candidate, Reason: reason})
}
