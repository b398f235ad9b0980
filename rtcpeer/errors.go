package rtcpeer

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// Errors that calls return, alone or wrapped: compare with [errors.Is].
var (
	// ErrUnconfigured is every call's on a zero Conn, which [New] did not make, and
	// on a zero Host.
	ErrUnconfigured = errors.New("rtcpeer: connection was not made by New")
	// ErrInvalidState says that the call is not possible now.
	ErrInvalidState = errors.New("rtcpeer: not possible in this state")
	// ErrInvalidParameter says that an argument, a description, a candidate
	// or an option is wrong.
	ErrInvalidParameter = errors.New("rtcpeer: invalid parameter")
	// ErrUnavailable says that there is nothing, such as a packet, or that
	// the extension in use cannot do this.
	ErrUnavailable = errors.New("rtcpeer: unavailable")
	// ErrBufferFull says that Config.SendBufferSize bytes wait to be sent
	// already. Nothing was lost; try again when some have gone.
	ErrBufferFull = errors.New("rtcpeer: send buffer is full")
	// ErrMessageTooLarge says that a packet is longer than MaxPacketSize.
	ErrMessageTooLarge = errors.New("rtcpeer: message is too large")
	// ErrClosed says that the connection or the channel is closed.
	// errors.Is(ErrClosed, ErrInvalidState) holds.
	ErrClosed = error(closedError{})
	// ErrFailed says that the connection is in StateFailed. The errors of calls
	// that waited wrap it and the cause.
	ErrFailed = errors.New("rtcpeer: connection failed")
)

// failedBy returns an ErrFailed with its cause.
func failedBy(cause error) error {
	if cause == nil || errors.Is(cause, ErrFailed) {
		return cmp.Or(cause, ErrFailed)
	}
	return &causeOfFailure{cause}
}

type closedError struct{}

func (closedError) Error() string        { return "rtcpeer: closed" }
func (closedError) Is(target error) bool { return target == ErrInvalidState }

// invalid is an ErrInvalidParameter that says what is wrong.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalidParameter, fmt.Errorf(format, args...))
}

// wrongState is an ErrInvalidState that says what was expected.
func wrongState(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidState, fmt.Sprintf(format, args...))
}

// closedBy is an ErrClosed with its cause.
func closedBy(cause error) error {
	if cause == nil || cause == ErrClosed {
		return ErrClosed
	}
	return &causeOfClose{cause}
}

// A causeOfFailure is ErrFailed and its cause.
type causeOfFailure struct{ cause error }

func (e *causeOfFailure) Error() string {
	return ErrFailed.Error() + ": " + strings.TrimPrefix(e.cause.Error(), "rtcpeer: ")
}
func (e *causeOfFailure) Unwrap() []error { return []error{ErrFailed, e.cause} }

// A causeOfClose is ErrClosed and its cause. The text is made on demand: every
// connection that ends has such errors, and few are read.
type causeOfClose struct{ cause error }

func (e *causeOfClose) Error() string {
	text := e.cause.Error()
	if errors.Is(e.cause, errRemoteClosed) {
		return text // says that it is closed
	}
	return ErrClosed.Error() + ": " + strings.TrimPrefix(text, "rtcpeer: ")
}
func (e *causeOfClose) Unwrap() []error { return []error{ErrClosed, e.cause} }
