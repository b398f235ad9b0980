package ice

import (
	"encoding/binary"
	"slices"
	"time"

	"purertc/stun"
)

// An ICE-lite agent (RFC 8445 §2.5) is for a server that everybody can reach. It has
// only host candidates, is controlled, sends no checks, and answers the checks of the
// remote agent. A pair becomes valid, and carries data, when the remote agent
// nominates it (RFC 8445 §7.3.2). It stays valid as long as the remote agent checks
// it, which a full agent does for its own consent to send (RFC 7675 §1).
//
// An ICE-lite agent learns about a path only from the remote agent's checks. So a
// replayed check must neither give consent nor redirect data to the sender of the
// replay. A check is new if its transaction id is new. Otherwise it is a
// retransmission or a replay, and is only answered. A check that never arrived can
// still be replayed from anywhere (RFC 8445 §19.5).

// maxSeen is how many transaction ids are remembered: as many as the consent requests
// that are sent on one pair in ten minutes.
const maxSeen = 128

// seenChecks holds the transaction ids of the latest checks, by their first eight
// bytes, which are random.
type seenChecks struct {
	ids  []uint64
	next int // index of the oldest id, once there are maxSeen
}

// add remembers the id, and reports whether it is new.
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

// checkedBy handles an authenticated check of the remote agent on p, in a lite agent.
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
