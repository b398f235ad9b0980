package dtls

import (
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// An extensionType is a value of the IANA "TLS ExtensionType Values" registry.
type extensionType uint16

const (
	extServerName           extensionType = 0     // RFC 6066 §3
	extSupportedGroups      extensionType = 10    // RFC 8422 §5.1.1
	extECPointFormats       extensionType = 11    // RFC 8422 §5.1.2
	extSignatureAlgorithms  extensionType = 13    // RFC 8446 §4.2.3
	extUseSRTP              extensionType = 14    // RFC 5764 §4.1
	extALPN                 extensionType = 16    // RFC 7301
	extExtendedMasterSecret extensionType = 23    // RFC 7627
	extRecordSizeLimit      extensionType = 28    // RFC 8449 §4
	extSessionTicket        extensionType = 35    // RFC 5077 §3.2
	extPreSharedKey         extensionType = 41    // RFC 8446 §4.2.11
	extEarlyData            extensionType = 42    // RFC 8446 §4.2.10
	extSupportedVersions    extensionType = 43    // RFC 8446 §4.2.1
	extCookie               extensionType = 44    // RFC 8446 §4.2.2
	extPSKModes             extensionType = 45    // RFC 8446 §4.2.9
	extAuthorities          extensionType = 47    // RFC 8446 §4.2.4
	extKeyShare             extensionType = 51    // RFC 8446 §4.2.8
	extConnectionID         extensionType = 54    // RFC 9146 §3
	extExternalSessionID    extensionType = 56    // RFC 8844 §4.3
	extQUIC                 extensionType = 57    // RFC 9001 §8.2
	extRenegotiationInfo    extensionType = 65281 // RFC 5746
)

// Limits of a hello: what is longer is no hello of an honest far end.
const (
	maxSessionID = 32  // RFC 5246 §7.4.1.2
	maxCookie    = 255 // RFC 6347 §4.3.2

	minExternalSessionID, maxExternalSessionID = 20, 255 // RFC 8844 §4.3
)

// A clientHello is RFC 6347 §4.2.1 with the extensions that matter here.
type clientHello struct {
	version      Version // legacy_version
	random       [32]byte
	sessionID    []byte
	cookie       []byte
	suites       []CipherSuite
	compressions []byte
	extensions   helloExtensions
}

// A serverHello is RFC 5246 §7.4.1.3 with the extensions that matter here.
type serverHello struct {
	version     Version
	random      [32]byte
	sessionID   []byte
	suite       CipherSuite
	compression uint8
	extensions  helloExtensions
}

// helloExtensions is what the extensions of either hello hold. A nil slice
// is an extension that is not there.
type helloExtensions struct {
	seen                 []extensionType // all of them, in order
	serverName           string
	acknowledgeName      bool // a server's answer to it
	groups               []Group
	pointFormats         []byte
	schemes              []SignatureScheme
	srtpProfiles         []uint16
	alpn                 []string
	extendedMasterSecret bool
	renegotiationInfo    []byte // renegotiated_connection
	versions             []Version
	keyShares            []keyShare // one in a ServerHello, without data in a HelloRetryRequest
	cookie               []byte
	sessionTicket        []byte
	pskModes             []byte
	psk                  *preShared // that a client sends
	pskBody              []byte     // that a server got, not parsed yet
	selectedPSK          uint16     // a server's
	sizeLimit            uint16     // record_size_limit, if not 0
	connectionID         []byte
	externalSessionID    []byte
	authorities          [][]byte // the DER names of issuers that suit
}

// A keyShare is RFC 8446 §4.2.8's KeyShareEntry.
type keyShare struct {
	group Group
	data  []byte
	tail  []byte // goes behind data: the second part of a hybrid share of ours
}

// has tells whether extension t was there.
func (e *helloExtensions) has(t extensionType) bool { return slices.Contains(e.seen, t) }

// marshal appends the body of the message.
func (m *clientHello) marshal() ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 512+m.extensions.bulk()))
	b.AddUint16(uint16(m.version))
	b.AddBytes(m.random[:])
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(m.sessionID) })
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(m.cookie) })
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, s := range m.suites {
			b.AddUint16(uint16(s))
		}
	})
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(m.compressions) })
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { m.extensions.marshal(b, true) })
	return b.Bytes()
}

// marshal appends the body of the message.
func (m *serverHello) marshal() ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 128+m.extensions.bulk()))
	b.AddUint16(uint16(m.version))
	b.AddBytes(m.random[:])
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(m.sessionID) })
	b.AddUint16(uint16(m.suite))
	b.AddUint8(m.compression)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { m.extensions.marshal(b, false) })
	return b.Bytes()
}

