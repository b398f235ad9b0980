package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"purertc/rtcpeer"
)

// A pair is a local connection and its remote end. Each case has one.
type pair struct {
	role     string // role of the local end: offer or answer
	trickle  bool
	conn     *rtcpeer.Conn
	remote   remote
	scenario *scenario
	invite   *rtcpeer.Invite // by which the remote end joins; nil: the ends exchange an offer and an answer
	run      func(conn *rtcpeer.Conn)
	cancel   context.CancelFunc

	// order is locked while a description is signalled, so that its candidates are
	// signalled after it.
	order        sync.Mutex
	descriptions chan string
	candidates   chan candidate // local candidates that were not signalled yet
	gathered     chan struct{}
	received     chan *rtcpeer.DataChannel // channels that the remote end has opened

	mu     sync.Mutex
	events []event // events of the remote end that no call of wait has returned yet
	more   chan struct{}
	err    error // error of the signalling

	setup time.Duration // time from the first call until the first channel was open
}

// newPair creates both ends. They are not connected yet.
func newPair(ctx context.Context, r *runner, role string, trickle bool, cfg rtcpeer.Config) (*pair, error) {
	p := &pair{
		role: role, trickle: trickle, scenario: r.scenario, conn: rtcpeer.New(),
		descriptions: make(chan string, 4), candidates: make(chan candidate, 256), gathered: make(chan struct{}),
		received: make(chan *rtcpeer.DataChannel, 1024), more: make(chan struct{}, 1),
	}
	var err error
	if p.remote, err = r.newRemote(ctx, trickle); err != nil {
		return nil, err
	}
	if r.scenario.host != nil {
		if p.invite, err = r.scenario.host.Invite(rtcpeer.InviteConfig{Config: cfg, MaxJoiners: 1}); err != nil {
			return nil, err
		}
	}
	if err := p.conn.Initialize(cfg); err != nil {
		return nil, err
	}
	p.conn.OnSessionDescriptionCreated(func(typ, sdp string) { p.descriptions <- sdp })
	p.conn.OnICECandidateCreated(func(media string, index int, name string) {
		if !trickle {
			return
		}
		if name, some := heard(p.scenario.ours, name); some {
			p.candidates <- candidate{media: media, index: index, name: name} // sent through a channel, because Poll must not wait for the page
		}
	})
	var once sync.Once
	p.conn.OnStateChanged(func() {
		if p.conn.GatheringState() == rtcpeer.GatheringStateComplete {
			once.Do(func() { close(p.gathered) })
		}
	})
	run, cancel := context.WithCancel(ctx)
	p.cancel = cancel
	p.run = func(conn *rtcpeer.Conn) {
		conn.OnDataChannelReceived(func(d *rtcpeer.DataChannel) { p.received <- d })
		go conn.Run(run)
	}
	p.run(p.conn)
	go p.pump(run)
	go p.trickleOurs(run)
	return p, nil
}

// A candidate is a local candidate that is to be signalled to the remote end.
type candidate struct {
	media string
	index int
	name  string
	sent  chan struct{} // if it is not nil, this is not a candidate: sent is closed after all earlier candidates have arrived
}

