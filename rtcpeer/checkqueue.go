package rtcpeer

import (
	"container/list"
	"strings"
	"sync"
	"time"

	"purertc/ice"
	"purertc/stun"
)

// A checkQueue keeps connectivity checks that came before the connection that they are
// for was made, one for each USERNAME. Nothing is answered. The zero value is empty.
//
// The source addresses of checks may be forged, so there is one limit for all checks
// together. A check beyond the limit replaces the oldest check. If new checks were
// refused instead, an attacker could fill the queue once, and it would stay full for
// keptFor. Now the attacker has to send all the time, and a remote that repeats its
// check is still accepted if the program is faster than the attacker.
type checkQueue struct {
	limit int // of checks; 0: maxKeptChecks

	mu     sync.Mutex
	checks map[string]*keptCheck // by USERNAME
	order  list.List             // elements are *keptCheck, the oldest first
	size   int                   // bytes of all checks
	more   signal                // a check was added
}

// A keptCheck is a connectivity check of an unknown remote.
type keptCheck struct {
	username string
	at       time.Time // when it came
	route    ice.Route
	datagram []byte
	given    bool          // the program has it
	ended    chan struct{} // closed when the check is no longer kept; nil until wait is called
	place    *list.Element
}

// Limits of a checkQueue.
const (
	maxKeptChecks  = 1024
	maxKeptBytes   = 256 << 10 // twice what maxKeptChecks checks of browsers take
	maxKeptCheck   = 1500      // bytes of one check
	keptCheckBytes = 300       // counted for a check beside its bytes

	// keptFor is how long a check is kept. ICE agents check for about as long before
	// they give up.
	keptFor = 30 * time.Second
)

// cost is what a check counts against maxKeptBytes.
func (k *keptCheck) cost() int { return len(k.datagram) + keptCheckBytes }

// add keeps a copy of a check, unless the queue has one with that USERNAME. It returns
// the kept one; nil: it is too long.
func (q *checkQueue) add(now time.Time, username string, r ice.Route, datagram []byte) *keptCheck {
	if len(datagram) > maxKeptCheck {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expire(now)
	if k := q.checks[username]; k != nil {
		return k
	}
	k := &keptCheck{username: username, at: now, route: r, datagram: append([]byte(nil), datagram...)}
	limit := q.limit
	if limit == 0 {
		limit = maxKeptChecks
	}
	for q.order.Len() > 0 && (q.order.Len() >= limit || q.size+k.cost() > maxKeptBytes) {
		q.remove(q.order.Front().Value.(*keptCheck))
	}
	if q.checks == nil {
		q.checks = map[string]*keptCheck{}
	}
	q.checks[username] = k
	q.size += k.cost()
	k.place = q.order.PushBack(k)
	q.more.set()
	return k
}

// wait returns a channel that is closed when k is no longer kept.
func (q *checkQueue) wait(k *keptCheck) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if k.ended == nil {
		k.ended = make(chan struct{})
		if q.checks[k.username] != k {
			close(k.ended)
		}
	}
	return k.ended
}

// next returns the oldest check that next has not returned before; nil: there is none.
func (q *checkQueue) next(now time.Time) *keptCheck {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expire(now)
	var first *keptCheck
	for e := q.order.Front(); e != nil; e = e.Next() {
		k := e.Value.(*keptCheck)
		if k.given {
			continue
		}
		if first != nil {
			q.more.set() // for another goroutine
			break
		}
		first = k
	}
	if first != nil {
		first.given = true
	}
	return first
}

// take removes and returns the checks for a local ufrag, or for a whole USERNAME.
func (q *checkQueue) take(name string) (checks []*keptCheck) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if k := q.checks[name]; k != nil {
		q.remove(k)
		return []*keptCheck{k}
	}
	prefix := name + ":"
	for e := q.order.Front(); e != nil; {
		k := e.Value.(*keptCheck)
		e = e.Next()
		if strings.HasPrefix(k.username, prefix) {
			q.remove(k)
			checks = append(checks, k)
		}
	}
	return checks
}

// clear removes all checks.
func (q *checkQueue) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.order.Len() > 0 {
		q.remove(q.order.Front().Value.(*keptCheck))
	}
}

func (q *checkQueue) expire(now time.Time) {
	for e := q.order.Front(); e != nil && now.Sub(e.Value.(*keptCheck).at) >= keptFor; e = q.order.Front() {
		q.remove(e.Value.(*keptCheck))
	}
}

func (q *checkQueue) remove(k *keptCheck) {
	q.order.Remove(k.place)
	delete(q.checks, k.username)
	q.size -= k.cost()
	if k.ended != nil {
		close(k.ended)
	}
}

// usernameOf returns the USERNAME of a connectivity check, and its two parts. ok is
// false unless both can be ufrags (RFC 8839 §5.4; like package sdp, it accepts a few
// more characters than letters, digits, + and /).
func usernameOf(m stun.Message) (username, local, remote string, ok bool) {
	b, _ := m.Get(stun.AttrUsername)
	if len(b) > 2*maxICECredential+1 {
		return "", "", "", false
	}
	username = string(b)
	local, remote, _ = strings.Cut(username, ":")
	return username, local, remote, isUfrag(local) && isUfrag(remote)
}

// isUfrag reports whether a remote may use s as its ufrag.
func isUfrag(s string) bool {
	if len(s) < minICEUfrag || len(s) > maxICECredential {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == ':' {
			return false
		}
	}
	return true
}
