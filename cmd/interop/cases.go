package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"purertc/rtcpeer"
)

// A testCase is one exchange between the local end and the remote end.
type testCase struct {
	name     string
	complete bool // descriptions contain all candidates, and no candidate is signalled later
	lossy    bool // one datagram in ten is dropped, in each direction
	lossless bool // the case does not run in scenarios that lose datagrams
	vanishes bool // the remote end disappears during the case
	options  rtcpeer.ChannelOptions
	run      func(ctx context.Context, l *link) error
	whole    func(ctx context.Context, p *pair) error // replaces run: the case creates its channels itself
}

var cases = []testCase{
	{name: "text", run: bothWays(texts("hello", "a longer line of text, with a full stop.", strings.Repeat("0123456789", 500)))},
	{name: "binary", run: bothWays(binaries([]byte{0}, []byte{1, 2, 3, 255}, pattern(5000, 7)))},
	{name: "empty", run: bothWays([]packet{{text: true, bytes: []byte{}}, {bytes: []byte{}}, {text: true, bytes: []byte("after")}})},
	{name: "unicode", run: bothWays(texts("äöüß", "日本語", "😀👩‍👩‍👧‍👦", "e\u0301", "a\x00b", "\u202eright", "\ufeffbom", strings.Repeat("€", 1000)))},
	{name: "sizes", run: sizes},
	{name: "max-size", run: maxSize},
	{name: "too-large", run: tooLarge},
	{name: "ordered-1000", run: ordered1000},
	{name: "unordered", lossy: true, options: rtcpeer.ChannelOptions{Ordered: new(false)}, run: bursts(300, 200, 3, 300, 300)},
	{name: "maxretransmits", lossy: true, options: rtcpeer.ChannelOptions{Ordered: new(false), MaxRetransmits: new(0)}, run: bursts(300, 200, 3, 1, 299)},
	{name: "maxpacketlifetime", lossy: true, options: rtcpeer.ChannelOptions{MaxPacketLifeTime: new(50)}, run: bursts(300, 200, 3, 1, 300)},
	{name: "negotiated", whole: negotiated},
	{name: "label-protocol", run: labelProtocol},
	{name: "channels-100", run: channels100},
	{name: "late-channel-ours", run: late(true)},
	{name: "late-channel-theirs", run: late(false)},
	{name: "close-ours", run: closeOurs},
	{name: "close-theirs", run: closeTheirs},
	{name: "id-reuse", run: idReuse},
	{name: "page-closed", vanishes: true, run: pageClosed},
	{name: "trickle", run: bothWays(texts("trickled"))},
	{name: "complete", complete: true, run: bothWays(texts("complete"))},
	{name: "buffered-amount", run: bufferedAmount},
	{name: "transfer-10mb", run: transfer(10 << 20)},
	{name: "burst", lossless: true, options: rtcpeer.ChannelOptions{Ordered: new(false), MaxRetransmits: new(0)}, run: bursts(500, 30, 0, 495, 500)},
}

func texts(s ...string) (out []packet) {
	for _, t := range s {
		out = append(out, packet{text: true, bytes: []byte(t)})
	}
	return out
}

func binaries(s ...[]byte) (out []packet) {
	for _, b := range s {
		out = append(out, packet{bytes: b})
	}
	return out
}

// bothWays sends the packets in each direction, one after another, and checks what
// arrives.
func bothWays(packets []packet) func(context.Context, *link) error {
	return func(ctx context.Context, l *link) error {
		for _, m := range packets {
			if err := l.toThem(ctx, m); err != nil {
				return err
			}
			if err := l.toUs(ctx, m); err != nil {
				return err
			}
		}
		return nil
	}
}

