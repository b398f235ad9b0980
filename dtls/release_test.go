package dtls

import "testing"

// scheduled counts the key schedules of c.
func (c *Conn) scheduled() (n int) {
	count := func(k *aeadKey) {
		if k.aead != nil {
			n++
		}
		if k.mask != nil {
			n++
		}
	}
	for _, r := range c.records.read {
		count(&r.aeadKey)
	}
	for _, w := range c.records.write {
		count(&w.aeadKey)
	}
	return n
}

func TestRelease(t *testing.T) {
	for _, test := range []struct {
		suite CipherSuite
		want  int // key schedules of an established connection: AEAD and mask, in each direction
	}{
		{TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 2}, {TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, 2},
		{TLS_AES_128_GCM_SHA256, 4}, {TLS_AES_256_GCM_SHA384, 4}, {TLS_CHACHA20_POLY1305_SHA256, 2},
	} {
		t.Run(test.suite.String(), func(t *testing.T) {
			p := newPair(t, func(client, server *Config) { client.CipherSuites = []CipherSuite{test.suite} })
			p.connect()
			p.exchange()
			for _, c := range []*Conn{p.client, p.server} {
				if n := c.scheduled(); n != test.want {
					t.Errorf("%d key schedules once established, want %d", n, test.want)
				}
				if c.Release(); c.scheduled() != 0 {
					t.Error("key schedules after Release")
				}
			}
			p.exchange()
			if p.client.agreed.Version != VersionDTLS13 {
				return
			}
			p.client.Release()
			p.server.Release()
			if err := p.client.UpdateKeys(true); err != nil {
				t.Fatal(err)
			}
			p.run()
			if p.client.records.current.epoch != 4 || p.server.records.current.epoch != 4 {
				t.Error("keys were not updated")
			}
			p.exchange()
		})
	}
}

// TestReleaseRepeatedFinished loses the ACK of a Finished: a server that has released its
// key schedules opens the repeated Finished.
func TestReleaseRepeatedFinished(t *testing.T) {
	p := newPair(t, only13)
	lost := 0
	p.meddle = func(i int, d []byte) []delivery {
		// An established server sends only ACKs.
		if !p.server.Established() || !p.client.out.timed() || lost == 2 {
			return []delivery{{d, 0}}
		}
		p.server.Release()
		lost++
		return nil
	}
	p.connect()
	p.run()
	if lost != 2 || p.client.out.outstanding() {
		t.Errorf("%d datagrams were lost, and the client has %d messages unacknowledged", lost, len(p.client.out.messages))
	}
}

func TestDiscardCertificates(t *testing.T) {
	p := newPair(t, func(client, server *Config) { server.DiscardCertificates = true })
	p.connect()
	if n := len(p.server.ConnectionState().PeerCertificates); n != 0 {
		t.Errorf("%d certificates were kept", n)
	}
	if n := len(p.client.ConnectionState().PeerCertificates); n != 1 {
		t.Errorf("the remote has %d certificates, want 1", n)
	}
}
