package sctp

// A rateSampler measures the rate of delivery (draft-cheng-iccrg-delivery-rate-estimation):
// how many bytes were delivered between the sending of a chunk and its acknowledgement.
type rateSampler struct {
	delivered   int64   // bytes acknowledged so far
	deliveredAt instant // when the last acknowledgement arrived
	firstAt     instant // when the most recently acknowledged chunk was sent
	limitedTo   int64   // while delivered is below this total, the program limits the rate, not the path
}

// A rateSample is one measurement. It is invalid if interval is 0.
type rateSample struct {
	bytes      int64
	interval   int64 // nanoseconds
	prior      int64 // total bytes delivered when the chunk was sent
	delivered  int64 // total bytes delivered up to now
	inFlight   int   // bytes in flight when the chunk was sent
	appLimited bool  // the program had no more to send
}

// stamp returns the stamp for chunks about to be sent in a packet.
func (r *rateSampler) stamp(now instant, order sendOrder, inFlight int) sendStamp {
	if inFlight == 0 {
		r.firstAt, r.deliveredAt = now, now
	}
	return sendStamp{
		at: now, order: order, delivered: r.delivered, deliveredAt: r.deliveredAt,
		firstAt: r.firstAt, appLimited: r.limitedTo > r.delivered,
	}
}

// starved notes that the window and the pacer allow more data, but the program has
// nothing to send.
func (r *rateSampler) starved(inFlight int) { r.limitedTo = max(r.delivered+int64(inFlight), 1) }

// acked takes the result of a SACK that newly acknowledged n bytes sent on the present
// path.
func (r *rateSampler) acked(now instant, n int, ack *ackResult) rateSample {
	r.delivered += int64(n)
	r.deliveredAt = now
	s := rateSample{delivered: r.delivered, prior: r.delivered}
	if !ack.valid {
		return s
	}
	c := &ack.newest
	// The interval is the longer of the times that sending and acknowledging took,
	// because neither a burst of data nor a burst of SACKs shows the rate of the path.
	s.interval = max(c.at-c.firstAt, now-c.deliveredAt)
	s.bytes = r.delivered - c.delivered
	s.prior, s.inFlight, s.appLimited = c.delivered, int(c.inFlight), c.appLimited
	r.firstAt = c.at
	return s
}
