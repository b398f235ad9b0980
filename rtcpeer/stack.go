package rtcpeer

import (
	"context"
	"io"
	"slices"
	"time"
)

// A stack is the built-in Extension. Its transport is one connection. Initialize does
// not make the transport, the first call that needs it does: New calls Initialize, and
// most programs call it again with their own configuration.
type stack struct {
	transport *transport
	cfg       *Config // of the transport that will be made
	closed    bool
	notify    func()
	ending    func() // of EndingExtension

	// Tests set these in place of the machine's.
	random  io.Reader
	network network
	now     func() time.Time // if set, fire is called by the simulation instead of timers
}

func newStack() *stack { return &stack{notify: func() {}, ending: func() {}} }

// Notify implements Extension.
func (s *stack) Notify(f func()) { s.notify = f }

// NotifyEnd implements EndingExtension.
func (s *stack) NotifyEnd(f func()) { s.ending = f }

// Initialize implements Extension.
func (s *stack) Initialize(cfg Config) error {
	s.Close()
	cfg.ICEServers = slices.Clone(cfg.ICEServers) // the caller may change its own
	cfg.LocalAddresses = slices.Clone(cfg.LocalAddresses)
	s.transport, s.cfg, s.closed = nil, &cfg, false
	if cfg.ignored != nil && cfg.Logger != nil {
		cfg.Logger.Info("configuration keys without effect", "keys", *cfg.ignored)
	}
	return nil
}

// CandidateDelivered implements DeliveryExtension.
func (s *stack) CandidateDelivered(name string) {
	if s.transport != nil {
		s.transport.candidateDelivered(name)
	}
}

// made returns the transport, and makes it if there is none. It fails only if there is
// no randomness.
func (s *stack) made() (*transport, error) {
	if s.transport != nil {
		return s.transport, nil
	}
	cfg := s.cfg
	t, err := newTransport(*cfg, s.random, s.notify)
	if err != nil {
		return nil, err
	}
	switch {
	case s.network != nil:
		t.gatherer.network, t.gatherer.multicast = s.network, false
		t.queue.workers = new(workers)
		t.queue.direct.Store(true) // a simulation has one goroutine
	case cfg.Host != nil:
		t.gatherer.network, t.queue.workers = hostNetwork{cfg.Host, cfg.LocalAddresses, cfg.DialContext}, &cfg.Host.workers
		t.loss.overload, t.memory.host = &cfg.Host.overload, &cfg.Host.memory
		t.core.fragmented = t.core.fragmented || cfg.Host.foreign
	default:
		t.queue.workers, t.loss.overload = &commonWorkers, &commonOverload
	}
	if cfg.Filter != nil {
		// A slow Filter delays only its own transport.
		t.queue.workers, t.queue.workersOnly = new(workers), true
	}
	t.ending = s.ending
	if s.now != nil {
		t.now, t.timed = s.now, false
	}
	if cfg.Filter != nil {
		t.gatherer.network = filteredNetwork{t.gatherer.network, cfg.Filter}
	}
	s.transport, s.cfg = t, nil
	return t, nil
}

// CreateDataChannel implements Extension.
func (s *stack) CreateDataChannel(label string, o ChannelOptions) (ChannelExtension, error) {
	t, err := s.made()
	if err != nil {
		return nil, err
	}
	c, err := t.openChannel(label, o)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// CreateOffer implements Extension.
func (s *stack) CreateOffer() error {
	t, err := s.made()
	if err != nil {
		return err
	}
	return t.createOffer()
}

// SetLocalDescription implements Extension.
func (s *stack) SetLocalDescription(typ, sdp string) error {
	t, err := s.made()
	if err != nil {
		return err
	}
	return t.setLocalDescription(typ, sdp)
}

// SetRemoteDescription implements Extension.
func (s *stack) SetRemoteDescription(typ, sdp string) error {
	t, err := s.made()
	if err != nil {
		return err
	}
	return t.setRemoteDescription(typ, sdp)
}

// AddICECandidate implements Extension.
func (s *stack) AddICECandidate(media string, index int, name string) error {
	t, err := s.made()
	if err != nil {
		return err
	}
	return t.addICECandidate(media, index, name)
}

// NextEvent implements Extension.
func (s *stack) NextEvent() (Event, bool) {
	if s.transport == nil {
		return Event{}, false
	}
	return s.transport.nextEvent()
}

// CreatesLateChannels implements LateChannelExtension.
func (s *stack) CreatesLateChannels() bool { return true }

// known returns the transport, and makes it if there is none. After Close it may
// return nil.
func (s *stack) known() *transport {
	if s.closed {
		return s.transport
	}
	t, _ := s.made()
	return t
}

// LocalDescription implements DescriptionExtension.
func (s *stack) LocalDescription() (typ, sdp string) {
	if s.transport == nil {
		return "", ""
	}
	return s.transport.localDescription()
}

// RemoteDescription implements DescriptionExtension.
func (s *stack) RemoteDescription() (typ, sdp string) {
	if s.transport == nil {
		return "", ""
	}
	return s.transport.remoteDescription()
}

// RestartICE implements RestartExtension.
func (s *stack) RestartICE() error {
	t, err := s.made()
	if err != nil {
		return err
	}
	return t.restartICE()
}

// SetICEServers implements RestartExtension.
func (s *stack) SetICEServers(servers []ICEServer) error {
	t, err := s.made()
	if err != nil {
		return err
	}
	return t.setICEServers(servers)
}

// Restarting implements RestartExtension.
func (s *stack) Restarting() bool {
	if s.transport == nil {
		return false
	}
	s.transport.mu.Lock()
	defer s.transport.mu.Unlock()
	return s.transport.failure() == nil
}

// Shutdown implements ShutdownExtension.
func (s *stack) Shutdown(ctx context.Context) error {
	if s.transport == nil {
		return nil // nothing was begun
	}
	return s.transport.shutdown(ctx)
}

// Stats implements StatsExtension.
func (s *stack) Stats() Stats {
	if t := s.known(); t != nil {
		return t.stats()
	}
	return Stats{}
}

// Report implements ReportExtension.
func (s *stack) Report(r *Report) {
	if t := s.known(); t != nil {
		t.report(r)
	}
}

// Close implements Extension.
func (s *stack) Close() error {
	s.closed = true
	if s.transport != nil {
		s.transport.close()
	}
	return nil
}
