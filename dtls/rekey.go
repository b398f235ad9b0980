package dtls

import (
	"errors"
	"slices"
	"time"
)

// Messages that are sent after the handshake of DTLS 1.3 (RFC 8446 §4.6, RFC 9147 §8
// and §9).

// A rekeying is the state of local KeyUpdates and of the peer's requests for
// connection IDs.
type rekeying struct {
	due      updateKind // kind of the KeyUpdate that is still to be sent
	updating bool       // the most recent KeyUpdate was sent, and is not acknowledged yet
	cidsDue  bool       // a NewConnectionId is still to be sent
}

// An updateKind says which keys a KeyUpdate changes.
type updateKind uint8

const (
	updateNone  updateKind = iota
	updateLocal            // the keys for local records
	updateBoth             // the keys for local records, and the peer is asked to change its keys, too
)

// request requests a KeyUpdate. If only the local keys are to change, and an earlier
// KeyUpdate is not acknowledged yet, that KeyUpdate suffices.
func (r *rekeying) request(kind updateKind) {
	if kind == updateBoth || !r.updating {
		r.due = max(r.due, kind)
	}
}

// next returns the KeyUpdate that is to be sent now; ok is false if there is none.
// sent is the number of records that the current local keys have protected.
func (r *rekeying) next(sent uint64) (request keyUpdateRequest, ok bool) {
	if r.due == updateNone && sent < updateAfter {
		return 0, false
	}
	if r.due == updateBoth {
		request = updateRequested
	}
	r.due, r.updating = updateNone, true
	return request, true
}

// maxEpoch is the highest epoch that either end uses. RFC 9147 §8 allows higher
// epochs, but it would take 2^39 records to reach maxEpoch.
const maxEpoch = 1<<16 - 1

var (
	errTooManyUpdates = errors.New("dtls: too many KeyUpdates")
	// errMessages ends a connection that has sent 2^16 handshake messages: RFC 9147
	// §5.2 has no message numbers for more.
	errMessages = errors.New("dtls: message numbers used up")
)

// UpdateKeys changes the keys for local records. If both is set, it also asks the peer
// to change its keys (RFC 8446 §4.6.3). A Conn updates its keys by itself long before
// a key reaches its limit. UpdateKeys returns an error before the handshake has
// finished, in DTLS 1.2, and after 2^16 updates.
func (c *Conn) UpdateKeys(both bool) error {
	if c.state != stateEstablished || c.agreed.Version != VersionDTLS13 {
		return errors.New("dtls: keys cannot be updated")
	}
	if c.records.current.epoch == maxEpoch {
		return errTooManyUpdates
	}
	kind := updateLocal
	if both {
		kind = updateBoth
	}
	c.rekey.request(kind)
	return nil
}

// Unanswered reports whether the peer has not acknowledged a local handshake message
// yet, such as a KeyUpdate.
func (c *Conn) Unanswered() bool { return c.out.outstanding() || c.rekey.due != updateNone }

// sendUpdate sends a KeyUpdate if one was requested or the current keys have protected
// many records. RFC 9147 §8: the previous KeyUpdate must have been acknowledged.
func (c *Conn) sendUpdate() {
	w := c.records.current
	if c.state != stateEstablished || c.agreed.Version != VersionDTLS13 || c.out.outstanding() || w.epoch == maxEpoch {
		return
	}
	if request, ok := c.rekey.next(w.next); ok {
		c.sendMessage(typeKeyUpdate, []byte{byte(request)})
	}
}

// sendCIDs answers a RequestConnectionId, when no other local flight is waiting for
// its acknowledgement. The answer contains no connection IDs, which RFC 9147 §9
// allows: the owner of the socket knows a connection by a single ID, and a peer that
// changes its path may continue to use it.
func (c *Conn) sendCIDs() {
	if !c.rekey.cidsDue || c.state != stateEstablished || c.out.outstanding() {
		return
	}
	c.rekey.cidsDue = false
	c.sendMessage(typeNewConnectionID, []byte{0, 0, byte(cidSpare)})
}

