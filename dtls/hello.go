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

// Limits of a hello. An honest peer does not send a hello that exceeds them.
const (
	maxSessionID = 32  // RFC 5246 §7.4.1.2
	maxCookie    = 255 // RFC 6347 §4.3.2

	minExternalSessionID, maxExternalSessionID = 20, 255 // RFC 8844 §4.3

	maxExtensions = 128 // browsers send about 20
	maxKeyShares  = 32  // more than the number of existing groups

	usualHello = 1536 // size in bytes; a ClientHello with a post-quantum key share is a little shorter
)

// A clientHello is the ClientHello of RFC 6347 §4.2.1.
type clientHello struct {
	version      Version // legacy_version
	random       [32]byte
	sessionID    []byte
	cookie       []byte
	suites       []CipherSuite
	compressions []byte
	extensions   helloExtensions
}

// A serverHello is the ServerHello of RFC 5246 §7.4.1.3.
type serverHello struct {
	version     Version
	random      [32]byte
	sessionID   []byte
	suite       CipherSuite
	compression uint8
	extensions  helloExtensions
}

// helloExtensions are the extensions of a ClientHello or ServerHello that this package
// knows. If a slice is nil, the extension is absent.
type helloExtensions struct {
	seen                 []extensionType // types of all received extensions, in order
	serverName           string
	acknowledgeName      bool // the server confirms the client's server_name
	groups               []Group
	pointFormats         []byte
	schemes              []SignatureScheme
	srtpProfiles         []uint16
	alpn                 []string
	extendedMasterSecret bool
	renegotiationInfo    []byte // renegotiated_connection
	versions             []Version
	keyShares            []keyShare // a ServerHello has one; in a HelloRetryRequest it has no data
	cookie               []byte
	sessionTicket        []byte
	pskModes             []byte
	psk                  *preShared // in a client: the pre_shared_key extension to be sent
	pskBody              []byte     // in a server: the client's pre_shared_key extension, not parsed yet
	selectedPSK          uint16     // in a ServerHello: index of the ticket that the server chose
	sizeLimit            uint16     // record_size_limit; 0: absent
	connectionID         []byte
	externalSessionID    []byte
	authorities          [][]byte // DER names of the issuers that the sender trusts
}

// A keyShare is a KeyShareEntry (RFC 8446 §4.2.8).
type keyShare struct {
	group Group
	data  []byte
}

// has reports whether extension t was received.
func (e *helloExtensions) has(t extensionType) bool { return slices.Contains(e.seen, t) }

// marshal returns the body of the ClientHello.
func (m *clientHello) marshal() ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, usualHello))
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

// marshal returns the body of the ServerHello.
func (m *serverHello) marshal() ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 128))
	b.AddUint16(uint16(m.version))
	b.AddBytes(m.random[:])
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(m.sessionID) })
	b.AddUint16(uint16(m.suite))
	b.AddUint8(m.compression)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { m.extensions.marshal(b, false) })
	return b.Bytes()
}

// marshal writes the extensions that are set. Some extensions have different forms in
// messages of a client and of a server.
func (e *helloExtensions) marshal(b *cryptobyte.Builder, client bool) {
	add := func(t extensionType, body func(b *cryptobyte.Builder)) {
		b.AddUint16(uint16(t))
		b.AddUint16LengthPrefixed(body)
	}
	empty := func(*cryptobyte.Builder) {}
	add8 := func(t extensionType, v []byte) { // writes v after its one-byte length
		if v != nil {
			add(t, func(b *cryptobyte.Builder) {
				b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(v) })
			})
		}
	}
	if e.acknowledgeName {
		add(extServerName, empty)
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
		add(extExtendedMasterSecret, empty)
	}
	add8(extRenegotiationInfo, e.renegotiationInfo)
	if e.groups != nil {
		add(extSupportedGroups, func(b *cryptobyte.Builder) { addUint16s(b, e.groups) })
	}
	add8(extECPointFormats, e.pointFormats)
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
	add8(extConnectionID, e.connectionID)
	add8(extExternalSessionID, e.externalSessionID)
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
	add8(extPSKModes, e.pskModes)
	// RFC 8446 §4.2.11: pre_shared_key MUST be the last extension.
	if e.psk != nil {
		add(extPreSharedKey, e.psk.marshal)
	} else if !client && e.has(extPreSharedKey) {
		add(extPreSharedKey, func(b *cryptobyte.Builder) { b.AddUint16(e.selectedPSK) })
	}
}

// addVersions writes supported_versions (RFC 8446 §4.2.1). A client sends a list, and
// a server sends a single version.
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

// addKeyShares writes key_share (RFC 8446 §4.2.8). A client sends a list, and a
// server sends a single entry. In a HelloRetryRequest this entry contains only the
// group.
func addKeyShares(b *cryptobyte.Builder, list []keyShare, client bool) {
	entries := func(b *cryptobyte.Builder) {
		for _, k := range list {
			b.AddUint16(uint16(k.group))
			if k.data != nil {
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(k.data) })
			}
		}
	}
	if client {
		b.AddUint16LengthPrefixed(entries)
	} else {
		entries(b)
	}
}

