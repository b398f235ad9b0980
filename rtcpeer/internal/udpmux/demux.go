package udpmux

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"purertc/stun"
)

// A demux finds the transport to which a datagram on a shared socket belongs. If the
// socket has a sole transport, demux uses only the field ports.
type demux struct {
	mu     sync.RWMutex
	ports  map[*Port]bool
	bound  map[netip.AddrPort]*Port
	before map[netip.AddrPort][]*Port // previous owners of addresses that have another owner in bound, oldest first
	hosts  map[netip.Addr][]*Port     // some of the ports that are bound to addresses of a host
	ufrags map[string]*Port

	// Pending requests, by transaction id. The oldest request is asked[first].
	waiting map[stun.TransactionID]*Port
	asked   []question
	first   int
	began   time.Time

	offers struct {
		sync.Mutex
		since  time.Time
		count  int
		byHost map[netip.Addr]int
	}
}

// A question is a request with a response that may come from an unbound address. There
// are thousands, so a question has no pointer that the garbage collector would have to
// follow.
type question struct {
	id stun.TransactionID
	at time.Duration // time since demux.began
}

const (
	maxQuestions  = 4096
	questionsLast = 40 * time.Second // how long a question is kept: for the longest time that a STUN transaction can take
	maxAsked      = 32               // number of a port's requests from which the port drops old requests

	// Limits for data from unknown addresses. Each port that gets a copy has to try to
	// decrypt the copy.
	maxOffered  = 4 // ports that get a copy
	maxBefore   = 3 // previous owners that get a copy
	maxOffers   = 16
	maxOfHost   = 4 // limit for one host, so that it does not use up maxOffers alone
	offerWindow = 100 * time.Millisecond
)

func (d *demux) all() []*Port {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Collect(maps.Keys(d.ports))
}

func (d *demux) attach(p *Port) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.sole && len(d.ports) > 0 {
		return ErrNotSole
	}
	if len(d.ports) == 1 { // a sole port allows no other port
		for q := range d.ports {
			if q.sole {
				return ErrNotSole
			}
		}
	}
	if d.ports == nil {
		d.ports = map[*Port]bool{}
	}
	if !p.sole && d.bound == nil {
		d.bound = map[netip.AddrPort]*Port{}
		d.before = map[netip.AddrPort][]*Port{}
		d.hosts = map[netip.Addr][]*Port{}
		d.ufrags = map[string]*Port{}
		d.waiting = map[stun.TransactionID]*Port{}
		d.began = time.Now()
	}
	d.ports[p] = true
	return nil
}

func (d *demux) detach(p *Port) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.ports, p)
	for _, a := range p.binds {
		d.release(p, a)
		d.leaveHost(p, a.Addr())
	}
	for _, u := range p.ufrags {
		delete(d.ufrags, u)
	}
	for _, id := range p.asked {
		if d.waiting[id] == p {
			delete(d.waiting, id)
		}
	}
	p.binds, p.ufrags, p.asked = nil, nil, nil
}

func (d *demux) addUfrag(p *Port, ufrag string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch holder := d.ufrags[ufrag]; {
	case p.closed.Load():
		return ErrClosed
	case holder == p:
		return nil
	case holder != nil:
		return ErrTaken
	case len(p.ufrags) >= maxUfrags:
		return ErrLimit
	}
	d.ufrags[ufrag] = p
	p.ufrags = append(p.ufrags, ufrag)
	return nil
}

func (d *demux) removeUfrag(p *Port, ufrag string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ufrags[ufrag] == p {
		delete(d.ufrags, ufrag)
		p.ufrags = slices.DeleteFunc(p.ufrags, func(u string) bool { return u == ufrag })
	}
}

// bind gives an address to a port. proven says that the remote has been validated at
// that address. If proven is set, bind takes the address from another port, which
// becomes its previous owner.
func (d *demux) bind(p *Port, remote netip.AddrPort, proven bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	holder, mine := d.bound[remote], slices.Contains(p.binds, remote)
	switch {
	case p.closed.Load():
		return ErrClosed
	case holder == p:
		return nil
	case holder != nil && !proven:
		return ErrTaken
	case !mine && len(p.binds) >= maxBinds:
		return ErrLimit
	}
	if mine {
		d.release(p, remote)
	} else {
		p.binds = append(p.binds, remote)
	}
	if holder != nil {
		d.keepBefore(holder, remote)
	}
	d.bound[remote] = p
	if h := d.hosts[remote.Addr()]; len(h) < maxOffered && !slices.Contains(h, p) {
		d.hosts[remote.Addr()] = append(h, p)
	}
	return nil
}

// keepBefore adds p to the previous owners of an address.
func (d *demux) keepBefore(p *Port, remote netip.AddrPort) {
	all := d.before[remote]
	if len(all) == maxBefore {
		all[0].binds = slices.DeleteFunc(all[0].binds, func(a netip.AddrPort) bool { return a == remote })
		d.leaveHost(all[0], remote.Addr())
		all = slices.Delete(all, 0, 1)
	}
	d.before[remote] = append(all, p)
}

