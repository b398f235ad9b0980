package dtls

import (
	"errors"
	"fmt"
)

// An Alert is a value of the IANA "TLS Alerts" registry (RFC 8446 §6).
type Alert uint8

// The alerts that this package sends or that a far end may.
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

// String gives the name of the registry.
func (a Alert) String() string {
	switch a {
	case AlertCloseNotify:
		return "close_notify"
	case AlertUnexpectedMessage:
		return "unexpected_message"
	case AlertBadRecordMAC:
		return "bad_record_mac"
	case AlertRecordOverflow:
		return "record_overflow"
	case AlertHandshakeFailure:
		return "handshake_failure"
	case AlertBadCertificate:
		return "bad_certificate"
	case AlertUnsupportedCertificate:
		return "unsupported_certificate"
	case AlertCertificateRevoked:
		return "certificate_revoked"
	case AlertCertificateExpired:
		return "certificate_expired"
	case AlertCertificateUnknown:
		return "certificate_unknown"
	case AlertIllegalParameter:
		return "illegal_parameter"
	case AlertUnknownCA:
		return "unknown_ca"
	case AlertAccessDenied:
		return "access_denied"
	case AlertDecodeError:
		return "decode_error"
	case AlertDecryptError:
		return "decrypt_error"
	case AlertTooManyCIDsRequested:
		return "too_many_cids_requested"
	case AlertProtocolVersion:
		return "protocol_version"
	case AlertInsufficientSecurity:
		return "insufficient_security"
	case AlertInternalError:
		return "internal_error"
	case AlertInappropriateFallback:
		return "inappropriate_fallback"
	case AlertUserCanceled:
		return "user_canceled"
	case AlertNoRenegotiation:
		return "no_renegotiation"
	case AlertMissingExtension:
		return "missing_extension"
	case AlertUnsupportedExtension:
		return "unsupported_extension"
	case AlertUnrecognizedName:
		return "unrecognized_name"
	case AlertBadCertificateStatusResponse:
		return "bad_certificate_status_response"
	case AlertUnknownPSKIdentity:
		return "unknown_psk_identity"
	case AlertCertificateRequired:
		return "certificate_required"
	case AlertNoApplicationProtocol:
		return "no_application_protocol"
	}
	return fmt.Sprintf("alert(%d)", uint8(a))
}

// Alert levels (RFC 5246 §7.2). DTLS 1.3 keeps the byte and ignores it.
const (
	levelWarning = 1
	levelFatal   = 2
)

var (
	// ErrClosed is the Err of a Conn after Close.
	ErrClosed = errors.New("dtls: closed")
	// ErrPeerClosed is the Err of a Conn whose far end sent close_notify.
	ErrPeerClosed = errors.New("dtls: closed by the far end")
	// ErrHandshakeTimeout is the Err of a Conn whose handshake did not end
	// within Config.HandshakeTimeout.
	ErrHandshakeTimeout = errors.New("dtls: handshake timed out")
	// ErrFingerprintMismatch says that the far end's certificate is none of
	// those its description promised. An AlertError wraps it.
	ErrFingerprintMismatch = errors.New("certificate does not match the fingerprints")
	// ErrExternalSessionID reports that the peer's external_session_id is not
	// Config.PeerExternalSessionID. An AlertError wraps it.
	ErrExternalSessionID = errors.New("external_session_id is not that of the peer's description (RFC 8844)")
)

// An AlertError ends a connection that an alert ended.
type AlertError struct {
	Alert  Alert
	Remote bool  // the far end sent it
	Err    error // what was wrong, if we sent it
}

// Error tells who sent which alert, and why.
func (e *AlertError) Error() string {
	if e.Remote {
		return "dtls: far end sent alert " + e.Alert.String()
	}
	return fmt.Sprintf("dtls: %v (sent alert %v)", e.Err, e.Alert)
}

// Unwrap gives the reason for an alert that we sent.
func (e *AlertError) Unwrap() error { return e.Err }

// fatal makes the error that ends a handshake with alert a.
func fatal(a Alert, format string, args ...any) error {
	return &AlertError{Alert: a, Err: fmt.Errorf(format, args...)}
}
