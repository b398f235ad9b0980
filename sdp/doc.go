// Package sdp parses and writes session descriptions (RFC 8866), and extracts from
// them what data channels need (RFC 8829, RFC 8841).
//
// [Parse] and [Session.String] parse and write the text format. Parse is tolerant,
// since descriptions come from many browsers, and through signalling that others have
// programmed. String writes strictly what the RFCs require. [Session.Data] returns
// what data channels need from a parsed session. [Params.Offer] and [Params.Answer]
// write new descriptions.
package sdp
