package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"purertc/dtls"
	"purertc/rtcpeer"
)

// A bencher is one end of the measured pair. It has one or many connections.
type bencher struct {
	o      options
	role   string
	s      *signalling
	host   *rtcpeer.Host
	config rtcpeer.Config
	nextID atomic.Int64
	logs   []*logFile // of the first connection

	mu    sync.Mutex
	conns map[int]*connection
}

// A connection is an rtcpeer.Conn with its channels.
type connection struct {
	*rtcpeer.Conn
	id   int
	ctx  context.Context
	stop context.CancelFunc // stops the polling of the connection

	mu       sync.Mutex
	channels []*rtcpeer.DataChannel
}

func newBencher(o options, role string, s *signalling) (*bencher, error) {
	if o.scenario == "idle" && o.host != role {
		if err := needFiles(o.conns + 64); err != nil {
			return nil, err
		}
	}
	b := &bencher{o: o, role: role, s: s, conns: map[int]*connection{}}
	addr := o.addr
	if !addr.IsValid() && o.stun == "" && o.turn == "" {
		addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if addr.IsValid() {
		b.config.LocalAddresses = []netip.Addr{addr}
	}
	b.config.IncludeLoopback = true
	b.config.SendBufferSize = o.high
	b.config.MaxMessageSize = 1 << 20
	b.config.MaxDatagramSize = o.mtu
	b.config.BusyPoll = o.busyPoll
	b.config.CongestionControl = o.congestion
	b.config.DisableSNAP, b.config.DisableSPED = !o.snap || !o.warp, !o.warp
	switch o.dtls {
	case "":
	case "1.2":
		b.config.MaxDTLS = tls.VersionTLS12
	case "1.3":
		b.config.MaxDTLS = tls.VersionTLS13
	default:
		return nil, fmt.Errorf("no DTLS version %q: there are 1.2 and 1.3", o.dtls)
	}
	if o.stun != "" {
		b.config.ICEServers = append(b.config.ICEServers, rtcpeer.ICEServer{URLs: []string{"stun:" + o.stun}})
	}
	if o.turn != "" {
		b.config.ICEServers = append(b.config.ICEServers, rtcpeer.ICEServer{URLs: []string{o.turn}, Username: o.turnUser, Credential: o.turnPass})
	}
	if o.relayOnly {
		b.config.ICETransportPolicy = rtcpeer.ICETransportPolicyRelay
	}
	if o.host == role {
		listen := ":0"
		if addr.IsValid() {
			listen = netip.AddrPortFrom(addr, 0).String()
		}
		h, err := rtcpeer.NewHost(rtcpeer.HostConfig{Addr: listen, BusyPoll: o.busyPoll})
		if err != nil {
			return nil, err
		}
		b.host, b.config.Host = h, h
		for range runtime.GOMAXPROCS(0) {
			go h.Run(context.Background()) // polls all connections, which otherwise need a goroutine each
		}
	}
	return b, nil
}

func (b *bencher) close() {
	b.mu.Lock()
	conns := b.conns
	b.conns = nil
	b.mu.Unlock()
	for _, c := range conns {
		c.end()
	}
	for _, l := range b.logs {
		if err := l.close(); err != nil {
			fail("%v", err)
		}
	}
	if b.host != nil {
		b.host.Close()
	}
}

// A logFile is the file of an event log or packet capture.
type logFile struct {
	*bufio.Writer
	file *os.File
}

func (l *logFile) close() error { return errors.Join(l.Flush(), l.file.Close()) }

// openLog creates a file that close closes. It returns nil if name is empty.
func (b *bencher) openLog(name string) (io.Writer, error) {
	if name == "" {
		return nil, nil
	}
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	l := &logFile{bufio.NewWriterSize(file, 1<<16), file}
	b.logs = append(b.logs, l)
	return l, nil
}

func (c *connection) end() {
	c.Close()
	c.stop()
}

func (c *connection) keep(d *rtcpeer.DataChannel) {
	c.mu.Lock()
	c.channels = append(c.channels, d)
	c.mu.Unlock()
}

// connect creates a connection in either role. Its signalling goes through b.s. The
// caller then calls run.
func (b *bencher) connect(id int, on func(c *connection, d *rtcpeer.DataChannel)) (*connection, error) {
	ctx, stop := context.WithCancel(context.Background())
	c := &connection{Conn: rtcpeer.New(), id: id, ctx: ctx, stop: stop}
	config := b.config
	if !b.o.sharedCert {
		cert, err := dtls.GenerateCertificate(time.Now(), nil)
		if err != nil {
			stop()
			return nil, err
		}
		config.Certificate = cert
	}
	if id == 0 && (b.o.role != "both" || b.role == "offer") {
		var err error
		if config.EventLog, err = b.openLog(b.o.files.eventLog); err == nil {
			config.PacketCapture, err = b.openLog(b.o.files.capture)
		}
		if err != nil {
			stop()
			return nil, err
		}
	}
	if err := c.Initialize(config); err != nil {
		stop()
		return nil, err
	}
	local := ""
	send := func(sdp string) {
		b.s.out(message{T: "sdp", ID: id, Type: local, SDP: sdp})
	}
	c.OnSessionDescriptionCreated(func(typ, sdp string) {
		local = typ
		if err := c.SetLocalDescription(typ, sdp); err != nil {
			fail("%v", err)
			return
		}
		if b.o.trickle {
			send(sdp)
		}
	})
	c.OnICECandidateCreated(func(media string, index int, name string) {
		switch {
		case b.o.trickle:
			b.s.out(message{T: "candidate", ID: id, Media: media, Index: index, Name: &name})
		case name == "": // there are no further candidates
			_, sdp := c.LocalDescription()
			send(sdp)
		}
	})
	c.OnDataChannelReceived(func(d *rtcpeer.DataChannel) {
		c.keep(d)
		if on != nil {
			on(c, d)
		}
	})
	b.s.expect(id, c.take)
	b.mu.Lock()
	if b.conns == nil {
		b.mu.Unlock()
		stop()
		return nil, errors.New("closed")
	}
	b.conns[id] = c
	b.mu.Unlock()
	return c, nil
}

// run polls the connection in a goroutine, unless a host polls it.
func (b *bencher) run(c *connection) {
	if b.host == nil {
		c.Run(c.ctx)
	}
}

// take applies a message of the signalling to the connection.
func (c *connection) take(m message) {
	var err error
	switch m.T {
	case "sdp":
		err = c.SetRemoteDescription(m.Type, m.SDP)
	case "candidate":
		name := ""
		if m.Name != nil {
			name = *m.Name
		}
		err = c.AddICECandidate(m.Media, m.Index, name)
	}
	if err != nil && !errors.Is(err, rtcpeer.ErrClosed) {
		fail("%v", err)
	}
}

// openTimeout is the maximum time for opening a connection.
const openTimeout = 20 * time.Second

// dial opens a connection, with a channel for each of the labels.
func (b *bencher) dial(id int, labels ...string) (*connection, error) {
	c, err := b.connect(id, nil)
	if err != nil {
		return nil, err
	}
	opened := make(chan struct{}, len(labels))
	for _, l := range labels {
		d, err := c.CreateDataChannel(l, b.channelOptions(l))
		if err != nil {
			return nil, err
		}
		d.OnStateChanged(func() {
			if d.ReadyState() == rtcpeer.ChannelStateOpen {
				opened <- struct{}{}
			}
		})
		c.keep(d)
	}
	if err := c.CreateOffer(); err != nil {
		return nil, err
	}
	if b.host == nil {
		go c.Run(c.ctx)
	}
	timeout := time.NewTimer(openTimeout)
	defer timeout.Stop()
	for range labels {
		select {
		case <-opened:
		case <-timeout.C:
			return c, fmt.Errorf("connection %d: not open within %v: %v", id, openTimeout, c.ConnectionState())
		}
	}
	b.s.forget(id)
	return c, nil
}

func (b *bencher) channelOptions(label string) (o rtcpeer.ChannelOptions) {
	if b.o.unordered && label != "ping" {
		o.Ordered = new(false)
		if b.o.maxrtx >= 0 {
			o.MaxRetransmits = new(b.o.maxrtx)
		}
	}
	return o
}

// drop closes a connection and removes it.
func (b *bencher) drop(id int) {
	b.mu.Lock()
	c := b.conns[id]
	delete(b.conns, id)
	b.mu.Unlock()
	b.s.forget(id)
	if c != nil {
		c.end()
	}
}
