package ice

import (
	"slices"
	"time"
)

// A formerRoute is one that no pair uses any more since ICE restarted. Payload
// is taken from it yet: Chromium, where it is controlled, stays on its old pair
// until something other than checks comes on the new one, or the old one has
// not answered for some five seconds. It would wait for an answer to what it
// sends on the old pair, which is what brings it to the new one.
type formerRoute struct {
	Route
	until time.Time // zero: not known yet
}

// formerFor is how long a former route is good for: as long as consent would
// be (RFC 7675 §5.1).
const formerFor = 30 * time.Second

// permit notes that the far end proved itself on a route: payload from it is
// given up from now on.
func (a *Agent) permit(r Route) {
	if slices.Contains(a.routes, r) {
		return
	}
	if i := a.formerIndex(r); i >= 0 {
		a.former = slices.Delete(a.former, i, i+1)
		a.routes = append(a.routes, r)
		return
	}
	if len(a.routes)+len(a.former) >= maxRoutes && len(a.former) > 0 {
		a.routeEvent(EventRouteRemoved, a.former[0].Route)
		a.former = slices.Delete(a.former, 0, 1)
	}
	if len(a.routes) >= maxRoutes {
		i := 0
		if a.selected != nil && a.routes[0] == a.selected.route {
			i = 1
		}
		a.routeEvent(EventRouteRemoved, a.routes[i])
		a.routes = slices.Delete(a.routes, i, i+1)
	}
	a.routes = append(a.routes, r)
	a.routeEvent(EventRouteAdded, r)
}

// dropRoutes gives up the routes that no pair uses any more: over UDP after a
// while, over a connection, which is closed, and on an address that is gone, at
// once.
func (a *Agent) dropRoutes() {
	a.routes = slices.DeleteFunc(a.routes, func(r Route) bool {
		if a.uses(r) {
			return false
		}
		if b := a.findBase(r); b != nil && b.tcp == NotTCP {
			a.former = append(a.former, formerRoute{Route: r})
		} else {
			a.routeEvent(EventRouteRemoved, r)
		}
		return true
	})
	a.dropFormer(func(f *formerRoute) bool { return a.findBase(f.Route) == nil })
	a.retainPermissions()
}

// expireFormer gives up former routes whose time is over. No timer is set for
// it: consent checks are frequent enough.
func (a *Agent) expireFormer(now time.Time) {
	if a.former == nil {
		return
	}
	a.dropFormer(func(f *formerRoute) bool {
		if f.until.IsZero() {
			f.until = now.Add(formerFor)
		}
		return !now.Before(f.until)
	})
}

func (a *Agent) dropFormer(over func(f *formerRoute) bool) {
	kept := a.former[:0]
	for _, f := range a.former {
		if over(&f) {
			a.routeEvent(EventRouteRemoved, f.Route)
		} else {
			kept = append(kept, f)
		}
	}
	if a.former = kept; len(kept) == 0 {
		a.former = nil
	}
}

func (a *Agent) formerIndex(r Route) int {
	return slices.IndexFunc(a.former, func(f formerRoute) bool { return f.Route == r })
}

// routeEvent tells of a route, but not of one through a relay, whose
// datagrams are the server's.
func (a *Agent) routeEvent(kind EventKind, r Route) {
	if r.Sock > firstRelaySock {
		a.event(Event{Kind: kind, Route: r})
	}
}

// dropAllRoutes tells the end of all routes.
func (a *Agent) dropAllRoutes() {
	for _, r := range a.routes {
		a.routeEvent(EventRouteRemoved, r)
	}
	a.routes = nil
	a.dropFormer(func(*formerRoute) bool { return true })
}

// uses tells whether a pair, or an early check, of either generation is on r.
func (a *Agent) uses(r Route) bool {
	for g := a.cur; g != nil; g = g.older {
		for _, p := range g.pairs {
			if p.route == r {
				return true
			}
		}
		for _, e := range g.early {
			if e.route == r {
				return true
			}
		}
	}
	return false
}

// permitted tells whether payload from r is given up.
func (a *Agent) permitted(r Route) bool {
	if slices.Contains(a.routes, r) || a.formerIndex(r) >= 0 {
		return true
	}
	b := a.findBase(r)
	if b == nil {
		return false
	}
	r = b.route(r.Remote)
	return slices.Contains(a.routes, r) || a.formerIndex(r) >= 0
}
