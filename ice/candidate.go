package ice

import "net/netip"

// A CandidateType is host, srflx, prflx or relay (RFC 8445 §5.1.1).
type CandidateType uint8

const (
	Host CandidateType = iota
	ServerReflexive
	PeerReflexive
	Relay
)

// A Candidate is a transport address of an ICE agent (RFC 8839 §5.1).
type Candidate struct {
	Foundation string
	Component  int
	Transport  string // "udp" or "tcp"
	Priority   uint32
	Name       string         // a name in place of Addr's address, such as an mDNS one
	Addr       netip.AddrPort // address and port; only the port where Name is set
	Type       CandidateType
	Related    netip.AddrPort // raddr and rport
	TCPType    string         // RFC 6544: active, passive, so
	Ufrag      string         // the generation that it belongs to; may be empty
}

// ParseCandidate reads a candidate line, with or without "a=" and
// "candidate:". Unknown extensions are ignored.
func ParseCandidate(s string) (Candidate, error) { return Candidate{}, nil }

// String is the candidate in the form of RFC 8839 §5.1, beginning with
// "candidate:".
func (c Candidate) String() string { return "" }
