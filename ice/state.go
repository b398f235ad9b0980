package ice

import "fmt"

// A State is that of the ICE transport, in the words of the W3C's
// RTCIceTransportState.
type State uint8

const (
	StateNew State = iota
	StateChecking
	StateConnected    // a pair is valid: data flows
	StateCompleted    // a pair is nominated and both ends have ended their candidates
	StateDisconnected // no authenticated answer for a while; may recover
	StateFailed
	StateClosed
)

// String is the W3C's word.
func (s State) String() string {
	switch s {
	case StateNew:
		return "new"
	case StateChecking:
		return "checking"
	case StateConnected:
		return "connected"
	case StateCompleted:
		return "completed"
	case StateDisconnected:
		return "disconnected"
	case StateFailed:
		return "failed"
	case StateClosed:
		return "closed"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}
