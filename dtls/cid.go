package dtls

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// Connection IDs (RFC 9146, RFC 9147 §9). They are optional: an end asks the other
// end to put a connection ID into each encrypted record. The receiver can then find
// the connection of a record, whatever address the record came from. The owner of the
// socket does that with PeekConnectionID and Conn.Newest.

// maxCID is the maximum length of a connection ID (RFC 9146 §3).
const maxCID = 255

// connectionID returns the connection ID that the peer's records shall contain; nil:
// none is offered.
func (cfg *Config) connectionID() ([]byte, error) {
	if cfg.ConnectionIDs == nil {
		return nil, nil
	}
	id := cfg.ConnectionIDs()
	if len(id) > maxCID {
		return nil, fmt.Errorf("%w: connection ID of %d bytes", ErrConfig, len(id))
	}
	return append([]byte{}, id...), nil
}

// PeekConnectionID returns the connection ID of the first record in a datagram; ok is
// false if this record has none. n is the length of the connection IDs in bytes. id is
// a slice of datagram. It is not authentic until HandleRecord has accepted the record.
func PeekConnectionID(datagram []byte, n int) (id []byte, ok bool) {
	var h recordHeader
	if !h.parse(datagram, n) || !h.hasCID {
		return nil, false
	}
	return h.cid(datagram, n), true
}

// A cidUsage says how the receiver of a NewConnectionId is to use the connection IDs
// in it.
type cidUsage uint8

const (
	cidImmediate cidUsage = 0
	cidSpare     cidUsage = 1
)

// parseNewConnectionID parses the body of a NewConnectionId. The returned IDs are
// slices of the body.
func parseNewConnectionID(body []byte) (ids [][]byte, usage cidUsage, err error) {
	s := cryptobyte.String(body)
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.ReadUint8((*uint8)(&usage)) || !s.Empty() {
		return nil, 0, errDecode
	}
	for len(list) > 0 {
		var id cryptobyte.String
		if !list.ReadUint8LengthPrefixed(&id) {
			return nil, 0, errDecode
		}
		ids = append(ids, id)
	}
	if usage > cidSpare {
		return nil, 0, fatal(AlertIllegalParameter, "NewConnectionId with usage %d", usage)
	}
	return ids, usage, nil
}
