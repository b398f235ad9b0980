// Package rtcpeer connects two programs by WebRTC data channels: encrypted messages,
// reliable or not, ordered or not, directly between two peers through NATs, with
// browsers and with other programs. Its interface is that of Godot's
// WebRTCPeerConnection, with Go's names and errors.
//
// # How to connect
//
// Each end makes a [Conn] with [New], and creates a channel
// ([Conn.CreateDataChannel]). One end makes an offer ([Conn.Offer]), which the program
// sends to the remote program, over any connection that the two have, such as a
// WebSocket. The remote program passes it to [Conn.Answer], and sends the result back,
// for [Conn.SetAnswer]. These calls, and those that wait ([DataChannel.Opened],
// [Conn.Connected], [DataChannel.Send], [DataChannel.Receive], [Conn.Done]), need no
// event loop. Without any signalling, programs and pages join a [Host] by a text: see
// [Host.Invite].
//
// # Godot's interface
//
// With the calls that Godot documents, one end creates a channel and an offer
// ([Conn.CreateOffer]). The program sends the arguments of its handlers ([Conn.OnSessionDescriptionCreated],
// [Conn.OnICECandidateCreated]) to the remote program, which passes them to
// [Conn.SetRemoteDescription] and [Conn.AddICECandidate]. The answer and its candidates
// come back in the same way.
//
// Handlers run only inside [Conn.Poll]. A program with a frame loop calls it once a
// frame; others call [Conn.Run] in a goroutine. The network runs all the time, and
// packets need no Poll: [DataChannel.PutPacket], [DataChannel.GetPacket],
// [DataChannel.Send] and [DataChannel.Receive] work at any time. [DataChannel.NetConn]
// makes a net.Conn of a channel.
//
// The connections of a server share a socket if it sets [Config.Host]. A test without a
// network sets another [Extension].
//
// # How it is made
//
// Every protocol layer is a pure state machine in a package of its own: purertc/ice,
// dtls, sctp, datachannel and sdp. This package calls them, and adds a lock, a timer and
// sockets. The files, from the program to the network:
//
//	conn.go handlers.go  Conn: the states that the program sees, handlers, Poll, Wait, Run
//	description.go waiting.go   Offer, Answer, and calls that wait, without Poll
//	remoteend.go         the selected pair, the remote's certificate and descriptions
//	datachannel.go       DataChannel: its handlers and blocking calls
//	channeltable.go      the channels of a Conn
//	netconn.go           a channel as net.Conn
//	config.go uri.go     Config, ChannelOptions and server URLs, and their checks
//	report.go stats.go   Report and Stats
//	timeline.go          when each step of the set-up happened
//	state.go errors.go priority.go signal.go eventqueue.go fifo.go   small types
//	extension.go         the interface between Conn and an implementation
//	stack.go             the built-in Extension
//	stackchannel.go      its channels
//	transport.go         the engine of one connection: input, timer, events, end
//	lock.go              its lock
//	inputqueue.go        input that waits for the lock
//	workers.go           goroutines that run handshakes
//	timer.go wheel.go    its timer, and the one that a Host's transports share
//	overload.go          suppresses loss detection while the process is late
//	flush.go             sends the output in batches
//	hostmemory.go        limits what the remotes of a Host make it keep
//	signaling.go         what descriptions mean for the transport
//	negotiation.go       the state of offer and answer, without a transport
//	handshake.go         makes the DTLS connection; its role after glare
//	replacement.go       browsers that replace their transport
//	remotecandidates.go  the remote's candidates
//	certificate.go       the certificate that all connections of the process share
//	core.go snap.go      the layers, and the calls between them; sped.go: handshakes in ICE's checks
//	gather.go            the search for local candidates; the sockets
//	relay.go             connections to TURN servers
//	interfaces.go        addresses that appear and disappear while connected
//	outside.go           what opens sockets and connections: Config's functions, or the system's
//	network.go host.go hosttcp.go mdns.go filter.go   how sockets are opened
//	accept.go incoming.go checkqueue.go               remotes that connect to a Host without a description
//	invite.go invitetext.go join.go                   invites
//	observer.go eventlog.go capture.go                the event log and the packet capture
//
// There are two locks. A Conn's lock guards what the program sees. It is held while the
// Extension is called, and never while a handler runs. A transport's lock guards its
// core: every input, of a socket's reader, the timer or the program, takes it, runs the
// core to completion and sends the output. A Conn's lock is taken before its
// transport's.
package rtcpeer
