// Package datachannel implements WebRTC's data channels (RFC 8831), and the protocol
// that opens them (RFC 8832), on an SCTP association.
//
// A [Session] has one sctp.Association and is, like it, a pure state machine. Its
// owner passes packets to and from the association, and calls Process after every call
// of the association that may have produced messages or events. The owner takes events
// by NextEvent, and calls Advance at NextTimeout. Channels are opened by Open or by
// the remote. Messages are queued in their [Channel] until Receive takes them.
//
// Everything that the remote causes a session to keep, including channels and their
// labels, is charged to the association's sctp.Memory. Channels that do not fit are
// reset.
//
// If the program does not read a reliable channel, the channel uses up the
// association's receive window, and the remote stops sending. An unreliable channel
// drops its oldest messages instead, so that it does not delay the others.
package datachannel
