package rtcpeer

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A walkChannel contains both ends of a channel.
type walkChannel struct {
	no      int
	label   string
	o       ChannelOptions
	ends    [2]*DataChannel // nil: the end does not know the channel yet
	states  [2]ChannelState
	sent    [2][]walkMessage
	got     [2]int          // number of the next message from the other end, if the channel is ordered
	seen    [2]map[int]bool // numbers of the received messages, if the channel is not both ordered and reliable
	empty   [2]int          // number of received empty messages, which contain no number
	pause   [2]time.Time    // until this time the end does not read
	asked   [2]bool         // this end has called Close
	closing bool            // an end has called Close
	again   bool            // the id is to be used again as soon as an end has finished with it
	next    *walkChannel    // the channel that uses the id again
}

type walkMessage struct {
	b    []byte
	text bool
}

func (c *walkChannel) closed() bool {
	return c.states == [2]ChannelState{ChannelStateClosed, ChannelStateClosed}
}

func (c *walkChannel) reliable() bool {
	return c.o.MaxRetransmits == nil && c.o.MaxPacketLifeTime == nil
}

// options returns random options of a channel.
func (wk *walk) options() (o ChannelOptions) {
	if wk.chance(0.4) {
		o.Ordered = new(false)
	}
	switch wk.r.IntN(5) {
	case 0:
		o.MaxRetransmits = new([]int{0, 1, 5, 65535}[wk.r.IntN(4)])
	case 1:
		o.MaxPacketLifeTime = new([]int{0, 10, 300, 3000}[wk.r.IntN(4)])
	}
	o.Priority = Priority(wk.r.IntN(4))
	if wk.chance(0.2) {
		o.Protocol = strings.Repeat("p", wk.r.IntN(300))
	}
	return o
}

// live counts the channels that are not closed.
func (wk *walk) live() (n int) {
	for _, c := range wk.channels {
		if !c.closed() {
			n++
		}
	}
	return n
}

func (wk *walk) newChannel(o ChannelOptions) *walkChannel {
	c := &walkChannel{no: len(wk.channels), o: o, seen: [2]map[int]bool{{}, {}}}
	c.label = strconv.Itoa(c.no) + ":"
	if wk.chance(0.2) {
		c.label += strings.Repeat("ü\x00\"", wk.r.IntN(1000))
	}
	wk.channels = append(wk.channels, c)
	return c
}

// make creates the channel at one end.
func (wk *walk) make(e *walkEnd, c *walkChannel) bool {
	if e.left || e.ConnectionState() == StateClosed {
		return false
	}
	d, err := e.OpenDataChannel(c.label, c.o)
	if err != nil {
		e.kept = e.kept[:len(e.kept)-1]
		if wk.over && errors.Is(err, ErrClosed) {
			return false // the next event says why
		}
		wk.fail("end %d: channel %d: %v", e.i, c.no, err)
		return false
	}
	c.ends[e.i] = d
	wk.watch(e, c)
	return true
}

// watch checks that the changes of state of a channel's side are allowed.
func (wk *walk) watch(e *walkEnd, c *walkChannel) {
	d := c.ends[e.i]
	c.states[e.i] = d.ReadyState()
	d.OnStateChanged(func() {
		s := d.ReadyState()
		wk.note("%d: channel %d is %v", e.i, c.no, s)
		if s <= c.states[e.i] {
			wk.fail("end %d: channel %d is %v after %v", e.i, c.no, s, c.states[e.i])
		}
		c.states[e.i] = s
		if s >= ChannelStateClosing && !c.closing {
			wk.fail("end %d: channel %d is %v, and nobody closed it", e.i, c.no, s)
		}
		if s == ChannelStateClosed && c.again {
			wk.reopen(e, c)
		}
	})
	if wk.chance(0.5) {
		d.OnPacketReceived(func() {
			if !wk.w.Now().Before(c.pause[e.i]) {
				wk.read(e, c)
			}
		})
	}
}

func (wk *walk) openInBand(e *walkEnd) {
	c := wk.newChannel(wk.options())
	ok := wk.make(e, c)
	wk.note("%d: opens channel %d %s: %v", e.i, c.no, wk.describe(c.o), ok)
}

func (wk *walk) describe(o ChannelOptions) string {
	b, _ := o.MarshalJSON()
	if len(b) > 100 {
		b = b[:100]
	}
	return string(b)
}

