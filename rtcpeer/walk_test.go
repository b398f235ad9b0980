package rtcpeer

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"purertc/dtls"
	"purertc/rtcpeer/internal/simnet"
	"purertc/sctp"
)

var (
	walkFlag  = flag.Uint64("walk", 0, "run TestWalk with this seed only, and tell what happened")
	walksFlag = flag.Uint64("walks", 30, "how many seeds TestWalk runs")
	walkFrom  = flag.Uint64("walkfrom", 1, "the first of them")
)

// walkFailed are seeds that have failed, each for a different reason.
var walkFailed = []uint64{
	500627,  // ICE restarts before the ends are connected: ten in a second, with a round trip of a second
	1001953, // two resets of one stream without data in between, of which the first is deferred
	700306,  // an ICE restart while a request to the STUN server waits for the end of its backoff
}

// In TestWalk two programs do random operations over faulty networks, and a model
// checks the result: every received message was sent, every reliable message arrives,
// a channel that one end closes is closed at both ends, and the network is idle after
// that.
func TestWalk(t *testing.T) {
	first, n := *walkFrom, *walksFlag
	if testing.Short() {
		n = min(n, 10)
	}
	if *walkFlag != 0 {
		first, n = *walkFlag, 1
	}
	var seeds []uint64
	for seed := first; seed < first+n; seed++ {
		seeds = append(seeds, seed)
	}
	if *walkFlag == 0 && first == 1 {
		seeds = append(seeds, walkFailed...)
	}
	for _, seed := range seeds {
		wk := newWalk(t, seed)
		err := wk.run()
		if err != nil || *walkFlag != 0 {
			t.Log(wk.story())
		}
		if err != nil {
			t.Errorf("at %v: %v\nreplay: go test ./rtcpeer -run '^TestWalk$' -walk=%d", wk.at(), err, seed)
		}
		for _, e := range wk.ends {
			e.Close()
		}
	}
}

// A walk contains two ends, the network between them, and the model of both.
type walk struct {
	w        *simnet.World
	r        *rand.Rand // separate from the world's random numbers, so that a step does not change the network's faults
	ends     [2]*walkEnd
	channels []*walkChannel
	nats     []*simnet.NAT
	mild     bool    // the network has few faults, and neither program stops reading
	corrupt  float64 // probability of corruption on the path
	up       bool    // the ends have been connected
	quiet    bool    // no further random operation is done
	over     bool    // the ends are being closed
	sent     int     // number of datagrams of the two ends
	problem  error
	log      []string
}

type walkEnd struct {
	*simPeer
	i        int
	mailed   time.Time     // when the most recent signalled message arrives
	maxDelay time.Duration // longest delay of a signalled message
	state    ConnectionState
	offering bool // an offer was requested and does not exist yet
	left     bool
	failures int // number of changes to StateFailed
}

// note adds a line to the record of events that story returns.
func (wk *walk) note(format string, args ...any) {
	wk.log = append(wk.log, fmt.Sprintf("%9.3f ", wk.at().Seconds())+fmt.Sprintf(format, args...))
}

func (wk *walk) at() time.Duration {
	return wk.w.Now().Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
}

func (wk *walk) fail(format string, args ...any) {
	if wk.problem == nil {
		wk.problem = fmt.Errorf(format, args...)
	}
}

func (wk *walk) chance(p float64) bool { return wk.r.Float64() < p }

func (wk *walk) between(a, b time.Duration) time.Duration {
	return a + time.Duration(wk.r.Int64N(int64(b-a)+1))
}

func newWalk(t *testing.T, seed uint64) *walk {
	wk := &walk{w: newNATWorld(seed), r: rand.New(rand.NewPCG(seed, 0x77616c6b))}
	wk.mild = wk.chance(0.25)
	wk.w.Default = wk.path()
	behind := wk.r.IntN(5) // 0, 1: no end is behind a NAT; 2: the first; 3: the second; 4: both
	for i := range wk.ends {
		wk.ends[i] = wk.newEnd(t, i, behind == 2+i || behind == 4, behind == 4)
	}
	wk.note("path %+v mild %v", wk.w.Default, wk.mild)
	wk.ends[0].other, wk.ends[1].other = wk.ends[1].simPeer, wk.ends[0].simPeer
	for _, e := range wk.ends {
		wk.signal(e)
		e.OnDataChannelReceived(func(d *DataChannel) { wk.received(e, d) })
		e.OnStateChanged(func() { wk.stateChanged(e) })
		if e.lazy {
			every := wk.between(time.Millisecond, 100*time.Millisecond)
			var poll func()
			poll = func() {
				e.Poll()
				wk.w.After(every, poll)
			}
			poll()
		}
	}
	wk.w.Observe = func(_ time.Time, from, _ netip.AddrPort, _ []byte) bool {
		if from != stunServer {
			wk.sent++
		}
		return true
	}
	return wk
}

