package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"purertc/rtcpeer"
)

func fail(format string, args ...any) { fmt.Fprintf(os.Stderr, "rtcbench: "+format+"\n", args...) }

// offer runs the scenario as the offerer.
func (b *bencher) offer() (figures, error) {
	switch b.o.scenario {
	case "throughput":
		return b.throughput()
	case "latency":
		return b.latency()
	case "connect":
		return b.connectMany()
	case "idle":
		return b.idle()
	default:
		return b.exchange()
	}
}

// pump sends messages until the channel ends.
func (b *bencher) pump(d *rtcpeer.DataChannel, size int, count *atomic.Int64) {
	p := make([]byte, size)
	for d.Send(context.Background(), p, false) == nil {
		count.Add(1)
	}
}

func (b *bencher) throughput() (figures, error) {
	var labels []string
	for i := range b.o.channels {
		labels = append(labels, fmt.Sprint("d", i))
	}
	c, err := b.dial(0, labels...)
	if err != nil {
		return nil, err
	}
	var count atomic.Int64
	for _, d := range c.channels {
		go b.pump(d, b.o.size, &count)
	}
	time.Sleep(b.o.warm)
	s, before := takeSnapshot(), count.Load()
	time.Sleep(b.o.dur)
	e, k := takeSnapshot(), float64(count.Load()-before)
	n := k * float64(b.o.size)
	return transferFigures(figures{"mbps_sent": n * 8 / e.at.Sub(s.at).Seconds() / 1e6}, s, e, n, k), nil
}

func (b *bencher) latency() (figures, error) {
	labels := []string{"ping"}
	if b.o.bulk {
		labels = append(labels, "bulk")
	}
	c, err := b.dial(0, labels...)
	if err != nil {
		return nil, err
	}
	var sent atomic.Int64
	if b.o.bulk {
		go b.pump(c.channels[1], 16384, &sent)
	}
	d, p := c.channels[0], make([]byte, b.o.size)
	var us []float64
	var s snapshot
	var sentBefore int64
	begin := time.Now()
	measure, end := begin.Add(b.o.warm), begin.Add(b.o.warm+b.o.dur)
	ctx := context.Background()
	for t := begin; t.Before(end); {
		if s.at.IsZero() && t.After(measure) {
			s, sentBefore = takeSnapshot(), sent.Load()
		}
		t = time.Now()
		if err := d.PutPacket(p); err != nil {
			return nil, err
		}
		q, _, err := d.Receive(ctx)
		if err != nil {
			return nil, err
		}
		d.Recycle(q)
		now := time.Now()
		if !s.at.IsZero() {
			us = append(us, float64(now.Sub(t).Nanoseconds())/1e3)
		}
		t = now
	}
	e := takeSnapshot()
	sorted(us)
	n := float64(max(1, len(us)))
	return figures{
		"n": len(us), "p50_us": percentile(us, .5), "p99_us": percentile(us, .99), "p999_us": percentile(us, .999),
		"min_us": percentile(us, 0), "max_us": percentile(us, 1),
		"cpu_us_per_rt": float64((e.cpu - s.cpu).Microseconds()) / n, "allocs_per_rt": float64(e.mallocs-s.mallocs) / n,
		"bulk_mbps_sent": float64(sent.Load()-sentBefore) * 16384 * 8 / e.at.Sub(s.at).Seconds() / 1e6,
	}, nil
}

