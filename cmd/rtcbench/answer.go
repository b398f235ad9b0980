package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"purertc/rtcpeer"
)

// answer runs the scenario as the answerer. It returns when the signalling ends.
func (b *bencher) answer() figures {
	r := &receiver{b: b, done: make(chan figures, 1)}
	begin := takeSnapshot()
	var result figures
	report := func(f figures) {
		result = f
		result["t"] = "result"
		if b.o.role != "both" {
			b.s.out(result)
		}
	}
	for {
		select {
		case m := <-b.s.in:
			switch m.T {
			case "sdp", "candidate":
				b.accept(m, r.channel)
			case "close":
				b.drop(m.ID)
			case "idle":
				if b.o.role != "both" {
					go func() { r.done <- idleFigures(b.o.conns) }()
				}
			}
		case f := <-r.done:
			report(f)
		case <-b.s.bye:
			if result == nil {
				e := takeSnapshot()
				report(figures{"cpu_s": (e.cpu - begin.cpu).Seconds(), "rss_peak_kb": statusKB("VmHWM"),
					"mallocs": e.mallocs - begin.mallocs, "bytes": r.bytes.Load()})
			}
			return result
		}
	}
}

// accept handles the first message of a connection.
func (b *bencher) accept(m message, on func(*connection, *rtcpeer.DataChannel)) {
	b.mu.Lock()
	known := b.conns[m.ID] != nil
	b.mu.Unlock()
	if known { // this message belongs to a connection that exists already
		return
	}
	c, err := b.connect(m.ID, func(c *connection, d *rtcpeer.DataChannel) {
		if b.o.scenario == "idle" {
			b.s.forget(m.ID)
			if b.o.ping {
				go echo(d)
			}
			c.stop() // the channel has arrived, so an idle connection does not have to be polled any more
			return
		}
		on(c, d)
	})
	if err != nil {
		fail("%v", err)
		return
	}
	go func() {
		c.take(m)
		b.run(c)
	}()
}

// A receiver reads from channels. It sends the messages of ping and echo channels
// back, and counts all others.
type receiver struct {
	b           *bencher
	bytes, msgs atomic.Int64
	first       sync.Once
	done        chan figures
}

func (r *receiver) channel(c *connection, d *rtcpeer.DataChannel) {
	switch {
	case r.b.o.scenario == "echo", r.b.o.scenario == "exchange", d.Label() == "ping":
		go echo(d)
	case r.b.o.scenario != "connect":
		go r.read(d)
	case r.b.o.setup:
		go r.b.reportArrival(c, d)
	}
}

// echo sends every message back on the channel on which it has arrived.
func echo(d *rtcpeer.DataChannel) {
	ctx := context.Background()
	for {
		p, text, err := d.Receive(ctx)
		if err != nil || d.Send(ctx, p, text) != nil {
			return
		}
		d.Recycle(p)
	}
}

func (r *receiver) read(d *rtcpeer.DataChannel) {
	for {
		p, _, err := d.Receive(context.Background())
		if err != nil {
			return
		}
		r.bytes.Add(int64(len(p)))
		d.Recycle(p)
		r.msgs.Add(1)
		r.first.Do(func() { go r.measure() })
	}
}

// measure reads the counters at the beginning and at the end of the measured time,
// which begins with the first message.
func (r *receiver) measure() {
	o := r.b.o
	begin := time.Now()
	time.Sleep(o.warm)
	bytes, msgs := r.bytes.Load(), r.msgs.Load()
	if o.warm == 0 {
		bytes, msgs = 0, 0
	}
	s := takeSnapshot()
	var series []float64
	if o.series {
		last := bytes
		for i := range int(o.dur / time.Second) {
			time.Sleep(time.Until(begin.Add(o.warm + time.Duration(i+1)*time.Second)))
			b := r.bytes.Load()
			series = append(series, float64((b-last)*8/1e4)/100)
			last = b
		}
	} else {
		time.Sleep(o.dur)
	}
	n, k := float64(r.bytes.Load()-bytes), float64(r.msgs.Load()-msgs)
	e := takeSnapshot()
	f := transferFigures(figures{"mbps": n * 8 / e.at.Sub(s.at).Seconds() / 1e6, "msgs": k}, s, e, n, k)
	if series != nil {
		f["series_mbps"] = series
	}
	r.done <- f
}