// addUint16s writes a list of 16-bit values after the two-byte length of the list in
// bytes.
func addUint16s[T ~uint16](b *cryptobyte.Builder, list []T) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, v := range list {
			b.AddUint16(uint16(v))
		}
	})
}

// readUint16s reads a list of 16-bit values after the two-byte length of the list in
// bytes. An empty list is an error.
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

// parseClientHello parses the body of a ClientHello. The result contains slices of
// body.
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

// parseServerHello parses the body of a ServerHello.
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

// parse parses the extensions at the end of a hello. RFC 5246 §7.4.1.2: all
// extensions, together with their length, may be absent.
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
		// RFC 5246 §7.4.1.4: there MUST NOT be more than one extension of the same
		// type. The limit on their number keeps the search for a repetition short.
		if e.has(extensionType(t)) || len(e.seen) == maxExtensions {
			return fatal(AlertDecodeError, "extension %d twice, or too many", t)
		}
		if client && e.has(extPreSharedKey) {
			return fatal(AlertIllegalParameter, "extension %d behind pre_shared_key", t) // RFC 8446 §4.2.11: pre_shared_key is the last extension
		}
		e.seen = append(e.seen, extensionType(t))
		if !e.parseOne(extensionType(t), body, client) {
			return fatal(AlertDecodeError, "malformed extension %d", t)
		}
	}
	return nil
}

// parseOne parses one extension, and reports whether it is well formed. Unknown
// extensions are skipped.
func (e *helloExtensions) parseOne(t extensionType, s cryptobyte.String, client bool) bool {
	ok := true
	switch t {
	case extExtendedMasterSecret:
		e.extendedMasterSecret = true
	case extServerName:
		ok = !client || readServerName(&s, &e.serverName)
	case extRenegotiationInfo:
		ok = readBytes8(&s, &e.renegotiationInfo, 0)
	case extSupportedGroups:
		// A server of DTLS 1.2 must not send supported_groups, but some servers do.
		ok = readUint16s(&s, &e.groups)
	case extECPointFormats:
		ok = readBytes8(&s, &e.pointFormats, 1)
	case extSignatureAlgorithms:
		ok = readUint16s(&s, &e.schemes)
	case extUseSRTP:
		var mki []byte
		ok = readUint16s(&s, &e.srtpProfiles) && readBytes8(&s, &mki, 0)
	case extALPN:
		ok = readALPN(&s, &e.alpn)
	case extSupportedVersions:
		ok = readVersions(&s, &e.versions, client)
	case extCookie:
		var v cryptobyte.String
		ok = s.ReadUint16LengthPrefixed(&v) && len(v) > 0
		e.cookie = v
	case extKeyShare:
		ok = readKeyShares(&s, &e.keyShares, client)
	case extRecordSizeLimit:
		ok = s.ReadUint16(&e.sizeLimit)
	case extConnectionID:
		ok = readBytes8(&s, &e.connectionID, 0)
	case extExternalSessionID:
		ok = readBytes8(&s, &e.externalSessionID, minExternalSessionID)
	case extPSKModes:
		ok = readBytes8(&s, &e.pskModes, 1)
	case extSessionTicket:
		e.sessionTicket = append([]byte{}, s...)
		return true
	case extAuthorities:
		return !client || readAuthorities(&s, &e.authorities) && len(e.authorities) > 0 && s.Empty()
	case extPreSharedKey:
		if !client {
			return s.ReadUint16(&e.selectedPSK) && s.Empty()
		}
		e.pskBody = s // it is parsed later, and only by a server that chooses DTLS 1.3
		return true
	default:
		return true
	}
	return ok && s.Empty()
}

// readBytes8 reads a byte string after its one-byte length. It reports false if the
// string has less than n bytes.
func readBytes8(s *cryptobyte.String, v *[]byte, n int) bool {
	var b cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&b) || len(b) < n {
		return false
	}
	*v = append([]byte{}, b...)
	return true
}

// readServerName reads the list of names in server_name (RFC 6066 §3). The list has
// exactly one name, because only one kind of name exists, and a list contains at most
// one name of each kind.
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

// readAuthorities reads the DER names of issuers in certificate_authorities (RFC 8446
// §4.2.4) or in a CertificateRequest (RFC 5246 §7.4.4). In a CertificateRequest the
// list may be empty.
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

// readALPN reads the list of protocol names in ALPN (RFC 7301 §3.1). The list has at
// least one name, and no name is empty.
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

// readVersions reads supported_versions (RFC 8446 §4.2.1). A client sends a list, and
// a server sends a single version.
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

// readKeyShares reads key_share. A client sends a list, and a server sends a single
// entry.
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
