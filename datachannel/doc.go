// Package datachannel is WebRTC's data channels (RFC 8831) and the protocol
// that opens them (RFC 8832) on an SCTP association.
package datachannel
