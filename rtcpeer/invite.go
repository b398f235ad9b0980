package rtcpeer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"purertc/ice"
	"purertc/stun"
)

// InviteConfig configures an Invite. The zero value is an invite for any number of
// joiners that ends with Close.
type InviteConfig struct {
	// Config is for the connections to joiners. Host, ICEUfrag, ICEPwd and ICELite are
	// set by the invite. MaxMessageSize is 0 or at least 262144, which joiners assume.
	// With LocalAddresses and PublicAddresses it decides which addresses the text has.
	Config Config
	// Addresses, if any, are the UDP addresses in the text, for a host behind a
	// router that forwards a port. Default: those of the host's candidates, of UDP and
	// TCP. At most 16.
	Addresses []netip.AddrPort
	// Secret is what the credentials in the text are derived from, at least 16 bytes
	// that nobody can guess. With the same Secret, Config.Certificate and addresses, a
	// server that was started again has the same text. Default: random bytes.
	Secret []byte
	// Expires is when the invite ends. Zero: never.
	Expires time.Time
	// MaxJoiners is how many joiners may connect; 1 is for an invite that serves once.
	// 0: any number.
	MaxJoiners int
}

const (
	minInviteSecret = 16

	// maxJoining bounds the joiners of an invite that are not connected, both those
	// that wait for Accept and those that Accept has returned.
	maxJoining = 64

	// joinTimeout is how long after Accept a joiner may take to connect.
	joinTimeout = 30 * time.Second
)

// An Invite is a text with which programs and web pages connect to a Host without any
// server in between: [Join] in Go, and a function of 30 lines for browsers on the page
// JOIN. The text has the host's addresses, the hash of its certificate, and a secret:
//
//   - By the hash, the joiner is sure that it is connected to the host itself.
//   - By the secret, the host is sure that the joiner has the text. Everybody with the
//     text can join. An attacker who can read and change the joiner's datagrams can take
//     its place. A program that needs more authenticates the joiner over a channel, which
//     only the host can read.
//
// The host answers nothing, and keeps nothing, before a check of the joiner has shown
// the secret. The host must be reachable: it cannot open a NAT towards a joiner that it
// does not know.
type Invite struct {
	host  *Host
	cfg   Config
	says  *invitation
	local credentials
	most  int // InviteConfig.MaxJoiners
	queue checkQueue
	ended chan struct{}

	mu        sync.Mutex
	key       *stun.Integrity // of the local password
	joining   int             // joiners that Accept has returned and that are on the way
	connected int             // joiners that were connected so far
	left      departed
	over      bool        // ended is closed
	timer     *time.Timer // of InviteConfig.Expires; nil: none
}

// Invite makes an invite to this host. See Invite.Accept.
func (h *Host) Invite(cfg InviteConfig) (*Invite, error) {
	if h.done == nil {
		return nil, ErrUnconfigured
	}
	c := cfg.Config
	c.Host, c.ICEUfrag, c.ICEPwd = h, "", ""
	switch {
	case cfg.Secret != nil && len(cfg.Secret) < minInviteSecret:
		return nil, invalid("invite: Secret has %d bytes, fewer than %d", len(cfg.Secret), minInviteSecret)
	case cfg.MaxJoiners < 0:
		return nil, invalid("invite: MaxJoiners %d is negative", cfg.MaxJoiners)
	case c.MaxMessageSize != 0 && c.MaxMessageSize < defaultMaxMessageSize:
		return nil, invalid("invite: MaxMessageSize %d is not 0 or at least %d, which joiners assume", c.MaxMessageSize, defaultMaxMessageSize)
	case !cfg.Expires.IsZero() && !time.Now().Before(cfg.Expires):
		return nil, invalid("invite: Expires %v is in the past", cfg.Expires)
	case cfg.Expires.Unix() > math.MaxUint32:
		return nil, invalid("invite: Expires %v is later than the text can say: leave it out", cfg.Expires)
	case len(c.ICEServers) > 0 || c.ICETransportPolicy != ICETransportPolicyAll:
		return nil, invalid("invite: joiners connect to the host itself: no ICEServers and no relays")
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Certificate == nil {
		cert, err := sharedCertificate()
		if err != nil {
			return nil, err
		}
		c.Certificate = cert // the text has its hash, so it must not change
	}
	secret := cfg.Secret
	if secret == nil {
		secret = make([]byte, 32)
		rand.Read(secret) // never fails
	}
	i := &Invite{host: h, cfg: c, says: newInvitation(secret), most: cfg.MaxJoiners, ended: make(chan struct{})}
	i.queue.limit = maxJoining
	i.says.fingerprint = sha256.Sum256(c.Certificate.Certificate[0])
	i.says.expires = cfg.Expires
	i.local = i.says.credentials()
	i.key = stun.NewIntegrity([]byte(i.local.pwd))
	var err error
	if i.says.addrs, err = i.addresses(cfg.Addresses); err != nil {
		return nil, err
	}
	if err := h.addInvite(i); err != nil {
		return nil, err
	}
	if !cfg.Expires.IsZero() {
		i.mu.Lock()
		i.timer = time.AfterFunc(time.Until(cfg.Expires), func() { i.Close() })
		i.mu.Unlock()
	}
	return i, nil
}

// addInvite adds an invite, unless the host is closed.
func (h *Host) addInvite(i *Invite) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	return h.invites.add(i)
}

