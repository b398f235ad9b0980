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

// restHandshake is Rest for the epoch of the handshake, once it is done: what
// may still come in it is a repetition.
func (c *Conn) restHandshake() {
	for _, r := range c.read {
		if r.epoch == epochHandshake {
			r.rest()
		}
	}
	for _, w := range c.write {
		if w.epoch == epochHandshake && w != c.current {
			w.rest()
		}
	}
}
