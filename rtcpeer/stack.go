package rtcpeer

import (
	"io"
	"slices"
	"time"
)

// stack is the built-in Extension. What belongs to one connection is a peer;
// after Initialize, the first call that needs one makes it: New initializes
// too, and most programs do it again with their own configuration.
type stack struct {
	peer   *peer
	cfg    *Config // of the peer that is to be made
	notify func()

	// What tests set in place of the machine's.
	random  io.Reader
	network network
	now     func() time.Time // with it, nothing is done by timers
}

func newStack() *stack { return &stack{notify: func() {}} }

// Notify is of Extension.
func (s *stack) Notify(f func()) { s.notify = f }

// Initialize is of Extension.
func (s *stack) Initialize(cfg Config) error {
	s.Close()
	cfg.ICEServers = slices.Clone(cfg.ICEServers) // the caller's may change
	cfg.LocalAddresses = slices.Clone(cfg.LocalAddresses)
	s.peer, s.cfg = nil, &cfg
	if cfg.ignored != nil && cfg.Logger != nil {
		cfg.Logger.Info("configuration keys without effect", "keys", *cfg.ignored)
	}
	return nil
}

// candidateDelivered is of candidateObserver.
func (s *stack) candidateDelivered(name string) {
	if s.peer != nil {
		s.peer.candidateDelivered(name)
	}
}

// made is the peer, which is made if there is none. It fails only if there is
// no randomness.
func (s *stack) made() (*peer, error) {
	if s.peer != nil {
		return s.peer, nil
	}
	cfg := s.cfg
	p, err := newPeer(*cfg, s.random, s.notify)
	if err != nil {
		return nil, err
	}
	switch {
	case s.network != nil:
		p.network, p.multicast = s.network, false
		p.queue.workers = new(workers)
		p.queue.direct.Store(true) // a simulation has no other goroutines
	case cfg.Host != nil:
		p.network, p.queue.workers = hostNetwork{cfg.Host}, &cfg.Host.workers
		p.suspects, p.memory = &cfg.Host.silence, &cfg.Host.memory
	default:
		p.queue.workers, p.suspects = &commonWorkers, &commonSuspicion
	}
	if cfg.Filter != nil {
		// A Filter that takes its time has only its own peer wait.
		p.queue.workers, p.queue.workersOnly = new(workers), true
	}
	if s.now != nil {
		p.now, p.timed = s.now, false
	}
	if cfg.Filter != nil {
		p.network = filteredNetwork{p.network, cfg.Filter}
	}
	s.peer, s.cfg = p, nil
	return p, nil
}

// CreateDataChannel is of Extension.
func (s *stack) CreateDataChannel(label string, o ChannelOptions) (ChannelExtension, error) {
	p, err := s.made()
	if err != nil {
		return nil, err
	}
	c, err := p.openChannel(label, o)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// CreateOffer is of Extension.
func (s *stack) CreateOffer() error {
	p, err := s.made()
	if err != nil {
		return err
	}
	return p.createOffer()
}

// SetLocalDescription is of Extension.
func (s *stack) SetLocalDescription(typ, sdp string) error {
	p, err := s.made()
	if err != nil {
		return err
	}
	return p.setLocalDescription(typ, sdp)
}

// SetRemoteDescription is of Extension.
func (s *stack) SetRemoteDescription(typ, sdp string) error {
	p, err := s.made()
	if err != nil {
		return err
	}
	return p.setRemoteDescription(typ, sdp)
}

// AddICECandidate is of Extension.
func (s *stack) AddICECandidate(media string, index int, name string) error {
	p, err := s.made()
	if err != nil {
		return err
	}
	return p.addICECandidate(media, index, name)
}

// NextEvent is of Extension.
func (s *stack) NextEvent() (Event, bool) {
	if s.peer == nil {
		return Event{}, false
	}
	return s.peer.nextEvent()
}

// Close is of Extension.
func (s *stack) Close() error {
	if s.peer != nil {
		s.peer.close()
	}
	return nil
}
