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

// signalling passes incoming lines to their connections.
type signalling struct {
	out func(any)
	in  chan message  // lines that no connection waits for
	bye chan struct{} // closed at the end

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
	if take != nil && (m.T == "sdp" || m.T == "candidate") {
		take(m)
		return
	}
	s.in <- m
}

// expect passes the messages of a connection to take, in order, until forget.
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
