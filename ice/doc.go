// Package ice is an ICE agent (RFC 8445) for data channels, as a pure state
// machine: it has no sockets, goroutines, locks or clock of its own.
package ice
