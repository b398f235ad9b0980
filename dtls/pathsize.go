package dtls

// RFC 6347 §4.1.1.1, RFC 9147 §4.4: a flight that is not answered however often
// it goes may be in datagrams that the path does not carry. They become shorter
// then, and stay so for what follows. Those that are not in handshakes are the
// owner's, who learns from PathSize what the path carries.

// sameSizeTries is how often a flight goes in datagrams of the same size, for
// the first time and after each reduction but the last. Once more than one, so
// that a single loss makes none shorter.
const sameSizeTries = 2

// shorterDatagrams are the sizes to go down to, in bytes. The last is what
// every host takes with IPv4 (RFC 791 §3.1: 576 bytes, less IP and UDP
// headers), the other one keeps a path of 1000 bytes from as many.
var shorterDatagrams = [...]int{960, 548}

// shorten makes the datagrams of a flight that was not answered shorter, if it
// went often enough and any of them was longer.
func (c *Conn) shorten() {
	f := &c.out
	if f.timeouts++; f.timeouts%sameSizeTries != 0 {
		return
	}
	for _, n := range shorterDatagrams {
		if f.longest > n {
			c.datagramLimit, f.longest = n, 0
			return
		}
	}
}

// PathSize is the length in bytes of the longest datagram of the handshake that
// is known to have arrived; 0: none is. What is longer may be lost for its
// length.
func (c *Conn) PathSize() int { return c.carried }
