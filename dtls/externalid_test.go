package dtls

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// External session ids of the two ends of a test.
const (
	clientsID = "of-the-client/0123456789"
	serversID = "of-the-server/0123456789"
)

// TestExternalSessionID checks that each end verifies the remote's id. It also checks
// that the ends connect if the peer sends no id or its id is not known.
func TestExternalSessionID(t *testing.T) {
	versions := map[string]func(client, server *Config){"1.2": only12, "1.3": only13, "both": nil,
		"retry": func(client, server *Config) { server.Groups = []Group{GroupP384}; server.MinVersion = VersionDTLS13 }}
	for version, change := range versions {
		for _, test := range []struct {
			client, server                 string // the ids that the client and the server send
			expectedOfClient, expectedByIt string // the id that the server expects, and the id that the client expects
			fails                          string // the end that detects the wrong id
		}{
			{clientsID, serversID, clientsID, serversID, ""},
			{"", "", "", "", ""},
			{"", serversID, clientsID, serversID, ""},
			{clientsID, "", clientsID, serversID, ""},
			{clientsID, serversID, "", "", ""},
			{clientsID, "", "", serversID, ""},
			{clientsID, serversID, "another" + clientsID, serversID, "server"},
			{clientsID, "", serversID, serversID, "server"},
			{clientsID, serversID, clientsID, "another" + serversID, "client"},
			{clientsID, serversID, clientsID, serversID[:20], "client"},
		} {
			t.Run(fmt.Sprintf("%s %+v", version, test), func(t *testing.T) {
				p := newPair(t, func(client, server *Config) {
					if change != nil {
						change(client, server)
					}
					client.ExternalSessionID, client.PeerExternalSessionID = test.client, test.expectedByIt
					server.ExternalSessionID, server.PeerExternalSessionID = test.server, test.expectedOfClient
				})
				if test.fails == "" {
					p.connect()
					p.exchange()
					return
				}
				p.start()
				p.run()
				for _, c := range []*Conn{p.client, p.server} {
					found := (c == p.client) == (test.fails == "client")
					var a *AlertError
					if err := c.Err(); !errors.As(err, &a) || a.Alert != AlertIllegalParameter || a.Remote == found || errors.Is(err, ErrExternalSessionID) != found {
						t.Errorf("client %t: %v", c.client, err)
					}
				}
			})
		}
	}
}

// TestExternalSessionIDMessages checks that a ClientHello contains the id as RFC 8844
// §4.3 describes it, and that only an end with an id sends an id.
func TestExternalSessionIDMessages(t *testing.T) {
	want := append([]byte{0, 56, 0, byte(len(clientsID)) + 1, byte(len(clientsID))}, clientsID...)
	for _, id := range []string{clientsID, ""} {
		p := newPair(t, func(client, server *Config) { client.ExternalSessionID = id })
		p.start()
		body, err := p.client.offered().hello.marshal()
		if err != nil || bytes.Contains(body, want) != (id != "") {
			t.Errorf("id %q: hello %x, err %v", id, body, err)
		}
	}
	// A server sends its id only to a client that has sent one.
	for _, id := range []string{clientsID, ""} {
		for _, version := range []func(client, server *Config){only12, only13} {
			p := newPair(t, func(client, server *Config) {
				version(client, server)
				client.ExternalSessionID, server.ExternalSessionID = id, serversID
				client.PeerExternalSessionID = clientsID // so that an answer would be an error
			})
			p.start()
			p.run()
			if answered := errors.Is(p.client.Err(), ErrExternalSessionID); answered != (id != "") {
				t.Errorf("id %q: client %v", id, p.client.Err())
			}
		}
	}
	for _, n := range []int{1, 19, 256} {
		cfg := Config{Client: true, VerifyPeer: func([][]byte) error { return nil }, ExternalSessionID: strings.Repeat("x", n)}
		if _, err := NewConn(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("id of %d bytes: %v", n, err)
		}
	}
	for _, body := range []string{"", "\x13" + strings.Repeat("x", 19), "\x14" + strings.Repeat("x", 19), "\x14" + strings.Repeat("x", 21)} {
		var e helloExtensions
		if e.parseOne(extExternalSessionID, []byte(body), true) {
			t.Errorf("body %q is parsed", body)
		}
	}
}
