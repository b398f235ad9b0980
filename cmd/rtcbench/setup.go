package main

import (
	"context"
	"fmt"
	"time"

	"purertc/rtcpeer"
)

// setupTimes are the times of the set-up of connections in milliseconds, each from the
// moment at which the offerer had the answer.
type setupTimes struct {
	open    []float64 // until the channel was open at the offerer
	message []float64 // until the first message was at the answerer
	rtt     []float64 // round-trip times that ICE measured
}

// A setupSample has the times of one connection, in the same units.
type setupSample struct{ open, message, rtt float64 }

func (s *setupTimes) add(x setupSample) {
	s.open, s.message, s.rtt = append(s.open, x.open), append(s.message, x.message), append(s.rtt, x.rtt)
}

// measureSetup sends a message on a connection that has opened, waits until the
// answerer reports its arrival, and returns the times of the connection. The two ends
// have the same clock: they run on one machine.
func (b *bencher) measureSetup(c *connection) (s setupSample, err error) {
	arrived := make(chan int64, 1)
	b.s.expect(c.id, func(m message) {
		if m.T == "arrived" {
			select {
			case arrived <- m.At:
			default: // a second report has no meaning
			}
		}
	})
	ctx, cancel := context.WithTimeout(c.ctx, openTimeout)
	defer cancel()
	if err := c.channels[0].Send(ctx, []byte("first"), true); err != nil {
		return s, err
	}
	var message time.Time
	select {
	case ns := <-arrived:
		message = time.Unix(0, ns)
	case <-ctx.Done():
		return s, fmt.Errorf("connection %d: the answerer did not report its first message; start it as rtcbench connect -setup, too", c.id)
	}
	l := c.Report().Timeline
	ms := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	return setupSample{ms(l.ChannelOpen - l.Answer), ms(message.Sub(l.Offer.Add(l.Answer).Round(0))), ms(l.RTT)}, nil
}

// reportArrival sends the time at which the first message arrived to the offerer.
func (b *bencher) reportArrival(c *connection, d *rtcpeer.DataChannel) {
	if _, _, err := d.Receive(c.ctx); err != nil {
		return // the offerer reports that the connection failed
	}
	l := c.Report().Timeline
	b.s.out(message{T: "arrived", ID: c.id, At: l.Offer.Add(l.Message).UnixNano()})
}

// addTo adds the percentiles to f, in milliseconds and in median round trips.
func (s *setupTimes) addTo(f figures) {
	rtt := percentile(sorted(s.rtt), .5)
	f["rtt_ms"] = rtt
	for name, values := range map[string][]float64{"open": sorted(s.open), "message": sorted(s.message)} {
		for _, p := range []int{50, 95, 99} {
			v := percentile(values, float64(p)/100)
			f[fmt.Sprintf("%s_p%d_ms", name, p)] = v
			if rtt > 0 {
				f[fmt.Sprintf("%s_p%d_rtt", name, p)] = v / rtt
			}
		}
	}
}
