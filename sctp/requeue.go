package sctp

// requeue puts the messages in flight back into the queue. It restarts the numbering
// of all streams and the scheduler.
func (s *sender) requeue() {
	q, again := &s.queue, map[*outStream][]*outMessage{}
	for _, m := range s.undelivered() {
		again[m.stream] = append(again[m.stream], m)
	}
	s.out = outstanding{}
	q.scheduler, q.drained, q.nextExpiry = scheduler{}, nil, 0
	for _, id := range q.streams.ids() {
		st := q.streams.get(id)
		q.renew(st, again[st])
		if st.head == nil && st.charged {
			q.forget(id) // the stream was used only for a reset
		}
	}
}

// undelivered returns the messages that were sent completely and are to be sent again,
// in the order of sending. It releases the other messages that were sent completely.
func (s *sender) undelivered() (again []*outMessage) {
	o, q := &s.out, &s.queue
	var sent []*outMessage
	missing := map[*outMessage]bool{}
	for tsn := o.first; tsn != o.end; tsn++ {
		c := o.at(tsn)
		if _, seen := missing[c.msg]; !seen {
			sent = append(sent, c.msg)
		}
		missing[c.msg] = missing[c.msg] || c.state == chunkInFlight || c.state == chunkLost
	}
	for _, m := range o.limited {
		if _, seen := missing[m]; !seen && !m.queued {
			q.release(m) // the message is completely acknowledged
		}
	}
	behind := map[*outStream]bool{} // streams on which a message is missing, so that the remote holds back later ordered messages
	for _, m := range sent {
		switch {
		case m.queued: // the end of the message was not sent, so it was not delivered
		case !missing[m] && !m.abandoned && (m.unordered || !behind[m.stream]):
			q.release(m)
		case m.abandoned, m.partiallyReliable():
			m.stream.pending--
			q.pool.put(m)
		default:
			behind[m.stream] = true
			again = append(again, m)
		}
	}
	return again
}

// renew restarts a stream. again has the messages to send before those in its queue.
func (q *sendQueue) renew(s *outStream, again []*outMessage) {
	s.nextSeq, s.nextUnseq, s.paused = 0, 0, false
	s.finish, s.start, s.heapAt, s.blocked = 0, 0, -1, false
	s.skipMark, s.skipAt = [2]uint32{}, [2]int{}
	if m := s.head; m != nil && m.started {
		q.unsend(m)
	}
	for i := len(again) - 1; i >= 0; i-- {
		m := again[i]
		q.unsend(m)
		m.queued, m.next, s.head = true, s.head, m
		if s.tail == nil {
			s.tail = m
		}
		q.messages++
	}
	if s.head != nil {
		q.activate(s)
		q.awaitExpiry(s.head)
	}
}

// unsend restores a message, of which a part was sent, to its state before that.
func (q *sendQueue) unsend(m *outMessage) {
	q.count(m, m.sent)
	*m = outMessage{
		next: m.next, stream: m.stream, data: m.data, ppid: m.ppid, deadline: m.deadline, grace: m.grace, maxRetransmits: m.maxRetransmits,
		unordered: m.unordered, limitRetransmits: m.limitRetransmits, queued: m.queued, uncounted: m.uncounted,
	}
}
