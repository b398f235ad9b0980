package ice

import "net/netip"

// Type preferences, as RFC 8445 §5.1.2.2 recommends them.
const (
	typePreferenceHost  = 126
	typePreferencePrflx = 110
	typePreferenceSrflx = 100
	typePreferenceRelay = 0
)

func (t CandidateType) preference() uint32 {
	switch t {
	case Host:
		return typePreferenceHost
	case PeerReflexive:
		return typePreferencePrflx
	case ServerReflexive:
		return typePreferenceSrflx
	}
	return typePreferenceRelay
}

// preferenceOver returns the type preference of a candidate over UDP or TCP.
func (t CandidateType) preferenceOver(tcp TCPType) uint32 {
	switch {
	case tcp != NotTCP && t == Host:
		return typePreferenceHostTCP
	case tcp != NotTCP:
		return typePreferencePrflxTCP
	}
	return t.preference()
}

// candidatePriority computes the formula of RFC 8445 §5.1.2.1, for component 1.
func candidatePriority(typePreference uint32, localPreference uint16) uint32 {
	return typePreference<<24 | uint32(localPreference)<<8 | (256 - 1)
}

// localPreference returns the local preference of an address. n is its number in its
// family, from 0. The families alternate, IPv6 first, so that a family that does not
// work delays the other by only one check (RFC 8421 §4). Link-local and loopback
// addresses, which reach the fewest hosts, come after all others.
func localPreference(addr netip.Addr, n int) uint16 {
	p := 65535 - 2*n
	if addr.Is4() {
		p--
	}
	switch {
	case addr.IsLoopback():
		p -= 0x4000
	case addr.IsLinkLocalUnicast():
		p -= 0x2000
	}
	return uint16(p)
}

// pairPriority computes the formula of RFC 8445 §6.1.2.3. g is the priority of the
// controlling agent's candidate, d that of the controlled agent's.
func pairPriority(g, d uint32) uint64 {
	p := uint64(min(g, d))<<32 + 2*uint64(max(g, d))
	if g > d {
		p++
	}
	return p
}
