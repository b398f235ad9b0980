// Package sdp reads and writes session descriptions (RFC 8866), and gives the
// view of them that data channels need (RFC 8829, RFC 8841).
//
// There are two levels. [Parse] and [Session.String] are the text format:
// tolerant in what they read, since descriptions come from every browser and
// from people's own signalling, and strict in what they write. [Session.Data]
// is the data channel's view of a parsed session; [Params.Offer] and
// [Params.Answer] make new sessions.
package sdp
