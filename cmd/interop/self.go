package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"purertc/rtcpeer"
)

// A selfPeer is a remote end that is a connection of this stack.
type selfPeer struct {
	conn     *rtcpeer.Conn
	complete bool
	cancel   context.CancelFunc
	ch       chan event
	created  chan string // descriptions that the connection has created
	gathered chan struct{}

	mu       sync.Mutex
	channels map[int]*selfChannel
	next     int
}

type selfChannel struct {
	d     *rtcpeer.DataChannel
	mu    sync.Mutex
	quiet int // after how many bytes a report is sent; 0: a report is sent for each packet
}

func newSelfPeer(trickle bool, cfg rtcpeer.Config) (*selfPeer, error) {
	f := &selfPeer{
		conn: rtcpeer.New(), complete: !trickle, ch: make(chan event, 1<<16),
		created: make(chan string, 4), gathered: make(chan struct{}), channels: map[int]*selfChannel{},
	}
	if err := f.conn.Initialize(cfg); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	f.conn.OnSessionDescriptionCreated(func(typ, sdp string) { f.created <- sdp })
	f.conn.OnICECandidateCreated(func(media string, index int, name string) {
		if trickle {
			f.ch <- event{Kind: "candidate", Media: media, Index: index, Name: name}
		}
	})
	f.conn.OnDataChannelReceived(func(d *rtcpeer.DataChannel) {
		n := f.adopt(ctx, d)
		f.ch <- event{Kind: "channel", Channel: n, channelInfo: infoOf(d)}
	})
	var once sync.Once
	last := rtcpeer.StateNew
	f.conn.OnStateChanged(func() {
		if f.conn.GatheringState() == rtcpeer.GatheringStateComplete {
			once.Do(func() { close(f.gathered) })
		}
		if s := f.conn.ConnectionState(); s != last {
			last = s
			f.ch <- event{Kind: "state", State: s.String()}
		}
	})
	go f.conn.Run(ctx)
	return f, nil
}

func infoOf(d *rtcpeer.DataChannel) channelInfo {
	none := func(n int) int {
		if n == 65535 {
			return -1
		}
		return n
	}
	return channelInfo{
		Label: d.Label(), Protocol: d.Protocol(), Ordered: d.IsOrdered(), ID: none(d.ID()), Negotiated: d.IsNegotiated(),
		MaxRetransmits: none(d.MaxRetransmits()), MaxPacketLifeTime: none(d.MaxPacketLifeTime()),
	}
}

// adopt adds a channel and reads from it until it ends. It returns the channel's
// number.
func (f *selfPeer) adopt(ctx context.Context, d *rtcpeer.DataChannel) int {
	f.mu.Lock()
	f.next++
	n := f.next
	c := &selfChannel{d: d}
	f.channels[n] = c
	f.mu.Unlock()
	go func() {
		hash, total := fnv.New32a(), 0
		for {
			b, text, err := d.Receive(ctx)
			if err != nil {
				f.ch <- event{Kind: "close", Channel: n}
				return
			}
			c.mu.Lock()
			quiet := c.quiet
			c.mu.Unlock()
			if quiet == 0 {
				f.ch <- event{Kind: "message", Channel: n, Text: text, Size: len(b), Hash: hashOf(b), Head: hex.EncodeToString(b[:min(64, len(b))])}
				continue
			}
			hash.Write(b)
			if total += len(b); total >= quiet {
				f.ch <- event{Kind: "received", Channel: n, Size: total, Hash: hash.Sum32()}
				total, quiet = 0, 0
			}
		}
	}()
	return n
}

func (f *selfPeer) get(ch int) *selfChannel {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.channels[ch]
}

func (f *selfPeer) channel(ctx context.Context, label string, o rtcpeer.ChannelOptions) (int, error) {
	d, err := f.conn.OpenDataChannel(label, o)
	if err != nil {
		return 0, err
	}
	n := f.adopt(context.Background(), d)
	d.OnStateChanged(func() {
		if d.ReadyState() == rtcpeer.ChannelStateOpen {
			f.ch <- event{Kind: "open", Channel: n}
		}
	})
	return n, nil
}

