package ice

import (
	"encoding/binary"
	"slices"
	"time"

	"purertc/stun"
)

// An ICE-lite agent (RFC 8445 §2.5) is for a server that everybody can reach. It has
// host candidates only, is controlled, sends no checks and answers those of the
// remote agent. A pair is valid, and carries data, when the remote agent nominates it
// (RFC 8445 §7.3.2), as long as the remote agent checks it, which a full agent does
// for its own consent to send (RFC 7675 §1).
//
// The remote agent's checks are all that such an agent knows, so a replayed check
// must not count as consent, nor move data to where it was replayed from. A check is
// new if its transaction id is. Else it is a retransmission or a replay, and is only
// answered. A check that never arrived can still be replayed from anywhere
// (RFC 8445 §19.5).

// maxSeen is how many transaction ids are remembered: ten minutes of consent
// requests on one pair.
const maxSeen = 128

// seenChecks holds the transaction ids of the latest checks, by their first eight
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

// checkedBy takes an authenticated check of the remote agent on p, in a lite agent.
func (k *checks) checkedBy(now time.Time, p *pair, nominates bool) {
	g := p.gen
	if nominates {
		p.state, p.useCandidate, p.nominatedAt = PairSucceeded, true, now
		if !g.wasValid {
			k.becomeValid(now, g)
		}
	}
	if p.state == PairSucceeded {
		p.err = nil
		p.lastAnswer, k.lastAnswer = now, now
	}
	if nominates {
		g.accept(now, p)
	}
}