// sendMessage sends a message after the handshake has finished.
func (c *Conn) sendMessage(typ handshakeType, body []byte) {
	if !c.out.numbersLeft() {
		c.fail(errMessages)
		return
	}
	c.out.send(c.records.current.epoch, typ, body)
	c.in.endFlight()
}

// handlePostHandshake handles a message that arrives after the handshake has finished.
func (c *Conn) handlePostHandshake(now time.Time, m message) error {
	switch newest := c.records.newest(); {
	case m.epoch != newest.epoch:
		return fatal(AlertUnexpectedMessage, "handshake message of type %d in epoch %d", m.typ, m.epoch)
	case m.typ == typeKeyUpdate:
		return c.handleKeyUpdate(newest, m)
	case m.typ == typeNewSessionTicket && c.client:
		s, err := parseTicket13(now, &c.agreed, m.body)
		if s != nil {
			c.addSession(s)
		}
		return err
	case m.typ == typeRequestConnectionID:
		return c.handleRequestCID(m)
	case m.typ == typeNewConnectionID:
		return c.handleNewCID(m)
	}
	return fatal(AlertUnexpectedMessage, "handshake message of type %d after the handshake", m.typ)
}

// handleKeyUpdate handles a KeyUpdate: it derives the peer's next keys. The old keys
// are kept until the peer uses the new ones (RFC 9147 §8).
func (c *Conn) handleKeyUpdate(r *readEpoch, m message) error {
	request, err := parseKeyUpdate(m.body)
	if err != nil {
		return err
	}
	if r.epoch == maxEpoch {
		return fatal(AlertUnexpectedMessage, "too many KeyUpdates")
	}
	if request == updateRequested {
		c.rekey.request(updateLocal)
	}
	k, secret, err := c.nextKeys(&r.aeadKey, r.secret)
	if err == nil {
		c.records.updateRead(k, secret)
	}
	return err
}

// switchWriteKeys starts the next epoch for local records, after the peer has
// acknowledged the KeyUpdate.
func (c *Conn) switchWriteKeys() {
	c.rekey.updating = false
	w := c.records.current
	k, secret, err := c.nextKeys(&w.aeadKey, w.secret)
	if err != nil {
		c.fail(err)
		return
	}
	c.records.updateWrite(k, secret)
}

// nextKeys derives the keys of the epoch that follows the epoch of k, and their
// traffic secret. secret is the traffic secret of k.
func (c *Conn) nextKeys(k *aeadKey, secret []byte) (next aeadKey, nextSecret []byte, err error) {
	su, _ := suiteByID(c.agreed.CipherSuite)
	d := newKDF(su.hash)
	nextSecret = d.nextTrafficSecret(secret)
	next, err = su.trafficKeys(d, k.epoch+1, nextSecret)
	next.cid = k.cid
	return next, nextSecret, err
}

// handleRequestCID handles a RequestConnectionId (RFC 9147 §9).
func (c *Conn) handleRequestCID(m message) error {
	switch {
	case len(c.agreed.ConnectionID) == 0:
		return fatal(AlertUnexpectedMessage, "peer requests connection IDs, but none are used")
	case len(m.body) != 1:
		return errDecode
	case c.rekey.cidsDue:
		return fatal(AlertTooManyCIDsRequested, "peer requests connection IDs again before it has got any")
	}
	c.rekey.cidsDue = true
	return nil
}

// handleNewCID handles a NewConnectionId (RFC 9147 §9). Spare IDs are for other
// paths. This package does not know about paths, so it does not keep them.
func (c *Conn) handleNewCID(m message) error {
	if len(c.agreed.PeerConnectionID) == 0 {
		return fatal(AlertUnexpectedMessage, "peer gives connection IDs, but does not use them")
	}
	ids, usage, err := parseNewConnectionID(m.body)
	if err != nil || usage == cidSpare {
		return err
	}
	if len(ids) == 0 {
		return fatal(AlertIllegalParameter, "NewConnectionId has no connection ID to use")
	}
	c.agreed.PeerConnectionID = slices.Clone(ids[0])
	for _, w := range c.records.write {
		w.cid = c.agreed.PeerConnectionID
	}
	return nil
}
