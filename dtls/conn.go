package dtls

import (
	"crypto/tls"
	"io"
	"time"
)

// Config is what a Conn is made from. The zero value with a Certificate and
// Fingerprints is what WebRTC uses.
type Config struct {
	Client      bool
	Certificate *tls.Certificate

	// Fingerprints of the far end's certificate, from its description. At
	// least one of a known strong hash must match (RFC 8122 §5) before any
	// data is given up or sent.
	Fingerprints []Fingerprint

	MinVersion, MaxVersion uint16    // tls-style numbers: VersionDTLS12, VersionDTLS13; 0: all there are
	Rand                   io.Reader // nil: crypto/rand
	KeyLogWriter           io.Writer // NSS key log
	InitialTimeout         time.Duration
}

// DTLS versions as they stand on the wire.
const (
	VersionDTLS12 uint16 = 0xfefd
	VersionDTLS13 uint16 = 0xfefc
)

// A Fingerprint is an a=fingerprint line (RFC 8122 §5): "sha-256" and the
// hash itself.
type Fingerprint struct {
	Hash  string
	Value []byte
}

// A Conn is one end of a DTLS connection: a pure state machine.
type Conn struct{}

// NewConn returns a connection that has not begun.
func NewConn(cfg Config) (*Conn, error) { return &Conn{}, nil }

// Start begins the handshake: a client's flight can be had from
// AppendHandshake then, a server listens.
func (c *Conn) Start(now time.Time) {}

// ReadRecord takes the first record of datagram b, which it decrypts in
// place. n is its length, at least 1; data, if any, is application data,
// valid until b is written again.
func (c *Conn) ReadRecord(now time.Time, b []byte) (data []byte, n int) { return nil, len(b) }

// AppendHandshake appends the next datagram of at most limit bytes that DTLS
// itself has to send: flights, acknowledgements, alerts.
func (c *Conn) AppendHandshake(now time.Time, dst []byte, limit int) (b []byte, ok bool) {
	return dst, false
}

// Established tells whether the handshake is finished and the fingerprint
// matched, so that application data may be sent.
func (c *Conn) Established() bool { return false }

// BeginRecord appends room for the header of an application data record.
func (c *Conn) BeginRecord(dst []byte) []byte { return dst }

// FinishRecord seals the record that BeginRecord began at b[start:], in place.
func (c *Conn) FinishRecord(b []byte, start int) []byte { return b }

// Overhead is the number of bytes that BeginRecord and FinishRecord add.
func (c *Conn) Overhead() int { return 0 }

// SetRTT gives the round-trip time that ICE measured, which the
// retransmission timer is derived from.
func (c *Conn) SetRTT(rtt time.Duration) {}

// Advance runs the timers that are due.
func (c *Conn) Advance(now time.Time) {}

// NextTimeout is when Advance has something to do; zero: never.
func (c *Conn) NextTimeout() time.Time { return time.Time{} }

// An EventKind says what an Event is about.
type EventKind uint8

const (
	EventNone        EventKind = iota
	EventEstablished           // data may flow
	EventClosed                // the far end sent close_notify
	EventFailed                // Err says why
)

// An Event is something the Conn's owner should know.
type Event struct {
	Kind EventKind
	Err  error
}

// NextEvent returns the next event, in order.
func (c *Conn) NextEvent() (Event, bool) { return Event{}, false }

// Err is why the connection ended; nil while it has not.
func (c *Conn) Err() error { return nil }

// Close ends the connection: a close_notify can be had from AppendHandshake.
func (c *Conn) Close(now time.Time) {}

// ConnectionState is what a handshake agreed on.
type ConnectionState struct {
	Version          uint16
	CipherSuite      uint16
	Group            tls.CurveID
	PeerCertificates [][]byte // DER
}

// ConnectionState tells what was agreed on, as far as it is known.
func (c *Conn) ConnectionState() ConnectionState { return ConnectionState{} }

// ExportKeyingMaterial is RFC 5705 and RFC 8446 §7.5.
func (c *Conn) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	return nil, nil
}
