// Package datachannel is WebRTC's data channels (RFC 8831) and the protocol
// that opens them (RFC 8832) on an SCTP association.
//
// A [Session] sits on one sctp.Association and is, like it, a pure state
// machine. Its owner carries the association's packets, calls Process after
// anything that may have given the association something to tell, and takes
// what happened by NextEvent. It calls Advance when NextTimeout has come.
// Channels are opened by Open or by the remote; messages wait in their [Channel]
// until Receive takes them.
//
// What the remote makes a session keep, channels and their labels included, is
// charged to the association's sctp.Memory. Channels that do not fit are reset.
//
// A reliable channel that is not read holds the association's receive window
// shut, so that the far end stops; an unreliable one loses its oldest messages
// instead, so that it never stops the others.
package datachannel
