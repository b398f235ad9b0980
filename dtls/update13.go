package dtls

import (
	"errors"
	"slices"
	"time"
)

// Messages after the handshake of DTLS 1.3 (RFC 8446 §4.6, RFC 9147 §8).

// UpdateKeys makes new keys for what we send, and with both for what the far
// end sends, too (RFC 8446 §4.6.3). A Conn does so by itself long before its
// keys have carried too much. It fails before the handshake is finished, and
// in DTLS 1.2.
func (c *Conn) UpdateKeys(both bool) error {
	if c.state != stateEstablished || c.version != VersionDTLS13 {
		return errors.New("dtls: keys cannot be updated")
	}
	if c.current.epoch == maxEpoch {
		return errTooManyUpdates
	}
	c.updateDue = !c.updating || both // one on its way does as well
	c.updateAsked = c.updateAsked || both
	return nil
}

// maxEpoch is the last epoch we begin. RFC 9147 §8 allows more, but it would
// take 2^39 records to get there.
const maxEpoch = 1<<16 - 1

var (
	errTooManyUpdates = errors.New("dtls: too many KeyUpdates")
	// errMessages ends a connection of 2^16 handshake messages: RFC 9147 §5.2
	// has no numbers for more.
	errMessages = errors.New("dtls: message numbers used up")
)

// Unanswered tells whether handshake messages of ours, such as a KeyUpdate, are
// not all acknowledged.
func (c *Conn) Unanswered() bool { return len(c.out.messages) > 0 || c.updateDue }

// startUpdate sends a KeyUpdate if one is due, and no other flight of ours is
// on its way: RFC 9147 §8 wants the one before acknowledged.
func (c *Conn) startUpdate() {
	if c.state != stateEstablished || c.version != VersionDTLS13 || len(c.out.messages) > 0 {
		return
	}
	if !c.updateDue && c.current.next < updateAfter || c.current.epoch == maxEpoch {
		return
	}
	if !c.hasMessageNumber() {
		return
	}
	request := updateNotRequested
	if c.updateAsked {
		request = updateRequested
	}
	c.updateDue, c.updateAsked = false, false
	c.updating = true
	c.addMessage(typeKeyUpdate, []byte{byte(request)})
	c.endFlight(false)
}

// hasMessageNumber tells whether another handshake message may be sent; the
// connection ends if not.
func (c *Conn) hasMessageNumber() bool {
	if c.nextSend == 0 {
		c.fail(errMessages) // it wrapped
	}
	return c.nextSend != 0
}

// switchWriteKeys begins the next epoch, now that the far end has our
// KeyUpdate.
func (c *Conn) switchWriteKeys() {
	c.updating = false
	old := c.current.secret
	if err := c.setWriteKeys(c.current.epoch+1, c.kdf().nextTrafficSecret(old)); err != nil {
		c.fail(err)
		return
	}
	clear(old)
	c.write = []*writeEpoch{c.current}
}

// afterHandshake13 takes a message after the handshake.
func (c *Conn) afterHandshake13(now time.Time, m message) error {
	newest := c.read[len(c.read)-1]
	switch {
	case m.epoch != newest.epoch:
		return fatal(AlertUnexpectedMessage, "handshake message of type %d in epoch %d", m.typ, m.epoch)
	case m.typ == typeKeyUpdate:
		return c.handleKeyUpdate(newest, m)
	case m.typ == typeNewSessionTicket && c.client:
		return c.takeTicket13(now, m)
	case m.typ == typeRequestConnectionID:
		return c.handleRequestCID(m)
	case m.typ == typeNewConnectionID:
		return c.handleNewCID(m)
	}
	return fatal(AlertUnexpectedMessage, "handshake message of type %d after the handshake", m.typ)
}

// handleKeyUpdate makes the far end's next keys. The old ones stay until the
// new ones are seen in use (RFC 9147 §8).
func (c *Conn) handleKeyUpdate(r *readEpoch, m message) error {
	request, err := parseKeyUpdate(m.body)
	if err != nil {
		return err
	}
	if r.epoch == maxEpoch {
		return fatal(AlertUnexpectedMessage, "too many KeyUpdates")
	}
	if request == updateRequested && !c.updating {
		c.updateDue = true
	}
	if err := c.setReadKeys(r.epoch+1, c.kdf().nextTrafficSecret(r.secret)); err != nil {
		return err
	}
	// RFC 8446 §7.2: the keys stay, but not what all later ones follow from.
	clear(r.secret)
	r.secret = nil
	// Three epochs at most: their low bits must differ.
	if len(c.read) > 3 {
		c.read = slices.Delete(c.read, 0, 1)
	}
	return nil
}

// oldKeysLife is how long the keys before the newest are of use: twice TCP's
// maximum segment lifetime (RFC 9147 §4.2.1 and RFC 9293 §3.4.1).
const oldKeysLife = 4 * time.Minute

// noteUse remembers when the far end began to use its newest keys.
func (c *Conn) noteUse(now time.Time, r *readEpoch) {
	if r.epoch >= epochData && !r.used {
		r.used = true
		c.oldKeysUntil = now.Add(oldKeysLife)
	}
}

// expireKeys lets go of all but the newest keys, some time after the far end
// began to use them. It needs no timer: nothing depends on when.
func (c *Conn) expireKeys(now time.Time) {
	n := len(c.read)
	if n > 1 && c.state == stateEstablished && c.read[n-1].used && now.After(c.oldKeysUntil) {
		c.read = slices.Delete(c.read, 0, n-1)
	}
}

// dropOldKeys lets go of keys that the far end no longer uses, except those
// of the epoch before the newest, of which records may be late.
func (c *Conn) dropOldKeys() {
	if len(c.read) > 2 {
		c.read = slices.Delete(c.read, 0, len(c.read)-2)
	}
}
