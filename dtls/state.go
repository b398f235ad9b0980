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
	EventFailed                // Err is the reason
	EventSession               // Session can be resumed later; only with Config.Tickets
)

// An Event reports a change of a Conn.
type Event struct {
	Kind    EventKind
	Err     error
	Session *Session
}

// NextEvent returns the next event, in order. A Conn has one event when it is
// established and one at its end, and may have sessions between them.
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

// addSession adds an event with a session that can be resumed.
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

// Err returns why the connection ended; nil: it has not ended.
func (c *Conn) Err() error { return c.err }

// ConnectionState returns what the handshake has agreed on so far.
func (c *Conn) ConnectionState() ConnectionState {
	s := c.agreed.ConnectionState
	if s.PeerConnectionID == nil {
		s.ConnectionID = nil
	}
	return s
}

// Stats are counters of a Conn.
type Stats struct {
	Malformed       uint64 // records and messages that could not be parsed or, in plaintext, were not due
	Rejected        uint64 // records replayed, forged, of an unknown epoch, or beyond a limit
	Retransmissions uint64 // of flights
}

// Stats returns the counters.
func (c *Conn) Stats() Stats {
	s := c.stats
	s.Retransmissions = c.out.retransmissions
	return s
}

// Limits of ExportKeyingMaterial: RFC 5869 §2.3 expands to 255 hashes, and RFC 8446
// §7.1 counts a label with its prefix in one byte.
const (
	maxExport      = 255 * 32
	maxExportLabel = 255 - len("dtls13")
)

// ExportKeyingMaterial derives length bytes that only the two ends know (RFC 5705,
// RFC 8446 §7.5). length is at most 8160. In DTLS 1.2 a nil context gives another result
// than an empty one, in 1.3 the same. It fails before the handshake is finished.
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
