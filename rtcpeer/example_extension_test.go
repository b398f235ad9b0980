package rtcpeer_test

import (
	"fmt"
	"sync"

	"purertc/rtcpeer"
)

// A loopback is an Extension without a network, for the tests of a program. Its
// descriptions are empty. The answer connects the two ends. A packet that is sent on a
// channel arrives at once at the remote channel with the same ID.
type loopback struct {
	other *loopback

	mu       sync.Mutex
	events   []rtcpeer.Event
	channels map[int]*loopbackChannel
	notify   func()
}

func newLoopbacks() (a, b *loopback) {
	a, b = &loopback{notify: func() {}}, &loopback{notify: func() {}}
	a.other, b.other = b, a
	return a, b
}

func (l *loopback) emit(events ...rtcpeer.Event) {
	l.mu.Lock()
	l.events = append(l.events, events...)
	l.mu.Unlock()
	l.notify()
}

func (l *loopback) Initialize(rtcpeer.Config) error {
	l.channels = map[int]*loopbackChannel{}
	return nil
}

func (l *loopback) CreateDataChannel(_ string, o rtcpeer.ChannelOptions) (rtcpeer.ChannelExtension, error) {
	if !o.Negotiated {
		return nil, fmt.Errorf("%w: a loopback has negotiated channels only", rtcpeer.ErrUnavailable)
	}
	ch := &loopbackChannel{owner: l, id: *o.ID}
	l.channels[ch.id] = ch
	return ch, nil
}

func (l *loopback) CreateOffer() error {
	l.emit(rtcpeer.Event{Kind: rtcpeer.EventSessionDescription, Type: "offer", SDP: "loopback"})
	return nil
}

func (l *loopback) SetLocalDescription(typ, _ string) error {
	if typ == "answer" {
		l.connect()
		l.other.connect()
	}
	return nil
}

func (l *loopback) SetRemoteDescription(typ, _ string) error {
	if typ == "offer" {
		l.emit(rtcpeer.Event{Kind: rtcpeer.EventSessionDescription, Type: "answer", SDP: "loopback"})
	}
	return nil
}

func (l *loopback) connect() {
	l.emit(rtcpeer.Event{Kind: rtcpeer.EventConnectionState, State: int(rtcpeer.StateConnected)})
	for _, ch := range l.channels {
		l.emit(rtcpeer.Event{Kind: rtcpeer.EventChannelState, Channel: ch, State: int(rtcpeer.ChannelStateOpen)})
	}
}

func (l *loopback) AddICECandidate(string, int, string) error { return nil }
func (l *loopback) Notify(f func())                           { l.notify = f }
func (l *loopback) Close() error                              { return nil }

func (l *loopback) NextEvent() (e rtcpeer.Event, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) == 0 {
		return e, false
	}
	e, l.events = l.events[0], l.events[1:]
	return e, true
}

// A loopbackChannel is one end of a channel. The owner's mu guards its packets.
type loopbackChannel struct {
	owner   *loopback
	id      int
	packets [][]byte
}

func (c *loopbackChannel) PutPacket(p []byte, _ bool) error {
	far := c.owner.other
	far.mu.Lock()
	ch := far.channels[c.id]
	if ch != nil {
		ch.packets = append(ch.packets, append([]byte(nil), p...))
	}
	far.mu.Unlock()
	if ch != nil {
		far.emit(rtcpeer.Event{Kind: rtcpeer.EventPacket, Channel: ch})
	}
	return nil
}

func (c *loopbackChannel) GetPacket() (p []byte, text bool, err error) {
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	if len(c.packets) == 0 {
		return nil, false, rtcpeer.ErrUnavailable
	}
	p, c.packets = c.packets[0], c.packets[1:]
	return p, false, nil
}

func (c *loopbackChannel) AvailablePacketCount() int {
	c.owner.mu.Lock()
	defer c.owner.mu.Unlock()
	return len(c.packets)
}

func (c *loopbackChannel) BufferedAmount() int { return 0 }
func (c *loopbackChannel) MaxPacketSize() int  { return 1 << 16 }
func (c *loopbackChannel) ID() int             { return c.id }
func (c *loopbackChannel) Close() error        { return nil }

// Example_withoutNetwork tests a program without a network: while another Extension is
// set, New returns connections that use it.
func Example_withoutNetwork() {
	a, b := newLoopbacks()
	extensions := []rtcpeer.Extension{a, b}
	rtcpeer.SetDefaultExtension(func() rtcpeer.Extension {
		next := extensions[0]
		extensions = extensions[1:]
		return next
	})
	client, server := rtcpeer.New(), rtcpeer.New()
	rtcpeer.SetDefaultExtension(nil)
	link(client, server)
	link(server, client)

	moves := rtcpeer.ChannelOptions{Negotiated: true, ID: new(1)}
	x, _ := client.CreateDataChannel("moves", moves)
	y, _ := server.CreateDataChannel("moves", moves)
	y.OnPacketReceived(func() {
		p, _ := y.GetPacket()
		fmt.Printf("%s\n", p)
	})
	client.CreateOffer()
	for range 3 { // three frames of the game
		client.Poll()
		server.Poll()
	}
	fmt.Println(client.ConnectionState(), x.ReadyState())
	x.PutPacket([]byte("jump"))
	server.Poll()
	// Output:
	// connected open
	// jump
}
