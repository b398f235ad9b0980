package rtcpeer

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"purertc/sctp"
)

// TestPoll checks the order of events, nested calls of Poll, events that a handler
// causes, and Close and Initialize in a handler.
func TestPoll(t *testing.T) {
	f := &fakeExtension{}
	c := connOf(f)
	var got []string
	depth := 0
	c.OnSessionDescriptionCreated(func(typ, sdp string) {
		got = append(got, typ+sdp)
		depth++
		defer func() { depth-- }()
		if err := c.Poll(); err != nil || depth > 1 {
			t.Errorf("nested Poll: %v at depth %d", err, depth)
		}
		switch sdp {
		case "1":
			f.event(Event{Kind: EventSessionDescription, Type: "d", SDP: "5"})
		case "close":
			c.Close()
		case "initialize":
			if err := c.Initialize(Config{}); err != nil {
				t.Error(err)
			}
		}
	})
	put := func(names ...string) {
		for _, n := range names {
			f.event(Event{Kind: EventSessionDescription, Type: "d", SDP: n})
		}
	}
	poll := func(want string) {
		t.Helper()
		got = nil
		if err := c.Poll(); err != nil {
			t.Error(err)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("Poll delivered %q, want %q", s, want)
		}
	}
	put("1", "2", "3")
	poll("d1 d2 d3")
	poll("d5")
	poll("")
	put("initialize", "2")
	poll("dinitialize")
	if c.ConnectionState() != StateNew {
		t.Errorf("state %v", c.ConnectionState())
	}
	poll("")
	put("close", "2")
	poll("dclose")
	poll("")
	if c.ConnectionState() != StateClosed {
		t.Errorf("state %v", c.ConnectionState())
	}
}

// Poll of a second goroutine waits for that of the first.
func TestPollOfTwo(t *testing.T) {
	f := &fakeExtension{}
	c := connOf(f)
	inside, release := make(chan struct{}), make(chan struct{})
	done := false
	c.OnICECandidateCreated(func(string, int, string) {
		close(inside)
		<-release
		done = true
	})
	f.event(Event{Kind: EventICECandidate})
	first, second := make(chan error), make(chan error)
	go func() { first <- c.Poll() }()
	<-inside
	go func() {
		err := c.Poll()
		if !done { // if Poll did not wait, the race detector would report this read, too
			err = errors.New("returned while the first was inside")
		}
		second <- err
	}()
	for range 1000 {
		runtime.Gosched()
	}
	close(release)
	if err := errors.Join(<-first, <-second); err != nil {
		t.Error(err)
	}
}

// Poll in a handler never waits. It waits neither for its own connection nor for
// another connection that is being polled, in which a handler may poll this
// connection.
func TestPollInHandlers(t *testing.T) {
	var (
		exts   [2]*fakeExtension
		conns  [2]*Conn
		inside sync.WaitGroup
		polled [2]error
	)
	inside.Add(2)
	for i := range conns {
		exts[i] = &fakeExtension{}
		conns[i] = connOf(exts[i])
		exts[i].event(Event{Kind: EventICECandidate})
	}
	deep := func(depth int, f func() error) (err error) { return f() }
	for range 100 { // more frames than Poll handles in one call
		inner := deep
		deep = func(depth int, f func() error) error { return inner(depth+1, f) }
	}
	for i, c := range conns {
		c.OnICECandidateCreated(func(string, int, string) {
			inside.Done()
			inside.Wait()
			polled[i] = errors.Join(c.Poll(), deep(0, conns[1-i].Poll))
		})
	}
	done := make(chan error)
	for _, c := range conns {
		go func() { done <- c.Poll() }()
	}
	if err := errors.Join(<-done, <-done, polled[0], polled[1]); err != nil {
		t.Error(err)
	}
}

func TestPollAllocatesNothing(t *testing.T) {
	c := New()
	defer c.Close()
	if _, err := c.CreateDataChannel("x", ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	c.Poll()
	if n := testing.AllocsPerRun(100, func() { c.Poll() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWaitAndRun(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := &fakeExtension{}
		c := connOf(f)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait: %v", err)
		}
		if err := c.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run: %v", err)
		}
		// Any number of goroutines can wait.
		done := make(chan error, 3)
		for range 3 {
			go func() { done <- c.Wait(context.Background()) }()
		}
		pause()
		f.event(Event{Kind: EventICECandidate})
		for range 3 {
			if err := <-done; err != nil {
				t.Errorf("Wait: %v", err)
			}
		}
		// Run returns at StateFailed. It continues when it is called again, and ends
		// when the remote closes.
		states := 0
		c.OnStateChanged(func() { states++ })
		go func() { done <- c.Run(context.Background()) }()
		cause := errors.New("why")
		f.event(Event{Kind: EventError, Err: cause})
		f.event(Event{Kind: EventConnectionState, State: int(StateFailed)})
		if err := <-done; !errors.Is(err, ErrFailed) || !errors.Is(err, cause) {
			t.Errorf("Run at StateFailed: %v", err)
		}
		go func() { done <- c.Run(context.Background()) }()
		pause()
		if err := c.Poll(); err == nil || states != 1 {
			t.Errorf("Poll after StateFailed: %v, %d states", err, states)
		}
		f.event(Event{Kind: EventConnectionState, State: int(StateConnected)})
		pause()
		if err := c.Poll(); err != nil {
			t.Errorf("Poll after it came back: %v", err)
		}
		f.event(Event{Kind: EventConnectionState, State: int(StateClosed)})
		if err := <-done; err != nil || states != 3 || c.SignalingState() != SignalingStateClosed {
			t.Errorf("Run: %v, %d states", err, states)
		}
		if err := c.Wait(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("Wait: %v", err)
		}
		// A handler that always causes another event does not prevent Run from
		// returning when ctx is done.
		if err := c.Initialize(Config{}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel = context.WithCancel(context.Background())
		n := 0
		c.OnICECandidateCreated(func(string, int, string) {
			f.event(Event{Kind: EventICECandidate})
			if n++; n == 100 {
				cancel()
			}
		})
		f.event(Event{Kind: EventICECandidate})
		if err := c.Run(ctx); !errors.Is(err, context.Canceled) || n != 100 {
			t.Errorf("Run: %v after %d", err, n)
		}
	})
}

// If a handler is set after the channel has opened, it is called once for that state.
func TestLateStateHandler(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		ch, err := p.a.OpenDataChannel("late", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "it is open", func() bool { return ch.ReadyState() == ChannelStateOpen })
		p.stop() // no goroutine polls the connection
		pause()
		for want := 1; want >= 0; want-- {
			var states []ChannelState
			ch.OnStateChanged(func() { states = append(states, ch.ReadyState()) })
			if len(states) != 0 {
				t.Error("called before Poll")
			}
			p.a.Poll()
			p.a.Poll()
			if len(states) != want || want == 1 && states[0] != ChannelStateOpen {
				t.Errorf("the handler saw %v, want %d states", states, want)
			}
		}
	})
}

