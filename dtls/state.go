package dtls

import (
	"errors"
	"fmt"
)

// An EventKind says what an Event reports.
type EventKind uint8

const (
	EventNone        EventKind = iota
	EventEstablished           // application data can be sent
	EventClosed                // the peer sent close_notify
	EventFailed                // Event.Err is the reason
	EventSession               // Event.Session can be resumed later; only with Config.Tickets
)

// An Event reports a change of a Conn.
type Event struct {
	Kind    EventKind
	Err     error
	Session *Session
}

// NextEvent returns the oldest event that it has not returned yet; ok is false if
// there is none. A Conn reports one event when it is established and one when it ends.
// Between these two events it may report sessions.
func (c *Conn) NextEvent() (Event, bool) {
	if len(c.events) == 0 {
		return Event{}, false
	}
	e := c.events[0]
	if c.events = c.events[1:]; len(c.events) == 0 {
		c.events = nil
	}
	return e, true
}

// addSession adds an event with a session, unless too many are waiting.
func (c *Conn) addSession(s *Session) {
	waiting := 0
	for _, e := range c.events {
		if e.Kind == EventSession {
			waiting++
		}
	}
	if waiting < maxSessionEvents {
		c.events = append(c.events, Event{Kind: EventSession, Session: s})
	}
}

// Err returns the reason why the connection has ended; nil: it has not ended.
func (c *Conn) Err() error { return c.err }

// ConnectionState returns what the two ends have agreed on so far.
func (c *Conn) ConnectionState() ConnectionState {
	s := c.agreed.ConnectionState
	if s.PeerConnectionID == nil {
		s.ConnectionID = nil
	}
	return s
}

// Stats are counters of a Conn.
type Stats struct {
	Malformed       uint64 // records and messages that could not be parsed or, in plaintext, were not expected
	Rejected        uint64 // records that were replayed or forged, belonged to an unknown epoch, or exceeded a limit
	Retransmissions uint64 // how often a flight was sent again
}

// Stats returns the counters.
func (c *Conn) Stats() Stats {
	s := c.stats
	s.Retransmissions = c.out.retransmissions
	return s
}

// Limits of ExportKeyingMaterial. HKDF returns at most 255 times the size of the hash
// (RFC 5869 §2.3). The length of a label with its prefix is encoded in one byte
// (RFC 8446 §7.1).
const (
	maxExport      = 255 * 32
	maxExportLabel = 255 - len("dtls13")
)

// ExportKeyingMaterial derives bytes that only the two ends of the connection know
// (RFC 5705, RFC 8446 §7.5). length is their number, at most 8160. In DTLS 1.2 the
// results for a nil context and for an empty context are different, and in DTLS 1.3
// they are the same. It returns an error if the handshake has not finished.
func (c *Conn) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	a := &c.agreed
	if c.state < stateEstablished || a.exporter == nil && a.secrets == nil {
		return nil, errors.New("dtls: nothing to export before the handshake is finished")
	}
	if length < 0 || length > maxExport || len(context) > 1<<16-1 || len(label) > maxExportLabel {
		return nil, fmt.Errorf("dtls: cannot export %d bytes", length)
	}
	if a.Version == VersionDTLS13 {
		su, _ := suiteByID(a.CipherSuite)
		return newKDF(su.hash).export13(a.exporter, label, context, length), nil
	}
	return a.secrets.export(label, context, length), nil
}
