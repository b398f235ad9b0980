// Package sctp is the Stream Control Transmission Protocol (RFC 9260) as
// WebRTC uses it over DTLS (RFC 8261), as a pure state machine: it has no
// sockets, goroutines, locks or clock of its own.
//
// An [Association] takes packets by HandlePacket and gives packets by
// AppendPacket; the caller carries them, and calls Advance when NextTimeout
// has come. Messages go in by Send and come out by Receive; what else happens
// is told by NextEvent. The order of these calls does not matter.
//
// Beside RFC 9260 it has partial reliability (RFC 3758, RFC 7496), stream
// reset (RFC 6525), interleaved messages with a weighted scheduler (RFC 8260)
// and the zero checksum (RFC 9653); loss recovery is RACK-TLP (RFC 8985) and
// path MTU discovery that of RFC 8899. None of these needs the far end to be
// ours. Several addresses an end (multi-homing) mean nothing over DTLS and are
// left out.
//
// Where to read on, in the order that a message travels:
//
//	association.go    the public face
//	handshake.go      INIT, cookies, collision, restart; init.go has their form
//	sendqueue.go      messages by stream, and the scheduler
//	output.go         packets, and the chunks in them
//	outstanding.go    chunks that await acknowledgement
//	recovery.go       which of them are lost; rto.go how long to wait at most
//	congestion.go     how much may be in flight, by one of three algorithms:
//	                  bbr.go (the default, with rate.go and
//	                  shortwindow.go), cubic.go, reno.go
//	pacer.go          and when it goes
//	pmtud.go          how long packets may be
//	pathchange.go      what of all that a change of path leaves
//	forward.go        giving up (FORWARD TSN), both halves
//	input.go          packets and chunks received, SACKs
//	tracker.go, ack.go  which TSNs came, and when to say so
//	window.go         how much the far end may send
//	memory.go         the account of what the remote makes this end keep
//	reassembly.go     messages from fragments, and their order
//	reconfig.go       stream reset
//	shutdown.go       SHUTDOWN and ABORT
//	timers.go         every deadline; HEARTBEAT
package sctp