// release ends p's ownership of an address. If p is the present owner, the most recent
// previous owner becomes the owner again.
func (d *demux) release(p *Port, remote netip.AddrPort) {
	all := d.before[remote]
	if last := len(all) - 1; d.bound[remote] != p {
		all = slices.DeleteFunc(all, func(q *Port) bool { return q == p })
	} else if last >= 0 {
		d.bound[remote] = all[last]
		all = slices.Delete(all, last, last+1)
	} else {
		delete(d.bound, remote)
	}
	if len(all) > 0 {
		d.before[remote] = all
	} else {
		delete(d.before, remote)
	}
}

// leaveHost removes p from the ports of a host.
func (d *demux) leaveHost(p *Port, host netip.Addr) {
	h := d.hosts[host]
	i := slices.Index(h, p)
	switch {
	case i < 0:
	case len(h) == 1:
		delete(d.hosts, host)
	default:
		d.hosts[host] = slices.Delete(h, i, i+1)
	}
}

func (d *demux) unbind(p *Port, remote netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Contains(p.binds, remote) {
		d.release(p, remote)
		p.binds = slices.DeleteFunc(p.binds, func(a netip.AddrPort) bool { return a == remote })
		if !slices.ContainsFunc(p.binds, func(a netip.AddrPort) bool { return a.Addr() == remote.Addr() }) {
			d.leaveHost(p, remote.Addr())
		}
	}
}

// mayOwn returns the ports that may own an unknown address. These are ports bound to
// the same host: its NAT may have assigned another port. There are few of these ports,
// and the number of searches for them is limited.
func (d *demux) mayOwn(now time.Time, remote netip.AddrPort) (ports [maxOffered]*Port, n int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	h := d.hosts[remote.Addr()]
	if len(h) == 0 {
		return ports, 0
	}
	o := &d.offers
	o.Lock()
	defer o.Unlock()
	if now.Sub(o.since) > offerWindow {
		o.since, o.count = now, 0
		clear(o.byHost)
	}
	if o.count >= maxOffers || o.byHost[remote.Addr()] >= maxOfHost {
		return ports, 0
	}
	if o.byHost == nil {
		o.byHost = make(map[netip.Addr]int, maxOffers)
	}
	o.count++
	o.byHost[remote.Addr()]++
	return ports, copy(ports[:], h)
}

// owner returns the port that a remote address is bound to, or nil if there is none.
// The first n elements of before are previous owners that have not released the
// address.
func (d *demux) owner(remote netip.AddrPort) (p *Port, before [maxBefore]*Port, n int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	p = d.bound[remote]
	if len(d.before) > 0 {
		n = copy(before[:], d.before[remote])
	}
	return p, before, n
}

// stun returns the port for a STUN message. owner is the owner of the address that the
// message came from, or nil. A bound address may send a request to another port. That
// port becomes the owner of the address once the remote has authenticated itself
// there. unclaimed reports whether the message is a connectivity check that names the
// ufrag of no port.
func (d *demux) stun(now time.Time, b []byte, owner *Port) (p *Port, unclaimed bool) {
	m, err := stun.Parse(b)
	if err != nil {
		return nil, false
	}
	switch m.Type().Class() {
	case stun.ClassRequest:
		username, _ := m.Get(stun.AttrUsername)
		ufrag, _, ok := bytes.Cut(username, []byte{':'})
		if !ok {
			return owner, false
		}
		if p := d.named(username, ufrag); p != nil {
			return p, false
		}
		return owner, m.Type() == stun.BindingRequest
	case stun.ClassSuccess, stun.ClassError:
		if p := d.answered(m.TransactionID()); p != nil {
			return p, false
		}
	}
	return owner, false
}

// named returns the port for a request: the port with the request's whole USERNAME, or
// else the port with the ufrag before the colon.
func (d *demux) named(username, ufrag []byte) *Port {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if p := d.ufrags[string(username)]; p != nil {
		return p
	}
	return d.ufrags[string(ufrag)]
}

// claimed reports whether a request with this USERNAME belongs to a port.
func (d *demux) claimed(username string) bool {
	ufrag, _, _ := strings.Cut(username, ":")
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.ufrags[username] != nil || d.ufrags[ufrag] != nil
}

// answered returns the port that sent a request. A request may be answered more than
// once, if it was retransmitted or is a keepalive to a server.
func (d *demux) answered(id stun.TransactionID) *Port {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.waiting[id]
}

// note remembers which port sends a request to an address that is not bound to the
// port.
func (d *demux) note(now time.Time, p *Port, remote netip.AddrPort, b []byte) {
	if !stun.Is(b) || b[0] != 0 || b[1]&0x10 != 0 {
		return // not a request; methods of 0x80 and above do not exist
	}
	id := stun.TransactionID(b[8:20])
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bound[remote] == p || d.waiting[id] == p || p.closed.Load() {
		return
	}
	at := now.Sub(d.began)
	for d.first < len(d.asked) && (len(d.asked)-d.first >= maxQuestions || at-d.asked[d.first].at > questionsLast) {
		delete(d.waiting, d.asked[d.first].id)
		d.first++
	}
	if d.first > len(d.asked)/2 {
		d.asked = append(d.asked[:0], d.asked[d.first:]...)
		d.first = 0
	}
	d.waiting[id] = p
	d.asked = append(d.asked, question{id, at})
	if len(p.asked) >= maxAsked {
		p.asked = slices.DeleteFunc(p.asked, func(id stun.TransactionID) bool { return d.waiting[id] != p })
	}
	p.asked = append(p.asked, id)
}
