package dtls

import (
	"errors"
	"testing"
)

// TestRecordSizeLimit checks that the limits of both ends are obeyed, also during the
// handshake.
func TestRecordSizeLimit(t *testing.T) {
	for _, test := range []struct {
		name                   string
		version                func(client, server *Config)
		client, server         uint16 // RecordSizeLimit
		clientSends, serverMay int    // MaxPayload
	}{
		{"1.2, none", only12, 0, 0, 1 << 14, 1 << 14},
		{"1.3, none", only13, 0, 0, 1 << 14, 1 << 14},
		{"1.2, a client's", only12, 100, 0, 1 << 14, 100},
		{"1.3, a client's", only13, 100, 0, 1 << 14, 99},
		{"1.2, a server's alone", only12, 0, 100, 1 << 14, 1 << 14},
		{"1.2, both", only12, 64, 200, 200, 64},
		{"1.3, both", only13, 64, 200, 199, 63},
		{"1.2, as Firefox asks", only12, 16385, 0, 1 << 14, 1 << 14},
		{"1.3, as Firefox asks", only13, 16385, 0, 1 << 14, 1 << 14},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPair(t, func(client, server *Config) {
				test.version(client, server)
				client.RecordSizeLimit, server.RecordSizeLimit = test.client, test.server
			})
			p.connect()
			p.exchange()
			if c, s := p.client.MaxPayload(), p.server.MaxPayload(); c != test.clientSends || s != test.serverMay {
				t.Errorf("client may send %d, server %d; want %d and %d", c, s, test.clientSends, test.serverMay)
			}
			if test.serverMay >= 1000 {
				return
			}
			for _, more := range []int{0, 1} {
				payload := make([]byte, test.serverMay+more)
				if got := p.server.FinishRecord(append(p.server.BeginRecord(nil), payload...), 0); (len(got) == 0) != (more == 1) {
					t.Errorf("%d bytes too many: record of %d bytes", more, len(got))
				}
				// The peer ignores the limit.
				b := append(p.server.records.current.begin(nil), payload...)
				b, _ = p.server.records.seal(p.server.records.current, typeApplicationData, b, 0)
				p.transmit(p.server, b)
				p.run()
				var alert *AlertError
				if errors.As(p.client.Err(), &alert) != (more == 1) || more == 1 && alert.Alert != AlertRecordOverflow {
					t.Errorf("%d bytes too many: %v", more, p.client.Err())
				}
			}
		})
	}
}

func TestBadRecordSizeLimit(t *testing.T) {
	for _, limit := range []uint16{1, minSizeLimit - 1, maxPlaintext + 2} {
		cert := testCertificate(t, "P-256")
		if _, err := NewConn(Config{Certificate: cert, ClientAuth: ClientAuthNone, RecordSizeLimit: limit}); !errors.Is(err, ErrConfig) {
			t.Errorf("NewConn with %d: %v", limit, err)
		}
	}
	for _, test := range []struct {
		version        Version
		limit          uint16
		server, client bool // whether the server, and the client, accepts the limit
	}{
		{VersionDTLS12, minSizeLimit - 1, false, false},
		{VersionDTLS13, minSizeLimit - 1, false, false},
		{VersionDTLS12, maxPlaintext, true, true},
		{VersionDTLS12, maxPlaintext + 1, true, false},
		{VersionDTLS13, maxPlaintext + 1, true, true},
		{VersionDTLS13, maxPlaintext + 2, true, false},
		{VersionDTLS13, 0xffff, true, false},
	} {
		a := &agreement{ConnectionState: ConnectionState{Version: test.version}}
		if err := a.acceptSizeLimit(test.limit); (err == nil) != test.client {
			t.Errorf("%v, server says %d: %v", test.version, test.limit, err)
		}
		if _, err := a.chooseSizeLimit(test.limit); (err == nil) != test.server {
			t.Errorf("%v, client says %d: %v", test.version, test.limit, err)
		}
	}
}