// bulk is about how long the long ones of the extensions are.
func (e *helloExtensions) bulk() int {
	n := len(e.cookie) + len(e.sessionTicket)
	for _, k := range e.keyShares {
		n += len(k.data) + len(k.tail)
	}
	if e.psk != nil {
		for _, id := range e.psk.identities {
			n += len(id.ticket)
		}
	}
	return n
}

// marshal writes the extensions that are set. The forms of a client and of a
// server differ in some of them.
func (e *helloExtensions) marshal(b *cryptobyte.Builder, client bool) {
	add := func(t extensionType, body func(b *cryptobyte.Builder)) {
		b.AddUint16(uint16(t))
		b.AddUint16LengthPrefixed(body)
	}
	if e.acknowledgeName {
		add(extServerName, func(*cryptobyte.Builder) {})
	}
	if e.serverName != "" && client {
		add(extServerName, func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				b.AddUint8(0) // host_name
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(e.serverName)) })
			})
		})
	}
	if e.extendedMasterSecret {
		add(extExtendedMasterSecret, func(*cryptobyte.Builder) {})
	}
	if e.renegotiationInfo != nil {
		add(extRenegotiationInfo, func(b *cryptobyte.Builder) {
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.renegotiationInfo) })
		})
	}
	if e.groups != nil {
		add(extSupportedGroups, func(b *cryptobyte.Builder) { addUint16s(b, e.groups) })
	}
	if e.pointFormats != nil {
		add(extECPointFormats, func(b *cryptobyte.Builder) {
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.pointFormats) })
		})
	}
	if e.schemes != nil {
		add(extSignatureAlgorithms, func(b *cryptobyte.Builder) { addUint16s(b, e.schemes) })
	}
	if e.alpn != nil {
		add(extALPN, func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				for _, p := range e.alpn {
					b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(p)) })
				}
			})
		})
	}
	if e.srtpProfiles != nil {
		add(extUseSRTP, func(b *cryptobyte.Builder) {
			addUint16s(b, e.srtpProfiles)
			b.AddUint8(0) // no MKI
		})
	}
	if e.sizeLimit != 0 {
		add(extRecordSizeLimit, func(b *cryptobyte.Builder) { b.AddUint16(e.sizeLimit) })
	}
	if e.connectionID != nil {
		add(extConnectionID, func(b *cryptobyte.Builder) {
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.connectionID) })
		})
	}
	if e.externalSessionID != nil {
		add(extExternalSessionID, func(b *cryptobyte.Builder) {
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.externalSessionID) })
		})
	}
	if e.versions != nil {
		add(extSupportedVersions, func(b *cryptobyte.Builder) { addVersions(b, e.versions, client) })
	}
	if e.cookie != nil {
		add(extCookie, func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.cookie) })
		})
	}
	if e.keyShares != nil {
		add(extKeyShare, func(b *cryptobyte.Builder) { addKeyShares(b, e.keyShares, client) })
	}
	if e.sessionTicket != nil {
		add(extSessionTicket, func(b *cryptobyte.Builder) { b.AddBytes(e.sessionTicket) })
	}
	if e.pskModes != nil {
		add(extPSKModes, func(b *cryptobyte.Builder) {
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.pskModes) })
		})
	}
	// RFC 8446 §4.2.11: it MUST be the last.
	if e.psk != nil {
		add(extPreSharedKey, e.psk.marshal)
	} else if !client && e.has(extPreSharedKey) {
		add(extPreSharedKey, func(b *cryptobyte.Builder) { b.AddUint16(e.selectedPSK) })
	}
}

// addVersions writes supported_versions: a list from a client, one number
// from a server (RFC 8446 §4.2.1).
func addVersions(b *cryptobyte.Builder, list []Version, client bool) {
	one := func(b *cryptobyte.Builder) {
		for _, v := range list {
			b.AddUint16(uint16(v))
		}
	}
	if client {
		b.AddUint8LengthPrefixed(one)
	} else {
		one(b)
	}
}

// addKeyShares writes key_share (RFC 8446 §4.2.8): a list from a client, one
// entry from a server, whose HelloRetryRequest has only the group.
func addKeyShares(b *cryptobyte.Builder, list []keyShare, client bool) {
	entries := func(b *cryptobyte.Builder) {
		for _, k := range list {
			b.AddUint16(uint16(k.group))
			if k.data != nil {
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
					b.AddBytes(k.data)
					b.AddBytes(k.tail)
				})
			}
		}
	}
	if client {
		b.AddUint16LengthPrefixed(entries)
	} else {
		entries(b)
	}
}

// addUint16s writes a list with a two-byte length before it.
func addUint16s[T ~uint16](b *cryptobyte.Builder, list []T) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, v := range list {
			b.AddUint16(uint16(v))
		}
	})
}

