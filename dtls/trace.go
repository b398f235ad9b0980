package dtls

import "time"

// A TraceKind says which fields of a TraceEvent are set.
type TraceKind uint8

// The kinds of trace events. The end of a handshake and of a connection are not among
// them: NextEvent returns these.
const (
	TraceFlightSent      TraceKind = iota + 1 // a datagram with Messages of the local flight was appended
	TraceMessageReceived                      // a complete handshake message of the peer was taken; Messages has only its type
	TraceTimeout                              // the peer did not answer the flight in time: it is sent again
	TraceAlertSent                            // Alert was sent
	TraceAlertReceived                        // Alert of the peer was received; in plaintext it may be forged
)

// A TraceEvent describes one step of a handshake, or an alert, for a log. It has no
// keys and no contents. It is flat, like crypto/tls.QUICEvent.
type TraceEvent struct {
	Kind     TraceKind
	Size     int           // bytes of the records of the flight in the datagram, or of the received message
	Messages MessageSet    // types of the messages; a message in several datagrams is in each of their events
	Timeouts int           // how often the timer of the flight has expired so far
	Timeout  time.Duration // time until the flight is sent again, if the peer does not answer
	Alert    Alert
	Fatal    bool // the alert has the level fatal
}

// A MessageSet is a set of types of handshake messages.
type MessageSet uint32

// tracedMessages are the types of a MessageSet, in the order of their bits, with their
// names in RFC 8446 §4 and RFC 5246 §7.4. A ChangeCipherSpec (RFC 5246 §7.1) is no
// handshake message, but belongs to a flight. The last bit stands for every other type.
var tracedMessages = [...]struct {
	typ  handshakeType
	name string
}{
	{typeHelloRequest, "hello_request"}, {typeClientHello, "client_hello"}, {typeServerHello, "server_hello"},
	{typeHelloVerifyRequest, "hello_verify_request"}, {typeNewSessionTicket, "new_session_ticket"},
	{typeEncryptedExtensions, "encrypted_extensions"}, {typeRequestConnectionID, "request_connection_id"},
	{typeNewConnectionID, "new_connection_id"}, {typeCertificate, "certificate"}, {typeServerKeyExchange, "server_key_exchange"},
	{typeCertificateRequest, "certificate_request"}, {typeServerHelloDone, "server_hello_done"},
	{typeCertificateVerify, "certificate_verify"}, {typeClientKeyExchange, "client_key_exchange"},
	{typeFinished, "finished"}, {typeKeyUpdate, "key_update"},
	{noMessage, "change_cipher_spec"}, {noMessage, "other"},
}

// noMessage is a type that no message has.
const noMessage handshakeType = 255

// messageBit returns the bit of a type in a MessageSet.
func messageBit(t handshakeType) MessageSet {
	last := len(tracedMessages) - 1
	for i := range last - 1 {
		if tracedMessages[i].typ == t {
			return 1 << i
		}
	}
	return 1 << last
}

// changeCipherSpecBit is the bit of a ChangeCipherSpec in a MessageSet.
const changeCipherSpecBit MessageSet = 1 << (len(tracedMessages) - 2)

// Names calls f with the name of each type in the set, such as "client_hello". A type
// that the package does not know is "other".
func (s MessageSet) Names(f func(name string)) {
	for i := range tracedMessages {
		if s&(1<<i) != 0 {
			f(tracedMessages[i].name)
		}
	}
}

// A tracer calls Config.Trace. All methods of a tracer without hook do nothing.
type tracer struct {
	hook func(now time.Time, e TraceEvent) // nil: Config.Trace is not set
}

// sent reports a datagram of size bytes with the messages of f from the index first on.
func (t tracer) sent(now time.Time, f *flight, first, size int) {
	if t.hook == nil || f == nil {
		return
	}
	e := TraceEvent{Kind: TraceFlightSent, Size: size, Timeouts: f.timeouts}
	if !f.final {
		e.Timeout = f.timeout
	}
	for i := first; i < len(f.messages) && (i < f.next || i == f.next && f.offset > 0); i++ {
		switch m := &f.messages[i]; {
		case m.done: // it was acknowledged before, and not sent again
		case m.content == typeChangeCipherSpec:
			e.Messages |= changeCipherSpecBit
		default:
			e.Messages |= messageBit(m.typ)
		}
	}
	t.hook(now, e)
}

func (t tracer) received(now time.Time, m message) {
	if t.hook != nil {
		t.hook(now, TraceEvent{Kind: TraceMessageReceived, Size: len(m.body), Messages: messageBit(m.typ)})
	}
}

func (t tracer) timeout(now time.Time, f *flight) {
	if t.hook != nil && f != nil {
		t.hook(now, TraceEvent{Kind: TraceTimeout, Timeouts: f.timeouts, Timeout: f.timeout})
	}
}

func (t tracer) alert(now time.Time, kind TraceKind, level uint8, a Alert) {
	if t.hook != nil {
		t.hook(now, TraceEvent{Kind: kind, Alert: a, Fatal: level == levelFatal})
	}
}
