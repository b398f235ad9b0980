package ice

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestRouteTable(t *testing.T) {
	route := func(port int) Route { return Route{Remote: netip.AddrPortFrom(netip.IPv6Loopback(), uint16(port))} }
	var table routeTable
	for port := range maxRoutes {
		if added, removed := table.permit(route(port), route(0)); !added || removed != nil {
			t.Fatalf("route %d: %v, %v", port, added, removed)
		}
	}
	if added, _ := table.permit(route(3), Route{}); added {
		t.Error("a route is added twice")
	}
	// The route that carries data is kept.
	if _, removed := table.permit(route(100), route(0)); !slices.Equal(removed, []Route{route(1)}) {
		t.Errorf("removed %v", removed)
	}

	// Unused routes become former routes, which are accepted for a while.
	removed := table.prune(func(r Route) routeUse {
		switch r {
		case route(2):
			return routeGone
		case route(3), route(4):
			return routeUnused
		}
		return routeUsed
	})
	if !slices.Equal(removed, []Route{route(2)}) || !table.has(route(3)) || table.has(route(2)) {
		t.Errorf("removed %v", removed)
	}
	now := time.Unix(1, 0)
	if removed := table.expire(now); removed != nil {
		t.Errorf("removed %v", removed)
	}
	if added, removed := table.permit(route(3), Route{}); added || removed != nil || len(table.former) != 1 {
		t.Error("a former route is used again")
	}
	if removed := table.expire(now.Add(formerFor)); !slices.Equal(removed, []Route{route(4)}) || table.former != nil {
		t.Errorf("removed %v", removed)
	}

	// Former routes are removed first.
	table.prune(func(r Route) routeUse {
		if r == route(5) {
			return routeUnused
		}
		return routeUsed
	})
	table.permit(route(200), Route{})
	table.permit(route(201), Route{})
	if _, removed := table.permit(route(202), Route{}); !slices.Equal(removed, []Route{route(5)}) {
		t.Errorf("removed %v", removed)
	}
	if n := len(table.clear()); n != maxRoutes || table.has(route(200)) {
		t.Errorf("%d routes were cleared", n)
	}
}
