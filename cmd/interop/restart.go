package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"purertc/ice"
)

// restarting runs a case while the first offerer restarts ICE again and again, each
// time after the last restart has ended: Firefox sends nothing any more if they
// overlap.
func (p *pair) restarting(ctx context.Context, run func() error) error {
	return p.meanwhile(ctx, run, p.scenario.restart, func(n int) error {
		err := p.negotiate(ctx, true)
		if err == nil {
			err = p.onNewPair(ctx)
		}
		if err != nil {
			return fmt.Errorf("restart %d: %w", n+1, err)
		}
		return nil
	})
}

// meanwhile runs a case, and step with 0, 1, 2 … at this interval until the case has
// ended. At least one step runs.
func (p *pair) meanwhile(ctx context.Context, run func() error, interval time.Duration, step func(n int) error) error {
	ending, done := make(chan struct{}), make(chan error, 1)
	go func() {
		every := time.NewTicker(interval)
		defer every.Stop()
		for n := 0; ; n++ {
			if err := step(n); err != nil {
				done <- err
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

// onNewPair waits until data is sent on a nominated pair of the last restart.
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
