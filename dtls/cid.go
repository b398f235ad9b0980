package dtls

import (
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// Connection IDs (RFC 9146, RFC 9147 §9), which are optional: an end asks the other one
// to mark its records under keys. So they can be assigned to their connection whatever
// address they come from. The owner of the socket does that with PeekConnectionID and
// Conn.Newest.

// maxCID is the maximum length of a connection ID (RFC 9146 §3).
const maxCID = 255

// connectionID returns the connection ID for the peer's records; nil: none is offered.
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

// PeekConnectionID returns the connection ID of the record at the start of a datagram,
// if it has one. n is the length of connection IDs. id is a view of datagram, and not
// authentic before HandleRecord has accepted the record.
func PeekConnectionID(datagram []byte, n int) (id []byte, ok bool) {
	var h recordHeader
	if !h.parse(datagram, n) || !h.hasCID {
		return nil, false
	}
	return h.cid(datagram, n), true
}

// A cidUsage says how the connection IDs of a NewConnectionId are used.
type cidUsage uint8

const (
	cidImmediate cidUsage = 0
	cidSpare     cidUsage = 1
)

// parseNewConnectionID parses the body of a NewConnectionId. The IDs are views of it.
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
