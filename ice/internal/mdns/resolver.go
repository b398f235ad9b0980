package mdns

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Port is that of multicast DNS (RFC 6762 §3).
const Port = 5353

// Groups are the multicast groups, IPv4 and IPv6.
var groups = [2]netip.AddrPort{
	netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, 251}), Port),
	netip.AddrPortFrom(netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0xfb}), Port),
}

// Groups returns the multicast groups, IPv4 and IPv6 (RFC 6762 §3).
func Groups() (v4, v6 netip.AddrPort) { return groups[0], groups[1] }

const (
	maxNames     = 32
	maxAddresses = 8 // of a name
	maxResults   = maxNames * (maxAddresses + 1)

	firstInterval = time.Second // RFC 6762 §5.2: at least one second, then doubled
	sendings      = 4           // at 0, 1, 3 and 7 s
	giveUpAfter   = 10 * time.Second

	// lingering is how long further addresses are taken after the first: the
	// IPv4 and IPv6 answers come in different packets.
	lingering = 2 * time.Second
)

// Errors of Start.
var (
	ErrName    = errors.New("mdns: not a name that multicast DNS resolves")
	ErrTooMany = errors.New("mdns: too many names at once")
)

// A Resolver resolves names.
type Resolver struct {
	lookups []*lookup
	results []result
	out     []outgoing
}

// A lookup is one name that is asked for.
type lookup struct {
	name     dnsmessage.Name
	asked    string // as Start was given it
	sent     int
	next     time.Time // the next sending, or the end
	end      time.Time
	interval time.Duration
	found    []netip.Addr
}

type result struct {
	name string
	addr netip.Addr
}

type outgoing struct {
	name  dnsmessage.Name
	group int
}

// NewResolver returns a resolver that does nothing yet.
func NewResolver() *Resolver { return &Resolver{} }

// Start asks for the addresses of name, which must end in ".local". A name
// that is being asked for already is not asked for twice.
func (r *Resolver) Start(now time.Time, name string) error {
	lower := strings.ToLower(strings.TrimSuffix(name, "."))
	if !strings.HasSuffix(lower, ".local") || !validLabels(lower) {
		return ErrName
	}
	n, err := dnsmessage.NewName(lower + ".")
	if err != nil {
		return ErrName
	}
	for _, l := range r.lookups {
		if l.name == n {
			// Who asks late still hears of what was found.
			for _, addr := range l.found {
				r.result(l.asked, addr)
			}
			return nil
		}
	}
	if len(r.lookups) >= maxNames {
		return ErrTooMany
	}
	r.lookups = append(r.lookups, &lookup{name: n, asked: name, next: now, end: now.Add(giveUpAfter), interval: firstInterval})
	r.Advance(now)
	return nil
}

// Stop gives a name up.
func (r *Resolver) Stop(name string) {
	r.lookups = slices.DeleteFunc(r.lookups, func(l *lookup) bool { return strings.EqualFold(l.asked, name) })
}

// validLabels reports whether every label of a name has 1 to 63 characters
// (RFC 1035 §2.3.4).
func validLabels(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if len(label) < 1 || len(label) > 63 {
			return false
		}
	}
	return len(name) <= 253
}

// Advance sends and gives up what is due.
func (r *Resolver) Advance(now time.Time) {
	r.lookups = slices.DeleteFunc(r.lookups, func(l *lookup) bool {
		if !now.Before(l.end) {
			r.result(l.asked, netip.Addr{})
			return true
		}
		if !now.Before(l.next) {
			r.send(now, l)
		}
		return false
	})
}

func (r *Resolver) send(now time.Time, l *lookup) {
	for group := range groups {
		r.out = append(r.out, outgoing{l.name, group})
	}
	l.sent++
	l.next = now.Add(l.interval)
	l.interval *= 2
	if l.sent == sendings || l.next.After(l.end) {
		l.next = l.end
	}
}

// NextTimeout is when Advance has something to do; zero: never.
func (r *Resolver) NextTimeout() time.Time {
	var at time.Time
	for _, l := range r.lookups {
		for _, t := range [2]time.Time{l.next, l.end} {
			if at.IsZero() || t.Before(at) {
				at = t
			}
		}
	}
	return at
}

func (r *Resolver) result(name string, addr netip.Addr) {
	if len(r.results) < maxResults {
		r.results = append(r.results, result{name, addr})
	}
}

