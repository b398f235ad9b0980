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

// String returns the name in the registry or, if this package does not know it, the
// number.
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

// Alert levels (RFC 5246 §7.2). DTLS 1.3 keeps the byte and ignores it.
const (
	levelWarning = 1
	levelFatal   = 2
)

// maxAlertRepeats bounds how often an alert is sent again.
const maxAlertRepeats = 3

// An outAlert is the alert that ends the connection, or the last warning.
type outAlert struct {
	level   uint8 // 0: there is none
	alert   Alert
	pending bool  // it is to be sent
	repeats uint8 // how often it was sent again
}

// set replaces the alert.
func (a *outAlert) set(level uint8, alert Alert) {
	a.level, a.alert, a.pending = level, alert, true
}

// repeat makes the alert pending again: the peer sends as if it had not received it.
func (a *outAlert) repeat() {
	if a.level != 0 && !a.pending && a.repeats < maxAlertRepeats {
		a.repeats++
		a.pending = true
	}
}

// append appends the alert if it is pending and limit bytes have room for it. It uses
// the newest keys.
func (a *outAlert) append(dst []byte, limit int, l *recordLayer) []byte {
	if !a.pending || limit < l.current.overhead()+2 {
		return dst
	}
	a.pending = false
	b := append(l.current.begin(dst), a.level, byte(a.alert))
	b, _ = l.seal(l.current, typeAlert, b, len(dst)) // without keys left there is no alert
	return b
}

var (
	// ErrClosed is the Err of a Conn after Close.
	ErrClosed = errors.New("dtls: closed")
	// ErrPeerClosed is the Err of a Conn whose peer has sent close_notify.
	ErrPeerClosed = errors.New("dtls: closed by the peer")
	// ErrHandshakeTimeout is the Err of a Conn whose handshake did not finish within
	// Config.HandshakeTimeout.
	ErrHandshakeTimeout = errors.New("dtls: handshake timed out")
	// ErrFingerprintMismatch says that the peer's certificate matches no fingerprint
	// of its description. It is wrapped in an AlertError.
	ErrFingerprintMismatch = errors.New("certificate does not match the fingerprints")
	// ErrExternalSessionID says that the peer's external_session_id is not
	// Config.PeerExternalSessionID. It is wrapped in an AlertError.
	ErrExternalSessionID = errors.New("external_session_id is not that of the peer's description (RFC 8844)")
)

// An AlertError is the Err of a Conn that a fatal alert has ended.
type AlertError struct {
	Alert  Alert
	Remote bool  // the peer sent the alert
	Err    error // the reason, if the alert was sent locally
}

// Error says which end sent the alert, and the reason for a local one.
func (e *AlertError) Error() string {
	if e.Remote {
		return "dtls: peer sent alert " + e.Alert.String()
	}
	return fmt.Sprintf("dtls: %v (sent alert %v)", e.Err, e.Alert)
}

// Unwrap returns the reason for a local alert.
func (e *AlertError) Unwrap() error { return e.Err }

// fatal makes the error that ends a connection with alert a.
func fatal(a Alert, format string, args ...any) error {
	return &AlertError{Alert: a, Err: fmt.Errorf(format, args...)}
}
