package mdns

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// recordTTL is the TTL of records with host names (RFC 6762 §10), in seconds.
	recordTTL = 120

	// answerInterval is the least time between two answers with the same record to the
	// same group (RFC 6762 §6). Questions that arrive during this interval are
	// answered at its end.
	answerInterval = time.Second

	// maxQuestions bounds the work for one packet.
	maxQuestions = 32

	typeNSEC dnsmessage.Type = 47
)

// A Responder answers queries for names of this machine.
//
// Its names are random and exist as long as a connection. So it neither probes for
// other owners of its names (RFC 6762 §8.1) nor announces its names (§8.3). No cache
// knows a name before somebody asks for it, and only hosts that know a name get its
// address. Answers are always multicast, so that a forged source address gets no
// answer.
type Responder struct {
	records []*record
}

// A record is a name and its address.
type record struct {
	name dnsmessage.Name // in lower case
	addr netip.Addr
	sent [len(groups)]time.Time // when the last answer was sent to each group
	due  [len(groups)]time.Time // when the next answer is due in each group; zero: none is due
}

// Add adds a name. The responder answers queries for it with addr.
func (r *Responder) Add(name string, addr netip.Addr) error {
	lower := strings.ToLower(strings.TrimSuffix(name, "."))
	if !strings.HasSuffix(lower, ".local") || !validLabels(lower) || !addr.IsValid() {
		return ErrName
	}
	n, err := dnsmessage.NewName(lower + ".")
	if err != nil {
		return ErrName
	}
	if slices.ContainsFunc(r.records, func(o *record) bool { return o.name == n }) {
		return nil
	}
	if len(r.records) >= maxNames {
		return ErrTooMany
	}
	r.records = append(r.records, &record{name: n, addr: addr.Unmap().WithZone("")})
	return nil
}

// Remove removes a name, so that queries for it are no longer answered.
func (r *Responder) Remove(name string) {
	n, err := dnsmessage.NewName(strings.ToLower(strings.TrimSuffix(name, ".")) + ".")
	if err == nil {
		r.records = slices.DeleteFunc(r.records, func(o *record) bool { return o.name == n })
	}
}

// HandlePacket processes a packet from a multicast group. v4 says that it is the IPv4
// group. asked reports whether an answer is due.
func (r *Responder) HandlePacket(now time.Time, v4 bool, b []byte) (asked bool) {
	if len(r.records) == 0 {
		return false
	}
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || h.Response || h.OpCode != 0 || h.RCode != dnsmessage.RCodeSuccess {
		return false // RFC 6762 §18: only queries without an error are answered
	}
	group := 1
	if v4 {
		group = 0
	}
	for range maxQuestions {
		q, err := p.Question()
		if err != nil {
			break
		}
		// The top bit of the class asks for a unicast response (RFC 6762 §5.4).
		if class := q.Class &^ cacheFlush; class != dnsmessage.ClassINET && class != dnsmessage.ClassANY {
			continue
		}
		for _, o := range r.records {
			if equalFold(o.name, q.Name) {
				o.ask(now, group)
				asked = true
			}
		}
	}
	return asked
}

// ask schedules an answer with the record. The answer also says which types do not
// exist, so the type of the question does not matter.
func (o *record) ask(now time.Time, group int) {
	if !o.due[group].IsZero() {
		return
	}
	o.due[group] = now
	if next := o.sent[group].Add(answerInterval); !o.sent[group].IsZero() && now.Before(next) {
		o.due[group] = next
	}
}

// NextTimeout returns when AppendAnswer has something to send. The zero time means
// never.
func (r *Responder) NextTimeout() time.Time {
	var at time.Time
	for _, o := range r.records {
		for _, t := range o.due {
			if !t.IsZero() && (at.IsZero() || t.Before(at)) {
				at = t
			}
		}
	}
	return at
}

// AppendAnswer appends the next answer that is due to dst. It returns the multicast
// group to send it to, and the address in it: the answer is only for the link of that
// address.
func (r *Responder) AppendAnswer(now time.Time, dst []byte) (b []byte, group netip.AddrPort, addr netip.Addr, ok bool) {
	for _, o := range r.records {
		for g, at := range o.due {
			if at.IsZero() || now.Before(at) {
				continue
			}
			o.due[g], o.sent[g] = time.Time{}, now
			if b, err := o.append(dst); err == nil {
				return b, groups[g], o.addr, true
			}
		}
	}
	return dst, netip.AddrPort{}, netip.Addr{}, false
}

// append appends the answer: the address record, and an NSEC record which says that no
// other type exists (RFC 6762 §6.1).
func (o *record) append(dst []byte) ([]byte, error) {
	m := dnsmessage.NewBuilder(nil, dnsmessage.Header{Response: true, Authoritative: true})
	h := dnsmessage.ResourceHeader{Name: o.name, Class: dnsmessage.ClassINET | cacheFlush, TTL: recordTTL}
	if err := m.StartAnswers(); err != nil {
		return dst, err
	}
	var err error
	if o.addr.Is4() {
		err = m.AResource(h, dnsmessage.AResource{A: o.addr.As4()})
	} else {
		err = m.AAAAResource(h, dnsmessage.AAAAResource{AAAA: o.addr.As16()})
	}
	if err == nil {
		err = m.StartAdditionals()
	}
	if err == nil {
		err = m.UnknownResource(h, dnsmessage.UnknownResource{Type: typeNSEC, Data: o.nsec()})
	}
	if err != nil {
		return dst, err
	}
	b, err := m.Finish()
	return append(dst, b...), err
}

// nsec returns the data of an NSEC record (RFC 4034 §4.1): the name itself as the
// next name, and the bitmap of its only type.
func (o *record) nsec() []byte {
	var b []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(o.name.String(), "."), ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0)
	typ := dnsmessage.TypeAAAA
	if o.addr.Is4() {
		typ = dnsmessage.TypeA
	}
	bitmap := make([]byte, typ/8+1)
	bitmap[typ/8] = 0x80 >> (typ % 8)
	return append(append(b, 0, byte(len(bitmap))), bitmap...)
}
