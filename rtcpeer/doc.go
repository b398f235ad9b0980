// Package rtcpeer connects two programs by WebRTC data channels: encrypted
// messages, reliable or not, in order or not, from peer to peer through NATs,
// with browsers and with each other. Its interface is that of Godot's
// documented WebRTCPeerConnection, with Go's names and errors.
//
// # How to connect
//
// Each end makes a [Conn] with [New]. One creates a channel
// ([Conn.CreateDataChannel]) and an offer ([Conn.CreateOffer]). What the
// handlers set by [Conn.OnSessionDescriptionCreated] and
// [Conn.OnICECandidateCreated] are given goes to the other end by whatever
// means there are: a WebSocket, a chat, a piece of paper. There it is passed to
// [Conn.SetRemoteDescription] and [Conn.AddICECandidate]; the answer comes back
// the same way.
//
// Handlers run only inside [Conn.Poll], which a program with a frame loop calls
// once a frame; others call [Conn.Run] in a goroutine. The network runs in
// between, and packets need no Poll: [DataChannel.PutPacket],
// [DataChannel.GetPacket], [DataChannel.Send] and [DataChannel.Receive] work at
// any time. [DataChannel.NetConn] makes a stream of a channel.
//
// A server that has many peers sets [Config.Host], so that they share a
// socket. A test that wants no network sets another [Extension].
//
// # How it is made
//
// Every protocol layer is a pure state machine in a package of its own:
// purertc/ice, dtls, sctp, datachannel and sdp. Here they are put together,
// and are given what they lack: a lock, a timer and sockets. In order from the
// program to the network:
//
//	conn.go           Conn: the states as shown, the queue of signals, Poll, Wait, Run
//	datachannel.go    DataChannel: the handle, its handlers, blocking calls
//	netconn.go        a channel as net.Conn
//	config.go uri.go  Config, ChannelOptions, server URLs and their checks
//	report.go stats.go  what a connection tells of itself
//	state.go errors.go priority.go signal.go   small types
//	extension.go      the seam between Conn and what does the work
//	stack.go          the built-in Extension
//	stackchannel.go   its channels
//	peer.go           one connection: lock, timer, sockets, flushing
//	inputqueue.go     input that waits for the lock; workers.go runs peers that connect
//	hostmemory.go     what the remotes of a Host's peers make it keep
//	lead.go           who reads a socket while data flows; lock.go has the lock
//	wheel.go          the timer that a host's connected peers share
//	suspicion.go      what the silence of many peers at once says
//	signaling.go      what descriptions and candidates mean for the transport
//	negotiation.go    the state of offer and answer, without a transport
//	gather.go         the search for local candidates
//	core.go           the layers, and the calls between them
//	network.go host.go hosttcp.go mdns.go filter.go    where sockets come from
//	relay.go          connections to TURN servers
//	interfaces.go     addresses that come and go while connected
//
// There are two locks. A Conn's guards what is shown, and is held while the
// Extension is called, never while a handler runs. A peer's guards the core:
// whoever has input, be it a socket's reader, the timer or the program, takes
// it, runs the core to completion and sends what came of it. A Conn's lock is
// taken before its peer's.
package rtcpeer
