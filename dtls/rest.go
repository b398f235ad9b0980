package dtls

// Rest lets go of what can be made again: the key schedules, which are most of
// what an established connection keeps. The next record that needs one makes
// it anew, in less than a microsecond. It is for an owner of many connections
// of which most have nothing to say most of the time.
func (c *Conn) Rest() {
	for _, r := range c.read {
		r.rest()
	}
	for _, w := range c.write {
		w.rest()
	}
}

// restHandshake is Rest for what comes in the epoch of the handshake, once it
// is done: it can only be a repetition. What goes in it may be a client's
// Finished, which is still to be sent.
func (c *Conn) restHandshake() {
	for _, r := range c.read {
		if r.epoch == epochHandshake {
			r.rest()
		}
	}
}
