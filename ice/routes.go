package ice

import (
	"net/netip"
	"slices"
	"time"
)

// A routeTable holds the routes on which the remote agent has authenticated itself.
// Payload that arrives on them is returned to the owner.
type routeTable struct {
	permitted []Route
	former    []formerRoute
}

// A formerRoute is a route that no pair has used since an ICE restart. Payload on it
// is still accepted. Chromium, when it is controlled, stays on its old pair until
// something other than checks arrives on the new pair, or until the old pair has not
// answered for about five seconds. If its payload on the old pair were dropped,
// Chromium would wait for an answer to that payload, and only that answer moves it to
// the new pair.
type formerRoute struct {
	Route
	until time.Time // when it expires; zero: not known yet
}

const (
	maxRoutes = 32

	// formerFor is how long payload on a former route is accepted. Consent lasts as
	// long (RFC 7675 §5.1).
	formerFor = 30 * time.Second
)

// permit adds a route. If there is no room, it removes the oldest former route. If
// there are no former routes, it removes the oldest route, but not keep, which carries
// data.
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

// has reports whether payload on route r is accepted.
func (t *routeTable) has(r Route) bool {
	return slices.Contains(t.permitted, r) || t.formerIndex(r) >= 0
}

func (t *routeTable) formerIndex(r Route) int {
	return slices.IndexFunc(t.former, func(f formerRoute) bool { return f.Route == r })
}

// A routeUse says what happens to a route.
type routeUse uint8

const (
	routeUsed   routeUse = iota // a pair uses it
	routeUnused                 // no pair uses it; over UDP the remote agent may still send on it
	routeGone                   // its connection is closed, or its local address was removed
)

// prune removes the routes with a connection or local address that does not exist any
// more. Unused routes become former routes.
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

// expire removes former routes that have reached their time limit. No timer is set for
// this: consent checks call it often enough.
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

// permit accepts payload on a route from now on, because the remote agent has
// authenticated itself on it.
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

// permitted reports whether payload on route r is accepted.
func (k *checks) permitted(r Route) bool {
	if k.routes.has(r) {
		return true
	}
	b := k.gather.baseOf(r)
	return b != nil && k.routes.has(b.route(r.Remote))
}

// pruneRoutes removes the routes that no pair uses any more. A route over UDP is
// removed after a while. A route over a connection, which is then closed, or on a
// removed local address is removed immediately.
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

// uses reports whether a pair or an early check of any generation is on route r.
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

// routeEvent reports a route to the owner. It does not report a route through a relay,
// because the owner sees only datagrams of the relay's server.
func (k *checks) routeEvent(kind EventKind, r Route) {
	if r.Sock > firstRelaySock {
		k.events.push(Event{Kind: kind, Route: r})
	}
}
