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
	extQUIC                 extensionType = 57    // RFC 9001 §8.2
	extRenegotiationInfo    extensionType = 65281 // RFC 5746
)

// Limits of a hello: what is longer is no hello of an honest far end.
const (
	maxSessionID = 32  // RFC 5246 §7.4.1.2
	maxCookie    = 255 // RFC 6347 §4.3.2
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

// marshal writes the body of the message.
func (m *clientHello) marshal() ([]byte, error) {
	w := newWriter(256 + m.extensions.bulk())
	w.uint16(uint16(m.version))
	w.bytes(m.random[:])
	w.field(1, m.sessionID)
	w.field(1, m.cookie)
	writeUint16s(w, m.suites)
	w.field(1, m.compressions)
	m.extensions.write(w, true)
	return w.body()
}

// marshal writes the body of the message.
func (m *serverHello) marshal() ([]byte, error) {
	w := newWriter(128 + m.extensions.bulk())
	w.uint16(uint16(m.version))
	w.bytes(m.random[:])
	w.field(1, m.sessionID)
	w.uint16(uint16(m.suite))
	w.uint8(m.compression)
	m.extensions.write(w, false)
	return w.body()
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

// write writes the extensions that are set. The forms of a client and of a
// server differ in some of them.
func (e *helloExtensions) write(w *writer, client bool) {
	all := w.open(2)
	open := func(t extensionType) field {
		w.uint16(uint16(t))
		return w.open(2)
	}
	if e.acknowledgeName {
		w.close(open(extServerName))
	}
	if e.serverName != "" && client {
		x := open(extServerName)
		writeServerName(w, e.serverName)
		w.close(x)
	}
	if e.extendedMasterSecret {
		w.close(open(extExtendedMasterSecret))
	}
	if e.renegotiationInfo != nil {
		x := open(extRenegotiationInfo)
		w.field(1, e.renegotiationInfo)
		w.close(x)
	}
	if e.groups != nil {
		x := open(extSupportedGroups)
		writeUint16s(w, e.groups)
		w.close(x)
	}
	if e.pointFormats != nil {
		x := open(extECPointFormats)
		w.field(1, e.pointFormats)
		w.close(x)
	}
	if e.schemes != nil {
		x := open(extSignatureAlgorithms)
		writeUint16s(w, e.schemes)
		w.close(x)
	}
	if e.alpn != nil {
		x := open(extALPN)
		writeALPN(w, e.alpn)
		w.close(x)
	}
	if e.srtpProfiles != nil {
		x := open(extUseSRTP)
		writeUint16s(w, e.srtpProfiles)
		w.uint8(0) // no MKI
		w.close(x)
	}
	if e.sizeLimit != 0 {
		x := open(extRecordSizeLimit)
		w.uint16(e.sizeLimit)
		w.close(x)
	}
	if e.connectionID != nil {
		x := open(extConnectionID)
		w.field(1, e.connectionID)
		w.close(x)
	}
	if e.versions != nil {
		x := open(extSupportedVersions)
		writeVersions(w, e.versions, client)
		w.close(x)
	}
	if e.cookie != nil {
		x := open(extCookie)
		w.field(2, e.cookie)
		w.close(x)
	}
	if e.keyShares != nil {
		x := open(extKeyShare)
		writeKeyShares(w, e.keyShares, client)
		w.close(x)
	}
	if e.sessionTicket != nil {
		x := open(extSessionTicket)
		w.bytes(e.sessionTicket)
		w.close(x)
	}
	if e.pskModes != nil {
		x := open(extPSKModes)
		w.field(1, e.pskModes)
		w.close(x)
	}
	// RFC 8446 §4.2.11: it MUST be the last.
	if e.psk != nil {
		x := open(extPreSharedKey)
		e.psk.write(w)
		w.close(x)
	} else if !client && e.has(extPreSharedKey) {
		x := open(extPreSharedKey)
		w.uint16(e.selectedPSK)
		w.close(x)
	}
	w.close(all)
}

// writeServerName writes RFC 6066 §3's list, with the one name.
func writeServerName(w *writer, name string) {
	list := w.open(2)
	w.uint8(0) // host_name
	host := w.open(2)
	w.string(name)
	w.close(host)
	w.close(list)
}

// writeALPN writes RFC 7301 §3.1's list.
func writeALPN(w *writer, names []string) {
	list := w.open(2)
	for _, name := range names {
		f := w.open(1)
		w.string(name)
		w.close(f)
	}
	w.close(list)
}

// writeVersions writes supported_versions: a list from a client, one number
// from a server (RFC 8446 §4.2.1).
func writeVersions(w *writer, versions []Version, client bool) {
	var list field
	if client {
		list = w.open(1)
	}
	for _, v := range versions {
		w.uint16(uint16(v))
	}
	if client {
		w.close(list)
	}
}

// writeKeyShares writes key_share (RFC 8446 §4.2.8): a list from a client, one
// entry from a server, whose HelloRetryRequest has only the group.
func writeKeyShares(w *writer, shares []keyShare, client bool) {
	var list field
	if client {
		list = w.open(2)
	}
	for _, k := range shares {
		w.uint16(uint16(k.group))
		if k.data != nil {
			f := w.open(2)
			w.bytes(k.data)
			w.bytes(k.tail)
			w.close(f)
		}
	}
	if client {
		w.close(list)
	}
}

// readUint16s reads what writeUint16s writes. An empty list is an error.
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

// readKeyShares reads what writeKeyShares writes.
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
