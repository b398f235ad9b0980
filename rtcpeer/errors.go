package rtcpeer

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// Errors of this package, alone or wrapped: compare with [errors.Is].
var (
	// ErrUnconfigured says that a Conn was not made by [New], or a Host not by
	// NewHost.
	ErrUnconfigured = errors.New("rtcpeer: connection was not made by New")
	// ErrInvalidState says that the call is not possible now.
	ErrInvalidState = errors.New("rtcpeer: not possible in this state")
	// ErrInvalidParameter says that an argument, a description, a candidate
	// or an option is wrong.
	ErrInvalidParameter = errors.New("rtcpeer: invalid parameter")
	// ErrUnavailable says that there is nothing, such as a packet, or that
	// the extension in use cannot do this.
	ErrUnavailable = errors.New("rtcpeer: unavailable")
	// ErrBufferFull says that Config.SendBufferSize bytes are queued already. Nothing
	// was lost; try again when some have been sent.
	ErrBufferFull = errors.New("rtcpeer: send buffer is full")
	// ErrMessageTooLarge says that a packet is longer than MaxPacketSize.
	ErrMessageTooLarge = errors.New("rtcpeer: message is too large")
	// ErrClosed says that the connection or the channel is closed.
	// errors.Is(ErrClosed, ErrInvalidState) holds.
	ErrClosed = error(closedError{})
	// ErrFailed says that the connection is in StateFailed. The errors of calls that
	// wait wrap it and the cause.
	ErrFailed = errors.New("rtcpeer: connection failed")
	// ErrRemoteClosed is the cause in ErrClosed if the remote closed the connection.
	ErrRemoteClosed = errors.New("rtcpeer: closed by the peer")
	// ErrRejected is the cause in ErrFailed if a description rejects the section of
	// data channels. Other causes are ice.ErrNoPair, ice.ErrConsentExpired and
	// ice.ErrBothLite, and errors of DTLS, such as dtls.ErrFingerprintMismatch,
	// dtls.ErrHandshakeTimeout and *dtls.AlertError, and of SCTP, *sctp.AbortError.
	ErrRejected = errors.New("rtcpeer: the data section was rejected")
)

// failedBy wraps ErrFailed and the cause.
func failedBy(cause error) error {
	if cause == nil || errors.Is(cause, ErrFailed) {
		return cmp.Or(cause, ErrFailed)
	}
	return &causeOfFailure{cause}
}

type closedError struct{}

func (closedError) Error() string        { return "rtcpeer: closed" }
func (closedError) Is(target error) bool { return target == ErrInvalidState }

// invalid wraps ErrInvalidParameter and a description.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalidParameter, fmt.Errorf(format, args...))
}

// wrongState wraps ErrInvalidState and a description.
func wrongState(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidState, fmt.Sprintf(format, args...))
}

// closedBy wraps ErrClosed and the cause.
func closedBy(cause error) error {
	if cause == nil || cause == ErrClosed {
		return ErrClosed
	}
	return &causeOfClose{cause}
}

// A causeOfFailure wraps ErrFailed and the cause.
type causeOfFailure struct{ cause error }

func (e *causeOfFailure) Error() string {
	return ErrFailed.Error() + ": " + strings.TrimPrefix(e.cause.Error(), "rtcpeer: ")
}
func (e *causeOfFailure) Unwrap() []error { return []error{ErrFailed, e.cause} }

// A causeOfClose wraps ErrClosed and the cause. It makes its text when asked: every
// closed connection has such errors, and few are read.
type causeOfClose struct{ cause error }

func (e *causeOfClose) Error() string {
	text := e.cause.Error()
	if errors.Is(e.cause, ErrRemoteClosed) {
		return text // says that it is closed
	}
	return ErrClosed.Error() + ": " + strings.TrimPrefix(text, "rtcpeer: ")
}
func (e *causeOfClose) Unwrap() []error { return []error{ErrClosed, e.cause} }
