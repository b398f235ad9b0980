package dtls

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// handshakeTime is the time of the handshakes of a handshakePair. It is after the
// connections that created the sessions, and before the sessions expire.
var handshakeTime = epoch.Add(time.Hour)

// A handshakePair contains the handshakes of a client and a server, which exchange
// messages without records.
type handshakePair struct {
	t              *testing.T
	client, server *handshake
	wire           []string // names of the messages that were sent, one flight in each string
	read           map[*handshake][]*readEpoch
	write          map[*handshake][]*writeEpoch
	done           map[*handshake]bool
	// junk, if set, is given to each handshake before each message. It must change
	// nothing.
	junk func(to *handshake, next message) message
}

func newHandshakePair(t *testing.T, change func(client, server *Config)) *handshakePair {
	return handshakesOf(t, newPair(t, change))
}

// handshakesOf takes the handshakes of two Conns that have not started.
func handshakesOf(t *testing.T, p *pair) *handshakePair {
	return &handshakePair{t: t, client: p.client.hs, server: p.server.hs,
		read: map[*handshake][]*readEpoch{}, write: map[*handshake][]*writeEpoch{}, done: map[*handshake]bool{}}
}

func (p *handshakePair) run() {
	p.t.Helper()
	if o, err := p.server.start(handshakeTime); err != nil || o.flight != nil {
		p.t.Fatalf("server starts with %v, %v", o.flight, err)
	}
	o, err := p.client.start(handshakeTime)
	from, to := p.client, p.server
	for {
		if err != nil {
			p.t.Fatalf("after %q: %v", p.wire, err)
		}
		flight := p.take(from, o)
		if from, to = to, from; flight == nil || p.done[from] {
			return
		}
		for _, m := range flight {
			if p.junk != nil {
				var a *AlertError
				_, err := from.handle(handshakeTime, p.junk(from, m))
				if !errors.As(err, &a) || a.Alert != AlertUnexpectedMessage && a.Alert != AlertDecodeError {
					p.t.Fatalf("junk before message %d: %v", m.seq, err)
				}
			}
			if o, err = from.handle(handshakeTime, m); err != nil {
				p.t.Fatalf("message of type %d after %q: %v", m.typ, p.wire, err)
			}
			if m.seq != flight[len(flight)-1].seq {
				p.take(from, o)
			}
		}
	}
}

// take stores the outcome of h and returns its flight.
func (p *handshakePair) take(h *handshake, o outcome) (flight []message) {
	p.read[h] = append(p.read[h], o.read...)
	p.write[h] = append(p.write[h], o.write...)
	p.done[h] = p.done[h] || o.done
	var names []string
	for _, m := range o.flight {
		if m.content == typeChangeCipherSpec {
			names = append(names, "CCS")
			continue
		}
		names = append(names, fmt.Sprintf("%d/%d", m.typ, m.epoch))
		flight = append(flight, message{m.typ, m.seq, m.epoch, m.body})
	}
	if names != nil {
		p.wire = append(p.wire, strings.Join(names, " "))
	}
	return flight
}

// check compares the messages sent, and the keys of both ends.
func (p *handshakePair) check(wire ...string) {
	p.t.Helper()
	if !slices.Equal(p.wire, wire) {
		p.t.Errorf("wire %q, want %q", p.wire, wire)
	}
	for _, h := range []*handshake{p.client, p.server} {
		other := p.client
		if h == other {
			other = p.server
		}
		if !p.done[h] || len(p.write[h]) == 0 || len(p.write[h]) != len(p.read[other]) {
			p.t.Fatalf("client %t: done %t, %d keys to write, %d to read them", h == p.client, p.done[h], len(p.write[h]), len(p.read[other]))
		}
		for i, w := range p.write[h] {
			if r := p.read[other][i]; !bytes.Equal(w.key, r.key) || w.iv != r.iv || w.epoch != r.epoch {
				p.t.Errorf("client %t: keys of epoch %d differ", h == p.client, w.epoch)
			}
		}
	}
}

// Messages of the tests below, as type/epoch.
const (
	wire12Client = "11/0 16/0 15/0 CCS 20/1" // Certificate … Finished
	wire12Server = "2/0 11/0 12/0 13/0 14/0" // ServerHello … ServerHelloDone
	wire13Client = "11/2 15/2 20/2"          // Certificate … Finished
	wire13Server = "2/0 8/2 13/2 11/2 15/2 20/2"
)

