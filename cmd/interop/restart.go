package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"purertc/ice"
)

// restarting restarts ICE while a case runs, again and again, by whoever made
// the first offer, each time after the last one is over: with another in
// between, Firefox is not heard of again.
func (p *pair) restarting(ctx context.Context, run func() error) error {
	ending, done := make(chan struct{}), make(chan error, 1)
	go func() {
		every := time.NewTicker(p.way.restart)
		defer every.Stop()
		for n := 1; ; n++ {
			err := p.negotiate(ctx, true)
			if err == nil {
				err = p.onNewPair(ctx)
			}
			if err != nil {
				done <- fmt.Errorf("restart %d: %w", n, err)
				return
			}
			select {
			case <-ending:
				done <- nil
				return
			case <-every.C:
			}
		}
	}()
	err := run()
	close(ending)
	return errors.Join(err, <-done)
}

// onNewPair waits until data goes by a nominated pair of the last restart.
func (p *pair) onNewPair(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		r := p.conn.Report()
		if slices.ContainsFunc(r.ICE.Pairs, func(p ice.PairReport) bool { return p.Selected && p.Nominated && !p.Replaced }) {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return errors.New("no pair after the restart:\n" + r.String())
		}
	}
}
