package rtcpeer

// A ConnectionState is the state of the whole connection.
type ConnectionState int

const (
	StateNew          ConnectionState = iota // nothing was offered yet
	StateConnecting                          // offer and answer, candidates and handshake are under way
	StateConnected                           // both transports are up and the fingerprint matched
	StateDisconnected                        // the remote has not answered for a while; it may return
	StateFailed                              // there is no path to the remote; RestartICE may find one
	StateClosed
)

// A GatheringState is the state of the search for local candidates.
type GatheringState int

const (
	GatheringStateNew GatheringState = iota
	GatheringStateGathering
	GatheringStateComplete
)

// A SignalingState is the state of offer and answer (RFC 8829 §3.2).
type SignalingState int

const (
	SignalingStateStable SignalingState = iota
	SignalingStateHaveLocalOffer
	SignalingStateHaveRemoteOffer
	SignalingStateHaveLocalPranswer
	SignalingStateHaveRemotePranswer
	SignalingStateClosed
)

// A ChannelState is the state of a data channel.
type ChannelState int

const (
	ChannelStateConnecting ChannelState = iota
	ChannelStateOpen
	ChannelStateClosing
	ChannelStateClosed
)

// A WriteMode says how PutPacket sends: as text or binary.
type WriteMode int

const (
	WriteModeText   WriteMode = iota // UTF-8 text: a string in a browser
	WriteModeBinary                  // bytes: a Blob or ArrayBuffer in a browser
)

// String is the W3C's word, such as "connecting".
func (s ConnectionState) String() string {
	return word(int(s), "new", "connecting", "connected", "disconnected", "failed", "closed")
}

// String is the W3C's word, such as "gathering".
func (s GatheringState) String() string { return word(int(s), "new", "gathering", "complete") }

// String is the W3C's word, such as "have-local-offer".
func (s SignalingState) String() string {
	return word(int(s), "stable", "have-local-offer", "have-remote-offer", "have-local-pranswer", "have-remote-pranswer", "closed")
}

// String is the W3C's word, such as "open".
func (s ChannelState) String() string {
	return word(int(s), "connecting", "open", "closing", "closed")
}

// String is "text" or "binary".
func (m WriteMode) String() string { return word(int(m), "text", "binary") }

func word(i int, words ...string) string {
	if i < 0 || i >= len(words) {
		return "invalid"
	}
	return words[i]
}
