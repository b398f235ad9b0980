package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"sync/atomic"

	"purertc/rtcpeer"
)

// An event is a report of the remote end. A page sends it as JSON. If this stack is
// the remote end, it is passed as a value.
type event struct {
	Kind   string          `json:"e"`
	Peer   int             `json:"peer"`
	N      int             `json:"n"`
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`
	Agent  string          `json:"agent"`

	Channel int    `json:"ch"`
	State   string `json:"state"`
	Media   string `json:"media"`
	Index   int    `json:"index"`
	Name    string `json:"name"`

	Text bool   `json:"text"`
	Size int    `json:"size"`
	Hash uint32 `json:"hash"`
	Head string `json:"head"` // in hexadecimal

	channelInfo
}

// A channelInfo describes a channel as the remote end sees it.
type channelInfo struct {
	Label             string `json:"label"`
	Protocol          string `json:"protocol"`
	Ordered           bool   `json:"ordered"`
	ID                int    `json:"id"`
	MaxRetransmits    int    `json:"maxRetransmits"`
	MaxPacketLifeTime int    `json:"maxPacketLifeTime"`
	Negotiated        bool   `json:"negotiated"`
}

// A remote is the remote end of a connection: the peer connection of a page, or
// another connection of this stack.
type remote interface {
	channel(ctx context.Context, label string, o rtcpeer.ChannelOptions) (ch int, err error)
	offer(ctx context.Context, restart bool) (sdp string, err error)
	answer(ctx context.Context, offer string) (sdp string, err error)
	accept(ctx context.Context, answer string) error
	join(ctx context.Context, invite string) error // is called instead of offer and accept
	candidate(ctx context.Context, media string, index int, name string) error
	describe(ctx context.Context, ch int) (channelInfo, error)
	maxSize(ctx context.Context) (int, error) // in bytes; -1: no limit
	send(ctx context.Context, ch int, m packet) error
	burst(ctx context.Context, ch, count, size int, seed uint32, gap int) error
	quiet(ctx context.Context, ch, total int) error
	bulk(ctx context.Context, ch, size, total int, seed uint32) (hash uint32, err error)
	buffered(ctx context.Context, ch int) (int, error)
	closeChannel(ctx context.Context, ch int) error
	media(ctx context.Context, change string) error // change is "audio" or "video" (adds a transceiver), "stop" or "stop-first" (stops the newest or the first transceiver) or "check" (returns an error if a section is rejected or active)
	close(ctx context.Context) error
	vanish(ctx context.Context) error
	events() <-chan event
}

// A packet is a message. Its content is the given bytes, or a pattern.
type packet struct {
	text  bool
	bytes []byte // nil: the content is the pattern
	size  int
	seed  uint32
}

// content returns the bytes of the packet. The page computes the pattern in the same
// way.
func (m packet) content() []byte {
	if m.bytes != nil {
		return m.bytes
	}
	b := pattern(m.size, m.seed)
	if m.text {
		for i := range b {
			b[i] = 32 + b[i]%95
		}
	}
	return b
}

// pattern returns n pseudo-random bytes, which xorshift32 computes from the seed.
func pattern(n int, seed uint32) []byte {
	b := make([]byte, n)
	x := seed
	if x == 0 {
		x = 1
	}
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

// hashOf returns the FNV-1a hash of b.
func hashOf(b []byte) uint32 {
	h := fnv.New32a()
	h.Write(b)
	return h.Sum32()
}

// A pagePeer is a peer connection in a page.
type pagePeer struct {
	page     *page
	id       int
	complete bool // descriptions contain all candidates
	ch       chan event
}

var peerIDs atomic.Int64

func (p *page) newPeer(ctx context.Context, trickle bool, w *scenario) (*pagePeer, error) {
	f := &pagePeer{page: p, id: int(peerIDs.Add(1)), complete: !trickle, ch: make(chan event, 1<<16)}
	config := w.page
	if w.media {
		config = mediaPage(f.id)
	}
	p.mu.Lock()
	p.peers[f.id] = f.ch
	p.mu.Unlock()
	return f, f.call(ctx, "new", map[string]any{"trickle": trickle, "config": config, "media": w.media}, nil)
}

func (f *pagePeer) call(ctx context.Context, op string, args map[string]any, out any) error {
	if args == nil {
		args = map[string]any{}
	}
	args["peer"] = f.id
	return f.page.call(ctx, op, args, out)
}

func (f *pagePeer) channel(ctx context.Context, label string, o rtcpeer.ChannelOptions) (ch int, err error) {
	err = f.call(ctx, "channel", map[string]any{"label": label, "options": o}, &ch)
	return ch, err
}

func (f *pagePeer) offer(ctx context.Context, restart bool) (sdp string, err error) {
	err = f.call(ctx, "offer", map[string]any{"complete": f.complete, "restart": restart}, &sdp)
	return sdp, err
}

func (f *pagePeer) answer(ctx context.Context, offer string) (sdp string, err error) {
	err = f.call(ctx, "answer", map[string]any{"sdp": offer, "complete": f.complete}, &sdp)
	return sdp, err
}

func (f *pagePeer) accept(ctx context.Context, answer string) error {
	return f.call(ctx, "accept", map[string]any{"sdp": answer}, nil)
}

func (f *pagePeer) join(ctx context.Context, invite string) error {
	return f.call(ctx, "join", map[string]any{"invite": invite}, nil)
}

func (f *pagePeer) candidate(ctx context.Context, media string, index int, name string) error {
	return f.call(ctx, "candidate", map[string]any{"media": media, "index": index, "name": name}, nil)
}

func (f *pagePeer) describe(ctx context.Context, ch int) (i channelInfo, err error) {
	err = f.call(ctx, "describe", map[string]any{"ch": ch}, &i)
	return i, err
}

func (f *pagePeer) maxSize(ctx context.Context) (n int, err error) {
	err = f.call(ctx, "maxSize", nil, &n)
	return n, err
}

func (f *pagePeer) send(ctx context.Context, ch int, m packet) error {
	args := map[string]any{"ch": ch, "text": m.text, "size": m.size, "seed": m.seed}
	if m.bytes != nil {
		args["hex"] = hex.EncodeToString(m.bytes)
	}
	return f.call(ctx, "send", args, nil)
}

func (f *pagePeer) burst(ctx context.Context, ch, count, size int, seed uint32, gap int) error {
	return f.call(ctx, "burst", map[string]any{"ch": ch, "count": count, "size": size, "seed": seed, "gap": gap}, nil)
}

func (f *pagePeer) quiet(ctx context.Context, ch, total int) error {
	return f.call(ctx, "quiet", map[string]any{"ch": ch, "total": total}, nil)
}

func (f *pagePeer) bulk(ctx context.Context, ch, size, total int, seed uint32) (hash uint32, err error) {
	err = f.call(ctx, "bulk", map[string]any{"ch": ch, "size": size, "total": total, "seed": seed}, &hash)
	return hash, err
}

func (f *pagePeer) buffered(ctx context.Context, ch int) (n int, err error) {
	err = f.call(ctx, "buffered", map[string]any{"ch": ch}, &n)
	return n, err
}

func (f *pagePeer) closeChannel(ctx context.Context, ch int) error {
	return f.call(ctx, "closeChannel", map[string]any{"ch": ch}, nil)
}

func (f *pagePeer) media(ctx context.Context, change string) error {
	return f.call(ctx, "media", map[string]any{"change": change}, nil)
}

func (f *pagePeer) close(ctx context.Context) error {
	err := f.call(ctx, "close", nil, nil)
	f.page.mu.Lock()
	delete(f.page.peers, f.id)
	f.page.mu.Unlock()
	return err
}

func (f *pagePeer) vanish(ctx context.Context) error { return f.call(ctx, "vanish", nil, nil) }

func (f *pagePeer) events() <-chan event { return f.ch }
