package stun

import (
	"encoding/binary"
	"fmt"
)

// An ErrorCode is the number of an error response (RFC 8489 §14.8). It is in the
// range 300 to 699.
type ErrorCode int

const (
	CodeTryAlternate         ErrorCode = 300
	CodeBadRequest           ErrorCode = 400
	CodeUnauthenticated      ErrorCode = 401
	CodeForbidden            ErrorCode = 403 // RFC 8656 §19
	CodeMobilityForbidden    ErrorCode = 405 // RFC 8016 §4.2
	CodeUnknownAttribute     ErrorCode = 420
	CodeAllocationMismatch   ErrorCode = 437 // RFC 8656 §19 also defines 438 to 442
	CodeStaleNonce           ErrorCode = 438
	CodeFamilyNotSupported   ErrorCode = 440
	CodeWrongCredentials     ErrorCode = 441
	CodeUnsupportedTransport ErrorCode = 442
	CodePeerFamilyMismatch   ErrorCode = 443
	CodeConnectionExists     ErrorCode = 446 // RFC 6062 §6.3
	CodeConnectionFailure    ErrorCode = 447
	CodeAllocationQuota      ErrorCode = 486 // RFC 8656 §19
	CodeRoleConflict         ErrorCode = 487 // RFC 8445 §16.1
	CodeServerError          ErrorCode = 500
	CodeInsufficientCapacity ErrorCode = 508 // RFC 8656 §19
)

// Reason returns the reason phrase of the code.
func (c ErrorCode) Reason() string {
	switch c {
	case CodeTryAlternate:
		return "Try Alternate"
	case CodeBadRequest:
		return "Bad Request"
	case CodeUnauthenticated:
		return "Unauthenticated"
	case CodeForbidden:
		return "Forbidden"
	case CodeMobilityForbidden:
		return "Mobility Forbidden"
	case CodeUnknownAttribute:
		return "Unknown Attribute"
	case CodeAllocationMismatch:
		return "Allocation Mismatch"
	case CodeStaleNonce:
		return "Stale Nonce"
	case CodeFamilyNotSupported:
		return "Address Family not Supported"
	case CodeWrongCredentials:
		return "Wrong Credentials"
	case CodeUnsupportedTransport:
		return "Unsupported Transport Protocol"
	case CodePeerFamilyMismatch:
		return "Peer Address Family Mismatch"
	case CodeConnectionExists:
		return "Connection Already Exists"
	case CodeConnectionFailure:
		return "Connection Timeout or Failure"
	case CodeAllocationQuota:
		return "Allocation Quota Reached"
	case CodeRoleConflict:
		return "Role Conflict"
	case CodeServerError:
		return "Server Error"
	case CodeInsufficientCapacity:
		return "Insufficient Capacity"
	}
	return ""
}

// An Error contains the content of an error response as a Go error.
type Error struct {
	Code   ErrorCode
	Reason string // the reason phrase that the remote end sent; may be empty
}

func (e *Error) Error() string {
	reason := e.Reason
	if reason == "" {
		reason = e.Code.Reason()
	}
	return fmt.Sprintf("stun: error %d (%s)", int(e.Code), reason)
}

// ErrorCode adds ERROR-CODE with the code and its reason phrase.
func (w *Builder) ErrorCode(c ErrorCode) {
	reason := c.Reason()
	w.begin(AttrErrorCode, 4+len(reason))
	w.b = append(w.b, 0, 0, byte(c/100), byte(c%100))
	w.b = append(w.b, reason...)
	w.end()
}

// ErrorCode returns the number and the reason phrase in ERROR-CODE. ok is false if the
// attribute is absent or malformed.
func (m Message) ErrorCode() (c ErrorCode, reason []byte, ok bool) {
	v, ok := m.Get(AttrErrorCode)
	if !ok || len(v) < 4 {
		return 0, nil, false
	}
	class, number := v[2]&7, v[3]
	if class < 3 || class > 6 || number > 99 {
		return 0, nil, false
	}
	return ErrorCode(int(class)*100 + int(number)), v[4:], true
}

// Err returns ERROR-CODE as an error; nil: the attribute is absent or malformed. The
// reason phrase is cut to 127 characters, the limit of RFC 8489 §14.8, and characters
// that cannot be printed safely on a terminal are removed.
func (m Message) Err() *Error {
	c, reason, ok := m.ErrorCode()
	if !ok {
		return nil
	}
	return &Error{Code: c, Reason: printable(reason, 127)}
}

// printable returns the printable ASCII characters in b. If there are more than limit,
// it returns only the first ones.
func printable(b []byte, limit int) string {
	if len(b) > limit {
		b = b[:limit]
	}
	s := make([]byte, len(b))
	for i, c := range b {
		if c < ' ' || c > '~' {
			c = '?'
		}
		s[i] = c
	}
	return string(s)
}

// UnknownAttributes adds UNKNOWN-ATTRIBUTES, which a response with error 420 contains
// (RFC 8489 §14.9).
func (w *Builder) UnknownAttributes(types []AttrType) {
	w.begin(AttrUnknownAttributes, 2*len(types))
	for _, t := range types {
		w.b = binary.BigEndian.AppendUint16(w.b, uint16(t))
	}
	w.end()
}

// UnknownAttributes returns the types that UNKNOWN-ATTRIBUTES contains.
func (m Message) UnknownAttributes() []AttrType {
	v, _ := m.Get(AttrUnknownAttributes)
	var types []AttrType
	for ; len(v) >= 2; v = v[2:] {
		types = append(types, AttrType(binary.BigEndian.Uint16(v)))
	}
	return types
}
