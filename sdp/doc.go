// Package sdp reads and writes session descriptions (RFC 8866), and gives the
// view of them that data channels need (RFC 8829, RFC 8841).
package sdp
