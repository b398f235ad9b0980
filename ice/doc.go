// Package ice is an ICE agent (RFC 8445) for data channels, as a pure state
// machine: it has no sockets, goroutines, locks or clock of its own.
//
// # How it is run
//
// The owner opens sockets and tells the [Agent] about them with AddLocal;
// gives every datagram that arrives to HandleDatagram; takes what the agent
// wants to send with AppendDatagram until there is none, after every call
// that could have caused some; calls Advance when NextTimeout has come; and
// takes events with NextEvent. Any order of calls is legal.
//
//	socket → HandleDatagram → the payload of permitted routes, for DTLS
//	AppendDatagram → socket: checks, answers, consent, server requests
//	BeginData, DTLS record, FinishData → socket: data on the selected pair
//
// # How it connects
//
// A base ([Agent.AddLocal]) and a candidate of the far end make a pair. Pairs
// are checked in the order of their priority, one every Ta, the first one at
// once (check.go). A request of the far end is answered and triggers a check
// in the other direction (request.go). The first pair whose check is answered
// carries data; the controlling agent nominates the best one as soon as no
// better one can come or a moment has passed, and nominates again when a
// better one is found later (nominate.go). Consent is asked for as long as
// the pair is used (consent.go), and at once when data is not answered
// (liveness.go).
//
// One data stream with one component is all there is, so that the freezing
// of pairs by foundation (RFC 8445 §6.1.2.6), whose purpose is to spare
// streams and components each other's checks, is left out: every pair waits.
//
// # Generations
//
// An ICE restart begins a new generation of credentials, candidates and
// pairs (generation.go). The old one goes on carrying data, and is checked
// and answered, until a pair of the new one is valid.
//
// # Variations
//
// Candidates may be of TCP (tcp.go), with connections for routes. An agent
// may be lite, and so may the far end (lite.go). Nominations may carry a
// number, which has the far end follow at once (nominate.go).
package ice
