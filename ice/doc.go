// Package ice implements an ICE agent (RFC 8445) for data channels, as a pure state
// machine: it has no sockets, goroutines, locks or clock of its own.
//
// # How to run an agent
//
// The owner opens sockets and adds their addresses by AddLocal. It passes every
// datagram that arrives to HandleDatagram. After every call it takes, by AppendDatagram,
// the datagrams that the agent sends, until there is none. It calls Advance at
// NextTimeout, and takes events by NextEvent. The calls may come in any order.
//
//	socket → HandleDatagram → payload of authenticated routes, for DTLS
//	AppendDatagram → socket: checks, responses, consent, requests to servers
//	BeginData, DTLS record, FinishData → socket: data on the selected pair
//
// # How it connects
//
// A base ([Agent.AddLocal]) and a remote candidate form a pair (pair.go). Pairs are
// checked in the order of their priority, one every Ta, the first immediately (check.go).
// A request of the remote agent is answered and triggers a check in the other
// direction (request.go). The pair on which a check is answered first carries data
// (selection.go). The controlling agent nominates the best pair as soon as no better
// one can come or a moment has passed, and nominates again when a better one is found
// (nominate.go). Consent is kept as long as the pair is selected (consent.go), and
// checked immediately when data is not answered (liveness.go).
//
// There is one component of one data stream. The freezing of pairs by foundation
// (RFC 8445 §6.1.2.6), which saves checks between streams and components, is left out:
// every pair waits.
//
// # Parts
//
//	agent.go               the Agent: public methods, timers, states
//	input.go outbox.go     datagrams in and out
//	gatherer.go            local candidates: bases, servers (server.go), relays (relay.go)
//	remote.go lookups.go   remote candidates, and their names
//	sped.go                DTLS flights in checks and their responses
//	generation.go          credentials, candidates and pairs between two ICE restarts
//	trace.go               what Config.Trace reports
//	routes.go              where payload is accepted from
//
// An ICE restart begins a new generation. The old generation still carries data, and its
// pairs are checked and answered, until a pair of the new generation is valid.
//
// # Variations
//
// Candidates may use TCP (tcp.go); their routes are connections. An agent, or the
// remote one, may be ICE-lite (lite.go). Nominations may carry a number, which makes
// the remote agent follow immediately (nominate.go).
package ice