// openNegotiated creates a channel at both ends, at different times.
func (wk *walk) openNegotiated() {
	id := 100 + wk.r.IntN(4)
	for _, c := range wk.channels {
		if c.o.Negotiated && *c.o.ID == id && (!c.closed() || c.next != nil && !c.next.closed()) {
			return
		}
	}
	o := wk.options()
	o.Negotiated, o.ID = true, new(id)
	c := wk.newChannel(o)
	c.again = wk.chance(0.5)
	first := wk.ends[wk.r.IntN(2)]
	second := wk.ends[1-first.i]
	wk.note("%d: negotiated channel %d %s", first.i, c.no, wk.describe(c.o))
	wk.make(first, c)
	wk.w.After(wk.between(0, 300*time.Millisecond), func() {
		wk.note("%d: negotiated channel %d", second.i, c.no)
		wk.make(second, c)
	})
}

// reopen opens a channel with an id that one end has finished with. The other end
// opens it later.
func (wk *walk) reopen(e *walkEnd, c *walkChannel) {
	if c.next == nil {
		if wk.quiet || wk.over {
			return
		}
		o := wk.options()
		o.Negotiated, o.ID = true, c.o.ID
		c.next = wk.newChannel(o)
		c.next.again = true
	}
	wk.note("%d: channel %d takes the id of %d", e.i, c.next.no, c.no)
	if wk.make(e, c.next) && wk.chance(0.5) {
		wk.write(e, c.next, wk.size())
	}
}

// received handles a channel that the other end has opened.
func (wk *walk) received(e *walkEnd, d *DataChannel) {
	no, err := strconv.Atoi(d.Label()[:max(0, strings.Index(d.Label(), ":"))])
	if err != nil || no >= len(wk.channels) {
		wk.fail("end %d: a channel with label %q", e.i, d.Label())
		return
	}
	c := wk.channels[no]
	if c.ends[e.i] != nil {
		wk.fail("end %d: channel %d came twice", e.i, no)
		return
	}
	if d.Label() != c.label || d.Protocol() != c.o.Protocol || d.IsOrdered() != c.o.ordered() || d.Priority() != c.o.Priority || d.IsNegotiated() {
		wk.fail("end %d: channel %d has other options", e.i, no)
	}
	wk.note("%d: received channel %d", e.i, c.no)
	c.ends[e.i] = d
	wk.watch(e, c)
}

// write sends one message of this size. It reports whether that was possible.
func (wk *walk) write(e *walkEnd, c *walkChannel, n int) bool {
	d := c.ends[e.i]
	if d == nil {
		return false
	}
	if !(c.o.ordered() && c.reliable()) && n > 0 {
		n = max(n, 13)
	}
	n = min(n, d.MaxPacketSize())
	if c.ends[1-e.i] == nil && c.o.Negotiated && (n > 10_000 || len(c.sent[e.i]) >= 5) {
		return false // early messages are kept only up to a limit
	}
	i := len(c.sent[e.i])
	b := fmt.Appendf(make([]byte, 0, n+12), "%03x.%d.%06x.", c.no, e.i, i)
	for len(b) < n {
		b = append(b, 'a'+byte((len(b)*7+i*13)%26))
	}
	b = b[:n]
	text := wk.chance(0.3)
	d.SetWriteMode(WriteModeBinary)
	if text {
		d.SetWriteMode(WriteModeText)
	}
	err := d.PutPacket(b)
	switch {
	case err == nil:
		c.sent[e.i] = append(c.sent[e.i], walkMessage{b, text})
		return true
	case errors.Is(err, ErrInvalidState), errors.Is(err, ErrBufferFull): // errors.Is(ErrClosed, ErrInvalidState) is true, too
	default:
		wk.fail("end %d: channel %d: PutPacket of %d bytes: %v", e.i, c.no, n, err)
	}
	return false
}

// read receives messages.
func (wk *walk) read(e *walkEnd, c *walkChannel) {
	d := c.ends[e.i]
	if d == nil {
		return
	}
	for {
		p, err := d.GetPacket()
		if err != nil {
			if !errors.Is(err, ErrUnavailable) {
				wk.fail("end %d: channel %d: GetPacket: %v", e.i, c.no, err)
			}
			return
		}
		wk.check(e, c, p, d.WasStringPacket())
		if wk.chance(0.3) {
			d.Recycle(p)
		}
	}
}

