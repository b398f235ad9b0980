package rtcpeer

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"purertc/dtls"
)

// Join connects to the host of an [Invite]; invite is its text. It returns a connection
// in StateConnected, whose handlers were not called so far, and to which channels are
// added with OpenDataChannel. cfg is as for Initialize; ICEUfrag, ICEPwd and ICELite are
// not set, and MaxMessageSize is 0 or at least 262144.
//
// A text that is damaged or has expired is ErrInvalidParameter. If the host does not
// prove that it has the certificate that the invite names, the error says so. A host
// that cannot be reached, or has withdrawn the invite, does not answer: then the error
// is ctx's, or ErrFailed after 40 to 60 seconds. No server is asked or informed.
func Join(ctx context.Context, invite string, cfg Config) (*Conn, error) {
	c := New()
	if err := c.Initialize(cfg); err != nil {
		return nil, err
	}
	err := c.Join(invite)
	if err == nil {
		err = c.Connected(ctx)
	}
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, dtls.ErrFingerprintMismatch):
		err = fmt.Errorf("rtcpeer: Join: the certificate of the host is not the one that the invite names: ask for a new invite: %w", err)
	case ctx.Err() != nil:
		err = fmt.Errorf("rtcpeer: Join: no connection to the host so far: %w", err)
	}
	c.Close()
	return nil, err
}

// Join begins to connect to the host of an [Invite]; invite is its text. It takes the
// place of CreateOffer and of the exchange of descriptions: Poll signals no offer, and
// candidates need not be sent to anybody. Channels may be created before it. See the
// function [Join] for the requirements and the errors, which come as the cause of
// StateFailed.
func (c *Conn) Join(invite string) error {
	v, err := parseInvitation(invite)
	if err != nil {
		return err
	}
	if !v.expires.IsZero() && !time.Now().Before(v.expires) {
		return invalid("invite: it has expired at %v: ask for another one", v.expires)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(); err != nil {
		return err
	}
	if c.connection != StateNew {
		return wrongState("Join in state %v, not new: call Initialize first", c.connection)
	}
	lite := true
	if x, ok := c.ext.(*stack); ok {
		lite = false
		if err := x.joinAs(v); err != nil {
			return err
		}
	}
	offer, err := createDescription(c, "offer", c.ext.CreateOffer)
	if err != nil {
		return err
	}
	answer, err := v.answer(offer, lite)
	if err != nil {
		return fmt.Errorf("rtcpeer: Join: the local offer: %w", err)
	}
	if err := c.setLocal("offer", offer); err != nil {
		return err
	}
	c.agreed = true // a later offer needs no channel
	return c.setRemote("answer", answer)
}

// joinAs gives the transport that will be made the credentials of a joiner, from which
// the host can derive the password.
func (s *stack) joinAs(v *invitation) error {
	t, err := s.made()
	switch {
	case err != nil:
		return err
	case t.cfg.ICELite || t.cfg.ICEUfrag != "":
		return invalid("Join: ICELite, ICEUfrag and ICEPwd are not for joiners: leave them out of Config")
	case t.cfg.MaxMessageSize != 0 && t.cfg.MaxMessageSize < defaultMaxMessageSize:
		return invalid("Join: MaxMessageSize %d is not 0 or at least %d, which hosts assume", t.cfg.MaxMessageSize, defaultMaxMessageSize)
	}
	var random [9]byte
	rand.Read(random[:]) // never fails
	local := v.joinerCredentials(joinerPrefix + base64.StdEncoding.EncodeToString(random[:]))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.neg.local = local
	t.core.agent.Restart(t.now(), local.ufrag, local.pwd) // no description was created so far
	return nil
}
