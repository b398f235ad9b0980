package mdns

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Port is the port of multicast DNS (RFC 6762 §3).
const Port = 5353

// groups are the multicast groups, IPv4 and IPv6.
var groups = [2]netip.AddrPort{
	netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, 251}), Port),
	netip.AddrPortFrom(netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0xfb}), Port),
}

// Groups returns the multicast groups, IPv4 and IPv6 (RFC 6762 §3).
func Groups() (v4, v6 netip.AddrPort) { return groups[0], groups[1] }

const (
	maxNames     = 32
	maxAddresses = 8 // addresses of one name
	maxResults   = maxNames * (maxAddresses + 1)

	firstInterval = time.Second // RFC 6762 §5.2: the interval is at least one second, and then doubles
	sendings      = 4           // how often a query is sent: after 0, 1, 3 and 7 s
	giveUpAfter   = 10 * time.Second

	// lingering is how long further addresses are accepted after the first one,
	// because IPv4 and IPv6 addresses arrive in different packets.
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

// A lookup is the search for the addresses of one name.
type lookup struct {
	name     dnsmessage.Name
	asked    string // the name as it was given to Start
	sent     int
	next     time.Time // when the next query is sent, or the lookup ends
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

// NewResolver returns a resolver without names.
func NewResolver() *Resolver { return &Resolver{} }

// Start asks for the addresses of name, which must end in ".local". However often
// Start is called, there is only one lookup of a name.
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
			// Addresses that are already known are reported again.
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

// Stop ends the lookup of a name.
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

// Advance sends queries that are due, and ends lookups that have reached their time
// limit.
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

// NextTimeout returns when Advance has something to do. The zero time means never.
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

// Next returns the next address that was found. The zero address says that the lookup
// of the name has ended.
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

// AppendQuery appends the next query to dst, and returns the multicast group to send
// it to.
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

// appendQuery appends a query for the addresses of both families. It asks for
// multicast responses (RFC 6762 §5.3), because a unicast response would reach only
// one of the programs that share the port on this machine.
func appendQuery(dst []byte, name dnsmessage.Name) ([]byte, error) {
	start := len(dst)
	m := dnsmessage.NewBuilder(nil, dnsmessage.Header{}) // RFC 6762 §18: all fields are zero
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

// maxRecords bounds the work for one packet.
const maxRecords = 64

// cacheFlush is the top bit of a record's class (RFC 6762 §10.2).
const cacheFlush = 0x8000

// HandlePacket processes a packet from a multicast group. It reports whether the
// packet had a new address.
func (r *Resolver) HandlePacket(now time.Time, b []byte) bool {
	if len(r.lookups) == 0 {
		return false
	}
	var p dnsmessage.Parser
	h, err := p.Start(b)
	// RFC 6762 §18: packets that are not responses, or have an opcode or an error,
	// are ignored. The packet's id is ignored too.
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

// readAddr returns the address of an A or AAAA record.
func readAddr(p *dnsmessage.Parser, h dnsmessage.ResourceHeader) (netip.Addr, bool) {
	if h.Class&^cacheFlush != dnsmessage.ClassINET || h.TTL == 0 { // RFC 6762 §10.1: TTL 0 withdraws the record
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

// found handles an address of a name, if the name is being looked up. It reports
// whether the address is new.
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

// equalFold reports whether two names are equal except for ASCII case (RFC 6762 §16).
// lower is in lower case.
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
