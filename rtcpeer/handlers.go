package rtcpeer

import "purertc/ice"

// handlers are the functions of the program that Poll calls.
type handlers struct {
	description func(typ, sdp string)
	candidate   func(media string, index int, name string)
	channel     func(*DataChannel)

	state      func()
	connection func(ConnectionState)
	gathering  func(GatheringState)
	signaling  func(SignalingState)
	ice        func(ice.State)
	pair       func(CandidatePair)

	told shownStates // as of the last call of a handler
}

// shownStates are the three states that Conn shows.
type shownStates struct {
	connection ConnectionState
	gathering  GatheringState
	signaling  SignalingState
}

// ofStates reports whether there is a handler of one of the three states.
func (h *handlers) ofStates() bool {
	return h.state != nil || h.connection != nil || h.gathering != nil || h.signaling != nil
}

// statesChanged calls the handlers after the three states have changed.
func (h *handlers) statesChanged(before, now shownStates) {
	call(h.state)
	if h.connection != nil && now.connection != before.connection {
		h.connection(now.connection)
	}
	if h.gathering != nil && now.gathering != before.gathering {
		h.gathering(now.gathering)
	}
	if h.signaling != nil && now.signaling != before.signaling {
		h.signaling(now.signaling)
	}
}

// setHandler changes the handlers.
func (c *Conn) setHandler(set func(h *handlers)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set(&c.handlers)
}

// OnSessionDescriptionCreated sets the handler of created offers and answers: it
// passes them to SetLocalDescription and signals them to the remote. Like every
// handler it runs inside Poll, with no lock held, and stays set after Initialize.
func (c *Conn) OnSessionDescriptionCreated(f func(typ, sdp string)) {
	c.setHandler(func(h *handlers) { h.description = f })
}

// OnICECandidateCreated sets the handler of local candidates, which go to the remote's
// AddICECandidate. The last one has an empty name.
func (c *Conn) OnICECandidateCreated(f func(media string, index int, name string)) {
	c.setHandler(func(h *handlers) { h.candidate = f })
}

// OnCandidate is OnICECandidateCreated with candidates in the W3C's form, which go to
// the remote's addIceCandidate or AddCandidate. It replaces the handler of
// OnICECandidateCreated. With such a handler, Offer and Answer do not wait for
// candidates. If another goroutine polls, the handler may be called before Offer or
// Answer has returned. A browser refuses candidates that come before the description,
// so the program sends them after it.
func (c *Conn) OnCandidate(f func(Candidate)) {
	if f == nil {
		c.OnICECandidateCreated(nil)
		return
	}
	c.OnICECandidateCreated(func(media string, index int, name string) { f(candidateOf(media, index, name)) })
}

// OnDataChannelReceived sets the handler of channels that the remote opened in band.
// Keep a reference to the channel: an unreachable one is closed.
func (c *Conn) OnDataChannelReceived(f func(ch *DataChannel)) {
	c.setHandler(func(h *handlers) { h.channel = f })
}

// OnStateChanged sets the handler of changes of any of the three states, those by the
// program's own Close included.
func (c *Conn) OnStateChanged(f func()) { c.setHandler(func(h *handlers) { h.state = f }) }

// OnConnectionStateChanged sets the handler of the connection state. After the
// program's own Close, the next Poll calls it with StateClosed.
func (c *Conn) OnConnectionStateChanged(f func(ConnectionState)) {
	c.setHandler(func(h *handlers) { h.connection = f })
}

// OnGatheringStateChanged sets the handler of the gathering state.
func (c *Conn) OnGatheringStateChanged(f func(GatheringState)) {
	c.setHandler(func(h *handlers) { h.gathering = f })
}

// OnSignalingStateChanged sets the handler of the signalling state.
func (c *Conn) OnSignalingStateChanged(f func(SignalingState)) {
	c.setHandler(func(h *handlers) { h.signaling = f })
}

// OnICEStateChanged sets the handler of the state of ICE alone: the W3C's
// iceConnectionState. Only the built-in stack reports it.
func (c *Conn) OnICEStateChanged(f func(ice.State)) {
	c.setHandler(func(h *handlers) { h.ice = f })
}

// OnSelectedPairChanged sets the handler that gets the pair of candidates on which data
// is sent from now on. Only the built-in stack reports it.
func (c *Conn) OnSelectedPairChanged(f func(CandidatePair)) {
	c.setHandler(func(h *handlers) { h.pair = f })
}
