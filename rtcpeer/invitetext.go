package rtcpeer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"purertc/ice"
	"purertc/sdp"
)

// An invitation is what the text of an Invite says. JOIN.md has the format.
type invitation struct {
	ufrag       [6]byte           // in base64, the host's ufrag
	pwd         [18]byte          // in base64, the host's ICE password
	fingerprint [sha256.Size]byte // SHA-256 of the host's certificate
	expires     time.Time         // zero: never
	addrs       []inviteAddr
}

// An inviteAddr is an address of the host.
type inviteAddr struct {
	netip.AddrPort
	tcp bool
}

// invitePrefix begins the text; its digit is the version of the format.
const invitePrefix = "rtc1."

const (
	inviteHead      = 6 + 18 + sha256.Size + 4
	inviteAddrs     = 16 // addresses at most
	inviteTextLimit = 1000
)

// The first byte of an address says its kind.
const (
	inviteUDP4 = 0x04
	inviteUDP6 = 0x06
	inviteTCP  = 0x10 // is added for TCP
)

// newInvitation derives the credentials from a secret.
func newInvitation(secret []byte) *invitation {
	v := &invitation{}
	copy(v.ufrag[:], derive(secret, "ufrag"))
	copy(v.pwd[:], derive(secret, "pwd"))
	return v
}

// derive returns 32 bytes that nobody without the secret can compute.
func derive(secret []byte, purpose string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte("purertc invite " + purpose))
	return h.Sum(nil)
}

// credentials are the host's.
func (v *invitation) credentials() credentials {
	return credentials{base64.StdEncoding.EncodeToString(v.ufrag[:]), base64.StdEncoding.EncodeToString(v.pwd[:])}
}

// joinerPrefix begins the ufrag of a joiner whose password the host can derive. No
// browser draws such a ufrag: those of Chromium and Safari have four characters, those
// of Firefox are hexadecimal.
const joinerPrefix = "join+"

// joinerCredentials are those of a joiner that chooses them. With them the host is a
// full ICE agent: it checks the joiner's address, too.
func (v *invitation) joinerCredentials(ufrag string) credentials {
	return credentials{ufrag, base64.StdEncoding.EncodeToString(derive(v.pwd[:], "joiner "+ufrag)[:18])}
}

// String returns the text.
func (v *invitation) String() string {
	b := make([]byte, 0, inviteHead+19*len(v.addrs))
	b = append(b, v.ufrag[:]...)
	b = append(b, v.pwd[:]...)
	b = append(b, v.fingerprint[:]...)
	var expires uint32
	if !v.expires.IsZero() {
		expires = uint32(v.expires.Unix())
	}
	b = binary.BigEndian.AppendUint32(b, expires)
	for _, a := range v.addrs {
		kind := byte(inviteUDP4)
		if a.Addr().Is6() {
			kind = inviteUDP6
		}
		if a.tcp {
			kind |= inviteTCP
		}
		b = append(b, kind)
		b = append(b, a.Addr().AsSlice()...)
		b = binary.BigEndian.AppendUint16(b, a.Port())
	}
	return invitePrefix + base64.RawURLEncoding.EncodeToString(b)
}

// parseInvitation reads the text of an invite.
func parseInvitation(text string) (*invitation, error) {
	text = strings.TrimSpace(text)
	body, ok := strings.CutPrefix(text, invitePrefix)
	switch {
	case !ok && strings.HasPrefix(text, "rtc"):
		return nil, invalid("invite: its version is not the one that this program knows, which begins with %s", invitePrefix)
	case !ok:
		return nil, invalid("invite: the text does not begin with %s: copy all of it", invitePrefix)
	case len(body) > inviteTextLimit:
		return nil, invalid("invite: the text has %d characters, more than %d", len(body), inviteTextLimit)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(b) < inviteHead {
		return nil, invalid("invite: the text is damaged or incomplete: copy all of it")
	}
	v := &invitation{}
	b = b[copy(v.ufrag[:], b):]
	b = b[copy(v.pwd[:], b):]
	b = b[copy(v.fingerprint[:], b):]
	if at := binary.BigEndian.Uint32(b); at != 0 {
		v.expires = time.Unix(int64(at), 0)
	}
	for b = b[4:]; len(b) > 0; {
		size := 4
		if b[0]&^inviteTCP == inviteUDP6 {
			size = 16
		}
		if k := b[0] &^ inviteTCP; k != inviteUDP4 && k != inviteUDP6 || len(b) < 1+size+2 || len(v.addrs) == inviteAddrs {
			return nil, invalid("invite: the text is damaged or incomplete: copy all of it")
		}
		ip, _ := netip.AddrFromSlice(b[1 : 1+size])
		v.addrs = append(v.addrs, inviteAddr{netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[1+size:])), b[0]&inviteTCP != 0})
		b = b[1+size+2:]
	}
	if len(v.addrs) == 0 {
		return nil, invalid("invite: the text has no address: copy all of it")
	}
	return v, nil
}

// answer writes the host's answer to the joiner's offer, which the host does not send.
// With lite, the host is ICE-lite. The answer announces SPED: if the host has none, its
// first response shows that.
func (v *invitation) answer(offer string, lite bool) (string, error) {
	s, err := sdp.Parse(offer)
	if err != nil {
		return "", err
	}
	data, err := s.Data()
	if err != nil {
		return "", err
	}
	c := v.credentials()
	p := sdp.Params{
		Origin: sdp.NewOrigin(1, 1), Ufrag: c.ufrag, Pwd: c.pwd, ICEOptions: []string{"ice2", spedOption}, ICELite: lite,
		EndOfCandidates: true, Setup: sdp.SetupPassive, SCTPPort: 5000, MaxMessageSize: defaultMaxMessageSize,
		Fingerprints: []sdp.Fingerprint{{Hash: "sha-256", Value: v.fingerprint[:]}},
	}
	for i, a := range v.addrs {
		candidate := ice.Candidate{Foundation: fmt.Sprint(i + 1), Component: 1, Transport: "udp", Priority: uint32(2130706431 - i), Addr: a.AddrPort}
		if a.tcp {
			candidate.Transport, candidate.TCPType, candidate.Priority = "tcp", ice.TCPPassive, uint32(1671430143-i)
		}
		p.Candidates = append(p.Candidates, candidate.String())
	}
	return p.Answer(s, data), nil
}