// newEnd creates an end, which may be behind a NAT. both says that both ends are
// behind a NAT.
func (wk *walk) newEnd(t *testing.T, i int, behind, both bool) *walkEnd {
	r := wk.r
	controls := []sctp.CongestionControl{sctp.CongestionBBR, sctp.CongestionBBR, sctp.CongestionCubic, sctp.CongestionReno}
	cfg := Config{CongestionControl: controls[r.IntN(len(controls))]}
	if wk.chance(0.3) {
		cfg.MaxDTLS = uint16(dtls.VersionDTLS12)
	}
	if wk.chance(0.4) {
		cfg.MaxMessageSize = []int{1000, 16384, 131084, 1 << 20}[r.IntN(4)]
	}
	if wk.chance(0.3) {
		cfg.SendBufferSize = []int{1, 1000, 100_000}[r.IntN(3)]
	}
	if wk.chance(0.3) {
		cfg.MaxDatagramSize = []int{576, 1200, 1400}[r.IntN(3)]
	}
	var in simNetwork = wk.w
	addr := fmt.Sprintf("198.51.100.%d", 7+i)
	if behind {
		kinds := []simnet.NATKind{simnet.FullCone, simnet.Restricted, simnet.PortRestricted, simnet.Symmetric, simnet.Firewall}
		kind := kinds[r.IntN(len(kinds))]
		if both && kind == simnet.Symmetric {
			kind = simnet.Restricted
		}
		nat := wk.w.NAT(simnet.NATConfig{Kind: kind, Timeout: 30 * time.Second}, netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", 1+i)))
		wk.nats = append(wk.nats, nat)
		in = nat
		if kind != simnet.Firewall {
			addr = fmt.Sprintf("10.0.%d.2", i)
		}
		cfg.ICEServers = withSTUN.ICEServers
	}
	e := &walkEnd{i: i, maxDelay: wk.between(0, 300*time.Millisecond)}
	e.simPeer = newSimPeerIn(t, wk.w, in, cfg, addr)
	e.Conn.Stats() // this creates the transport
	e.lazy = wk.chance(0.5)
	wk.note("end %d: %s control %v dtls %x mms %d sbs %d mds %d lazy %v signals within %v behind a NAT %v", i, addr, cfg.CongestionControl, cfg.MaxDTLS, cfg.MaxMessageSize, cfg.SendBufferSize, cfg.MaxDatagramSize, e.lazy, e.maxDelay, behind)
	return e
}

// path returns a path with some random faults.
func (wk *walk) path() simnet.Path {
	r := wk.r
	p := simnet.Path{Delay: wk.between(time.Millisecond, 80*time.Millisecond)}
	if wk.chance(0.1) {
		p.Delay = 0
	}
	if wk.mild {
		if wk.chance(0.5) {
			p.Loss = 0.03 * r.Float64()
		}
		if wk.chance(0.3) {
			p.Jitter = p.Delay / 4
		}
		return p
	}
	if wk.chance(0.1) {
		p.Delay = wk.between(100*time.Millisecond, 600*time.Millisecond)
	}
	if wk.chance(0.5) {
		p.Jitter = time.Duration(float64(p.Delay) * r.Float64())
	}
	if wk.chance(0.5) {
		p.Loss = 0.1 * r.Float64()
		if wk.chance(0.2) {
			p.Loss *= 3
		}
	}
	if wk.chance(0.3) {
		p.LossBurst = 0.5
	}
	if wk.chance(0.4) {
		p.Duplicate = 0.1 * r.Float64()
	}
	if wk.chance(0.4) {
		p.Reorder = 0.1 * r.Float64()
	}
	if wk.chance(0.5) {
		p.Rate, p.Queue = 1e6+2e7*r.Float64()*r.Float64(), 5000+r.IntN(100_000)
	}
	if wk.chance(0.3) {
		p.MTU = []int{1400, 1472, 9000}[r.IntN(3)]
	}
	p.Corrupt = wk.corrupt
	return p
}

// setPath sets the path between the ends. The STUN server's paths stay.
func (wk *walk) setPath(p simnet.Path) {
	for _, x := range wk.outer(0) {
		for _, y := range wk.outer(1) {
			wk.w.Both(x, y, p)
		}
	}
	wk.w.Default = p
}

// outer returns the addresses that an end may have outside its NAT.
func (wk *walk) outer(i int) []netip.Addr {
	return append([]netip.Addr{netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", 1+i))}, wk.ends[i].addrs...)
}

// mail delivers a signalled message to the other end's program, in order.
func (wk *walk) mail(from *walkEnd, f func(to *walkEnd)) {
	at := wk.w.Now().Add(wk.between(0, from.maxDelay))
	if at.Before(from.mailed) {
		at = from.mailed
	}
	from.mailed = at
	wk.w.After(at.Sub(wk.w.Now()), func() {
		to := wk.ends[1-from.i]
		if !to.left && to.ConnectionState() != StateClosed {
			f(to)
		}
	})
}

// signal makes an end signal like a program with "perfect negotiation", in which the
// second end is polite. Candidates may be signalled twice, the second time late.
func (wk *walk) signal(e *walkEnd) {
	e.OnSessionDescriptionCreated(func(typ, sdp string) {
		e.offering = e.offering && typ != "offer"
		if err := e.SetLocalDescription(typ, sdp); err != nil {
			wk.note("%d: local %s: %v", e.i, typ, err)
			return
		}
		wk.note("%d: local %s", e.i, typ)
		if typ == "offer" && wk.chance(0.05) && !wk.quiet {
			wk.note("%d: rollback", e.i)
			if err := e.SetLocalDescription("rollback", ""); err != nil {
				wk.fail("end %d: rollback: %v", e.i, err)
			}
			wk.again(e)
			return
		}
		wk.mail(e, func(to *walkEnd) {
			if typ == "offer" && to.SignalingState() != SignalingStateStable && to.i == 0 {
				wk.note("%d: ignores an offer", to.i)
				wk.again(e)
				return
			}
			if err := to.SetRemoteDescription(typ, sdp); err != nil {
				wk.note("%d: remote %s: %v", to.i, typ, err)
				if typ == "offer" || !errors.Is(err, ErrInvalidState) {
					wk.fail("end %d: remote %s: %v", to.i, typ, err)
				}
			}
		})
	})
	e.OnICECandidateCreated(func(media string, index int, name string) {
		f := func(to *walkEnd) {
			// The remote may have closed the connection since the last Poll.
			if err := to.AddICECandidate(media, index, name); err != nil && !errors.Is(err, ErrClosed) {
				wk.fail("end %d: candidate %q: %v", to.i, name, err)
			}
		}
		wk.mail(e, f)
		if wk.chance(0.1) && name != "" {
			wk.w.After(wk.between(0, 3*time.Second), func() {
				if to := wk.ends[1-e.i]; !to.left && to.ConnectionState() != StateClosed {
					f(to)
				}
			})
		}
	})
}

// again makes an end offer later, because it cannot offer now.
func (wk *walk) again(e *walkEnd) {
	wk.w.After(wk.between(10*time.Millisecond, time.Second), func() { wk.offer(e) })
}

// offer makes an end offer, if its state allows it.
func (wk *walk) offer(e *walkEnd) {
	if wk.over || e.left || e.offering {
		return // an answer could not be distinguished from the answer to another offer
	}
	err := e.CreateOffer()
	e.offering = err == nil
	wk.note("%d: CreateOffer: %v", e.i, err)
	if errors.Is(err, ErrInvalidState) {
		return
	}
	if err != nil {
		wk.fail("end %d: CreateOffer: %v", e.i, err)
	}
}

// stateChanged checks that a change of state is allowed. An outage may cause a
// failure, but not one that lasts.
func (wk *walk) stateChanged(e *walkEnd) {
	s := e.ConnectionState()
	if s == e.state {
		return
	}
	wk.note("%d: %v", e.i, s)
	switch {
	case s == StateNew, s == StateClosed && !wk.over, e.state == StateClosed:
		wk.fail("end %d: %v after %v", e.i, s, e.state)
	case s == StateFailed:
		e.failures++
		err := e.Poll()
		wk.note("%d: failed: %v", e.i, err)
		if e.transport().core.ended() {
			wk.fail("end %d: %v", e.i, err)
		}
		if !wk.up && len(wk.nats) == 2 {
			// All answers of the STUN server may be lost. An end behind a NAT cannot
			// be reached without its public address, so it restarts ICE.
			e.RestartICE()
			wk.offer(e)
		}
	}
	e.state = s
}

// act does one random operation.
func (wk *walk) act() {
	e := wk.ends[wk.r.IntN(2)]
	c := wk.some()
	switch k := wk.r.IntN(100); {
	case k < 8:
		if wk.live() < 12 {
			wk.openInBand(e)
		}
	case k < 13:
		if wk.live() < 12 {
			wk.openNegotiated()
		}
	case k < 70:
		if c == nil {
			return
		}
		count := 1
		if wk.chance(0.2) {
			count = wk.r.IntN(30)
		}
		for range count {
			n := wk.size()
			if wk.mild {
				n = min(n, 1200)
			}
			if !wk.write(e, c, n) {
				break
			}
		}
		if wk.chance(0.1) {
			wk.close(e, c)
		}
	case k < 78:
		if c != nil {
			wk.close(e, c)
			if wk.chance(0.2) {
				wk.close(wk.ends[1-e.i], c)
			}
		}
	case k < 82:
		if c != nil && !wk.mild {
			c.pause[e.i] = wk.w.Now().Add(wk.between(0, 4*time.Second))
		}
	case wk.mild || k >= 86 && !wk.up:
	case k < 86:
		if e.ConnectionState() == StateNew {
			return
		}
		if wk.chance(0.6) {
			e.RestartICE()
		}
		wk.offer(e)
		if wk.chance(0.3) {
			o := wk.ends[1-e.i]
			if o.ConnectionState() != StateNew {
				wk.offer(o)
			}
		}
	case k < 89:
		p := wk.path()
		wk.note("path %+v", p)
		wk.setPath(p)
	case k < 91:
		d := wk.between(100*time.Millisecond, 3*time.Second)
		if wk.chance(0.2) {
			d = wk.between(3*time.Second, 20*time.Second)
		}
		if wk.chance(0.05) {
			d = wk.between(20*time.Second, 45*time.Second)
		}
		wk.note("down for %v", d)
		p := wk.w.Default
		q := p
		q.Down = true
		wk.setPath(q)
		wk.w.After(d, func() {
			if !wk.quiet {
				wk.setPath(p)
			}
		})
	case k < 93:
		for _, n := range wk.nats {
			wk.note("NAT forgets")
			n.Reboot()
		}
	case k < 95:
		if len(wk.nats) == 0 && e.ConnectionState() == StateConnected {
			next := fmt.Sprintf("198.51.%d.%d", 101+e.i, 1+wk.r.IntN(200))
			wk.note("%d: moves to %s", e.i, next)
			e.move(next)
			wk.setPath(wk.w.Default)
		}
	}
}

// pass lets the virtual time d pass.
func (wk *walk) pass(d time.Duration) error {
	end := wk.w.Now().Add(d)
	wk.w.After(d, func() {})
	_, err := wk.w.Run(d, func() bool { return wk.problem != nil || !wk.w.Now().Before(end) })
	if err != nil {
		return err
	}
	return wk.problem
}

// until lets virtual time pass until f returns "".
func (wk *walk) until(d time.Duration, what string, f func() string) error {
	var why string
	var last time.Time
	ok, err := wk.w.Run(d, func() bool {
		if wk.problem != nil {
			return true
		}
		if wk.w.Now().Sub(last) < 5*time.Millisecond {
			return false
		}
		last = wk.w.Now()
		why = f()
		return why == ""
	})
	switch {
	case err != nil:
		return err
	case wk.problem != nil:
		return wk.problem
	case !ok:
		// The last event may have occurred between the last two checks.
		if why = f(); why != "" {
			return fmt.Errorf("not within %v: %s: %s", d, what, why)
		}
	}
	return nil
}

// connected returns a text that names the end that is not connected; "" if both are.
func (wk *walk) connected() string {
	for _, e := range wk.ends {
		if s := e.ConnectionState(); s != StateConnected {
			return fmt.Sprintf("end %d is %v", e.i, s)
		}
	}
	return ""
}

// run connects the ends, does random operations for a while, stops the faults, lets
// the ends recover and idle, and closes them.
func (wk *walk) run() error {
	if err := wk.wander(); err != nil {
		return err
	}
	if !wk.mild && wk.chance(0.15) {
		return wk.suddenEnd()
	}
	for _, phase := range []func() error{wk.recover, wk.rest, wk.end} {
		if err := phase(); err != nil {
			return err
		}
	}
	return nil
}

// wander connects the ends, and does random operations from the beginning or once
// connected.
func (wk *walk) wander() error {
	w := wk.w
	for _, e := range wk.ends {
		for range wk.r.IntN(3) {
			wk.openInBand(e)
		}
		wk.reader(e)
	}
	if !wk.ends[0].Conn.created {
		wk.openInBand(wk.ends[0])
	}
	wk.offer(wk.ends[0])
	if wk.chance(0.3) && wk.ends[1].Conn.created {
		w.After(wk.between(0, 100*time.Millisecond), func() { wk.offer(wk.ends[1]) })
	}
	mean := []time.Duration{5 * time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond}[wk.r.IntN(3)]
	var act func()
	act = func() {
		if wk.quiet {
			return
		}
		wk.act()
		w.After(wk.between(0, 2*mean), act)
	}
	early := wk.chance(0.3) && !wk.mild
	if early {
		act()
	}
	if err := wk.until(60*time.Second, "connected", wk.connected); err != nil {
		return err
	}
	wk.note("connected")
	wk.up = true
	w.After(time.Second, func() {
		if wk.r.IntN(3) == 0 && !wk.mild {
			wk.corrupt = 0.05 * wk.r.Float64()
			p := w.Default
			p.Corrupt = wk.corrupt
			wk.setPath(p)
			wk.note("corrupts %v", wk.corrupt)
		}
	})
	long := wk.between(2*time.Second, 30*time.Second)
	if mean == 5*time.Millisecond {
		long = min(long, 8*time.Second)
	}
	if !early {
		act()
	}
	return wk.pass(long)
}

// recover stops the faults: sent messages must arrive, and closed channels close.
func (wk *walk) recover() error {
	wk.note("the faults stop")
	wk.quiet = true
	wk.corrupt = 0
	wk.setPath(simnet.Path{Delay: 20 * time.Millisecond})
	for _, c := range wk.channels {
		c.pause = [2]time.Time{}
	}
	if len(wk.nats) == 2 { // both NATs may have lost their bindings
		wk.ends[0].RestartICE()
		wk.offer(wk.ends[0])
	}
	var restart func()
	restart = func() {
		if wk.over {
			return
		}
		for _, e := range wk.ends {
			if (e.ConnectionState() == StateFailed || e.ConnectionState() == StateDisconnected && len(wk.nats) == 2) && e.SignalingState() == SignalingStateStable {
				e.RestartICE()
				wk.offer(e)
				break
			}
		}
		wk.w.After(2*time.Second, restart)
	}
	restart()
	if err := wk.until(40*time.Second, "connected again", wk.connected); err != nil {
		return err
	}
	wk.note("connected again")
	if err := wk.until(40*time.Second, "all has arrived", wk.outstanding); err != nil {
		return err
	}
	wk.note("all has arrived")
	for _, c := range wk.channels {
		if wk.chance(0.5) {
			wk.close(wk.ends[0], c)
		}
		if wk.chance(0.5) {
			wk.close(wk.ends[1], c)
		}
	}
	return wk.until(5*time.Second, "the channels are closed", wk.outstanding)
}

// rest checks that the connection still works, and that it sends only keepalives when
// it is idle.
func (wk *walk) rest() error {
	// A new channel works.
	for _, e := range wk.ends {
		wk.openInBand(e)
	}
	if err := wk.until(2*time.Second, "new channels are open", func() string {
		for _, c := range wk.channels[len(wk.channels)-2:] {
			if c.ends[0] == nil || c.ends[1] == nil || c.states != [2]ChannelState{ChannelStateOpen, ChannelStateOpen} {
				return fmt.Sprintf("channel %d is %v", c.no, c.states)
			}
		}
		return ""
	}); err != nil {
		return err
	}
	if err := wk.pass(10 * time.Second); err != nil {
		return err
	}
	for _, e := range wk.ends {
		if n := e.transport().core.assoc.Pending(); n != 0 {
			return fmt.Errorf("end %d: %d bytes pending at rest", e.i, n)
		}
	}
	before := wk.sent
	if err := wk.pass(30 * time.Second); err != nil {
		return err
	}
	if n := wk.sent - before; n > 60 {
		return fmt.Errorf("%d datagrams in 30 s at rest", n)
	}
	if s := wk.connected(); s != "" {
		return fmt.Errorf("after a rest: %s", s)
	}
	return nil
}

// end closes one end, by Shutdown or by Close.
func (wk *walk) end() error {
	a, b := wk.leaving()
	if wk.chance(0.5) {
		if err := wk.shutdown(a, b); err != nil {
			return err
		}
	}
	a.Close()
	if err := wk.until(2*time.Second, "the remote is closed", func() string {
		if s := b.ConnectionState(); s != StateClosed {
			return s.String()
		}
		return ""
	}); err != nil {
		return err
	}
	return wk.silence()
}

// leaving chooses the end a that closes.
func (wk *walk) leaving() (a, b *walkEnd) {
	wk.quiet, wk.over = true, true
	for _, c := range wk.channels {
		c.closing = true
	}
	a = wk.ends[wk.r.IntN(2)]
	a.left = true
	wk.note("%d: leaves", a.i)
	return a, wk.ends[1-a.i]
}

// shutdown does what Conn.Shutdown does before it closes, without blocking: all that a
// has sent arrives.
func (wk *walk) shutdown(a, b *walkEnd) error {
	last := wk.channels[len(wk.channels)-1]
	for range 20 {
		wk.write(a, last, wk.size())
		wk.write(b, last, wk.size())
	}
	p := a.transport()
	p.mu.Lock()
	p.leaving = true
	p.core.assoc.Shutdown(wk.w.Now())
	p.run(wk.w.Now())
	p.mu.Unlock()
	err := wk.until(20*time.Second, "the shutdown", func() string {
		wk.read(a, last)
		wk.read(b, last)
		if over, err := p.outcome(); !over || err != nil {
			return fmt.Sprint(over, err)
		}
		return ""
	})
	wk.read(b, last)
	if n := wk.missing(last, b.i); err == nil && n != 0 {
		err = fmt.Errorf("after a shutdown %d messages are missing at the remote, %v", n, b.ConnectionState())
	}
	return err
}

// silence checks that nothing is sent after both ends are closed.
func (wk *walk) silence() error {
	before := wk.sent
	if err := wk.pass(time.Minute); err != nil {
		return err
	}
	if n := wk.sent - before; n != 0 {
		return fmt.Errorf("%d datagrams after the end", n)
	}
	return nil
}

// suddenEnd closes one end at any moment, and the other end when that end notices it.
func (wk *walk) suddenEnd() error {
	a, b := wk.leaving()
	failures := b.failures
	a.Close()
	if err := wk.until(75*time.Second, "the remote sees the end", func() string {
		wk.read(b, wk.channels[0])
		if b.transport().core.agent.Pending() {
			return "" // the end waits for a remote that may not have received its answer, for any time
		}
		if s := b.ConnectionState(); s != StateClosed && b.failures == failures {
			return s.String() // a program that restarts ICE in StateFailed is connecting again
		}
		return ""
	}); err != nil {
		return err
	}
	for _, c := range wk.channels {
		for _, e := range wk.ends {
			wk.read(e, c)
		}
	}
	b.Close()
	if err := wk.pass(time.Second); err != nil { // the last datagrams are sent, if this end had not noticed the close
		return err
	}
	for _, c := range wk.channels {
		for _, d := range c.ends {
			if d != nil && d.ReadyState() != ChannelStateClosed {
				return fmt.Errorf("channel %d is %v after the end", c.no, d.ReadyState())
			}
		}
	}
	return wk.silence()
}

// story returns the last events.
func (wk *walk) story() string {
	log := wk.log
	if len(log) > 60 && *walkFlag == 0 {
		log = slices.Concat(log[:3], log[len(log)-57:])
	}
	return strings.Join(log, "\n")
}
