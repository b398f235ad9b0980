package ice

import "slices"

// permit notes that the far end proved itself on a route: payload from it is
// given up from now on.
func (a *Agent) permit(r Route) {
	if slices.Contains(a.routes, r) {
		return
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

// dropRoutes forgets the routes that no pair uses any more.
func (a *Agent) dropRoutes() {
	a.routes = slices.DeleteFunc(a.routes, func(r Route) bool {
		if a.uses(r) {
			return false
		}
		a.routeEvent(EventRouteRemoved, r)
		return true
	})
	a.retainPermissions()
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
}

// uses tells whether a pair, or an early check, of either generation is on r.
func (a *Agent) uses(r Route) bool {
	for _, g := range []*generation{a.cur, a.prev} {
		if g == nil {
			continue
		}
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
	if slices.Contains(a.routes, r) {
		return true
	}
	b := a.findBase(r)
	return b != nil && slices.Contains(a.routes, b.route(r.Remote))
}