// If a handler is set after the channel has closed, it is called once. The connection
// does not keep the channel for the handler.
func TestLateStateHandlerOfClosed(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		known := func() (n int) {
			p.a.mu.Lock()
			defer p.a.mu.Unlock()
			p.a.channels.each(func(*channel) { n++ })
			return n
		}
		before := known()
		var chs [3]*DataChannel
		for i := range chs {
			ch, err := p.a.OpenDataChannel("late", ChannelOptions{})
			if err != nil {
				t.Fatal(err)
			}
			waitFor(t, "it is open", func() bool { return ch.ReadyState() == ChannelStateOpen })
			ch.Close()
			waitFor(t, "it is closed", func() bool { return ch.ReadyState() == ChannelStateClosed })
			chs[i] = ch
		}
		told := 0
		handler := func() {
			if told++; chs[0].ReadyState() != ChannelStateClosed {
				t.Errorf("the handler saw %v", chs[0].ReadyState())
			}
		}
		if n := known(); n != before {
			t.Errorf("%d channels are kept, %d before", n, before)
		}
		chs[0].OnStateChanged(handler) // Run calls the handler
		waitFor(t, "it is told", func() bool { return told == 1 })
		p.stop() // no goroutine polls the connection
		pause()
		chs[0].OnStateChanged(handler)
		chs[1].OnStateChanged(handler)
		chs[1].OnStateChanged(nil)
		chs[1].OnPacketReceived(func() { t.Error("a packet") })
		if told != 1 {
			t.Error("called before Poll")
		}
		p.a.Poll()
		p.a.Poll()
		if told != 1 {
			t.Error("a handler that was taken back was called, or a first one again")
		}
		chs[1].OnStateChanged(handler)
		p.a.Poll()
		p.a.Poll()
		if told != 2 {
			t.Errorf("the handlers of two channels were called %d times", told)
		}
		if n := known(); n != before {
			t.Errorf("%d channels are kept, %d before", n, before)
		}
		chs[2].OnStateChanged(handler)
		p.a.Close() // the test closes the connection instead of the channel
		p.a.Poll()
		if _, _, err := chs[2].Receive(context.Background()); told != 2 || err != io.EOF {
			t.Errorf("the handler was called %d times; %v", told, err)
		}
		p.x.OnStateChanged(handler) // Close of the connection closed the channel: the handler is not called
		p.a.Poll()
		if told != 2 {
			t.Error("the handler was called for a channel that Close of the connection closed")
		}
	})
}

// The number of channels that a remote opens while the program does not poll is
// limited.
func TestUnpolledChannels(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		p.stop()
		pause()
		label := strings.Repeat("x", 60_000)
		go p.a.Run(context.Background())
		for i := range 300 {
			ch, err := p.a.OpenDataChannel(label, ChannelOptions{})
			if err != nil {
				t.Fatal(i, err)
			}
			ch.OnStateChanged(func() {}) // the handler keeps the channel open
			ch.Send(context.Background(), make([]byte, 10), false)
		}
		<-time.After(20 * time.Second)
		q := p.b.ext.(*stack).transport
		charged := func() int {
			q.mu.Lock()
			defer q.mu.Unlock()
			return q.core.assoc.Memory().Used()
		}
		before := charged()
		var kept []*DataChannel
		p.b.OnDataChannelReceived(func(ch *DataChannel) { kept = append(kept, ch) })
		p.b.Poll()
		if n := len(kept); n < sctp.DefaultReserve/4/60_000 || n*60_000 > before || before > sctp.DefaultReserve+1<<20 {
			t.Errorf("%d channels after Poll, %d bytes were charged", n, before)
		}
		for _, ch := range kept {
			ch.Close()
		}
		<-time.After(20 * time.Second)
		p.b.Poll()
		if n := charged(); n > before/10 {
			t.Errorf("%d bytes stay charged of %d", n, before)
		}
	})
}