// Next returns the next address found. The zero address tells that no more
// follow for the name: the search is over.
func (r *Resolver) Next() (name string, addr netip.Addr, ok bool) {
	if len(r.results) == 0 {
		return "", netip.Addr{}, false
	}
	x := r.results[0]
	r.results = r.results[1:]
	if len(r.results) == 0 {
		r.results = nil
	}
	return x.name, x.addr, true
}

// AppendQuery appends the next query to dst, and tells the group that it is
// for.
func (r *Resolver) AppendQuery(dst []byte) (b []byte, group netip.AddrPort, ok bool) {
	for len(r.out) > 0 {
		o := r.out[0]
		r.out = r.out[1:]
		if len(r.out) == 0 {
			r.out = nil
		}
		if b, err := appendQuery(dst, o.name); err == nil {
			return b, groups[o.group], true
		}
	}
	return dst, netip.AddrPort{}, false
}

// appendQuery makes a query for both kinds of address. It asks for multicast
// answers (RFC 6762 §5.3): an answer to this machine alone would reach just
// one of the programs that share the port here.
func appendQuery(dst []byte, name dnsmessage.Name) ([]byte, error) {
	start := len(dst)
	m := dnsmessage.NewBuilder(nil, dnsmessage.Header{}) // RFC 6762 §18: all zero
	if err := m.StartQuestions(); err != nil {
		return dst, err
	}
	for _, t := range [2]dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		if err := m.Question(dnsmessage.Question{Name: name, Type: t, Class: dnsmessage.ClassINET}); err != nil {
			return dst, err
		}
	}
	b, err := m.Finish()
	if err != nil {
		return dst[:start], err
	}
	return append(dst, b...), nil
}

// maxRecords bounds the work that one packet makes.
const maxRecords = 64

// cacheFlush is the top bit of a record's class (RFC 6762 §10.2).
const cacheFlush = 0x8000

// HandlePacket takes a packet from the multicast group. It reports whether it
// changed anything.
func (r *Resolver) HandlePacket(now time.Time, b []byte) bool {
	if len(r.lookups) == 0 {
		return false
	}
	var p dnsmessage.Parser
	h, err := p.Start(b)
	// RFC 6762 §18: what is no response, or has an opcode or an error, is
	// ignored; the id means nothing.
	if err != nil || !h.Response || h.OpCode != 0 || h.RCode != dnsmessage.RCodeSuccess {
		return false
	}
	if p.SkipAllQuestions() != nil {
		return false
	}
	found := false
	for range maxRecords {
		h, err := p.AnswerHeader()
		if err != nil {
			break
		}
		addr, ok := readAddr(&p, h)
		if !ok {
			if p.SkipAnswer() != nil {
				break
			}
			continue
		}
		if r.found(now, h.Name, addr) {
			found = true
		}
	}
	return found
}

// readAddr takes the address of a record that has one.
func readAddr(p *dnsmessage.Parser, h dnsmessage.ResourceHeader) (netip.Addr, bool) {
	if h.Class&^cacheFlush != dnsmessage.ClassINET || h.TTL == 0 { // RFC 6762 §10.1: TTL 0 takes it back
		return netip.Addr{}, false
	}
	switch h.Type {
	case dnsmessage.TypeA:
		a, err := p.AResource()
		return netip.AddrFrom4(a.A), err == nil
	case dnsmessage.TypeAAAA:
		a, err := p.AAAAResource()
		return netip.AddrFrom16(a.AAAA).Unmap(), err == nil
	}
	return netip.Addr{}, false
}

// found notes an address of a name, if the name is asked for.
func (r *Resolver) found(now time.Time, name dnsmessage.Name, addr netip.Addr) bool {
	for _, l := range r.lookups {
		if !equalFold(l.name, name) {
			continue
		}
		if slices.Contains(l.found, addr) || len(l.found) >= maxAddresses {
			return false
		}
		if len(l.found) == 0 {
			l.end = now.Add(lingering)
			l.next = l.end
		}
		l.found = append(l.found, addr)
		r.result(l.asked, addr)
		return true
	}
	return false
}

// equalFold compares names without regard to ASCII case (RFC 6762 §16). The
// first one is in lower case.
func equalFold(lower, name dnsmessage.Name) bool {
	if lower.Length != name.Length {
		return false
	}
	for i := range int(name.Length) {
		c := name.Data[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower.Data[i] {
			return false
		}
	}
	return true
}