// trickled waits until the remote end has received all local candidates.
func (p *pair) trickled(ctx context.Context) error {
	if !p.trickle {
		return nil
	}
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for p.conn.GatheringState() != rtcpeer.GatheringStateComplete {
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("gathering: %w", ctx.Err())
		}
	}
	sent := make(chan struct{})
	p.candidates <- candidate{sent: sent}
	select {
	case <-sent:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// trickleOurs signals the local candidates, in order.
func (p *pair) trickleOurs(ctx context.Context) {
	for {
		select {
		case c := <-p.candidates:
			if c.sent != nil {
				close(c.sent)
				continue
			}
			p.order.Lock()
			err := p.remote.candidate(ctx, c.media, c.index, c.name)
			p.order.Unlock()
			if err != nil && ctx.Err() == nil {
				p.fail(fmt.Errorf("our candidate %q: %w", c.name, err))
			}
		case <-ctx.Done():
			return
		}
	}
}

// pump passes the remote end's candidates to the local connection and stores its other
// events.
func (p *pair) pump(ctx context.Context) {
	for {
		select {
		case e := <-p.remote.events():
			if e.Kind == "candidate" {
				name, some := heard(p.scenario.theirs, e.Name)
				if !some {
					continue
				}
				p.order.Lock()
				err := p.conn.AddICECandidate(e.Media, e.Index, name)
				p.order.Unlock()
				if err != nil && !errors.Is(err, rtcpeer.ErrClosed) {
					p.fail(fmt.Errorf("their candidate %q: %w", name, err))
				}
				continue
			}
			p.mu.Lock()
			p.events = append(p.events, e)
			p.mu.Unlock()
			p.wake()
		case <-ctx.Done():
			return
		}
	}
}

func (p *pair) wake() {
	select {
	case p.more <- struct{}{}:
	default:
	}
}

func (p *pair) fail(err error) {
	p.mu.Lock()
	if p.err == nil {
		p.err = err
	}
	p.mu.Unlock()
	p.wake()
}

// wait waits for an event of the given kind from the remote end and returns it. If ch
// is not 0, the event must belong to the channel ch.
func (p *pair) wait(ctx context.Context, kind string, ch int) (event, error) {
	for {
		p.mu.Lock()
		err := p.err
		for i, e := range p.events {
			if e.Kind == kind && (ch == 0 || e.Channel == ch) {
				p.events = append(p.events[:i:i], p.events[i+1:]...)
				p.mu.Unlock()
				return e, nil
			}
		}
		p.mu.Unlock()
		if err != nil {
			return event{}, err
		}
		select {
		case <-p.more:
		case <-ctx.Done():
			return event{}, fmt.Errorf("no %q from the remote end: %w", kind, ctx.Err())
		}
	}
}

// description waits until the local connection has created a description, and applies
// it.
func (p *pair) description(ctx context.Context, typ string) (string, error) {
	select {
	case sdp := <-p.descriptions:
		if err := p.conn.SetLocalDescription(typ, sdp); err != nil {
			return "", err
		}
		if p.trickle {
			return sdp, nil
		}
		select {
		case <-p.gathered:
			_, sdp = p.conn.LocalDescription()
			return sdp, nil
		case <-ctx.Done():
			return "", fmt.Errorf("gathering: %w", ctx.Err())
		}
	case <-ctx.Done():
		return "", fmt.Errorf("no %s was created: %w", typ, ctx.Err())
	}
}

// connect exchanges an offer and an answer, or has the remote end join by an invite.
func (p *pair) connect(ctx context.Context) error {
	if p.invite == nil {
		return p.negotiate(ctx, false)
	}
	if err := p.remote.join(ctx, p.invite.Text()); err != nil {
		return err
	}
	conn, err := p.invite.Accept(ctx)
	if err != nil {
		return fmt.Errorf("no joiner: %w", err)
	}
	p.conn.Close()
	p.conn = conn
	p.run(conn)
	return nil
}

// negotiate exchanges an offer and an answer. If restart is set, the offer restarts
// ICE.
func (p *pair) negotiate(ctx context.Context, restart bool) error {
	return p.negotiateAs(ctx, p.role, restart)
}

// negotiateAs exchanges an offer and an answer. role is the role of the local end in
// this exchange.
func (p *pair) negotiateAs(ctx context.Context, role string, restart bool) error {
	p.order.Lock()
	defer p.order.Unlock()
	if role == "offer" {
		if restart {
			if err := p.conn.RestartICE(); err != nil {
				return err
			}
		}
		if err := p.conn.CreateOffer(); err != nil {
			return err
		}
		offer, err := p.description(ctx, "offer")
		if err != nil {
			return err
		}
		answer, err := p.remote.answer(ctx, redact(p.scenario.ours, offer))
		if err != nil {
			return err
		}
		return p.conn.SetRemoteDescription("answer", redact(p.scenario.theirs, answer))
	}
	offer, err := p.remote.offer(ctx, restart)
	if err != nil {
		return err
	}
	if err := p.conn.SetRemoteDescription("offer", redact(p.scenario.theirs, offer)); err != nil {
		return err
	}
	answer, err := p.description(ctx, "answer")
	if err != nil {
		return err
	}
	return p.remote.accept(ctx, redact(p.scenario.ours, answer))
}

// A link is a data channel, with both of its ends.
type link struct {
	*pair
	ours   *rtcpeer.DataChannel
	theirs int
}

// open creates a channel at the offerer before the connection exists. It then
// connects, and waits until both ends have the channel.
func (p *pair) open(ctx context.Context, label string, o rtcpeer.ChannelOptions) (*link, error) {
	begin := time.Now()
	if p.role == "offer" {
		d, err := p.conn.CreateDataChannel(label, o)
		if err != nil {
			return nil, err
		}
		if err := p.connect(ctx); err != nil {
			return nil, err
		}
		l, err := p.joinTheirs(ctx, d)
		p.setup = time.Since(begin)
		return l, err
	}
	ch, err := p.remote.channel(ctx, label, o)
	if err != nil {
		return nil, err
	}
	if err := p.connect(ctx); err != nil {
		return nil, err
	}
	l, err := p.joinOurs(ctx, ch)
	p.setup = time.Since(begin)
	return l, err
}

// late creates a channel on an established connection. byUs says that the local end
// creates it. Otherwise the remote end does.
func (p *pair) late(ctx context.Context, byUs bool, label string, o rtcpeer.ChannelOptions) (*link, error) {
	if byUs {
		d, err := p.conn.OpenDataChannel(label, o)
		if err != nil {
			return nil, err
		}
		return p.joinTheirs(ctx, d)
	}
	ch, err := p.remote.channel(ctx, label, o)
	if err != nil {
		return nil, err
	}
	return p.joinOurs(ctx, ch)
}

// joinTheirs waits for the remote end of a channel that the local end has created.
func (p *pair) joinTheirs(ctx context.Context, d *rtcpeer.DataChannel) (*link, error) {
	e, err := p.wait(ctx, "channel", 0)
	if err != nil {
		return nil, fmt.Errorf("%w (our state: %v)", err, p.conn.ConnectionState())
	}
	l := &link{p, d, e.Channel}
	return l, sameChannel(e.channelInfo, infoOf(d))
}

// joinOurs waits for the local end of a channel that the remote end has created.
func (p *pair) joinOurs(ctx context.Context, ch int) (*link, error) {
	select {
	case d := <-p.received:
		if _, err := p.wait(ctx, "open", ch); err != nil {
			return nil, err
		}
		info, err := p.remote.describe(ctx, ch)
		if err != nil {
			return nil, err
		}
		return &link{p, d, ch}, sameChannel(info, infoOf(d))
	case <-ctx.Done():
		return nil, fmt.Errorf("no channel from the remote end: %w (our state: %v)", ctx.Err(), p.conn.ConnectionState())
	}
}

func sameChannel(theirs, ours channelInfo) error {
	if theirs != ours {
		return fmt.Errorf("the remote end has the channel as %.300v, we as %.300v", theirs, ours)
	}
	return nil
}

// end closes the connection at both ends.
func (p *pair) end() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if p.invite != nil {
		p.invite.Close()
	}
	p.conn.Close()
	p.remote.close(ctx)
	p.cancel()
	if p.scenario.between != nil {
		p.scenario.between()
	}
}
