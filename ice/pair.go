package ice

import (
	"cmp"
	"slices"
	"time"

	"purertc/stun"
)

// A pair is a local base and a remote candidate.
type pair struct {
	gen      *generation
	local    *base
	remote   *remote
	route    Route
	priority uint64
	state    PairState

	retransmission stun.Retransmission // schedule of the connectivity check's retransmissions
	transactions   transactions
	err            error // why the pair failed, if known
	queued         bool  // a request is in the outbox
	triggered      bool  // the check is sent before ordinary ones (RFC 8445 §6.1.4.1)
	once           bool  // the triggered check is not retransmitted
	pushed         bool  // additional checks have carried the whole DTLS flight; see pushRest

	nominating       bool      // if controlling: checks carry USE-CANDIDATE
	nomination       uint32    // if controlling: the number of the nomination that checks carry; 0: none
	useCandidate     bool      // if controlled: a check of the remote agent carried USE-CANDIDATE
	remoteNomination uint32    // if controlled: the highest nomination number in the remote agent's checks; 0: none
	nominatedAt      time.Time // if controlled: when the last check with a nomination arrived

	consent    consent
	rtt        time.Duration // smoothed round-trip time (RFC 6298 §2); 0: unknown
	lastAnswer time.Time     // when the last authenticated response arrived

	// The following fields are for liveness.go.
	unansweredSince time.Time     // on the selected pair: when data was sent after which nothing has arrived
	lastReceived    time.Time     // when a datagram of the remote agent last arrived: a check, or data on the selected pair
	carried         bool          // data has arrived since the pair was selected
	leftAt          time.Time     // when data was last moved from this pair to another one
	validatedAt     time.Time     // when the pair was last checked because authenticated data arrived on it
	validateWait    time.Duration // time from validatedAt until the pair may be checked again

	sent, received, answers uint32 // number of requests sent, of requests received, and of responses received

	// Over TCP: when the pair's connection was last lost or refused, and when the
	// agent tries to connect again; zero: never.
	closedAt, retryAt time.Time
}

// A transaction is a request that may still be answered.
type transaction struct {
	id          stun.TransactionID
	sentAt      time.Time
	again       bool // the request was sent more than once, so its round-trip time is ambiguous
	controlling bool // role of this agent in the request
	nominates   bool
}

// transactions are the latest requests of a pair, the newest last. A cancelled check
// may still be answered (RFC 8445 §7.3.1.4), and so may consent requests that were
// sent seconds ago.
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

// take removes the transaction with this id and all older ones. It returns the
// transaction.
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

// maxPairs bounds the pairs of a generation. RFC 8445 §6.1.2.5 suggests this number.
const maxPairs = 100

// addPair forms the pair of b and r and returns it. It returns nil if the pair is of
// no use.
func (k *checks) addPair(now time.Time, g *generation, b *base, r *remote) *pair {
	if !b.tcp.checks(r.tcp) || !k.reaches(g, b, r) {
		return nil
	}
	return k.formPair(now, g, b, r)
}

// formPair is like addPair, for a pair on which a check arrived. If there are too many
// pairs, the least useful one is removed (RFC 8445 §6.1.2.5).
func (k *checks) formPair(now time.Time, g *generation, b *base, r *remote) *pair {
	if !k.gather.usable(b) {
		return nil
	}
	if p := g.findPair(b, r); p != nil {
		return p
	}
	p := &pair{gen: g, local: b, remote: r, route: b.route(r.addr)}
	p.setPriority(k.controlling)
	if len(g.pairs) >= maxPairs && !k.displaceWorst(now, g, p.priority) {
		return nil
	}
	g.insert(p)
	return p
}

// reaches reports whether a pair of b and r can work. A host also reaches its loopback
// addresses from its other addresses. A pair of a loopback address and another address
// is formed if the remote agent has only loopback candidates, and the local agent has
// none.
func (k *checks) reaches(g *generation, b *base, r *remote) bool {
	ip := r.addr.Addr()
	if b.reaches(ip) {
		return true
	}
	local := b.addr.Addr()
	return ip.IsLoopback() && r.typ == Host && b.typ == Host && b.tcp == NotTCP && local.Is4() == ip.Is4() && !local.IsLinkLocalUnicast() &&
		!slices.ContainsFunc(k.gather.bases, func(o *base) bool { return o.typ == Host && o.reaches(ip) }) &&
		!slices.ContainsFunc(g.remotes, func(o *remote) bool { return !o.addr.Addr().IsLoopback() })
}

func (p *pair) setPriority(controlling bool) {
	local, remote := p.local.priority(), p.remote.priority
	if controlling {
		p.priority = pairPriority(local, remote)
	} else {
		p.priority = pairPriority(remote, local)
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

// insert inserts p in the order of priority. Pairs of equal priority stay in the order
// in which they were formed.
func (g *generation) insert(p *pair) {
	i := len(g.pairs)
	for i > 0 && g.pairs[i-1].priority < p.priority {
		i--
	}
	g.pairs = slices.Insert(g.pairs, i, p)
}

// sortPairs computes the priorities again, after a change of role or of a
// candidate's priority.
func (g *generation) sortPairs(controlling bool) {
	for _, p := range g.pairs {
		p.setPriority(controlling)
	}
	slices.SortStableFunc(g.pairs, func(p, q *pair) int { return cmp.Compare(q.priority, p.priority) })
}

// displaceWorst removes a pair to make room for one with the given priority. It
// removes the last pair that has failed, or is not answered, or waits for its first
// check and has a lower priority.
func (k *checks) displaceWorst(now time.Time, g *generation, priority uint64) bool {
	for i := len(g.pairs) - 1; i >= 0; i-- {
		p := g.pairs[i]
		u := k.useOf(now, p)
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
			p.state = PairFailed // for parts of the agent that still refer to the pair
			if g.nominated == p {
				g.nominated = nil
			}
		}
	}
	g.pairs = slices.DeleteFunc(g.pairs, gone)
}

// A use says how useful a pair is. The use of a candidate is that of its best pair.
type use uint8

const (
	useNone    use = iota // no pair was formed
	useFailed             // the pair has failed, or its checks are not answered
	useWaiting            // the pair waits for its first check
	useChecked            // the pair is checked, or works, or the remote agent checks it
)

// When room is needed, a check is treated as failed if its first unansweredRequests
// requests are not answered. The fourth request is sent seven timeouts after the first
// one, 3.5 s or more. unansweredOverTCP is the same time for a connection, over which
// a check is sent only once.
const (
	unansweredRequests = 4
	unansweredOverTCP  = 3500 * time.Millisecond
)

func (k *checks) useOf(now time.Time, p *pair) use {
	switch x := p.transactions.newest(); {
	case p == k.selected || p.gen.nominated == p || p.queued:
		return useChecked
	case p.state == PairFailed:
		return useFailed
	case p.received > 0 || p.answers > 0:
		return useChecked
	case p.state == PairWaiting:
		return useWaiting
	case p.sent >= unansweredRequests || p.local.tcp != NotTCP && x != nil && now.Sub(x.sentAt) >= unansweredOverTCP:
		return useFailed
	}
	return useChecked
}

// addRTT adds a sample to the round-trip time (RFC 6298 §2).
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