func TestHandshakeMessages(t *testing.T) {
	otherGroup := func(client, server *Config) {
		only13(client, server)
		server.Groups = []Group{GroupP256}
	}
	anonymous := func(version func(client, server *Config)) func(client, server *Config) {
		return func(client, server *Config) {
			version(client, server)
			server.Fingerprints, server.ClientAuth = nil, ClientAuthNone
		}
	}
	for _, test := range []struct {
		name   string
		change func(client, server *Config)
		wire   []string
	}{
		{"1.2", only12, []string{"1/0", wire12Server, wire12Client, "CCS 20/1"}},
		{"1.2, client without certificate", anonymous(only12), []string{"1/0", "2/0 11/0 12/0 14/0", "16/0 CCS 20/1", "CCS 20/1"}},
		{"1.3", only13, []string{"1/0", wire13Server, wire13Client}},
		{"1.3, client without certificate", anonymous(only13), []string{"1/0", "2/0 8/2 11/2 15/2 20/2", "20/2"}},
		{"1.3, another group", otherGroup, []string{"1/0", "2/0", "1/0", wire13Server, wire13Client}},
		{"1.3 and 1.2", nil, []string{"1/0", wire13Server, wire13Client}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newHandshakePair(t, test.change)
			p.run()
			p.check(test.wire...)
		})
		t.Run(test.name+", with junk", func(t *testing.T) {
			p := newHandshakePair(t, test.change)
			// A HelloRequest in plaintext is never expected.
			p.junk = func(to *handshake, next message) message { return message{typ: typeHelloRequest, seq: next.seq} }
			p.run()
			p.check(test.wire...)
		})
	}
}

// TestMalformedHello gives both ends a hello that is malformed in its last part. The
// version has been read at that point, but the hello must not have chosen it.
func TestMalformedHello(t *testing.T) {
	p := newHandshakePair(t, only13)
	p.junk = func(to *handshake, next message) message {
		junk := message{typ: typeHelloRequest, seq: next.seq}
		switch next.typ {
		case typeClientHello:
			h, err := parseClientHello(next.body)
			if err != nil {
				t.Fatal(err)
			}
			n := 2 + 32 + 1 + len(h.sessionID) + 1 + len(h.cookie) + 2 + 2*len(h.suites) + 1 + len(h.compressions)
			// psk_key_exchange_modes, and a malformed pre_shared_key.
			body := append(slices.Clone(next.body), 0, 45, 0, 2, 1, pskWithECDHE, 0, 41, 0, 1, 0xff)
			binary.BigEndian.PutUint16(body[n:], uint16(len(body)-n-2))
			junk.typ, junk.body = next.typ, body
		case typeServerHello:
			h, err := parseServerHello(next.body)
			if err != nil {
				t.Fatal(err)
			}
			h.extensions.keyShares[0].data = nil // as in a HelloRetryRequest
			junk.typ = next.typ
			if junk.body, err = h.marshal(); err != nil {
				t.Fatal(err)
			}
		}
		return junk
	}
	p.run()
	p.check("1/0", wire13Server, wire13Client)
}

// TestHandshakeResumption resumes the session of another connection.
func TestHandshakeResumption(t *testing.T) {
	for _, test := range []struct {
		version func(client, server *Config)
		wire    []string
	}{
		{only12, []string{"1/0", "2/0 CCS 20/1", "CCS 20/1"}},
		{only13, []string{"1/0", "2/0 8/2 20/2", "20/2", "4/3 4/3"}}, // the last flight contains tickets
	} {
		r, _ := newResumption(t, test.version)
		p := handshakesOf(t, r.again(t, 0, nil))
		p.run()
		p.check(test.wire...)
	}
}

// TestOutcomeOfError checks that a failed step has no outcome: the server has the keys of
// epoch 2 when it finds that it cannot sign, and its alert has to be in plaintext.
func TestOutcomeOfError(t *testing.T) {
	p := newHandshakePair(t, func(client, server *Config) {
		only13(client, server)
		client.SignatureSchemes = []SignatureScheme{Ed25519}
	})
	o, err := p.client.start(handshakeTime)
	if err != nil {
		t.Fatal(err)
	}
	m := o.flight[0]
	o, err = p.server.handle(handshakeTime, message{m.typ, m.seq, m.epoch, m.body})
	if err == nil || o.write != nil || o.read != nil || o.flight != nil || o.dropPlaintext {
		t.Errorf("error %v, outcome %+v", err, o)
	}
	if !p.server.out.dropPlaintext {
		t.Error("the step failed before it had keys")
	}
}