// readUint16s reads what addUint16s writes. An empty list is an error.
func readUint16s[T ~uint16](s *cryptobyte.String, list *[]T) bool {
	var inner cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&inner) || len(inner) == 0 || len(inner)%2 != 0 {
		return false
	}
	return readAllUint16s(inner, list)
}

func readAllUint16s[T ~uint16](s cryptobyte.String, list *[]T) bool {
	*list = make([]T, 0, len(s)/2)
	for len(s) > 0 {
		var v uint16
		if !s.ReadUint16(&v) {
			return false
		}
		*list = append(*list, T(v))
	}
	return true
}

var errDecode = fatal(AlertDecodeError, "malformed handshake message")

// parseClientHello reads the body of a ClientHello. What it returns are views
// of body.
func parseClientHello(body []byte) (m clientHello, err error) {
	s := cryptobyte.String(body)
	var version uint16
	var sessionID, cookie, compressions cryptobyte.String
	if !s.ReadUint16(&version) || !s.CopyBytes(m.random[:]) ||
		!s.ReadUint8LengthPrefixed(&sessionID) || len(sessionID) > maxSessionID ||
		!s.ReadUint8LengthPrefixed(&cookie) ||
		!readUint16s(&s, &m.suites) ||
		!s.ReadUint8LengthPrefixed(&compressions) || len(compressions) == 0 {
		return m, errDecode
	}
	m.version, m.sessionID, m.cookie, m.compressions = Version(version), sessionID, cookie, compressions
	err = m.extensions.parse(s, true)
	return m, err
}

// parseServerHello reads the body of a ServerHello.
func parseServerHello(body []byte) (m serverHello, err error) {
	s := cryptobyte.String(body)
	var version, suite uint16
	var sessionID cryptobyte.String
	if !s.ReadUint16(&version) || !s.CopyBytes(m.random[:]) ||
		!s.ReadUint8LengthPrefixed(&sessionID) || len(sessionID) > maxSessionID ||
		!s.ReadUint16(&suite) || !s.ReadUint8(&m.compression) {
		return m, errDecode
	}
	m.version, m.sessionID, m.suite = Version(version), sessionID, CipherSuite(suite)
	err = m.extensions.parse(s, false)
	return m, err
}

// parse reads the extensions block that ends a hello; it may be missing
// altogether (RFC 5246 §7.4.1.2).
func (e *helloExtensions) parse(s cryptobyte.String, client bool) error {
	if len(s) == 0 {
		return nil
	}
	var block cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&block) || len(s) != 0 {
		return errDecode
	}
	for len(block) > 0 {
		var t uint16
		var body cryptobyte.String
		if !block.ReadUint16(&t) || !block.ReadUint16LengthPrefixed(&body) {
			return errDecode
		}
		// RFC 5246 §7.4.1.4: there MUST NOT be more than one of a type.
		// The limit keeps the search for a second one short.
		if e.has(extensionType(t)) || len(e.seen) == maxExtensions {
			return fatal(AlertDecodeError, "extension %d twice, or too many", t)
		}
		if client && e.has(extPreSharedKey) {
			return fatal(AlertIllegalParameter, "extension %d behind pre_shared_key", t) // RFC 8446 §4.2.11
		}
		e.seen = append(e.seen, extensionType(t))
		if !e.parseOne(extensionType(t), body, client) {
			return fatal(AlertDecodeError, "malformed extension %d", t)
		}
	}
	return nil
}

// maxExtensions is far above the 20 or so that browsers send.
const maxExtensions = 128

