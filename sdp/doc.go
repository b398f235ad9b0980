// Package sdp parses and writes session descriptions (RFC 8866), and has the view of
// them that data channels need (RFC 8829, RFC 8841).
//
// [Parse] and [Session.String] are the text format. Parse is tolerant, since
// descriptions come from every browser and by people's own signalling; String writes
// strictly. [Session.Data] is the view of a parsed session; [Params.Offer] and
// [Params.Answer] make new descriptions.
package sdp
