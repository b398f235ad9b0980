package dtls

import (
	"errors"
	"fmt"
)

// An EventKind says what an Event is about.
type EventKind uint8

const (
	EventNone        EventKind = iota
	EventEstablished           // data may flow
	EventClosed                // the far end sent close_notify
	EventFailed                // Err says why
	EventSession               // Session may be resumed later; only with Config.Tickets
)

// An Event is something the Conn's owner should know.
type Event struct {
	Kind    EventKind
	Err     error
	Session *Session
}

// NextEvent returns the next event, in order. A Conn has at most two in its
// life, established and the end, and sessions between them.
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

// Err is why the connection ended; nil while it has not.
func (c *Conn) Err() error { return c.err }

// ConnectionState is what a handshake agreed on.
type ConnectionState struct {
	Version           Version
	CipherSuite       CipherSuite
	Group             Group
	PeerCertificates  [][]byte // DER, the far end's own first; not to be changed; see Config.DiscardCertificates
	ALPN              string   // the protocol chosen, if any
	SRTPProfile       uint16   // the profile chosen, if any
	ServerName        string   // a client's server_name, as the server got it
	HelloRetryRequest bool     // the client had to begin again, for another group or a cookie (DTLS 1.3)
	Resumed           bool     // an earlier connection's session was taken up

	// ConnectionID is what the far end puts into its records, and
	// PeerConnectionID what we put into ours; nil if nothing was agreed on.
	ConnectionID, PeerConnectionID []byte
}

// ConnectionState tells what was agreed on, as far as it is known.
func (c *Conn) ConnectionState() ConnectionState {
	s := ConnectionState{
		Version: c.version, CipherSuite: c.suite, Group: c.group, PeerCertificates: c.peer,
		ALPN: c.protocol, SRTPProfile: c.srtp, ServerName: c.serverName, HelloRetryRequest: c.retried, Resumed: c.resumed,
	}
	if c.peerCID != nil {
		s.ConnectionID, s.PeerConnectionID = c.cid, c.peerCID
	}
	return s
}

// Stats counts what a Conn had to do beyond the plain exchange of records.
type Stats struct {
	Malformed       uint64 // records and messages that could not be parsed, or in plaintext were not due
	Rejected        uint64 // records replayed, forged, of no known epoch, or beyond a limit
	Retransmissions uint64 // flights sent again
}

// Stats returns the counters.
func (c *Conn) Stats() Stats { return c.stats }

// Bounds of what can be exported: RFC 5869 §2.3 expands to 255 hashes, and
// RFC 8446 §7.1 counts a label, with its prefix, in one byte.
const (
	maxExport      = 255 * 32
	maxExportLabel = 255 - len("dtls13")
)

// ExportKeyingMaterial derives length bytes that only the two ends know
// (RFC 5705, RFC 8446 §7.5). In DTLS 1.2 a nil context is none, which is not
// the same as an empty one; in 1.3 it is. length is at most 8160. It fails before the handshake is finished.
func (c *Conn) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	if c.state < stateEstablished || c.exporter == nil && (c.secrets == nil || c.secrets.master == nil) {
		return nil, errors.New("dtls: nothing to export before the handshake is finished")
	}
	if length < 0 || length > maxExport || len(context) > 1<<16-1 || len(label) > maxExportLabel {
		return nil, fmt.Errorf("dtls: cannot export %d bytes", length)
	}
	if c.version == VersionDTLS13 {
		return c.kdf().export13(c.exporter, label, context, length), nil
	}
	return c.secrets.export(label, context, length), nil
}
