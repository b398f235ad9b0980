package rtcpeer

import (
	"context"
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
	closed bool
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
	s.peer, s.cfg, s.closed = nil, &cfg, false
	if cfg.ignored != nil && cfg.Logger != nil {
		cfg.Logger.Info("configuration keys without effect", "keys", *cfg.ignored)
	}
	return nil
}

// CandidateDelivered is of DeliveryExtension.
func (s *stack) CandidateDelivered(name string) {
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

// CreatesLateChannels is of LateChannelExtension.
func (s *stack) CreatesLateChannels() bool { return true }

// known is the peer; nil if there is none and none can be made.
func (s *stack) known() *peer {
	if s.closed {
		return s.peer
	}
	p, _ := s.made()
	return p
}

// LocalDescription is of DescriptionExtension.
func (s *stack) LocalDescription() (typ, sdp string) {
	if s.peer == nil {
		return "", ""
	}
	return s.peer.localDescription()
}

// RemoteDescription is of DescriptionExtension.
func (s *stack) RemoteDescription() (typ, sdp string) {
	if s.peer == nil {
		return "", ""
	}
	return s.peer.remoteDescription()
}

// RestartICE is of RestartExtension.
func (s *stack) RestartICE() error {
	p, err := s.made()
	if err != nil {
		return err
	}
	return p.restartICE()
}

// SetICEServers is of RestartExtension.
func (s *stack) SetICEServers(servers []ICEServer) error {
	p, err := s.made()
	if err != nil {
		return err
	}
	return p.setICEServers(servers)
}

// Restarting is of RestartExtension.
func (s *stack) Restarting() bool {
	if s.peer == nil {
		return false
	}
	s.peer.mu.Lock()
	defer s.peer.mu.Unlock()
	return s.peer.failure() == nil
}

// Shutdown is of ShutdownExtension.
func (s *stack) Shutdown(ctx context.Context) error {
	if s.peer == nil {
		return nil // nothing was ever begun
	}
	return s.peer.shutdown(ctx)
}

// Stats is of StatsExtension.
func (s *stack) Stats() Stats {
	if p := s.known(); p != nil {
		return p.stats()
	}
	return Stats{}
}

// Report is of ReportExtension.
func (s *stack) Report(r *Report) {
	if p := s.known(); p != nil {
		p.report(r)
	}
}

// Close is of Extension.
func (s *stack) Close() error {
	s.closed = true
	if s.peer != nil {
		s.peer.close()
	}
	return nil
}
