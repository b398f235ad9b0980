package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"purertc/dtls"
)

// errUnimplemented says that a flag asks for a feature that the shim does not have, or
// that package dtls does not have.
var errUnimplemented = errors.New("flag not supported by this shim")

// options contains the values of the flags of a test.
type options struct {
	port   string
	ipv6   bool
	shimID uint64

	resumes     bool // the connection is not the first one of the test
	resumeCount int

	server              bool
	credentials         []credential
	verifyPeer          bool // a server asks for a certificate
	requireCertificate  bool
	verifyFail          bool
	useCustomVerify     bool
	minVersion          dtls.Version
	maxVersion          dtls.Version
	no12, no13          bool
	curves              []dtls.Group
	verifyPrefs         []dtls.SignatureScheme
	srtpProfiles        []uint16
	advertiseALPN       []string
	selectALPN          string
	hostName            string
	mtu                 int
	initialTimeoutMS    int
	exportLen           int
	exportLabel         string
	exportContext       string
	useExportContext    bool
	keyUpdate           bool
	keyUpdateBeforeRead bool
	shimWritesFirst     bool
	shimInitialWrite    string
	shimShutsDown       bool
	checkCloseNotify    bool

	expectVersion dtls.Version
	expectCurve   dtls.Group
	expectCipher  dtls.CipherSuite
	expectALPN    string
	expectNoPeer  bool

	noTicket            bool
	renewTicket         bool
	skipTicket          bool
	sendAlert           bool
	reverifyOnResume    bool
	expectSessionMiss   bool
	expectTicketRenewal bool
	expectHRR           bool
	expectNoHRR         bool
	expectServerName    string
	noServerNameAck     bool
	expectSelected      int
	rejectALPN          bool
	expectNoSession     bool
}

// unset is the value of a number for which no flag was given.
const unset = -2

// A credential is a certificate together with the rules for its use.
type credential struct {
	listed            bool // one of several credentials from which the shim chooses
	certFile, keyFile string
	schemes           []dtls.SignatureScheme
	mustMatchIssuer   bool
}

// newest returns the credential that the next flags describe. This is the credential
// that was begun most recently by a flag or, if there was no such flag, the default
// one.
func (o *options) newest() *credential {
	if len(o.credentials) == 0 {
		o.credentials = []credential{{}}
	}
	return &o.credentials[len(o.credentials)-1]
}

// A flagFunc handles a flag. set is called with the value of the flag. If noValue is
// set, the flag has no value, and set is called with "".
type flagFunc struct {
	noValue bool
	set     func(o *options, value string) error
}

// Prefixes of flags that apply only to some connections of a test: to the first one,
// or to those that resume it.
const (
	prefixInitial = "-on-initial"
	prefixResume  = "-on-resume"
)

// parseFlags parses the runner's flags for the first connection of a test or, if
// resumes is set, for a connection that resumes it.
func parseFlags(args []string, resumes bool) (*options, error) {
	o := &options{shimInitialWrite: "hello", expectSelected: unset, resumes: resumes}
	for len(args) > 0 {
		name := args[0]
		args = args[1:]
		wanted := true
		if rest, ok := strings.CutPrefix(name, prefixInitial); ok {
			name, wanted = rest, !resumes
		} else if rest, ok := strings.CutPrefix(name, prefixResume); ok {
			name, wanted = rest, resumes
		}
		f, ok := flags()[name]
		if !ok {
			return nil, fmt.Errorf("%w: flag %s", errUnimplemented, name)
		}
		value := ""
		if !f.noValue {
			if len(args) == 0 {
				return nil, fmt.Errorf("flag %s lacks its value", name)
			}
			value, args = args[0], args[1:]
		}
		if !wanted {
			continue
		}
		if err := f.set(o, value); err != nil {
			return nil, fmt.Errorf("flag %s: %w", name, err)
		}
	}
	return o, nil
}

func boolFlag(field func(o *options) *bool) flagFunc {
	return flagFunc{true, func(o *options, _ string) error { *field(o) = true; return nil }}
}

func stringFlag(field func(o *options) *string) flagFunc {
	return flagFunc{false, func(o *options, v string) error { *field(o) = v; return nil }}
}

func intFlag[T ~int | ~uint16 | ~uint64](field func(o *options) *T) flagFunc {
	return flagFunc{false, func(o *options, v string) error {
		n, err := strconv.ParseUint(v, 10, 64)
		*field(o) = T(n)
		return err
	}}
}