// addresses returns the addresses for the text.
func (i *Invite) addresses(given []netip.AddrPort) (list []inviteAddr, err error) {
	for _, a := range given {
		a = netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
		if !a.IsValid() || a.Port() == 0 || a.Addr().IsUnspecified() || a.Addr().IsMulticast() {
			return nil, invalid("invite: joiners cannot connect to the address %v", a)
		}
		list = append(list, inviteAddr{a, false})
	}
	if len(given) == 0 {
		if list, err = i.ownAddresses(); err != nil {
			return nil, err
		}
	}
	switch {
	case len(given) > inviteAddrs:
		return nil, invalid("invite: %d addresses are more than %d", len(given), inviteAddrs)
	case len(list) == 0:
		return nil, invalid("invite: the host has no address that others can connect to: set Addresses")
	}
	return list[:min(len(list), inviteAddrs)], nil
}

// ownAddresses returns the addresses of the host's candidates, those of UDP first.
func (i *Invite) ownAddresses() (list []inviteAddr, err error) {
	n := hostNetwork{host: i.host, only: i.cfg.LocalAddresses}
	addrs, err := n.addresses(i.cfg.addressChoice())
	var passive []inviteAddr
	for _, a := range addrs {
		for _, seen := range i.cfg.seenAs(a) {
			if !i.cfg.DisableUDP {
				list = append(list, inviteAddr{netip.AddrPortFrom(seen, i.host.Addr().Port()), false})
			}
			for _, l := range n.passive(a) {
				passive = append(passive, inviteAddr{netip.AddrPortFrom(seen, l.addr.Port()), true})
			}
		}
	}
	return append(list, passive...), err
}

// seenAs returns the addresses at which others see a local address.
func (cfg *Config) seenAs(a netip.Addr) []netip.Addr {
	for _, p := range cfg.PublicAddresses {
		switch {
		case !p.matches(a):
		case p.KeepLocal:
			return []netip.Addr{p.Public.Unmap(), a}
		default:
			return []netip.Addr{p.Public.Unmap()}
		}
	}
	return []netip.Addr{a}
}

// Text returns the invite as one line of letters, digits, dots, hyphens and
// underscores, which needs no escaping in a URL. Put it behind the # of a URL: browsers
// do not send that part to the server of the page. Everybody with the text can join.
func (i *Invite) Text() string { return i.says.String() }

// Accept waits for a joiner and returns the connection to it, in StateConnecting: set
// its handlers, then call Run or Poll. A connection that is not connected within 30
// seconds is closed. At most 64 joiners may be on the way at a time; others try again.
//
// Accept returns ctx's error, or ErrClosed when the invite has ended: after Close, at
// InviteConfig.Expires, when MaxJoiners have connected, and after Host.Close.
func (i *Invite) Accept(ctx context.Context) (*Conn, error) {
	for {
		if k := i.next(); k != nil {
			if c, err := i.welcome(k); err == nil {
				return c, nil
			}
			continue
		}
		select {
		case <-i.queue.more.channel():
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-i.ended:
			i.queue.more.set() // for another goroutine
			return nil, ErrClosed
		}
	}
}

// Close withdraws the invite: no joiner connects any more. Existing connections stay.
func (i *Invite) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.end()
	return nil
}

// end withdraws the invite. The lock is held.
func (i *Invite) end() {
	if i.over {
		return
	}
	i.over = true
	if i.timer != nil {
		i.timer.Stop()
	}
	i.host.invites.remove(i)
	i.queue.clear()
	close(i.ended)
}

