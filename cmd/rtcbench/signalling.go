package main

import "sync"

// A message is a line of the signalling.
type message struct {
	T     string  `json:"t"`
	ID    int     `json:"id"`
	Type  string  `json:"type,omitempty"`
	SDP   string  `json:"sdp,omitempty"`
	Media string  `json:"media,omitempty"`
	Index int     `json:"index"`
	Name  *string `json:"name,omitempty"`
}

// signalling gives the lines that come in to whom they concern.
type signalling struct {
	out func(any)
	in  chan message  // those that no connection waits for
	bye chan struct{} // closed at the end

	mu    sync.Mutex
	conns map[int]chan message
	ended bool
}

func newSignalling(out func(any)) *signalling {
	return &signalling{out: out, in: make(chan message, 1<<12), bye: make(chan struct{}), conns: map[int]chan message{}}
}

func (s *signalling) deliver(m message) {
	if m.T == "bye" {
		s.end()
		return
	}
	s.mu.Lock()
	c := s.conns[m.ID]
	s.mu.Unlock()
	if c != nil && (m.T == "sdp" || m.T == "candidate") {
		c <- m
		return
	}
	s.in <- m
}

// expect has the messages of a connection given to the channel returned,
// until forget.
func (s *signalling) expect(id int) chan message {
	c := make(chan message, 16)
	s.mu.Lock()
	s.conns[id] = c
	s.mu.Unlock()
	return c
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
