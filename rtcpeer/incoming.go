package rtcpeer

import (
	"net/netip"
	"strings"

	"purertc/dtls"
	"purertc/sdp"
	"purertc/stun"
)

// An Incoming is the first connectivity check of a remote that no connection of the
// Host expects: it names a local ufrag that none of them has. Anybody can send one, with
// a forged source address. Nothing was answered.
type Incoming struct {
	// LocalUfrag is the ufrag that the remote takes for the local one, and RemoteUfrag
	// is the remote's own: the two parts of the check's USERNAME.
	LocalUfrag, RemoteUfrag string
	// Addr is the source address of the check.
	Addr netip.AddrPort

	host  *Host
	check []byte
}

func newIncoming(h *Host, k *keptCheck) *Incoming {
	i := &Incoming{Addr: k.route.Remote, host: h, check: k.datagram}
	i.LocalUfrag, i.RemoteUfrag, _ = strings.Cut(k.username, ":")
	return i
}

// Verify reports whether the remote knows localPwd, the local ICE password: whether the
// check is authenticated by it.
func (i *Incoming) Verify(localPwd string) bool {
	m, err := stun.Parse(i.check)
	return err == nil && stun.NewIntegrity([]byte(localPwd)).Verify(m)
}

// Connect makes a connection to the remote. localPwd is the ICE password that the
// remote takes for the local one; if the check was not made with it, the error is
// ErrInvalidParameter. remotePwd is the remote's password. If it is empty, the
// connection is ICE-lite, which needs none; see Config.ICELite. The remote is the
// offerer and the DTLS client.
//
// There is no description with the fingerprint of the remote's certificate. So the
// connection accepts every certificate, unless Config.VerifyRemote judges it. The check
// has shown that the remote knows the password, but an attacker who can read and change
// its datagrams can make the DTLS handshake in its place. The program has to
// authenticate the remote over a channel. Once the connection is connected,
// RemoteDescription has the fingerprint of the certificate, so that the authentication
// can be bound to it.
//
// Of cfg, Host, ICEUfrag and ICEPwd are set by Connect. Candidates that are signalled to
// OnICECandidateCreated need not be sent anywhere.
func (i *Incoming) Connect(cfg Config, localPwd, remotePwd string) (*Conn, error) {
	if i.host == nil {
		return nil, ErrUnconfigured
	}
	if !i.Verify(localPwd) {
		return nil, invalid("the check of %v was not made with this local password", i.Addr)
	}
	return i.connect(cfg, localPwd, remotePwd, sdp.DefaultMaxMessageSize, nil)
}

// connect is Connect without a look at the check. maxMessage is the longest message in
// bytes that the remote accepts. changed, unless it is nil, is called after each change of the
// true state, with the transport's lock held.
func (i *Incoming) connect(cfg Config, localPwd, remotePwd string, maxMessage int, changed func(ConnectionState)) (*Conn, error) {
	cfg.Host, cfg.ICEUfrag, cfg.ICEPwd = i.host, i.LocalUfrag, localPwd
	cfg.ICELite = cfg.ICELite || remotePwd == ""
	if remotePwd == "" {
		remotePwd = strings.Repeat("0", minICEPwd) // a lite agent never uses it
	}
	cfg.incoming = &incomingRemote{ufrag: i.RemoteUfrag, pwd: remotePwd, maxMessage: maxMessage, changed: changed}
	c := connOf(newStack())
	err := c.Initialize(cfg)
	if err == nil {
		err = answerIncoming(c, cfg.incoming.offer(make([]byte, 32)))
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// answerIncoming applies an offer, and the answer to it.
func answerIncoming(c *Conn, offer string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, err := createDescription(c, "answer", func() error { return c.setRemote("offer", offer) })
	if err != nil {
		return err
	}
	return c.setLocal("answer", answer)
}

// createDescription calls f, which creates a description of c, and returns that
// description. Poll does not signal it. c.mu is held.
func createDescription(c *Conn, typ string, f func() error) (sdp string, err error) {
	if c.wanted != nil {
		return "", wrongState("another Offer or Answer has not returned")
	}
	d := &Description{Type: typ}
	c.wanted = d
	defer func() { c.wanted = nil }()
	if err := f(); err != nil {
		return "", err
	}
	c.collect()
	if d.SDP == "" {
		return "", errUnavailable // an extension that creates its descriptions later
	}
	return d.SDP, nil
}

// An incomingRemote is a remote that connects without a description of its own. In its
// place is an offer that is written here. Nil: the remote has a description.
type incomingRemote struct {
	ufrag, pwd string
	maxMessage int
	learned    bool                  // its certificate's fingerprint is in the offer
	changed    func(ConnectionState) // see Incoming.connect; may be nil
}

// offer writes the offer. fingerprint is the SHA-256 hash of the remote's certificate,
// or zeros until it is learned.
func (in *incomingRemote) offer(fingerprint []byte) string {
	return sdp.Params{
		Origin: sdp.NewOrigin(1, 1), Mid: "0", Ufrag: in.ufrag, Pwd: in.pwd, ICEOptions: []string{"ice2"},
		EndOfCandidates: true, Setup: sdp.SetupActive, SCTPPort: 5000, MaxMessageSize: in.maxMessage,
		Fingerprints: []sdp.Fingerprint{{Hash: "sha-256", Value: fingerprint}},
	}.Offer(nil, nil)
}

// username returns under which name the sockets know a local ufrag. Several
// connections of a Host may share the ufrag that remotes took for the local one, so
// the name is the whole USERNAME of the remote's checks.
func (in *incomingRemote) username(cfg *Config, ufrag string) string {
	if in == nil || ufrag != cfg.ICEUfrag {
		return ufrag
	}
	return ufrag + ":" + in.ufrag
}

// unknown reports whether the remote's certificate is not known so far.
func (in *incomingRemote) unknown() bool { return in != nil && !in.learned }

// learn accepts the certificate of the remote of t, and writes its fingerprint into the
// offer. From then on, the fingerprint is compared like that of any remote. The lock of
// t is held.
func (in *incomingRemote) learn(t *transport, der []byte) error {
	f, err := dtls.CertificateFingerprint("sha-256", der)
	if err != nil {
		return err
	}
	d, err := parseDescription("offer", in.offer(f.Value))
	if err != nil {
		return err
	}
	in.learned = true
	t.neg.currentRemote = d
	t.remoteCandidates.applied = d
	return nil
}