// parseOne reads one extension; unknown ones are skipped.
func (e *helloExtensions) parseOne(t extensionType, s cryptobyte.String, client bool) bool {
	switch t {
	case extExtendedMasterSecret:
		e.extendedMasterSecret = true
	case extServerName:
		if client && !readServerName(&s, &e.serverName) {
			return false
		}
	case extRenegotiationInfo:
		var v cryptobyte.String
		if !s.ReadUint8LengthPrefixed(&v) {
			return false
		}
		e.renegotiationInfo = append([]byte{}, v...)
	case extSupportedGroups:
		// A server has no business sending it in 1.2, but some do.
		if !readUint16s(&s, &e.groups) {
			return false
		}
	case extECPointFormats:
		var v cryptobyte.String
		if !s.ReadUint8LengthPrefixed(&v) || len(v) == 0 {
			return false
		}
		e.pointFormats = v
	case extSignatureAlgorithms:
		if !readUint16s(&s, &e.schemes) {
			return false
		}
	case extUseSRTP:
		var mki cryptobyte.String
		if !readUint16s(&s, &e.srtpProfiles) || !s.ReadUint8LengthPrefixed(&mki) {
			return false
		}
	case extALPN:
		if !readALPN(&s, &e.alpn) {
			return false
		}
	case extSupportedVersions:
		if !readVersions(&s, &e.versions, client) {
			return false
		}
	case extCookie:
		var v cryptobyte.String
		if !s.ReadUint16LengthPrefixed(&v) || len(v) == 0 {
			return false
		}
		e.cookie = v
	case extKeyShare:
		if !readKeyShares(&s, &e.keyShares, client) {
			return false
		}
	case extRecordSizeLimit:
		if !s.ReadUint16(&e.sizeLimit) {
			return false
		}
	case extConnectionID:
		var v cryptobyte.String
		if !s.ReadUint8LengthPrefixed(&v) {
			return false
		}
		e.connectionID = append([]byte{}, v...)
	case extExternalSessionID:
		var v cryptobyte.String
		if !s.ReadUint8LengthPrefixed(&v) || len(v) < minExternalSessionID {
			return false
		}
		e.externalSessionID = v
	case extSessionTicket:
		e.sessionTicket = append([]byte{}, s...)
		return true
	case extAuthorities:
		return !client || readAuthorities(&s, &e.authorities) && len(e.authorities) > 0 && s.Empty()
	case extPSKModes:
		var v cryptobyte.String
		if !s.ReadUint8LengthPrefixed(&v) || len(v) == 0 {
			return false
		}
		e.pskModes = v
	case extPreSharedKey:
		if !client {
			return s.ReadUint16(&e.selectedPSK) && s.Empty()
		}
		// A server that chooses DTLS 1.2 does not look into it.
		e.pskBody = s
		return true
	default:
		return true
	}
	return len(s) == 0
}

// readServerName reads RFC 6066 §3's list, of which there is one kind of name
// and so, as no kind may come twice, one name.
func readServerName(s *cryptobyte.String, name *string) bool {
	var list, host cryptobyte.String
	var kind uint8
	if !s.ReadUint16LengthPrefixed(&list) || !list.ReadUint8(&kind) || kind != 0 ||
		!list.ReadUint16LengthPrefixed(&host) || len(host) == 0 || !list.Empty() {
		return false
	}
	*name = string(host)
	return true
}

// readAuthorities reads the names of issuers, in DER, of certificate_authorities
// (RFC 8446 §4.2.4) or a CertificateRequest (RFC 5246 §7.4.4), where there may
// be none.
func readAuthorities(s *cryptobyte.String, names *[][]byte) bool {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) {
		return false
	}
	for len(list) > 0 {
		var name cryptobyte.String
		if !list.ReadUint16LengthPrefixed(&name) || len(name) == 0 {
			return false
		}
		*names = append(*names, name)
	}
	return true
}

// readALPN reads RFC 7301 §3.1's list of names, none of them empty.
func readALPN(s *cryptobyte.String, names *[]string) bool {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || len(list) == 0 {
		return false
	}
	for len(list) > 0 {
		var name cryptobyte.String
		if !list.ReadUint8LengthPrefixed(&name) || len(name) == 0 {
			return false
		}
		*names = append(*names, string(name))
	}
	return true
}

// readVersions reads supported_versions: a list from a client, one number
// from a server (RFC 8446 §4.2.1).
func readVersions(s *cryptobyte.String, list *[]Version, client bool) bool {
	if !client {
		var v uint16
		ok := s.ReadUint16(&v)
		*list = []Version{Version(v)}
		return ok
	}
	var inner cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&inner) || len(inner) == 0 || len(inner)%2 != 0 {
		return false
	}
	return readAllUint16s(inner, list)
}

// readKeyShares reads what addKeyShares writes.
func readKeyShares(s *cryptobyte.String, list *[]keyShare, client bool) bool {
	*list = []keyShare{}
	if !client {
		var g uint16
		var data cryptobyte.String
		if !s.ReadUint16(&g) || !s.Empty() && (!s.ReadUint16LengthPrefixed(&data) || len(data) == 0) {
			return false
		}
		*list = append(*list, keyShare{group: Group(g), data: data})
		return true
	}
	var inner cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&inner) {
		return false
	}
	for len(inner) > 0 {
		var g uint16
		var data cryptobyte.String
		if !inner.ReadUint16(&g) || !inner.ReadUint16LengthPrefixed(&data) || len(data) == 0 || len(*list) == maxKeyShares {
			return false
		}
		*list = append(*list, keyShare{group: Group(g), data: data})
	}
	return true
}

// maxKeyShares is above the number of groups that anybody implements.
const maxKeyShares = 32
