// Package dtls is Datagram TLS 1.2 (RFC 6347) and 1.3 (RFC 9147), client and
// server, as a pure state machine: it has no sockets, goroutines, locks or
// clock of its own.
package dtls
