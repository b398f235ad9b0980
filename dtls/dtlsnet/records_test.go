package dtlsnet

import (
	"testing"

	"purertc/dtls"
)

// TestMaxRecords checks that a Conn handles only dtls.MaxRecords records of a datagram.
func TestMaxRecords(t *testing.T) {
	for _, version := range []dtls.Version{dtls.VersionDTLS12, dtls.VersionDTLS13} {
		_, client, server := listen(t, func(client, server *dtls.Config) { client.MaxVersion = version })
		c := server.(*Conn)
		var datagram []byte
		client.mu.Lock()
		for len(datagram) < 60000 {
			datagram = client.core.FinishRecord(client.core.BeginRecord(datagram), len(datagram))
			datagram[len(datagram)-1] ^= 1 // the authentication tag is wrong
		}
		client.mu.Unlock()
		rejected := func() uint64 {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.core.Stats().Rejected
		}
		before := rejected()
		c.handle(client.LocalAddr(), datagram)
		if n := rejected() - before; n != dtls.MaxRecords {
			t.Errorf("%v: %d records were read", version, n)
		}
		passes(t, "after the datagram", client, server)
	}
}
