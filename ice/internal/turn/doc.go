// Package turn is a TURN client (RFC 8656): one [Client] holds one allocation
// at one server, of one relayed address or one of each family.
//
// It is a pure state machine, like the agent that owns it. Start asks for the
// allocation; requests come out of AppendRequest, answers go into
// HandleResponse, and the outcome into NextEvent. Before anything is sent to
// a peer, Permit has the server let its address through; Bind has it
// abbreviate the framing to four bytes. Whatever was granted is refreshed
// until Close.
//
//	client.go      the client, its timers and its output
//	request.go     a request, its retransmission and its answer
//	auth.go        long-term credentials (RFC 8489 §9.2)
//	allocate.go    the allocation: made, refreshed, redirected, released
//	permission.go  permissions and channels
//	framing.go     data to and from peers
//	errors.go      what servers say, in plain words
package turn
