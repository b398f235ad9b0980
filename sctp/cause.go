package sctp

import (
	"fmt"
	"strings"
)

// A CauseCode says why an ABORT or ERROR chunk was sent (RFC 9260 §3.3.10).
type CauseCode uint16

const (
	CauseInvalidStream        CauseCode = 1
	CauseMissingParameter     CauseCode = 2
	CauseStaleCookie          CauseCode = 3
	CauseOutOfResource        CauseCode = 4
	CauseUnresolvableAddress  CauseCode = 5
	CauseUnrecognizedChunk    CauseCode = 6
	CauseInvalidParameter     CauseCode = 7
	CauseUnrecognizedParams   CauseCode = 8
	CauseNoUserData           CauseCode = 9
	CauseCookieInShutdown     CauseCode = 10
	CauseRestartWithAddresses CauseCode = 11
	CauseUserAbort            CauseCode = 12
	CauseProtocolViolation    CauseCode = 13
)

// String returns the name in RFC 9260 §3.3.10.
func (c CauseCode) String() string {
	switch c {
	case CauseInvalidStream:
		return "invalid stream identifier"
	case CauseMissingParameter:
		return "missing mandatory parameter"
	case CauseStaleCookie:
		return "stale cookie"
	case CauseOutOfResource:
		return "out of resource"
	case CauseUnresolvableAddress:
		return "unresolvable address"
	case CauseUnrecognizedChunk:
		return "unrecognized chunk type"
	case CauseInvalidParameter:
		return "invalid mandatory parameter"
	case CauseUnrecognizedParams:
		return "unrecognized parameters"
	case CauseNoUserData:
		return "no user data"
	case CauseCookieInShutdown:
		return "cookie received while shutting down"
	case CauseRestartWithAddresses:
		return "restart with new addresses"
	case CauseUserAbort:
		return "user-initiated abort"
	case CauseProtocolViolation:
		return "protocol violation"
	}
	return fmt.Sprintf("cause %d", uint16(c))
}

// An AbortError says why one of the ends aborted the association.
type AbortError struct {
	Remote bool        // the remote sent the ABORT
	Causes []CauseCode // in the order of the chunk; may be empty
	Reason string      // text of a user-initiated abort or a protocol violation
}

// Error implements error.
func (e *AbortError) Error() string {
	var s strings.Builder
	s.WriteString("sctp: aborted")
	if e.Remote {
		s.WriteString(" by the remote")
	}
	for _, c := range e.Causes {
		s.WriteString(": ")
		s.WriteString(c.String())
	}
	if e.Reason != "" {
		fmt.Fprintf(&s, " (%q)", e.Reason)
	}
	return s.String()
}

// Limits of what is kept of a received ABORT.
const (
	maxCauses       = 8
	maxReasonLength = 256
)

// parseAbort reads the causes of a received ABORT chunk. It stops at a malformed
// cause, because the association ends anyway.
func parseAbort(body []byte) *AbortError {
	e := &AbortError{Remote: true}
	for len(e.Causes) < maxCauses {
		p, rest, ok := nextParam(body)
		if !ok {
			break
		}
		body = rest
		code := CauseCode(p.typ)
		e.Causes = append(e.Causes, code)
		if code == CauseUserAbort || code == CauseProtocolViolation {
			e.Reason = string(p.body[:min(len(p.body), maxReasonLength)])
		}
	}
	return e
}

// appendAbort appends an ABORT chunk with one cause.
func appendAbort(b []byte, flags uint8, code CauseCode, info []byte) []byte {
	b, start := beginChunk(b, chunkAbort, flags)
	b = appendParam(b, paramType(code), info[:min(len(info), maxReasonLength)])
	return endChunk(b, start)
}

// appendErrorChunk appends an ERROR chunk with one cause.
func appendErrorChunk(b []byte, code CauseCode, info []byte) []byte {
	b, start := beginChunk(b, chunkError, 0)
	b = appendParam(b, paramType(code), info)
	return endChunk(b, start)
}

// causeCodes calls f for each cause of an ERROR chunk.
func causeCodes(body []byte, f func(CauseCode, []byte)) {
	for n := 0; n < maxCauses; n++ {
		p, rest, ok := nextParam(body)
		if !ok {
			return
		}
		f(CauseCode(p.typ), p.body)
		body = rest
	}
}

// streamInfo returns the information of an invalid-stream cause: the stream and two
// reserved bytes (RFC 9260 §3.3.10.1).
func streamInfo(stream uint16) []byte { return []byte{byte(stream >> 8), byte(stream), 0, 0} }
