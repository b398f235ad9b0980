package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"purertc/ice"
)

// restarting runs a case while the end that made the first offer restarts ICE
// repeatedly. Each restart begins after the previous one has finished: if restarts
// overlap, Firefox sends nothing any more.
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

// meanwhile runs a case. Until the case has ended, it calls step with the numbers 0,
// 1, 2 and so on, at the given interval. It calls step at least once.
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

// onNewPair waits until data is sent on a nominated pair of the most recent restart.
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