// toThem sends a packet to the remote end and waits until the remote end has received
// it.
func (l *link) toThem(ctx context.Context, m packet) error {
	b := m.content()
	if err := l.ours.Send(ctx, b, m.text); err != nil {
		return fmt.Errorf("our packet of %d bytes: %w", len(b), err)
	}
	e, err := l.wait(ctx, "message", l.theirs)
	if err != nil {
		return fmt.Errorf("our packet of %d bytes: %w", len(b), err)
	}
	if e.Text != m.text || e.Size != len(b) || e.Hash != hashOf(b) || e.Head != hex.EncodeToString(b[:min(64, len(b))]) {
		return fmt.Errorf("our packet (text %v, %d bytes, hash %08x) arrived as text %v, %d bytes, hash %08x, beginning %s",
			m.text, len(b), hashOf(b), e.Text, e.Size, e.Hash, e.Head)
	}
	return nil
}

// toUs asks the remote end to send a packet, and waits until the packet has arrived
// here.
func (l *link) toUs(ctx context.Context, m packet) error {
	want := m.content()
	if err := l.remote.send(ctx, l.theirs, m); err != nil {
		return err
	}
	b, text, err := l.ours.Receive(ctx)
	if err != nil {
		return fmt.Errorf("their packet of %d bytes: %w", len(want), err)
	}
	if text != m.text || !bytes.Equal(b, want) {
		return fmt.Errorf("their packet (text %v, %d bytes) arrived as text %v, %d bytes, hash %08x", m.text, len(want), text, len(b), hashOf(b))
	}
	return nil
}

