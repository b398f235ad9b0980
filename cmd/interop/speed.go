package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"purertc/rtcpeer"
)

// speed measures how fast a page in each browser sends to another connection of the
// same page and to this stack, and how fast this stack sends to the page. The results
// are medians of several rounds. In each round, the three transfers are measured one
// after another.
func speed(ctx context.Context, argv []string) error {
	f := flag.NewFlagSet("interop speed", flag.ExitOnError)
	peers := f.String("peers", "chromium,firefox", "the browsers, separated by commas; a path may be given: chromium=/path")
	mb := f.Int("mb", 100, "megabytes of each transfer")
	rounds := f.Int("rounds", 3, "transfers of each kind")
	f.Parse(argv)
	w, err := openScenario(ctx, "direct")
	if err != nil {
		return err
	}
	defer w.end()
	fmt.Printf("%-9s %-14s %14s %14s %14s\n", "browser", "version", "to itself", "to us", "from us")
	failed := false
	for _, spec := range strings.Split(*peers, ",") {
		name, path, _ := strings.Cut(spec, "=")
		if howToGet[name] == "" {
			return fmt.Errorf("no browser %q: there are chromium and firefox", name)
		}
		b, ok := findBrowser(name, path)
		if !ok {
			fmt.Printf("%-9s %s\n", name, howToGet[name])
			continue
		}
		row, err := speedOf(ctx, &runner{name: name, version: b.version, scenario: w}, b, *mb*1e6, *rounds)
		if err != nil {
			fmt.Printf("%-9s %s\n", name, err)
			failed = true
			continue
		}
		fmt.Printf("%-9s %-14s %9.0f Mb/s %9.0f Mb/s %9.0f Mb/s\n", name, b.version, row[0], row[1], row[2])
	}
	if failed {
		return errors.New("some transfers failed")
	}
	return nil
}

// transferTimeout is the maximum duration of one transfer.
const transferTimeout = 2 * time.Minute

func speedOf(ctx context.Context, r *runner, b browser, total, rounds int) (row [3]float64, err error) {
	var end func()
	if r.page, end, err = startPage(ctx, b, nil, &scenario{}); err != nil {
		return row, err
	}
	defer end()
	var all [3][]float64
	for range rounds {
		for i, measure := range []func(context.Context, *runner, int) (time.Duration, error){pageToPage, pageToUs, usToPage} {
			limited, cancel := context.WithTimeout(ctx, transferTimeout)
			took, err := measure(limited, r, total)
			cancel()
			if err != nil {
				return row, err
			}
			all[i] = append(all[i], float64(total)*8/1e6/took.Seconds())
		}
	}
	for i := range all {
		slices.Sort(all[i])
		row[i] = all[i][len(all[i])/2]
	}
	return row, nil
}

// speedPacket is the size in bytes of the packets.
const speedPacket = 16384

func pageToPage(ctx context.Context, r *runner, total int) (took time.Duration, err error) {
	var ms float64
	err = r.page.call(ctx, "speed", map[string]any{"size": speedPacket, "total": total}, &ms)
	return time.Duration(ms * float64(time.Millisecond)), err
}

func pageToUs(ctx context.Context, r *runner, total int) (took time.Duration, err error) {
	err = r.withLink(ctx, func(l *link) error {
		begin := time.Now()
		errs := make(chan error, 1)
		go func() {
			errs <- r.page.call(ctx, "pour", map[string]any{"ch": l.theirs, "size": speedPacket, "total": total}, nil)
		}()
		for got := 0; got < total; {
			b, _, err := l.ours.Receive(ctx)
			if err != nil {
				return err
			}
			got += len(b)
			l.ours.Recycle(b)
		}
		took = time.Since(begin)
		return <-errs
	})
	return took, err
}

func usToPage(ctx context.Context, r *runner, total int) (took time.Duration, err error) {
	err = r.withLink(ctx, func(l *link) error {
		if err := r.page.call(ctx, "count", map[string]any{"ch": l.theirs, "total": total}, nil); err != nil {
			return err
		}
		begin := time.Now()
		b := make([]byte, speedPacket)
		for left := total; left > 0; left -= len(b) {
			if err := l.ours.Send(ctx, b[:min(left, len(b))], false); err != nil {
				return err
			}
		}
		_, err := l.wait(ctx, "received", l.theirs)
		took = time.Since(begin)
		return err
	})
	return took, err
}

// withLink connects to the page and calls f with a new channel.
func (r *runner) withLink(ctx context.Context, f func(*link) error) error {
	p, err := newPair(ctx, r, "offer", true, rtcpeer.Config{})
	if err != nil {
		return err
	}
	defer p.end()
	l, err := p.open(ctx, "speed", rtcpeer.ChannelOptions{})
	if err != nil {
		return err
	}
	return f(l)
}