func listFlag[T ~uint16](field func(o *options) *[]T) flagFunc {
	return flagFunc{false, func(o *options, v string) error {
		n, err := strconv.ParseUint(v, 10, 16)
		*field(o) = append(*field(o), T(n))
		return err
	}}
}

// versionFlag returns the handling of a flag with a protocol version as its value, in
// the encoding of DTLS. DTLS 1.0 is not supported.
func versionFlag(field func(o *options) *dtls.Version) flagFunc {
	return flagFunc{false, func(o *options, v string) error {
		n, err := strconv.ParseUint(v, 10, 16)
		*field(o) = dtls.Version(n)
		if *field(o) == dtls.VersionDTLS10 {
			return errUnimplemented
		}
		return err
	}}
}

func ignored(noValue bool) flagFunc {
	return flagFunc{noValue, func(*options, string) error { return nil }}
}

// flags returns all flags that the shim supports, by name.
func flags() map[string]flagFunc {
	return map[string]flagFunc{
		"-port":    stringFlag(func(o *options) *string { return &o.port }),
		"-ipv6":    boolFlag(func(o *options) *bool { return &o.ipv6 }),
		"-shim-id": intFlag(func(o *options) *uint64 { return &o.shimID }),
		"-dtls":    ignored(true),
		"-server":  boolFlag(func(o *options) *bool { return &o.server }),

		"-is-handshaker-supported": {true, func(*options, string) error {
			fmt.Println("No")
			return errHandshaker
		}},

		"-cert-file": stringFlag(func(o *options) *string { return &o.newest().certFile }),
		"-key-file":  stringFlag(func(o *options) *string { return &o.newest().keyFile }),
		"-new-x509-credential": {true, func(o *options, _ string) error {
			o.credentials = append(o.credentials, credential{listed: true})
			return nil
		}},
		"-signing-prefs":     listFlag(func(o *options) *[]dtls.SignatureScheme { return &o.newest().schemes }),
		"-must-match-issuer": boolFlag(func(o *options) *bool { return &o.newest().mustMatchIssuer }),
		"-expect-selected-credential": {false, func(o *options, v string) (err error) {
			o.expectSelected, err = strconv.Atoi(v)
			return err
		}},
		"-trust-cert": ignored(false), // package dtls leaves it to the program whether a certificate is trusted

		"-verify-peer":                    boolFlag(func(o *options) *bool { return &o.verifyPeer }),
		"-require-any-client-certificate": boolFlag(func(o *options) *bool { return &o.requireCertificate }),
		"-verify-fail":                    boolFlag(func(o *options) *bool { return &o.verifyFail }),
		"-use-custom-verify-callback":     boolFlag(func(o *options) *bool { return &o.useCustomVerify }),
		"-expect-verify-result":           ignored(true),
		"-use-old-client-cert-callback":   ignored(true),

		"-min-version":    versionFlag(func(o *options) *dtls.Version { return &o.minVersion }),
		"-max-version":    versionFlag(func(o *options) *dtls.Version { return &o.maxVersion }),
		"-expect-version": versionFlag(func(o *options) *dtls.Version { return &o.expectVersion }),
		"-no-tls13":       boolFlag(func(o *options) *bool { return &o.no13 }),
		"-no-tls12":       boolFlag(func(o *options) *bool { return &o.no12 }),
		"-no-tls11":       ignored(true),
		"-no-tls1":        ignored(true),

		"-curves":          listFlag(func(o *options) *[]dtls.Group { return &o.curves }),
		"-expect-curve-id": intFlag(func(o *options) *dtls.Group { return &o.expectCurve }),
		"-verify-prefs":    listFlag(func(o *options) *[]dtls.SignatureScheme { return &o.verifyPrefs }),
		"-expect-cipher":   intFlag(func(o *options) *dtls.CipherSuite { return &o.expectCipher }),

		"-srtp-profiles": {false, func(o *options, v string) error {
			known := map[string]uint16{"SRTP_AES128_CM_SHA1_80": 1, "SRTP_AES128_CM_SHA1_32": 2}
			for name := range strings.SplitSeq(v, ":") {
				id, ok := known[name]
				if !ok {
					return errUnimplemented
				}
				o.srtpProfiles = append(o.srtpProfiles, id)
			}
			return nil
		}},
		"-advertise-alpn": {false, func(o *options, v string) error {
			for v != "" {
				n := int(v[0])
				if n == 0 || len(v) < 1+n {
					return errUnimplemented
				}
				o.advertiseALPN = append(o.advertiseALPN, v[1:1+n])
				v = v[1+n:]
			}
			return nil
		}},
		"-select-alpn":         stringFlag(func(o *options) *string { return &o.selectALPN }),
		"-expect-alpn":         stringFlag(func(o *options) *string { return &o.expectALPN }),
		"-host-name":           stringFlag(func(o *options) *string { return &o.hostName }),
		"-expect-no-peer-cert": boolFlag(func(o *options) *bool { return &o.expectNoPeer }),

		"-mtu":                         intFlag(func(o *options) *int { return &o.mtu }),
		"-initial-timeout-duration-ms": intFlag(func(o *options) *int { return &o.initialTimeoutMS }),

		"-export-keying-material": intFlag(func(o *options) *int { return &o.exportLen }),
		"-export-label":           stringFlag(func(o *options) *string { return &o.exportLabel }),
		"-export-context":         stringFlag(func(o *options) *string { return &o.exportContext }),
		"-use-export-context":     boolFlag(func(o *options) *bool { return &o.useExportContext }),

		"-key-update":             boolFlag(func(o *options) *bool { return &o.keyUpdate }),
		"-key-update-before-read": boolFlag(func(o *options) *bool { return &o.keyUpdateBeforeRead }),
		"-shim-writes-first":      boolFlag(func(o *options) *bool { return &o.shimWritesFirst }),
		"-shim-initial-write":     stringFlag(func(o *options) *string { return &o.shimInitialWrite }),
		"-shim-shuts-down":        boolFlag(func(o *options) *bool { return &o.shimShutsDown }),
		"-check-close-notify":     boolFlag(func(o *options) *bool { return &o.checkCloseNotify }),

		// The package is a state machine, so no call blocks.
		"-async":              ignored(true),
		"-implicit-handshake": ignored(true),

		"-resume-count":          intFlag(func(o *options) *int { return &o.resumeCount }),
		"-no-ticket":             boolFlag(func(o *options) *bool { return &o.noTicket }),
		"-reverify-on-resume":    boolFlag(func(o *options) *bool { return &o.reverifyOnResume }),
		"-expect-session-miss":   boolFlag(func(o *options) *bool { return &o.expectSessionMiss }),
		"-expect-no-session":     boolFlag(func(o *options) *bool { return &o.expectNoSession }),
		"-expect-ticket-renewal": boolFlag(func(o *options) *bool { return &o.expectTicketRenewal }),
		"-expect-hrr":            boolFlag(func(o *options) *bool { return &o.expectHRR }),
		"-expect-no-hrr":         boolFlag(func(o *options) *bool { return &o.expectNoHRR }),
		"-expect-server-name":    stringFlag(func(o *options) *string { return &o.expectServerName }),
		"-no-server-name-ack":    boolFlag(func(o *options) *bool { return &o.noServerNameAck }),
		"-reject-alpn":           boolFlag(func(o *options) *bool { return &o.rejectALPN }),
		"-decline-alpn":          ignored(true),

		// Flags for callbacks that have no effect by themselves.
		"-use-early-callback": ignored(true),
		// A flag that is only for QUIC.
		"-quic-use-legacy-codepoint": ignored(false),
		// DTLS has no early data. The tests check that.
		"-enable-early-data":        ignored(true),
		"-expect-early-data-reason": ignored(false),
		// In BoringSSL, the callbacks choose the keys for tickets. Here
		// Config.TicketKeys contains the keys.
		"-use-ticket-callback":      ignored(true),
		"-use-ticket-aead-callback": ignored(true),
		"-renew-ticket":             boolFlag(func(o *options) *bool { return &o.renewTicket }),
		"-skip-ticket":              boolFlag(func(o *options) *bool { return &o.skipTicket }),
		"-send-alert":               boolFlag(func(o *options) *bool { return &o.sendAlert }),
		// A server stores no sessions. The tickets contain them.
		"-expect-no-session-id": ignored(true),
	}
}

// errHandshaker ends the shim when the runner asks whether the shim supports split
// handshakes.
var errHandshaker = errors.New("asked for the handshaker")

// versions returns the range of versions that the flags allow; ok is false if they
// allow none.
func (o *options) versions() (lowest, highest dtls.Version, ok bool) {
	list := []dtls.Version{dtls.VersionDTLS12, dtls.VersionDTLS13} // in ascending order
	list = slices.DeleteFunc(list, func(v dtls.Version) bool {
		return o.minVersion != 0 && v > o.minVersion || o.maxVersion != 0 && v < o.maxVersion ||
			v == dtls.VersionDTLS12 && o.no12 || v == dtls.VersionDTLS13 && o.no13
	})
	if len(list) == 0 {
		return 0, 0, false
	}
	return list[0], list[len(list)-1], true
}