func sizes(ctx context.Context, l *link) error {
	theirMax, err := l.remote.maxSize(ctx)
	if err != nil {
		return err
	}
	for i, n := range []int{1, 2, 3, 4, 100, 1000, 1131, 1132, 1171, 1172, 1173, 1200, 1201, 4096, 16384, 65535, 65536, 65537, 131072, 200001, 262143, 262144} {
		m := packet{text: i%2 == 1, size: n, seed: uint32(n)}
		if n <= l.ours.MaxPacketSize() {
			if err := l.toThem(ctx, m); err != nil {
				return err
			}
		}
		if theirMax < 0 || n <= theirMax {
			if err := l.toUs(ctx, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// sizeLimit is the size in bytes of the longest message in the case max-size.
const sizeLimit = 1 << 20

func maxSize(ctx context.Context, l *link) error {
	ours := l.ours.MaxPacketSize()
	if ours > sizeLimit {
		ours = sizeLimit
	}
	for _, text := range []bool{false, true} {
		if err := l.toThem(ctx, packet{text: text, size: ours, seed: 5}); err != nil {
			return err
		}
	}
	theirs, err := l.remote.maxSize(ctx)
	if err != nil {
		return err
	}
	if theirs < 0 || theirs > sizeLimit {
		theirs = sizeLimit
	}
	return l.toUs(ctx, packet{size: theirs, seed: 6})
}

func tooLarge(ctx context.Context, l *link) error {
	// The channel may open at the remote end before it opens at the local end.
	if err := bothWays(texts("first"))(ctx, l); err != nil {
		return err
	}
	b := make([]byte, l.ours.MaxPacketSize()+1)
	if err := l.ours.PutPacket(b); !errors.Is(err, rtcpeer.ErrMessageTooLarge) {
		return fmt.Errorf("PutPacket of MaxPacketSize()+1 = %d bytes: %v, want ErrMessageTooLarge", len(b), err)
	}
	return bothWays(texts("unharmed"))(ctx, l)
}

func ordered1000(ctx context.Context, l *link) error {
	const count, size = 1000, 100
	errs := make(chan error, 1)
	go func() { errs <- burst(ctx, l.ours, count, size, 11, 0) }()
	for i := range count {
		e, err := l.wait(ctx, "message", l.theirs)
		if err != nil {
			return fmt.Errorf("packet %d: %w", i, err)
		}
		if e.Hash != hashOf(numbered(i, size, 11)) {
			return fmt.Errorf("packet %d arrived as %s", i, e.Head)
		}
	}
	if err := <-errs; err != nil {
		return err
	}
	go func() { errs <- l.remote.burst(ctx, l.theirs, count, size, 12, 0) }()
	for i := range count {
		b, _, err := l.ours.Receive(ctx)
		if err != nil {
			return fmt.Errorf("their packet %d: %w", i, err)
		}
		if !bytes.Equal(b, numbered(i, size, 12)) {
			return fmt.Errorf("their packet %d arrived as %x", i, b[:min(8, len(b))])
		}
	}
	return <-errs
}

// bursts sends packets in each direction and checks what arrives. count is the number
// of packets, and size is their length in bytes. There is a pause of a millisecond
// after each group of gap packets; 0: there is no pause. The number of packets that
// arrive must be at least least and at most most. None of them may be altered or
// repeated, and on an ordered channel they must arrive in order. Afterwards, a further
// packet must arrive within a second.
func bursts(count, size, gap, least, most int) func(context.Context, *link) error {
	return func(ctx context.Context, l *link) error {
		ordered := l.ours.IsOrdered()
		errs := make(chan error, 1)
		go func() { errs <- burst(ctx, l.ours, count, size, 21, gap) }()
		theirs := newTally(ordered, count, size, 21)
		sent := false
		for !theirs.done(sent) {
			quiet, cancel := context.WithTimeout(ctx, theirs.patience(least))
			e, err := l.wait(quiet, "message", l.theirs)
			cancel()
			if err != nil {
				if sent {
					break
				}
				select {
				case err := <-errs:
					if err != nil {
						return err
					}
					sent = true
				default:
				}
				continue
			}
			head, _ := hex.DecodeString(e.Head)
			if err := theirs.add(head, e.Size, e.Hash); err != nil {
				return fmt.Errorf("at the remote end: %w", err)
			}
			if len(theirs.seen) == count {
				break
			}
		}
		if err := theirs.check(least, most); err != nil {
			return fmt.Errorf("at the remote end: %w", err)
		}
		if err := l.later(ctx, true); err != nil {
			return err
		}

		go func() { errs <- l.remote.burst(ctx, l.theirs, count, size, 22, gap) }()
		ours := newTally(ordered, count, size, 22)
		sent = false
		for len(ours.seen) < count {
			quiet, cancel := context.WithTimeout(ctx, ours.patience(least))
			b, _, err := l.ours.Receive(quiet)
			cancel()
			if err != nil {
				if sent || ctx.Err() != nil {
					break
				}
				select {
				case err := <-errs:
					if err != nil {
						return err
					}
					sent = true
				default:
				}
				continue
			}
			if err := ours.add(b, len(b), hashOf(b)); err != nil {
				return fmt.Errorf("here: %w", err)
			}
		}
		if err := ours.check(least, most); err != nil {
			return fmt.Errorf("here: %w", err)
		}
		return l.later(ctx, false)
	}
}

// A tally counts the packets of a burst that have arrived.
type tally struct {
	ordered     bool
	count, size int
	seed        uint32
	seen        map[int]bool
	last        int
}

func newTally(ordered bool, count, size int, seed uint32) *tally {
	return &tally{ordered, count, size, seed, map[int]bool{}, -1}
}

func (t *tally) done(sent bool) bool { return sent && len(t.seen) == t.count }

// patience returns how long to wait for the next packet. The wait is long if fewer
// than least packets have arrived: a packet may need several retransmissions, or the
// browser may be busy.
func (t *tally) patience(least int) time.Duration {
	if len(t.seen) < least {
		return 10 * time.Second
	}
	return 700 * time.Millisecond
}

func (t *tally) add(head []byte, size int, hash uint32) error {
	if len(head) < 4 {
		return fmt.Errorf("a packet of %d bytes that was not sent", size)
	}
	i := int(binary.BigEndian.Uint32(head))
	switch {
	case i >= t.count || size != t.size || hash != hashOf(numbered(i, t.size, t.seed)):
		return fmt.Errorf("packet %d arrived altered", i)
	case t.seen[i]:
		return fmt.Errorf("packet %d arrived twice", i)
	case t.ordered && i < t.last:
		return fmt.Errorf("packet %d arrived after packet %d", i, t.last)
	}
	t.seen[i], t.last = true, i
	return nil
}

func (t *tally) check(least, most int) error {
	if n := len(t.seen); n < least || n > most {
		return fmt.Errorf("%d of %d packets arrived, want %d to %d", n, t.count, least, most)
	}
	return nil
}

// later sends small packets. At least one of them must arrive within a second.
func (l *link) later(ctx context.Context, toThem bool) error {
	within, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Add(1)
	arrived := make(chan struct{})
	go func() {
		defer wg.Done()
		for {
			if toThem {
				l.ours.Send(within, []byte("later"), true)
			} else {
				l.remote.send(within, l.theirs, packet{text: true, bytes: []byte("later")})
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-arrived:
				return
			case <-within.Done():
				return
			}
		}
	}()
	defer close(arrived)
	for {
		if toThem {
			e, err := l.wait(within, "message", l.theirs)
			if err != nil {
				return fmt.Errorf("a later packet of ours: %w", err)
			}
			if e.Text {
				return nil
			}
		} else {
			_, text, err := l.ours.Receive(within)
			if err != nil {
				return fmt.Errorf("a later packet of theirs: %w", err)
			}
			if text {
				return nil
			}
		}
	}
}

// dropper returns a function that drops one datagram in ten.
func dropper(seed uint64) func(outgoing bool, datagram []byte) bool {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 10))
	return func(outgoing bool, datagram []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(10) != 0
	}
}

// negotiated creates a channel with the same id at both ends.
func negotiated(ctx context.Context, p *pair) error {
	o := rtcpeer.ChannelOptions{Negotiated: true, ID: new(7), Protocol: "both"}
	ours, err := p.conn.CreateDataChannel("negotiated", o)
	if err != nil {
		return err
	}
	theirs, err := p.remote.channel(ctx, "negotiated", o)
	if err != nil {
		return err
	}
	if err := p.connect(ctx); err != nil {
		return err
	}
	if _, err := p.wait(ctx, "open", theirs); err != nil {
		return err
	}
	l := &link{p, ours, theirs}
	if ours.ID() != 7 {
		return fmt.Errorf("our id is %d, not 7", ours.ID())
	}
	if err := bothWays(texts("by agreement"))(ctx, l); err != nil {
		return err
	}
	// A channel that is not negotiated can still be opened, and the remote's negotiated
	// channel is not reported as a received one.
	if l, err = p.late(ctx, true, "beside", rtcpeer.ChannelOptions{}); err != nil {
		return err
	}
	if len(p.received) > 0 {
		return errors.New("a negotiated channel was signalled as received")
	}
	return bothWays(texts("beside"))(ctx, l)
}

func labelProtocol(ctx context.Context, l *link) error {
	every := "plain \"quoted\" \\ / äöü 日本語 😀 \x00\x01\t\r\n end"
	long := strings.Repeat("0123456789abcdef", 4096)[:65535]
	for _, v := range []struct{ label, protocol string }{
		{"", ""}, {every, every}, {long, "p"}, {"l", long}, {strings.Repeat("é", 32767), strings.Repeat("ü", 32767)},
	} {
		for _, byUs := range []bool{true, false} {
			m, err := l.late(ctx, byUs, v.label, rtcpeer.ChannelOptions{Protocol: v.protocol})
			if err != nil {
				return fmt.Errorf("label of %d and protocol of %d bytes: %w", len(v.label), len(v.protocol), err)
			}
			if m.ours.Label() != v.label || m.ours.Protocol() != v.protocol {
				return fmt.Errorf("label %.60q and protocol %.60q became %.60q and %.60q", v.label, v.protocol, m.ours.Label(), m.ours.Protocol())
			}
			if err := bothWays(texts("on it"))(ctx, m); err != nil {
				return err
			}
		}
	}
	return nil
}

func channels100(ctx context.Context, l *link) error {
	var links []*link
	ids := map[int]bool{l.ours.ID(): true}
	for i := range 100 {
		m, err := l.late(ctx, i%2 == 0, fmt.Sprint("channel ", i), rtcpeer.ChannelOptions{})
		if err != nil {
			return fmt.Errorf("channel %d: %w", i, err)
		}
		if ids[m.ours.ID()] {
			return fmt.Errorf("channel %d: id %d is in use twice", i, m.ours.ID())
		}
		ids[m.ours.ID()] = true
		links = append(links, m)
	}
	for i, m := range links {
		if err := bothWays(texts(fmt.Sprint("on channel ", i)))(ctx, m); err != nil {
			return fmt.Errorf("channel %d: %w", i, err)
		}
	}
	return nil
}

func late(byUs bool) func(context.Context, *link) error {
	return func(ctx context.Context, l *link) error {
		for _, o := range []rtcpeer.ChannelOptions{
			{}, {Ordered: new(false)}, {MaxRetransmits: new(3), Protocol: "p"}, {Ordered: new(false), MaxPacketLifeTime: new(500)},
		} {
			m, err := l.late(ctx, byUs, "late", o)
			if err != nil {
				return err
			}
			if err := bothWays(texts("late"))(ctx, m); err != nil {
				return err
			}
		}
		return nil
	}
}

// ended waits until a channel has been closed without an error.
func ended(ctx context.Context, d *rtcpeer.DataChannel) error {
	for {
		_, _, err := d.Receive(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("our channel ended with %w, not io.EOF", err)
		}
	}
}

func closeOurs(ctx context.Context, l *link) error {
	m, err := l.late(ctx, true, "to be closed", rtcpeer.ChannelOptions{})
	if err != nil {
		return err
	}
	if err := m.ours.Send(ctx, []byte("last words"), true); err != nil {
		return err
	}
	if err := m.ours.Close(); err != nil {
		return err
	}
	if _, err := l.wait(ctx, "message", m.theirs); err != nil {
		return err
	}
	if _, err := l.wait(ctx, "close", m.theirs); err != nil {
		return err
	}
	if err := ended(ctx, m.ours); err != nil {
		return err
	}
	return bothWays(texts("the other channel lives"))(ctx, l)
}

func closeTheirs(ctx context.Context, l *link) error {
	m, err := l.late(ctx, false, "to be closed", rtcpeer.ChannelOptions{})
	if err != nil {
		return err
	}
	if err := m.toUs(ctx, packet{text: true, bytes: []byte("last words")}); err != nil {
		return err
	}
	if err := l.remote.closeChannel(ctx, m.theirs); err != nil {
		return err
	}
	if err := ended(ctx, m.ours); err != nil {
		return err
	}
	if _, err := l.wait(ctx, "close", m.theirs); err != nil {
		return err
	}
	return bothWays(texts("the other channel lives"))(ctx, l)
}

// idReuse opens and closes channels at each end. The id of a closed channel must be
// used again.
func idReuse(ctx context.Context, l *link) error {
	first := -1
	for i := range 6 {
		byUs := i%2 == 0
		m, err := l.late(ctx, byUs, "again", rtcpeer.ChannelOptions{})
		if err != nil {
			return fmt.Errorf("channel %d: %w", i, err)
		}
		if byUs && first < 0 {
			first = m.ours.ID()
		} else if byUs && m.ours.ID() != first {
			return fmt.Errorf("channel %d has id %d, not %d again", i, m.ours.ID(), first)
		}
		if err := bothWays(texts(fmt.Sprint("again ", i)))(ctx, m); err != nil {
			return fmt.Errorf("channel %d: %w", i, err)
		}
		if byUs {
			err = m.ours.Close()
		} else {
			err = l.remote.closeChannel(ctx, m.theirs)
		}
		if err != nil {
			return err
		}
		if err := ended(ctx, m.ours); err != nil {
			return fmt.Errorf("channel %d: %w", i, err)
		}
		if _, err := l.wait(ctx, "close", m.theirs); err != nil {
			return fmt.Errorf("channel %d: %w", i, err)
		}
	}
	return nil
}

// pageClosed closes the remote end's page during a transfer. The local connection's
// state must change, and Close must return immediately.
func pageClosed(ctx context.Context, l *link) error {
	go bulk(ctx, l.ours, 16384, 4<<20, 1)
	if _, err := l.wait(ctx, "message", l.theirs); err != nil {
		return err
	}
	if err := l.remote.vanish(ctx); err != nil {
		return err
	}
	for {
		s := l.conn.ConnectionState()
		if s == rtcpeer.StateClosed || s == rtcpeer.StateDisconnected || s == rtcpeer.StateFailed {
			break
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("our state is still %v: %w", s, ctx.Err())
		}
	}
	begin := time.Now()
	l.conn.Close()
	if d := time.Since(begin); d > 500*time.Millisecond {
		return fmt.Errorf("the call of Close took %v", d)
	}
	return nil
}

// bufferedAmount sends much data without waiting, in each direction. It then waits
// until all data has arrived and the buffered amount is 0.
func bufferedAmount(ctx context.Context, l *link) error {
	const total = 2 << 20
	if err := l.remote.quiet(ctx, l.theirs, total); err != nil {
		return err
	}
	low := make(chan struct{}, 1)
	l.ours.OnBufferedAmountLow(0, func() { low <- struct{}{} })
	highest := 0
	for sent := 0; sent < total; sent += 65536 {
		if err := l.ours.Send(ctx, pattern(65536, uint32(sent)), false); err != nil {
			return err
		}
		highest = max(highest, l.ours.BufferedAmount())
	}
	if highest == 0 {
		return errors.New("our BufferedAmount was never over 0")
	}
	if _, err := l.wait(ctx, "received", l.theirs); err != nil {
		return err
	}
	select {
	case <-low:
	case <-ctx.Done():
		return fmt.Errorf("OnBufferedAmountLow: %w", ctx.Err())
	}
	if n := l.ours.BufferedAmount(); n != 0 {
		return fmt.Errorf("our BufferedAmount is %d after all arrived", n)
	}
	errs := make(chan error, 1)
	go func() {
		_, err := l.remote.bulk(ctx, l.theirs, 65536, total, 1)
		errs <- err
	}()
	for got := 0; got < total; {
		b, _, err := l.ours.Receive(ctx)
		if err != nil {
			return err
		}
		got += len(b)
	}
	if err := <-errs; err != nil {
		return err
	}
	for {
		n, err := l.remote.buffered(ctx, l.theirs)
		if err != nil {
			return fmt.Errorf("their bufferedAmount is %d: %w", n, err)
		}
		if n == 0 {
			return nil
		}
	}
}

// transfer sends data in each direction and compares checksums. total is the number of
// bytes in each direction.
func transfer(total int) func(context.Context, *link) error {
	return func(ctx context.Context, l *link) error {
		if err := l.remote.quiet(ctx, l.theirs, total); err != nil {
			return err
		}
		sum, err := bulk(ctx, l.ours, 16384, total, 31)
		if err != nil {
			return err
		}
		e, err := l.wait(ctx, "received", l.theirs)
		if err != nil {
			return err
		}
		if e.Size != total || e.Hash != sum {
			return fmt.Errorf("%d bytes with sum %08x arrived as %d with %08x", total, sum, e.Size, e.Hash)
		}
		errs := make(chan error, 1)
		var theirs uint32
		go func() {
			var err error
			theirs, err = l.remote.bulk(ctx, l.theirs, 16384, total, 32)
			errs <- err
		}()
		hash, got := fnv.New32a(), 0
		for got < total {
			b, _, err := l.ours.Receive(ctx)
			if err != nil {
				return fmt.Errorf("after %d bytes: %w", got, err)
			}
			hash.Write(b)
			got += len(b)
		}
		if err := <-errs; err != nil {
			return err
		}
		if got != total || hash.Sum32() != theirs {
			return fmt.Errorf("their %d bytes with sum %08x arrived as %d with %08x", total, theirs, got, hash.Sum32())
		}
		return nil
	}
}
