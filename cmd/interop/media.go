package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"purertc/rtcpeer"
)

// bundlePolicies are the bundle policies of RFC 8829 §4.1.1. In the scenario media,
// each new connection of a page uses the next one.
var bundlePolicies = []string{"balanced", "max-compat", "max-bundle"}

// mediaScenario returns the scenario in which a page has audio and video in addition
// to data. Some media exists before the first offer, and other media is added and
// stopped while a case runs.
func mediaScenario(name string) *scenario {
	return &scenario{
		name: name, media: true, configure: func(*rtcpeer.Config) {}, end: func() {},
		page: map[string]any{}, slow: true,
	}
}

// mediaPage returns the configuration of the page's connection with number n.
func mediaPage(n int) map[string]any {
	return map[string]any{"bundlePolicy": bundlePolicies[n%len(bundlePolicies)]}
}

// A mediaStep is an offer and its answer. It adds, stops or recycles media, or
// restarts ICE.
type mediaStep struct {
	what    string
	local   bool   // the local end makes the offer
	change  string // what the page does before the offer: the kind of the transceiver that it adds, or "stop" for stopping its newest transceiver, or "stop-first" for stopping its first one
	restart bool
}

// mediaSteps are offers of the remote end and of the local end. The browser keeps its
// transport.
var mediaSteps = []mediaStep{
	{what: "video added", change: "video"},
	{what: "an offer of ours", local: true},
	{what: "video stopped", change: "stop"},
	{what: "restart by us", local: true, restart: true},
	{what: "audio added", change: "audio"},
	{what: "restart by the page", restart: true},
}

// replacingSteps are steps after which the browser replaces its transport, if the page
// made the first offer. Each stop-first stops the transceiver of the bundle's tagged
// section. Chromium then uses the section of the next transceiver that is added as the
// tagged section. When the transport is replaced, the browser loses the messages of
// the page that have not arrived yet. So only the local end sends data in the
// meantime, and these steps are not repeated while a case runs.
var replacingSteps = []mediaStep{
	{what: "the first stopped", change: "stop-first"},
	{what: "audio in its place", change: "audio"},
	{what: "the first stopped again", change: "stop-first"},
	{what: "an offer of ours after it", local: true},
	{what: "restart by us after it", local: true, restart: true},
	{what: "audio in its place again", change: "audio"},
	{what: "restart by the page after it", restart: true},
}

// replacingSteps returns the steps that are executed before a case. It returns none if
// packets of the local end may be lost or may arrive in another order.
func (l *link) replacingSteps() []mediaStep {
	if !l.ours.IsOrdered() || l.ours.MaxRetransmits() >= 0 || l.ours.MaxPacketLifeTime() >= 0 {
		return nil
	}
	return replacingSteps
}

// withMedia runs a case while media is added and stopped. Before the case, it executes
// each step once.
func (l *link) withMedia(ctx context.Context, run func() error) error {
	for _, s := range mediaSteps {
		if err := l.mediaStep(ctx, s); err != nil {
			return err
		}
	}
	for _, s := range l.replacingSteps() {
		if err := l.whileSending(ctx, func() error { return l.mediaStep(ctx, s) }); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return l.meanwhile(ctx, run, 200*time.Millisecond, func(n int) error { return l.mediaStep(ctx, mediaSteps[n%len(mediaSteps)]) })
}

// whileSending sends packets from the local end while step runs, and for a short time
// after that. All of them must arrive once and in order. Then one packet must arrive
// in the other direction.
func (l *link) whileSending(ctx context.Context, step func() error) error {
	const interval = 5 * time.Millisecond
	over, sent := make(chan struct{}), make(chan int, 1)
	go func() {
		for n := 0; ; n++ {
			if l.ours.Send(ctx, fmt.Append(nil, n), true) != nil {
				sent <- n
				return
			}
			select {
			case <-over:
				sent <- n + 1
				return
			case <-time.After(interval):
			}
		}
	}()
	err := step()
	select {
	case <-time.After(20 * interval):
	case <-ctx.Done():
	}
	close(over)
	if err != nil {
		return err
	}
	for n := range <-sent {
		e, err := l.wait(ctx, "message", l.theirs)
		if err != nil {
			return fmt.Errorf("packet %d: %w", n, err)
		}
		if want := hex.EncodeToString(fmt.Append(nil, n)); e.Head != want {
			return fmt.Errorf("packet %s came where %s was due", e.Head, want)
		}
	}
	return l.toUs(ctx, packet{text: true, bytes: []byte("the other way")})
}

func (p *pair) mediaStep(ctx context.Context, s mediaStep) error {
	role := "answer"
	if s.local {
		role = "offer"
	}
	step := func() error {
		if s.change != "" {
			// The page does not accept candidates of a section that it has stopped, so
			// it must have received them before that.
			if err := p.trickled(ctx); err != nil {
				return err
			}
			if err := p.remote.media(ctx, s.change); err != nil {
				return err
			}
		}
		if err := p.negotiateAs(ctx, role, s.restart); err != nil {
			return err
		}
		if s.restart {
			if err := p.onNewPair(ctx); err != nil {
				return err
			}
		}
		return p.remote.media(ctx, "check")
	}
	if err := step(); err != nil {
		return fmt.Errorf("%s: %w", s.what, err)
	}
	return nil
}
