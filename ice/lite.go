package ice

import (
	"encoding/binary"
	"slices"
	"time"

	"purertc/stun"
)

// An ICE-lite agent (RFC 8445 §2.5) is for a server that everybody reaches.
// It has host candidates only, is controlled, checks nothing and answers
// checks: a pair is valid, and carries data, when the far end nominates it
// (RFC 8445 §7.3.2), and as long as the far end goes on checking it, which a
// full agent does for its own consent to send (RFC 7675 §1).

//
// The peer's checks are all that such an agent hears, so one that is replayed must not
// count as a sign of life, nor move data to where it was replayed from. A check is
// taken for new by its transaction id. It is not, and is answered only, when a
// check with that id came before: it is a retransmission, or a replay. A check that
// never arrived here can still be played from anywhere (RFC 8445 §19.5).

// maxSeen is how many checks are remembered: ten minutes of consent requests on one
// pair.
const maxSeen = 128

// seenChecks are the transaction ids of the latest checks, by their first eight
// bytes, which are random.
type seenChecks struct {
	ids  []uint64
	next int // the oldest, once there are maxSeen
}

// add reports whether the id is new.
func (s *seenChecks) add(id stun.TransactionID) bool {
	n := binary.BigEndian.Uint64(id[:8])
	if slices.Contains(s.ids, n) {
		return false
	}
	if len(s.ids) < maxSeen {
		s.ids = append(s.ids, n)
		return true
	}
	s.ids[s.next] = n
	s.next = (s.next + 1) % maxSeen
	return true
}

// heardOn takes an authenticated check of the far end on p.
func (a *Agent) heardOn(now time.Time, p *pair, nominates bool) {
	g := p.gen
	if nominates {
		p.state, p.useCandidate, p.nominatedAt = PairSucceeded, true, now
		if !g.wasValid {
			a.becomeValid(now, g)
		}
	}
	if p.state == PairSucceeded {
		p.err = nil
		p.lastAnswer, a.lastAnswer = now, now
	}
	if nominates {
		g.accept(now, p)
	}
}
