package ice

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"purertc/ice/internal/mdns"
)

// lookups resolves names of remote candidates by multicast DNS. It resolves no other
// names, because a remote agent could otherwise make this agent ask DNS for any name
// (RFC 8839 §5.1 leaves the choice to the agent).
type lookups struct {
	resolver *mdns.Resolver // nil until the first name
	waiting  []lookup
}

// A lookup is a candidate with an address that is not known yet.
type lookup struct {
	gen       *generation
	candidate Candidate
}

func (l *lookups) idle() bool { return len(l.waiting) == 0 }

// start looks up the name of a candidate. If there are maxRemotes lookups, one of
// another generation is dropped.
func (l *lookups) start(now time.Time, g *generation, c Candidate) error {
	if len(l.waiting) >= maxRemotes {
		i := slices.IndexFunc(l.waiting, func(w lookup) bool { return w.gen != g })
		if i < 0 {
			return ErrTooManyCandidates
		}
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	if l.resolver == nil {
		l.resolver = mdns.NewResolver()
	}
	if err := l.resolver.Start(now, c.Name); err != nil {
		return unusable("%v", err)
	}
	l.waiting = append(l.waiting, lookup{gen: g, candidate: c})
	return nil
}

// retain ends the lookups of generations that are not in use.
func (l *lookups) retain(inUse func(*generation) bool) {
	var kept, gone []lookup
	for _, w := range l.waiting {
		if inUse(w.gen) {
			kept = append(kept, w)
		} else {
			gone = append(gone, w)
		}
	}
	for _, w := range gone {
		if !slices.ContainsFunc(kept, func(k lookup) bool { return strings.EqualFold(k.candidate.Name, w.candidate.Name) }) {
			l.resolver.Stop(w.candidate.Name)
		}
	}
	l.waiting = kept
}

// handlePacket processes a multicast DNS message. It reports whether the message
// resolved a name.
func (l *lookups) handlePacket(now time.Time, b []byte) bool {
	return l.resolver != nil && l.resolver.HandlePacket(now, b)
}

func (l *lookups) nextTimeout() time.Time {
	if l.resolver == nil {
		return time.Time{}
	}
	return l.resolver.NextTimeout()
}

// appendQuery appends a query. group is the multicast group to send it to.
func (l *lookups) appendQuery(dst []byte) (b []byte, group netip.AddrPort, ok bool) {
	if l.resolver == nil {
		return dst, netip.AddrPort{}, false
	}
	return l.resolver.AppendQuery(dst)
}

// A resolution is the result of a lookup. Its address is invalid if the name is not
// known.
type resolution struct {
	lookup
	addr netip.Addr
}

// advance runs the resolver's timers and returns the results of lookups. A name that
// is already resolved may get further addresses.
func (l *lookups) advance(now time.Time) (results []resolution) {
	if l.resolver == nil {
		return nil
	}
	l.resolver.Advance(now)
	for {
		name, addr, ok := l.resolver.Next()
		if !ok {
			return results
		}
		l.waiting = slices.DeleteFunc(l.waiting, func(w lookup) bool {
			if !strings.EqualFold(w.candidate.Name, name) {
				return false
			}
			results = append(results, resolution{w, addr})
			return !addr.IsValid()
		})
	}
}
