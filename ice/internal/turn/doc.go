// Package turn implements a TURN client (RFC 8656). One [Client] has one allocation at one
// server, with one relayed address or one of each address family.
//
// It is a pure state machine, like the agent that owns it. Start requests the allocation.
// AppendRequest returns requests, HandleResponse processes responses, and NextEvent reports
// the outcome. Permit requests a permission for an address before anything is sent to it.
// Bind requests a channel, which shortens the framing to four bytes. Everything that the
// server grants is refreshed until Close.
//
//	client.go      the client, its timers and its output
//	request.go     a request, its retransmission and its response
//	auth.go        long-term credentials (RFC 8489 §9.2)
//	allocate.go    the allocation: made, refreshed, redirected, released
//	permission.go  permissions and channels
//	framing.go     data to and from peers
//	errors.go      explanations of servers' errors
package turn
