package dtls

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// traced returns what a list of trace events says, one text for each.
func traced(events []TraceEvent) (list []string) {
	for _, e := range events {
		var names []string
		e.Messages.Names(func(name string) { names = append(names, name) })
		text := strings.Join(names, " ")
		switch e.Kind {
		case TraceFlightSent:
			text = "sent " + text
		case TraceMessageReceived:
			text = "received " + text
		case TraceTimeout:
			text = "timeout"
		case TraceAlertSent:
			text = "sent alert " + e.Alert.String()
		case TraceAlertReceived:
			text = "received alert " + e.Alert.String()
		}
		list = append(list, text)
	}
	return list
}

// TestTrace checks the trace of a client whose first flight is lost once, and which is
// closed by the server.
func TestTrace(t *testing.T) {
	for version, want := range map[Version][]string{
		VersionDTLS12: {
			"sent client_hello", "timeout", "sent client_hello", "received server_hello", "received certificate", "received server_key_exchange",
			"received certificate_request", "received server_hello_done",
			"sent certificate client_key_exchange certificate_verify finished change_cipher_spec", "received finished",
			"received alert close_notify", "sent alert close_notify",
		},
		VersionDTLS13: {
			"sent client_hello", "timeout", "sent client_hello", "received server_hello", "received encrypted_extensions", "received certificate_request",
			"received certificate", "received certificate_verify", "received finished",
			"sent certificate certificate_verify finished", "received alert close_notify", "sent alert close_notify",
		},
	} {
		t.Run(version.String(), func(t *testing.T) {
			var events []TraceEvent
			p := newPair(t, func(client, server *Config) {
				client.MaxVersion, client.MinVersion = version, version
				client.Groups = []Group{GroupP256} // so that the ClientHello fits into one datagram
				client.Trace = func(now time.Time, e TraceEvent) { events = append(events, e) }
			})
			p.meddle = func(i int, d []byte) []delivery {
				if i == 0 {
					return nil
				}
				return []delivery{{d, 0}}
			}
			p.start()
			for !(p.client.Established() && p.server.Established()) && p.step() {
			}
			for range 5 { // the client's Finished is acknowledged
				p.step()
			}
			p.server.Close(p.now)
			for p.step() {
			}
			got := slices.Compact(traced(events))
			// The order of the names in one flight is that of the set.
			for i, w := range want {
				words := strings.Fields(w)
				slices.Sort(words)
				if i >= len(got) {
					t.Fatalf("%q is missing after %q", w, got)
				}
				have := strings.Fields(got[i])
				slices.Sort(have)
				if !slices.Equal(words, have) {
					t.Fatalf("event %d is %q, want %q; all: %q", i, got[i], w, got)
				}
			}
			if len(got) != len(want) {
				t.Errorf("more events: %q", got[len(want):])
			}
			if e := events[1]; e.Timeouts != 1 || e.Timeout <= 0 {
				t.Errorf("timeout %+v", e)
			}
		})
	}
}