// check compares a message that an end received with those that the other end has
// sent.
func (wk *walk) check(e *walkEnd, c *walkChannel, p []byte, text bool) {
	from := 1 - e.i
	sent := c.sent[from]
	i := c.got[e.i]
	switch {
	case c.o.ordered() && c.reliable():
		if i >= len(sent) {
			wk.fail("end %d: channel %d: %d bytes more than were sent", e.i, c.no, len(p))
			return
		}
		c.got[e.i]++
	case len(p) == 0:
		c.empty[e.i]++
		n := 0
		for _, m := range sent {
			if len(m.b) == 0 {
				n++
			}
		}
		if c.empty[e.i] > n {
			wk.fail("end %d: channel %d: %d empty messages of %d", e.i, c.no, c.empty[e.i], n)
		}
		return
	default:
		var no, dir int
		if _, err := fmt.Sscanf(string(p[:min(len(p), 13)]), "%03x.%d.%06x.", &no, &dir, &i); err != nil || no != c.no || dir != from || i >= len(sent) {
			wk.fail("end %d: channel %d: altered: %q", e.i, c.no, p[:min(len(p), 20)])
			return
		}
		if c.seen[e.i][i] {
			wk.fail("end %d: channel %d: message %d came twice", e.i, c.no, i)
		}
		c.seen[e.i][i] = true
		if c.o.ordered() {
			if i < c.got[e.i] {
				wk.fail("end %d: channel %d: message %d came after %d", e.i, c.no, i, c.got[e.i]-1)
			}
			c.got[e.i] = i + 1
		}
	}
	m := &sent[i]
	if !bytes.Equal(m.b, p) || m.text != text {
		wk.fail("end %d: channel %d: message %d (%d bytes, text %v) is not what came (%d bytes, text %v)", e.i, c.no, i, len(m.b), m.text, len(p), text)
	}
}

// missing returns how many messages of a reliable channel have not arrived at an end.
func (wk *walk) missing(c *walkChannel, i int) int {
	if !c.reliable() {
		return 0
	}
	n := len(c.sent[1-i])
	if c.o.ordered() {
		return n - c.got[i]
	}
	return n - len(c.seen[i]) - c.empty[i]
}

// size returns the size of a message, which is limited.
func (wk *walk) size() int {
	switch wk.r.IntN(12) {
	case 0, 1:
		return 0
	case 2:
		return 1 << 30
	case 3:
		return wk.r.IntN(300_000)
	case 4, 5:
		return wk.r.IntN(20_000)
	}
	return 1 + wk.r.IntN(1300)
}

// close closes one side of a channel. For a negotiated channel it may close the other
// side, too.
func (wk *walk) close(e *walkEnd, c *walkChannel) {
	d := c.ends[e.i]
	if d == nil || c.asked[e.i] || c.o.Negotiated && !c.closing && c.states != [2]ChannelState{ChannelStateOpen, ChannelStateOpen} {
		return
	}
	wk.note("%d: closes channel %d", e.i, c.no)
	c.closing = true
	c.asked[e.i] = true
	d.Close()
}

// some returns a channel that is not closed, if there is one.
func (wk *walk) some() *walkChannel {
	if len(wk.channels) == 0 {
		return nil
	}
	for range 4 {
		// More recent channels are more likely to be chosen, because more of them are
		// open.
		c := wk.channels[len(wk.channels)-1-min(len(wk.channels)-1, wk.r.IntN(16))]
		if !c.closed() {
			return c
		}
	}
	return nil
}

// reader makes an end read at intervals.
func (wk *walk) reader(e *walkEnd) {
	every := wk.between(time.Millisecond, 30*time.Millisecond)
	var tick func()
	tick = func() {
		for _, c := range wk.channels {
			if !wk.w.Now().Before(c.pause[e.i]) {
				wk.read(e, c)
			}
		}
		if !wk.over {
			wk.w.After(every, tick)
		}
	}
	tick()
}

// outstanding returns a difference from the model after the time when everything
// should have arrived; "" if there is none.
func (wk *walk) outstanding() string {
	for _, c := range wk.channels {
		for i, d := range c.ends {
			switch {
			case d == nil:
				if c.ends[1-i] != nil && c.states[1-i] != ChannelStateClosed {
					return fmt.Sprintf("channel %d is unknown at end %d", c.no, i)
				}
				if c.ends[1-i] != nil && len(c.sent[1-i]) > 0 && c.reliable() {
					return fmt.Sprintf("channel %d is unknown at end %d, and %d messages were sent", c.no, i, len(c.sent[1-i]))
				}
			case wk.missing(c, i) != 0:
				return fmt.Sprintf("channel %d: %d of %d messages are missing at end %d", c.no, wk.missing(c, i), len(c.sent[1-i]), i)
			case d.BufferedAmount() != 0:
				return fmt.Sprintf("channel %d: %d bytes are buffered at end %d", c.no, d.BufferedAmount(), i)
			case !c.closing && c.states[i] != ChannelStateOpen:
				return fmt.Sprintf("channel %d is %v at end %d", c.no, c.states[i], i)
			case c.closing && c.states[i] != ChannelStateClosed:
				return fmt.Sprintf("channel %d is still %v at end %d", c.no, c.states[i], i)
			}
		}
	}
	return ""
}
