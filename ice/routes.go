package ice

import (
	"net/netip"
	"slices"
	"time"
)

// A routeTable holds the routes on which the remote agent has authenticated
// itself. Payload that arrives on them is handed up.
type routeTable struct {
	permitted []Route
	former    []formerRoute
}

// A formerRoute is one that no pair uses since ICE restarted. Its payload is
// still accepted: Chromium, when it is controlled, stays on its old pair until
// something other than checks arrives on the new one, or the old one has not
// answered for some five seconds. It would wait for an answer to what it sends on
// the old pair, and that answer is what brings it to the new one.
type formerRoute struct {
	Route
	until time.Time // zero: not known yet
}

const (
	maxRoutes = 32

	// formerFor is how long payload on a former route is accepted: as long as
	// consent lasts (RFC 7675 §5.1).
	formerFor = 30 * time.Second
)

// permit adds a route. Where there is no room, the oldest former route makes
// some, else the oldest route but keep, which carries data.
func (t *routeTable) permit(r, keep Route) (added bool, removed []Route) {
	if slices.Contains(t.permitted, r) {
		return false, nil
	}
	if i := t.formerIndex(r); i >= 0 {
		t.former = slices.Delete(t.former, i, i+1)
		t.permitted = append(t.permitted, r)
		return false, nil
	}
	if len(t.permitted)+len(t.former) >= maxRoutes && len(t.former) > 0 {
		removed = append(removed, t.former[0].Route)
		t.former = slices.Delete(t.former, 0, 1)
	}
	if len(t.permitted) >= maxRoutes {
		i := 0
		if t.permitted[0] == keep {
			i = 1
		}
		removed = append(removed, t.permitted[i])
		t.permitted = slices.Delete(t.permitted, i, i+1)
	}
	t.permitted = append(t.permitted, r)
	return true, removed
}

// has reports whether payload on r is accepted.
func (t *routeTable) has(r Route) bool {
	return slices.Contains(t.permitted, r) || t.formerIndex(r) >= 0
}

func (t *routeTable) formerIndex(r Route) int {
	return slices.IndexFunc(t.former, func(f formerRoute) bool { return f.Route == r })
}

// A routeUse says what becomes of a route.
type routeUse uint8

const (
	routeUsed   routeUse = iota // a pair uses it
	routeUnused                 // none does; over UDP the remote agent may still send on it
	routeGone                   // its connection or its local address is gone
)

// prune removes the routes that are gone, and makes former ones of those that
// are unused.
func (t *routeTable) prune(use func(Route) routeUse) (removed []Route) {
	t.permitted = slices.DeleteFunc(t.permitted, func(r Route) bool {
		switch use(r) {
		case routeUsed:
			return false
		case routeUnused:
			t.former = append(t.former, formerRoute{Route: r})
		default:
			removed = append(removed, r)
		}
		return true
	})
	return append(removed, t.dropFormer(func(f *formerRoute) bool { return use(f.Route) == routeGone })...)
}

// expire removes former routes whose time is over. The owner sets no timer for
// it: consent checks are frequent enough.
func (t *routeTable) expire(now time.Time) (removed []Route) {
	return t.dropFormer(func(f *formerRoute) bool {
		if f.until.IsZero() {
			f.until = now.Add(formerFor)
		}
		return !now.Before(f.until)
	})
}

// remove removes one permitted route.
func (t *routeTable) remove(r Route) {
	t.permitted = slices.DeleteFunc(t.permitted, func(o Route) bool { return o == r })
}

// clear removes all routes.
func (t *routeTable) clear() (removed []Route) {
	removed, t.permitted = t.permitted, nil
	return append(removed, t.dropFormer(func(*formerRoute) bool { return true })...)
}

func (t *routeTable) dropFormer(over func(f *formerRoute) bool) (removed []Route) {
	if t.former == nil {
		return nil
	}
	kept := t.former[:0]
	for _, f := range t.former {
		if over(&f) {
			removed = append(removed, f.Route)
		} else {
			kept = append(kept, f)
		}
	}
	if t.former = kept; len(kept) == 0 {
		t.former = nil
	}
	return removed
}

// permit accepts payload on a route from now on: the remote agent has
// authenticated itself there.
func (k *checks) permit(r Route) {
	var keep Route
	if k.selected != nil {
		keep = k.selected.route
	}
	added, removed := k.routes.permit(r, keep)
	k.routesRemoved(removed)
	if added {
		k.routeEvent(EventRouteAdded, r)
	}
}

// permitted reports whether payload from r is handed up.
func (k *checks) permitted(r Route) bool {
	if k.routes.has(r) {
		return true
	}
	b := k.gather.baseOf(r)
	return b != nil && k.routes.has(b.route(r.Remote))
}

// pruneRoutes removes the routes that no pair uses any more: over UDP after a
// while; over a connection, which is closed, or on a local address that is gone,
// at once.
func (k *checks) pruneRoutes() {
	k.routesRemoved(k.routes.prune(func(r Route) routeUse {
		b := k.gather.baseOf(r)
		switch {
		case k.uses(r):
			return routeUsed
		case b != nil && b.tcp == NotTCP:
			return routeUnused
		}
		return routeGone
	}))
	k.gather.retainPermissions(func(l *relay, ip netip.Addr) bool {
		for g := k.cur; g != nil; g = g.older {
			if slices.ContainsFunc(g.pairs, func(p *pair) bool { return p.local.relay == l && p.route.Remote.Addr() == ip }) {
				return true
			}
		}
		return false
	})
}

// uses reports whether a pair, or an early check, of any generation is on r.
func (k *checks) uses(r Route) bool {
	for g := k.cur; g != nil; g = g.older {
		if slices.ContainsFunc(g.pairs, func(p *pair) bool { return p.route == r }) ||
			slices.ContainsFunc(g.early, func(e earlyCheck) bool { return e.route == r }) {
			return true
		}
	}
	return false
}

func (k *checks) routesRemoved(removed []Route) {
	for _, r := range removed {
		k.routeEvent(EventRouteRemoved, r)
	}
}

// routeEvent reports a route to the owner, but not one through a relay: its
// datagrams are the server's.
func (k *checks) routeEvent(kind EventKind, r Route) {
	if r.Sock > firstRelaySock {
		k.events.push(Event{Kind: kind, Route: r})
	}
}
