package main

import (
	"context"
	"fmt"
	"time"

	"purertc/rtcpeer"
)

// bundlePolicies are those of RFC 8829 §4.1.1; the pages of -way media take them in turn.
var bundlePolicies = []string{"balanced", "max-compat", "max-bundle"}

// mediaWay is the way on which pages have audio and video beside data: some
// before the first offer, and more that comes and goes while a case runs.
func mediaWay(name string) *way {
	return &way{
		name: name, media: true, configure: func(*rtcpeer.Config) {}, end: func() {},
		page: map[string]any{}, slow: true,
	}
}

// mediaPage is the configuration of the page's connection number n.
func mediaPage(n int) map[string]any {
	return map[string]any{"bundlePolicy": bundlePolicies[n%len(bundlePolicies)]}
}

// mediaSteps are offers that add, stop and recycle media, by the remote end and
// by ours, with ICE restarts between them.
var mediaSteps = []struct {
	what    string
	local   bool   // our end offers
	change  string // what the page does first: the kind of a transceiver to add, or "stop" for the last one
	restart bool
}{
	{what: "video added", change: "video"},
	{what: "an offer of ours", local: true},
	{what: "video stopped", change: "stop"},
	{what: "restart by us", local: true, restart: true},
	{what: "audio added", change: "audio"},
	{what: "restart by the page", restart: true},
}

// withMedia runs a case while media comes and goes, after one round of it.
func (p *pair) withMedia(ctx context.Context, run func() error) error {
	for i := range mediaSteps {
		if err := p.mediaStep(ctx, i); err != nil {
			return err
		}
	}
	return p.meanwhile(ctx, run, 200*time.Millisecond, func(n int) error { return p.mediaStep(ctx, n%len(mediaSteps)) })
}

func (p *pair) mediaStep(ctx context.Context, i int) error {
	s := mediaSteps[i]
	role := "answer"
	if s.local {
		role = "offer"
	}
	step := func() error {
		if s.change != "" {
			if err := p.far.media(ctx, s.change); err != nil {
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
		return p.far.media(ctx, "check")
	}
	if err := step(); err != nil {
		return fmt.Errorf("%s: %w", s.what, err)
	}
	return nil
}
