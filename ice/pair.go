package ice

import (
	"cmp"
	"slices"
	"time"

	"purertc/stun"
)

// A pair is a base of ours and a candidate of the far end.
type pair struct {
	gen      *generation
	local    *base
	remote   *remote
	route    Route
	priority uint64
	state    PairState

	retransmission stun.Retransmission // of the connectivity check
	transactions   transactions
	err            error // why it failed, where that is known
	queued         bool  // a request is in the output queue
	triggered      bool  // goes before ordinary checks (RFC 8445 §6.1.4.1)
	once           bool  // the triggered check is not sent again

	nominating   bool   // controlling: checks carry USE-CANDIDATE
	nomination   uint32 // and this number beside it, unless it is 0
	theirs       uint32 // controlled: the highest number that the far end's checks carried; 0: none
	useCandidate bool   // controlled: the far end's check carried it
	nominated    bool
	nominatedAt  time.Time // controlled: when the latest such check came

	lastAnswer time.Time // of the latest authenticated response
	leftAt     time.Time // when follow left it last
	provenAt   time.Time // when it was checked last since data that proved to be the far end's came on it
	quietSince time.Time // of the selected pair: when data went out that nothing was heard after
	heardAt    time.Time // when anything of the far end's came on it last, data included if it is selected
	used       bool      // the far end's data came on it since it was selected
	consent    consent
	rtt        time.Duration // smoothed, RFC 6298 §2; zero: unknown
	provenWait time.Duration // how long after provenAt more of such data has it checked again

	sent, received, answers uint32 // requests out, requests in, responses in

	// Over TCP: when its connection was lost or refused last, and when it is
	// tried again; zero: it is not.
	closedAt, retryAt time.Time
}

// A transaction is a request that was sent and may be answered yet.
type transaction struct {
	id          stun.TransactionID
	sentAt      time.Time
	again       bool // sent more than once: its round-trip time is ambiguous
	controlling bool // the role it spoke of
	nominates   bool
}

// transactions are the latest requests of a pair, the newest last. A
// cancelled check may be answered yet (RFC 8445 §7.3.1.4), and so may
// consent checks of some seconds ago.
type transactions struct{ list []transaction }

const maxTransactions = 4

func (t *transactions) newest() *transaction {
	if len(t.list) == 0 {
		return nil
	}
	return &t.list[len(t.list)-1]
}

func (t *transactions) add(x transaction) {
	if len(t.list) == maxTransactions {
		t.list = slices.Delete(t.list, 0, 1)
	}
	t.list = append(t.list, x)
}

// take removes and returns the transaction id, and what is older.
func (t *transactions) take(id stun.TransactionID) (x transaction, ok bool) {
	for i := range t.list {
		if t.list[i].id == id {
			x = t.list[i]
			t.list = slices.Delete(t.list, 0, i+1)
			return x, true
		}
	}
	return transaction{}, false
}

func (t *transactions) has(id stun.TransactionID) bool {
	return slices.ContainsFunc(t.list, func(x transaction) bool { return x.id == id })
}

// addPair forms the pair of b and r, if it makes sense and is not there yet,
// and returns it. When there are too many, the worst one that was
// not checked yet gives way (RFC 8445 §6.1.2.5).
func (a *Agent) addPair(now time.Time, g *generation, b *base, r *remote) *pair {
	if !b.tcp.checks(r.tcp) || !a.reaches(g, b, r) {
		return nil
	}
	return a.formPair(now, g, b, r)
}

// formPair is addPair for a pair that a check arrived on.
func (a *Agent) formPair(now time.Time, g *generation, b *base, r *remote) *pair {
	if a.relayOnly && b.typ != Relay {
		return nil
	}
	if p := g.findPair(b, r); p != nil {
		return p
	}
	p := &pair{gen: g, local: b, remote: r, route: b.route(r.addr)}
	p.setPriority(a.controlling)
	if len(g.pairs) >= maxPairs && !a.displaceWorst(now, g, p.priority) {
		return nil
	}
	g.insert(p)
	return p
}

func (p *pair) setPriority(controlling bool) {
	ours, theirs := p.local.priority(), p.remote.priority
	if controlling {
		p.priority = pairPriority(ours, theirs)
	} else {
		p.priority = pairPriority(theirs, ours)
	}
}

func (g *generation) findPair(b *base, r *remote) *pair {
	for _, p := range g.pairs {
		if p.local == b && p.remote == r {
			return p
		}
	}
	return nil
}

// insert keeps the pairs in order of priority; equal ones in that of their
// making.
func (g *generation) insert(p *pair) {
	i := len(g.pairs)
	for i > 0 && g.pairs[i-1].priority < p.priority {
		i--
	}
	g.pairs = slices.Insert(g.pairs, i, p)
}

// sortPairs computes the priorities anew, after a change of role or of a
// candidate's priority.
func (g *generation) sortPairs(controlling bool) {
	for _, p := range g.pairs {
		p.setPriority(controlling)
	}
	slices.SortStableFunc(g.pairs, func(p, q *pair) int { return cmp.Compare(q.priority, p.priority) })
}

// displaceWorst makes room for a pair of the given priority: the last of those
// that failed or are checked in vain goes, or the last that waits for its first check
// if its priority is lower.
func (a *Agent) displaceWorst(now time.Time, g *generation, priority uint64) bool {
	for i := len(g.pairs) - 1; i >= 0; i-- {
		p := g.pairs[i]
		u := a.useOf(now, p)
		if u == useFailed || u == useWaiting && !p.triggered && p.priority < priority {
			p.state = PairFailed
			g.pairs = slices.Delete(g.pairs, i, i+1)
			return true
		}
	}
	return false
}

func (g *generation) removePairs(gone func(*pair) bool) {
	for _, p := range g.pairs {
		if gone(p) {
			p.state = PairFailed // whoever still holds it sees it dead
			if g.nominated == p {
				g.nominated = nil
			}
		}
	}
	g.pairs = slices.DeleteFunc(g.pairs, gone)
}

// addRTT takes a sample of the round-trip time (RFC 6298 §2).
func (p *pair) addRTT(sample time.Duration) {
	if sample <= 0 {
		sample = time.Microsecond
	}
	if p.rtt == 0 {
		p.rtt = sample
	} else {
		p.rtt += (sample - p.rtt) / 8
	}
}
