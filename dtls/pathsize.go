package dtls

// RFC 6347 §4.1.1.1, RFC 9147 §4.4: a flight that is not answered however often
// it goes may be in datagrams that the path does not carry. They become shorter
// then, and stay so for what follows. Those that are not in handshakes are the
// owner's, who learns from PathSize what the path carries.

// sameSizeTries is how often a flight goes in datagrams as long as the owner
// allows. More than once, so that a single loss makes none shorter.
const sameSizeTries = 2

// shortDatagram is how long they are then, in bytes: every host takes as many
// with IPv4 (RFC 791 §3.1: 576 bytes, less IP and UDP headers). Sizes between
// would cost a path that does not carry them as many timeouts again.
const shortDatagram = 548

// shorten makes the datagrams of a flight that was not answered shorter, if it
// went often enough and any of them was longer.
func (c *Conn) shorten() {
	f := &c.out
	if f.timeouts++; f.timeouts >= sameSizeTries && f.longest > shortDatagram {
		c.datagramLimit, f.longest = shortDatagram, 0
	}
}

// PathSize is the length in bytes of the longest datagram of the handshake that
// is known to have arrived; 0: none is. What is longer may be lost for its
// length.
func (c *Conn) PathSize() int { return c.carried }
