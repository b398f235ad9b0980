package dtls

import (
	"errors"
	"fmt"
)

// An Alert is a value of the IANA "TLS Alerts" registry (RFC 8446 §6).
type Alert uint8

// The alerts that this package sends, or that a peer may send.
const (
	AlertCloseNotify                  Alert = 0
	AlertUnexpectedMessage            Alert = 10
	AlertBadRecordMAC                 Alert = 20
	AlertRecordOverflow               Alert = 22
	AlertHandshakeFailure             Alert = 40
	AlertBadCertificate               Alert = 42
	AlertUnsupportedCertificate       Alert = 43
	AlertCertificateRevoked           Alert = 44
	AlertCertificateExpired           Alert = 45
	AlertCertificateUnknown           Alert = 46
	AlertIllegalParameter             Alert = 47
	AlertUnknownCA                    Alert = 48
	AlertAccessDenied                 Alert = 49
	AlertDecodeError                  Alert = 50
	AlertDecryptError                 Alert = 51
	AlertTooManyCIDsRequested         Alert = 52
	AlertProtocolVersion              Alert = 70
	AlertInsufficientSecurity         Alert = 71
	AlertInternalError                Alert = 80
	AlertInappropriateFallback        Alert = 86
	AlertUserCanceled                 Alert = 90
	AlertNoRenegotiation              Alert = 100
	AlertMissingExtension             Alert = 109
	AlertUnsupportedExtension         Alert = 110
	AlertUnrecognizedName             Alert = 112
	AlertBadCertificateStatusResponse Alert = 113
	AlertUnknownPSKIdentity           Alert = 115
	AlertCertificateRequired          Alert = 116
	AlertNoApplicationProtocol        Alert = 120
)

// String returns the alert's name in the registry or, if this package does not know
// the name, the number.
func (a Alert) String() string { return nameOf(alertNames, a, "alert(%d)") }

var alertNames = map[Alert]string{
	AlertCloseNotify:                  "close_notify",
	AlertUnexpectedMessage:            "unexpected_message",
	AlertBadRecordMAC:                 "bad_record_mac",
	AlertRecordOverflow:               "record_overflow",
	AlertHandshakeFailure:             "handshake_failure",
	AlertBadCertificate:               "bad_certificate",
	AlertUnsupportedCertificate:       "unsupported_certificate",
	AlertCertificateRevoked:           "certificate_revoked",
	AlertCertificateExpired:           "certificate_expired",
	AlertCertificateUnknown:           "certificate_unknown",
	AlertIllegalParameter:             "illegal_parameter",
	AlertUnknownCA:                    "unknown_ca",
	AlertAccessDenied:                 "access_denied",
	AlertDecodeError:                  "decode_error",
	AlertDecryptError:                 "decrypt_error",
	AlertTooManyCIDsRequested:         "too_many_cids_requested",
	AlertProtocolVersion:              "protocol_version",
	AlertInsufficientSecurity:         "insufficient_security",
	AlertInternalError:                "internal_error",
	AlertInappropriateFallback:        "inappropriate_fallback",
	AlertUserCanceled:                 "user_canceled",
	AlertNoRenegotiation:              "no_renegotiation",
	AlertMissingExtension:             "missing_extension",
	AlertUnsupportedExtension:         "unsupported_extension",
	AlertUnrecognizedName:             "unrecognized_name",
	AlertBadCertificateStatusResponse: "bad_certificate_status_response",
	AlertUnknownPSKIdentity:           "unknown_psk_identity",
	AlertCertificateRequired:          "certificate_required",
	AlertNoApplicationProtocol:        "no_application_protocol",
}

// Alert levels (RFC 5246 §7.2). An alert of DTLS 1.3 still contains the level, but
// the receiver ignores it.
const (
	levelWarning = 1
	levelFatal   = 2
)

// maxAlertRepeats is the maximum number of times that an alert is sent again.
const maxAlertRepeats = 3

// An outAlert is the newest alert that this end has to send: the one that ends the
// connection, or a warning.
type outAlert struct {
	level   uint8 // 0: there is no alert
	alert   Alert
	pending bool  // the alert is still to be sent
	repeats uint8 // how often the alert was sent again
}

// set replaces the alert by a new one.
func (a *outAlert) set(level uint8, alert Alert) {
	a.level, a.alert, a.pending = level, alert, true
}

// repeat makes the alert pending again. It is called if the peer sends as if it had
// not received the alert.
func (a *outAlert) repeat() {
	if a.level != 0 && !a.pending && a.repeats < maxAlertRepeats {
		a.repeats++
		a.pending = true
	}
}

// append appends the alert to dst if the alert is pending and fits into limit bytes.
// The record uses the newest keys.
func (a *outAlert) append(dst []byte, limit int, l *recordLayer) []byte {
	if !a.pending || limit < l.current.overhead()+2 {
		return dst
	}
	a.pending = false
	b := append(l.current.begin(dst), a.level, byte(a.alert))
	b, _ = l.seal(l.current, typeAlert, b, len(dst)) // if the keys must not be used any more, no alert is sent
	return b
}

var (
	// ErrClosed is what Err returns after Close was called.
	ErrClosed = errors.New("dtls: closed")
	// ErrPeerClosed is what Err returns after the peer has sent close_notify.
	ErrPeerClosed = errors.New("dtls: closed by the peer")
	// ErrHandshakeTimeout is what Err returns after a handshake that did not finish
	// within Config.HandshakeTimeout.
	ErrHandshakeTimeout = errors.New("dtls: handshake timed out")
	// ErrFingerprintMismatch says that the peer's certificate matches none of the
	// fingerprints in the peer's description. It is wrapped in an AlertError.
	ErrFingerprintMismatch = errors.New("certificate does not match the fingerprints")
	// ErrExternalSessionID says that the peer's external_session_id differs from
	// Config.PeerExternalSessionID. It is wrapped in an AlertError.
	ErrExternalSessionID = errors.New("external_session_id is not that of the peer's description (RFC 8844)")
)

// An AlertError is what Conn.Err returns after a fatal alert has ended the connection.
type AlertError struct {
	Alert  Alert
	Remote bool  // the peer sent the alert
	Err    error // why this end sent the alert; nil if the peer sent it
}

// Error says which end sent the alert and, if it was this end, why.
func (e *AlertError) Error() string {
	if e.Remote {
		return "dtls: peer sent alert " + e.Alert.String()
	}
	return fmt.Sprintf("dtls: %v (sent alert %v)", e.Err, e.Alert)
}

// Unwrap returns the reason for an alert that this end sent.
func (e *AlertError) Unwrap() error { return e.Err }

// fatal returns the error that ends a connection with alert a.
func fatal(a Alert, format string, args ...any) error {
	return &AlertError{Alert: a, Err: fmt.Errorf(format, args...)}
}