// keep keeps a check that names the invite's ufrag, if it shows the secret. It returns
// nil if the check is dropped.
func (i *Invite) keep(now time.Time, m stun.Message, username string, r ice.Route) *keptCheck {
	i.mu.Lock()
	defer i.mu.Unlock()
	if f := i.cfg.RemoteAddressFilter; f != nil && !f(r.Remote.Addr()) {
		return nil
	}
	if i.over || !i.key.Verify(m) || i.left.contains(now, username) {
		return nil
	}
	return i.queue.add(now, username, r, m.Raw())
}

// next returns the check of the next joiner; nil: there is none, or too many joiners
// are on the way. settle follows.
func (i *Invite) next() *keptCheck {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over || i.joining >= maxJoining || i.most > 0 && i.joining+i.connected >= i.most {
		return nil
	}
	k := i.queue.next(time.Now())
	if k != nil {
		i.joining++
	}
	return k
}

// settle counts a joiner that is not on the way any more.
func (i *Invite) settle(connected bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.joining--
	if connected {
		i.connected++
	}
	if i.most > 0 && i.connected >= i.most {
		i.end()
	}
	i.queue.more.set()
}

// leave notes that the connection to a joiner is closed.
func (i *Invite) leave(username string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.left.add(time.Now(), username)
}

// welcome makes the connection to a joiner.
func (i *Invite) welcome(k *keptCheck) (*Conn, error) {
	in := newIncoming(i.host, k)
	pwd := ""
	if strings.HasPrefix(in.RemoteUfrag, joinerPrefix) {
		pwd = i.says.joinerCredentials(in.RemoteUfrag).pwd
	}
	j := &joiner{invite: i, username: k.username}
	c, err := in.connect(i.cfg, i.local.pwd, pwd, defaultMaxMessageSize, j.stateChanged)
	if err != nil {
		j.settle(false)
		return nil, err
	}
	j.limit(c)
	return c, nil
}

// A joiner is the connection to a joiner as its invite sees it.
type joiner struct {
	invite   *Invite
	username string

	mu      sync.Mutex
	settled bool        // connected once, or over
	timer   *time.Timer // closes the connection
}

// limit bounds the time until the joiner is connected.
func (j *joiner) limit(c *Conn) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.settled {
		j.timer = time.AfterFunc(joinTimeout, func() { c.Close() })
	}
}

// stateChanged is called with the lock of the joiner's transport held.
func (j *joiner) stateChanged(s ConnectionState) {
	switch s {
	case StateConnected:
		j.settle(true)
	case StateFailed:
		j.settle(false)
	case StateClosed:
		j.settle(false)
		j.invite.leave(j.username)
	}
}

func (j *joiner) settle(connected bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.settled {
		return
	}
	j.settled = true
	if j.timer != nil {
		j.timer.Stop()
	}
	j.invite.settle(connected)
}

// departed remembers the joiners whose connections were closed. The ICE agent of a page
// goes on sending checks until the page closes it, which must not look like another
// joiner.
type departed struct {
	seen  map[string]time.Time // by USERNAME: when the last check came
	order []string             // the first one is forgotten first
}

const (
	maxDeparted = 1024
	departedFor = time.Minute // consent checks follow each other faster
)

func (d *departed) add(now time.Time, username string) {
	if d.seen == nil {
		d.seen = map[string]time.Time{}
	}
	if _, known := d.seen[username]; !known {
		d.order = append(d.order, username)
	}
	d.seen[username] = now
	for len(d.order) > maxDeparted || now.Sub(d.seen[d.order[0]]) >= departedFor {
		delete(d.seen, d.order[0])
		d.order = d.order[1:]
	}
}

// contains reports whether a check is of a joiner whose connection was closed.
func (d *departed) contains(now time.Time, username string) bool {
	at, known := d.seen[username]
	if !known || now.Sub(at) >= departedFor {
		return false
	}
	d.seen[username] = now
	return true
}

// An inviteTable has the invites of a host.
type inviteTable struct {
	mu      sync.Mutex
	invites map[string]*Invite // by ufrag
}

func (t *inviteTable) add(i *Invite) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.invites[i.local.ufrag] != nil {
		return wrongState("the host has an invite with this Secret: close that one first")
	}
	if t.invites == nil {
		t.invites = map[string]*Invite{}
	}
	t.invites[i.local.ufrag] = i
	return nil
}

func (t *inviteTable) get(ufrag string) *Invite {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.invites[ufrag]
}

func (t *inviteTable) remove(i *Invite) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.invites[i.local.ufrag] == i {
		delete(t.invites, i.local.ufrag)
	}
}

// close ends all invites.
func (t *inviteTable) close() {
	t.mu.Lock()
	invites := slices.Collect(maps.Values(t.invites))
	t.mu.Unlock()
	for _, i := range invites {
		i.Close()
	}
}