// connectMany opens and closes connections during the measured time.
func (b *bencher) connectMany() (figures, error) {
	var mu sync.Mutex
	var ms, us []float64
	var setups setupTimes
	failed := 0
	var pinged *rtcpeer.DataChannel
	if b.o.ping {
		c, err := b.dial(1, "ping")
		if err != nil {
			return nil, err
		}
		pinged = c.channels[0]
	}
	b.nextID.Store(100)
	s := takeSnapshot()
	end := s.at.Add(b.o.dur)
	var wg sync.WaitGroup
	if pinged != nil {
		wg.Go(func() { us = pingUntil(pinged, end) })
	}
	for range b.o.conc {
		wg.Go(func() {
			for time.Now().Before(end) {
				t := time.Now()
				id := int(b.nextID.Add(1))
				c, err := b.dial(id, "c")
				took := time.Since(t)
				var sample setupSample
				if err == nil && b.o.setup {
					sample, err = b.measureSetup(c)
				}
				mu.Lock()
				if err != nil {
					failed++
					fail("%v", err)
				} else {
					ms = append(ms, float64(took.Microseconds())/1e3)
					setups.add(sample)
				}
				mu.Unlock()
				b.s.out(message{T: "close", ID: id})
				b.drop(id)
			}
		})
	}
	wg.Wait()
	e := takeSnapshot()
	n := float64(max(1, len(ms)))
	sorted(ms)
	f := figures{
		"n": len(ms), "failed": failed, "per_s": n / e.at.Sub(s.at).Seconds(), "cpu_ms_per_conn": (e.cpu - s.cpu).Seconds() * 1e3 / n,
		"p50_ms": percentile(ms, .5), "p99_ms": percentile(ms, .99), "allocs_per_conn": float64(e.mallocs-s.mallocs) / n,
		"alloc_kb_per_conn": float64(e.bytes-s.bytes) / n / 1024, "rss_peak_kb": statusKB("VmHWM"),
	}
	if b.o.setup {
		setups.addTo(f)
	}
	if us != nil {
		sorted(us)
		f["p50_us"], f["p99_us"], f["max_us"] = percentile(us, .5), percentile(us, .99), percentile(us, 1)
	}
	return f, nil
}

// pingUntil sends a ping every millisecond until the time end. It returns the
// round-trip times in microseconds.
func pingUntil(d *rtcpeer.DataChannel, end time.Time) (us []float64) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(end) {
		<-tick.C
		t := time.Now()
		if err := d.PutPacket([]byte("ping")); err != nil {
			fail("%v", err)
			return us
		}
		if _, _, err := d.Receive(context.Background()); err != nil {
			fail("%v", err)
			return us
		}
		us = append(us, float64(time.Since(t).Nanoseconds())/1e3)
	}
	return us
}

// idle opens many connections and measures what they cost while they are idle.
func (b *bencher) idle() (figures, error) {
	var mu sync.Mutex
	var channels []*rtcpeer.DataChannel
	failed := 0
	var wg sync.WaitGroup
	for range min(8, b.o.conns) {
		wg.Go(func() {
			for {
				id := int(b.nextID.Add(1))
				if id > b.o.conns {
					return
				}
				c, err := b.dial(id, "c")
				mu.Lock()
				if err != nil {
					failed++
					fail("%v", err)
				} else {
					channels = append(channels, c.channels...)
				}
				mu.Unlock()
				if c != nil && (b.host != nil || !b.o.ping) {
					c.stop() // the connection does not have to be polled any more
				}
			}
		})
	}
	wg.Wait()
	b.s.out(message{T: "idle"})
	f := idleFigures(b.o.conns)
	f["failed"] = failed
	if b.o.ping {
		f["ping_ms"], f["unanswered"] = pingAll(channels)
	}
	return f, nil
}

// pingAll sends a message on every channel. It returns the time until the last answer,
// in milliseconds, and the number of messages without an answer.
func pingAll(channels []*rtcpeer.DataChannel) (ms float64, unanswered int64) {
	var missing atomic.Int64
	missing.Store(int64(len(channels)))
	done := make(chan struct{})
	for _, d := range channels {
		d.OnPacketReceived(func() {
			if missing.Add(-1) == 0 {
				close(done)
			}
		})
	}
	begin := time.Now()
	for _, d := range channels {
		if err := d.PutPacket([]byte("ping")); err != nil {
			fail("%v", err)
		}
	}
	select {
	case <-done:
	case <-time.After(10 * time.Second):
	}
	return float64(time.Since(begin).Microseconds()) / 1e3, missing.Load()
}
