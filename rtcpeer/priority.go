package rtcpeer

import "fmt"

// A Priority is the weight of a channel's data relative to the data of the
// connection's other channels, when there is more data than the path carries. A
// channel gets twice as much as a channel with the next lower priority, and every
// channel gets some. The names come from the W3C's RTCPriorityType; the zero value is
// its default.
type Priority int

const (
	PriorityLow Priority = iota // the default
	PriorityVeryLow
	PriorityMedium
	PriorityHigh
)

// priorityWeights are the numbers of RFC 8831 §6.4 for the W3C's words (WebRTC
// Priority §4.1).
var priorityWeights = [...]uint16{PriorityLow: 256, PriorityVeryLow: 128, PriorityMedium: 512, PriorityHigh: 1024}

// String returns the W3C's word for the priority.
func (p Priority) String() string {
	switch p {
	case PriorityVeryLow:
		return "very-low"
	case PriorityLow:
		return "low"
	case PriorityMedium:
		return "medium"
	case PriorityHigh:
		return "high"
	}
	return fmt.Sprintf("Priority(%d)", int(p))
}

// priorityOf returns the priority of a channel that the remote opened with the number
// weight. If the number is between those of two priorities, priorityOf returns the
// lower priority.
func priorityOf(weight uint16) Priority {
	switch {
	case weight >= 1024:
		return PriorityHigh
	case weight >= 512:
		return PriorityMedium
	case weight >= 256:
		return PriorityLow
	}
	return PriorityVeryLow
}
