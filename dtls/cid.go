package dtls

import (
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// Connection IDs (RFC 9146, RFC 9147 §9): each end may have the other mark
// its records under keys, so that they find their connection whatever address
// they come from. Routing is the owner's: PeekConnectionID and Newest are for
// that.

// maxCID is what the one byte of its length can say (RFC 9146 §3).
const maxCID = 255

// connectionID is what the far end is to put into its records; nil: nothing is
// said about it.
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

// PeekConnectionID returns the connection ID of the record that a datagram
// begins with, if it has one and IDs have n bytes. It is a view of datagram,
// and anybody's claim until ReadRecord took the record.
func PeekConnectionID(datagram []byte, n int) (id []byte, ok bool) {
	var h recordHeader
	if !h.parse(datagram, n) || !h.hasCID {
		return nil, false
	}
	return h.cid(datagram, n), true
}

// Newest tells whether the record that ReadRecord was given last was authentic
// and newer than all before it, whatever data it returned. Only the source of
// such a record may become the address of the far end, and only when that was
// seen to receive what is sent there (RFC 9146 §6).
func (c *Conn) Newest() bool { return c.newer }

// acceptCID is for a client what the server answers its connection ID with.
func (c *Conn) acceptCID(e *helloExtensions) {
	if c.peerCID = slices.Clone(e.connectionID); c.peerCID == nil {
		c.cid = nil
	}
}

// chooseCID answers a client's connection ID with ours, if we want any.
func (c *Conn) chooseCID(client []byte) []byte {
	if client == nil || c.cid == nil {
		c.cid = nil
		return nil
	}
	c.peerCID = slices.Clone(client)
	return c.cid
}

// handleRequestCID takes a RequestConnectionId (RFC 9147 §9).
func (c *Conn) handleRequestCID(m message) error {
	switch {
	case len(c.cid) == 0:
		return fatal(AlertUnexpectedMessage, "far end requests connection IDs that it must not have")
	case len(m.body) != 1:
		return errDecode
	case c.cidsDue:
		return fatal(AlertTooManyCIDsRequested, "far end requests connection IDs again before it got any")
	}
	c.cidsDue = true
	return nil
}

// startCIDs answers a RequestConnectionId as soon as no other flight of ours
// is on its way: with none, which RFC 9147 §9 allows. Owners know a connection
// by one ID, and a far end that changes its path may keep that.
func (c *Conn) startCIDs() {
	if !c.cidsDue || c.state != stateEstablished || len(c.out.messages) > 0 || !c.hasMessageNumber() {
		return
	}
	c.cidsDue = false
	c.addMessage(typeNewConnectionID, []byte{0, 0, byte(cidSpare)})
	c.endFlight(false)
}

// handleNewCID takes a NewConnectionId (RFC 9147 §9). Spare IDs are for new
// paths, of which we know nothing, and not kept.
func (c *Conn) handleNewCID(m message) error {
	if len(c.peerCID) == 0 {
		return fatal(AlertUnexpectedMessage, "far end gives connection IDs that it said it does not want")
	}
	ids, usage, err := parseNewConnectionID(m.body)
	if err != nil || usage == cidSpare {
		return err
	}
	if len(ids) == 0 {
		return fatal(AlertIllegalParameter, "NewConnectionId has none to use")
	}
	c.peerCID = slices.Clone(ids[0])
	for _, w := range c.write {
		w.cid = c.peerCID
	}
	return nil
}

// A cidUsage says what a NewConnectionId is for.
type cidUsage uint8

const (
	cidImmediate cidUsage = 0
	cidSpare     cidUsage = 1
)

// parseNewConnectionID reads the body of a NewConnectionId. The IDs are views
// of it.
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
