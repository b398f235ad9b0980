package ice

import "fmt"

// A State is the state of the ICE transport. The names come from the W3C's
// RTCIceTransportState.
type State uint8

const (
	StateNew State = iota
	StateChecking
	StateConnected    // a pair is valid, so data is sent
	StateCompleted    // a pair is nominated, and neither agent has more candidates
	StateDisconnected // no authenticated answer has arrived for a while; the agent may recover
	StateFailed
	StateClosed
)

// String returns the W3C's name of the state.
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
