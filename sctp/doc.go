// Package sctp implements the Stream Control Transmission Protocol (RFC 9260) as WebRTC
// uses it over DTLS (RFC 8261). It is a pure state machine, without sockets, goroutines,
// locks or a clock.
//
// An [Association] takes packets by HandlePacket and gives packets by AppendPacket. The
// caller carries them, and calls Advance when NextTimeout is reached. Messages are queued
// by Send and returned by Receive. NextEvent returns everything else that happens. The
// methods may be called in any order.
//
// Beside RFC 9260 the package implements partial reliability (RFC 3758, RFC 7496), stream
// reset (RFC 6525), interleaved messages with a weighted scheduler (RFC 8260) and zero
// checksums (RFC 9653). Loss detection is RACK-TLP (RFC 8985), path MTU discovery is RFC
// 8899. All of them work with other implementations. Several addresses for one end
// (multi-homing) have no meaning over DTLS and are left out.
//
// The Association connects these parts, each of which holds its state:
//
//	association.go   types, and the methods for the owner
//	establish.go     INIT, cookies, collision and restart
//	input.go         packets and chunks received
//	output.go        packets sent; packet.go builds them
//	close.go         SHUTDOWN and ABORT
//	renew.go         a remote that replaces its association
//	timers.go        Advance
//
//	handshake.go     part: tags, cookies, the chunk to retransmit; init.go has their form
//	sender.go        part: data from Send to its acknowledgement, with
//	  sendqueue.go     messages by stream, and the scheduler
//	  transmit.go      chunks of data in packets
//	  outstanding.go   chunks that await acknowledgement
//	  recovery.go      which of them are lost; rto.go has the timeout
//	  abandon.go       partial reliability (FORWARD TSN)
//	  congestion.go    how much may be in flight, by one of three algorithms: bbr.go
//	                   (with rate.go and shortwindow.go), cubic.go, reno.go
//	  pacer.go         when packets may be sent
//	  requeue.go       what a renewal sends again
//	  shortpath.go     rules in place of the pacer on loopback and local networks
//	  pathchange.go    what another path invalidates
//	receiver.go      part: DATA from its arrival to Receive, when to send a SACK, with
//	  tracker.go       which TSNs arrived
//	  reassembly.go    messages from fragments, and their order
//	  window.go        how the receive window grows
//	reset.go         part: stream reset, both directions
//	shutdown.go      part: retransmission of SHUTDOWN
//	heartbeat.go     part: HEARTBEAT
//	pmtud.go         part: path MTU discovery
//	events.go        part: events for NextEvent, and the messages that wait for them
//	trace.go         what Config.Trace reports
//	memory.go        account of what the remote makes this end keep
package sctp