// description waits until the connection has created a description, and applies it.
func (f *selfPeer) description(ctx context.Context, typ string) (string, error) {
	select {
	case sdp := <-f.created:
		if err := f.conn.SetLocalDescription(typ, sdp); err != nil {
			return "", err
		}
		if f.complete {
			select {
			case <-f.gathered:
				_, sdp = f.conn.LocalDescription()
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		return sdp, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (f *selfPeer) offer(ctx context.Context, restart bool) (string, error) {
	if restart {
		if err := f.conn.RestartICE(); err != nil {
			return "", err
		}
	}
	if err := f.conn.CreateOffer(); err != nil {
		return "", err
	}
	return f.description(ctx, "offer")
}

func (f *selfPeer) answer(ctx context.Context, offer string) (string, error) {
	if err := f.conn.SetRemoteDescription("offer", offer); err != nil {
		return "", err
	}
	return f.description(ctx, "answer")
}

func (f *selfPeer) accept(ctx context.Context, answer string) error {
	return f.conn.SetRemoteDescription("answer", answer)
}

func (f *selfPeer) join(ctx context.Context, invite string) error { return f.conn.Join(invite) }

func (f *selfPeer) candidate(ctx context.Context, media string, index int, name string) error {
	return f.conn.AddICECandidate(media, index, name)
}

func (f *selfPeer) describe(ctx context.Context, ch int) (channelInfo, error) {
	return infoOf(f.get(ch).d), nil
}

func (f *selfPeer) maxSize(ctx context.Context) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.channels {
		return c.d.MaxPacketSize(), nil
	}
	return 0, errors.New("no channel")
}

func (f *selfPeer) send(ctx context.Context, ch int, m packet) error {
	return f.get(ch).d.Send(ctx, m.content(), m.text)
}

func (f *selfPeer) burst(ctx context.Context, ch, count, size int, seed uint32, gap int) error {
	return burst(ctx, f.get(ch).d, count, size, seed, gap)
}

// burst sends packets. count is their number, and size is their length in bytes. The
// first four bytes of each packet contain its number. After each group of gap packets
// there is a pause of a millisecond; 0: there is no pause.
func burst(ctx context.Context, d *rtcpeer.DataChannel, count, size int, seed uint32, gap int) error {
	for i := range count {
		if err := d.Send(ctx, numbered(i, size, seed), false); err != nil {
			return fmt.Errorf("packet %d: %w", i, err)
		}
		if gap > 0 && i%gap == gap-1 {
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func numbered(i, size int, seed uint32) []byte {
	b := pattern(size, seed+uint32(i))
	binary.BigEndian.PutUint32(b, uint32(i))
	return b
}

func (f *selfPeer) quiet(ctx context.Context, ch, total int) error {
	c := f.get(ch)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quiet = total
	return nil
}

func (f *selfPeer) bulk(ctx context.Context, ch, size, total int, seed uint32) (uint32, error) {
	return bulk(ctx, f.get(ch).d, size, total, seed)
}

// bulk sends data and returns its hash. total is the number of bytes, and size is the
// number of bytes in each packet.
func bulk(ctx context.Context, d *rtcpeer.DataChannel, size, total int, seed uint32) (uint32, error) {
	b, hash := pattern(size, seed), fnv.New32a()
	for total > 0 {
		p := b[:min(size, total)]
		if err := d.Send(ctx, p, false); err != nil {
			return 0, err
		}
		hash.Write(p)
		total -= len(p)
	}
	return hash.Sum32(), nil
}

func (f *selfPeer) buffered(ctx context.Context, ch int) (int, error) {
	return f.get(ch).d.BufferedAmount(), nil
}

func (f *selfPeer) closeChannel(ctx context.Context, ch int) error { return f.get(ch).d.Close() }

// media does nothing, because this stack has no media.
func (f *selfPeer) media(context.Context, string) error { return nil }

func (f *selfPeer) close(ctx context.Context) error {
	f.conn.Close()
	f.cancel()
	return nil
}

func (f *selfPeer) vanish(ctx context.Context) error { return f.close(ctx) }

func (f *selfPeer) events() <-chan event { return f.ch }
