package main

import "sync"

// A message is one line of the signalling.
type message struct {
	T     string  `json:"t"`
	ID    int     `json:"id"`
	Type  string  `json:"type,omitempty"`
	SDP   string  `json:"sdp,omitempty"`
	Media string  `json:"media,omitempty"`
	Index int     `json:"index"`
	Name  *string `json:"name,omitempty"`
	At    int64   `json:"at,omitempty"` // nanoseconds of Unix time
}

// A signalling passes each incoming message to the connection that the message belongs
// to.
type signalling struct {
	out func(any)
	in  chan message  // messages for which no connection has called expect
	bye chan struct{} // closed when the signalling has ended

	mu    sync.Mutex
	conns map[int]func(message)
	ended bool
}

func newSignalling(out func(any)) *signalling {
	return &signalling{out: out, in: make(chan message, 64), bye: make(chan struct{}), conns: map[int]func(message){}}
}

func (s *signalling) deliver(m message) {
	if m.T == "bye" {
		s.end()
		return
	}
	s.mu.Lock()
	take := s.conns[m.ID]
	s.mu.Unlock()
	if take != nil && (m.T == "sdp" || m.T == "candidate" || m.T == "arrived") {
		take(m)
		return
	}
	s.in <- m
}

// expect calls take with each message for the connection id, in order, until forget is
// called.
func (s *signalling) expect(id int, take func(message)) {
	s.mu.Lock()
	s.conns[id] = take
	s.mu.Unlock()
}

func (s *signalling) forget(id int) {
	s.mu.Lock()
	delete(s.conns, id)
	s.mu.Unlock()
}

func (s *signalling) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended = true
		close(s.bye)
	}
}
