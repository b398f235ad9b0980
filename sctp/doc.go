// Package sctp is the Stream Control Transmission Protocol (RFC 9260) as
// WebRTC uses it over DTLS (RFC 8261), as a pure state machine: it has no
// sockets, goroutines, locks or clock of its own.
package sctp
