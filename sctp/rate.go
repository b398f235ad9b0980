package sctp

// A rateSampler measures the rate of delivery
// (draft-cheng-iccrg-delivery-rate-estimation): between the sending of a chunk
// and its acknowledgement, so many bytes were delivered.
type rateSampler struct {
	delivered   int64 // bytes acknowledged so far
	deliveredAt int64 // when the last of them were
	firstAt     int64 // when the chunk was sent that was acknowledged last
	limitedTo   int64 // what is sent until so much is delivered was limited by the program
}

// A rateSample is one measurement. An interval of zero is none.
type rateSample struct {
	bytes      int64
	interval   int64 // nanoseconds
	prior      int64 // what had been delivered when the chunk was sent
	delivered  int64 // … and now
	inFlight   int   // … were in flight when it was sent
	appLimited bool  // the program had no more to send
}

// stamp is for chunks about to be sent in a packet.
func (r *rateSampler) stamp(now int64, order sendOrder, inFlight int) sendStamp {
	if inFlight == 0 {
		r.firstAt, r.deliveredAt = now, now
	}
	return sendStamp{
		at: now, order: order, delivered: r.delivered, deliveredAt: r.deliveredAt,
		firstAt: r.firstAt, appLimited: r.limitedTo > r.delivered,
	}
}

// starved notes that there is nothing more to send, though there might be.
func (r *rateSampler) starved(inFlight int) { r.limitedTo = max(r.delivered+int64(inFlight), 1) }

// acked takes what a SACK acknowledged, n bytes of this path.
func (r *rateSampler) acked(now int64, n int, ack *ackResult) rateSample {
	r.delivered += int64(n)
	r.deliveredAt = now
	s := rateSample{delivered: r.delivered, prior: r.delivered}
	if !ack.valid {
		return s
	}
	c := &ack.newest
	// The slower of sending and acknowledging: neither a burst of ours nor one
	// of SACKs tells what the path can do.
	s.interval = max(c.at-c.firstAt, now-c.deliveredAt)
	s.bytes = r.delivered - c.delivered
	s.prior, s.inFlight, s.appLimited = c.delivered, int(c.inFlight), c.appLimited
	r.firstAt = c.at
	return s
}
