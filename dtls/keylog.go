package dtls

import "fmt"

// logKey writes a line of the NSS key log. The log serves debugging only, so
// a writer that fails ends nothing.
func (c *Conn) logKey(label string, clientRandom, secret []byte) {
	if c.cfg.KeyLogWriter != nil {
		fmt.Fprintf(c.cfg.KeyLogWriter, "%s %x %x\n", label, clientRandom, secret)
	}
}
