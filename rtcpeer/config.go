package rtcpeer

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"purertc/datachannel"
	"purertc/dtls"
	"purertc/ice"
	"purertc/sctp"
)

// An ICETransportPolicy says which candidates are used.
type ICETransportPolicy int

const (
	ICETransportPolicyAll   ICETransportPolicy = iota
	ICETransportPolicyRelay                    // only relayed ones
)

// An IPFamily is IPv4, IPv6, or both.
type IPFamily int

const (
	IPFamilyAny IPFamily = iota
	IPFamily4
	IPFamily6
)

// A PublicAddress is the address that a 1:1 NAT gives an address of this machine.
type PublicAddress struct {
	// Local is the machine's address. The zero value stands for every address of
	// Public's family except loopback and link-local ones.
	Local netip.Addr
	// Public is signalled in place of Local, as a host candidate; or with KeepLocal
	// beside it, as a server-reflexive one.
	Public    netip.Addr
	KeepLocal bool
}

// matches reports whether the NAT maps a local address to this one.
func (a PublicAddress) matches(l netip.Addr) bool {
	if a.Local.IsValid() {
		return a.Local.Unmap() == l
	}
	return a.Public.Unmap().Is4() == l.Is4() && !l.IsLoopback() && !l.IsLinkLocalUnicast()
}

// Config configures a Conn; see [Conn.Initialize]. Its JSON form is Godot's
// dictionary: {"iceServers": [{"urls": ["stun:stun.example.com"]}]}.
type Config struct {
	ICEServers []ICEServer `json:"iceServers"`

	// The fields below are not part of the dictionary.

	// Certificate is the local certificate of the DTLS handshake. Nil: an ECDSA P-256
	// certificate that all connections of the process share.
	Certificate *tls.Certificate `json:"-"`
	// VerifyRemote, if set, judges the remote's certificate, in DER form, in place of
	// the fingerprints of its description. An error ends the handshake. It is called
	// before any data is sent or delivered, with the connection's lock held: it must
	// not call the connection.
	VerifyRemote func(certificate []byte) error `json:"-"`
	// KeepRemoteCertificate keeps the remote's certificate for Conn.RemoteCertificate,
	// which takes some hundred bytes for each connection.
	KeepRemoteCertificate bool `json:"-"`
	// ICETransportPolicy can restrict candidates to relayed ones.
	ICETransportPolicy ICETransportPolicy `json:"-"`
	// Host is a shared socket. Nil: the connection has sockets of its own.
	Host *Host `json:"-"`
	// IncludeLoopback makes loopback addresses candidates. Otherwise they are only if
	// there is no other address.
	IncludeLoopback bool `json:"-"`
	// LocalAddresses, if not nil, are the only addresses that sockets are opened on, and
	// with a Host that serves all addresses, the only ones of its candidates. An empty
	// list that is not nil stands for no address: then only relayed candidates and TCP
	// are left. Unspecified addresses, such as 0.0.0.0, are ErrInvalidParameter.
	LocalAddresses []netip.Addr `json:"-"`
	// IPFamily can restrict candidates to addresses of IPv4 or of IPv6. It does not
	// apply to LocalAddresses.
	IPFamily IPFamily `json:"-"`
	// InterfaceFilter, if set, reports whether the addresses of an interface with this
	// name, such as "eth0", may be candidates. It is called whenever the machine's
	// addresses are listed, with the connection's lock held. It does not apply to
	// LocalAddresses.
	InterfaceFilter func(name string) bool `json:"-"`
	// LocalAddressFilter, if set, reports whether a local address may be a candidate.
	// It applies to LocalAddresses, too. It is called as InterfaceFilter is.
	LocalAddressFilter func(a netip.Addr) bool `json:"-"`
	// RemoteAddressFilter, if set, reports whether the remote may have an address:
	// candidates with other addresses are dropped, and checks from other addresses are
	// not answered. It is called with the connection's lock held.
	RemoteAddressFilter func(a netip.Addr) bool `json:"-"`
	// DisableUDP leaves out host and server-reflexive candidates of UDP. It is for
	// networks in which UDP is lost anyway: TCP candidates and servers over TCP and
	// TLS remain, and relayed candidates. It is not possible with MDNSCandidates.
	DisableUDP bool `json:"-"`
	// ListenPacket, if set, opens the connection's UDP sockets, those to TURN servers
	// over UDP and DTLS included; network is "udp4", "udp6" or "udp", and the port 0
	// unless MinPort says another. The addresses are LocalAddresses, or else those of the
	// machine; a candidate has the address of the PacketConn. A PacketConn that is not
	// a *net.UDPConn is served as HostConfig.PacketConn says. It is closed with the
	// connection. ListenPacket is called with the connection's lock held, and must not
	// wait. A Host opens its own sockets.
	ListenPacket func(ctx context.Context, network, address string) (net.PacketConn, error) `json:"-"`
	// Resolve, if set, looks up the names of STUN and TURN servers.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error) `json:"-"`
	// DialContext, if set, opens the connection's TCP connections: those to TURN servers
	// over TCP and TLS, and those of active TCP candidates; network is "tcp". Without
	// Resolve it gets the names of servers, which a proxy looks up. With TLS the
	// handshake follows.
	//
	// With ListenPacket, Resolve or DialContext the connection does not use multicast
	// DNS: MDNSCandidates is not possible, and candidates of the remote with names
	// ending in .local are not used. A connection whose datagrams go through a proxy
	// only sets DialContext, DisableUDP, ICETransportPolicyRelay and servers over TCP
	// or TLS.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error) `json:"-"`
	// MinPort and MaxPort, if not 0, are the first and the last port for the
	// connection's own UDP sockets, except those to TURN servers.
	MinPort, MaxPort uint16 `json:"-"`
	// PublicAddresses are the addresses that a 1:1 NAT, such as a cloud's, gives the
	// machine's addresses, port for port.
	PublicAddresses []PublicAddress `json:"-"`
	// MDNSCandidates hides the machine's addresses: candidates have random names
	// ending in .local in their place, for which the connection answers by multicast
	// DNS, like browsers (draft-ietf-mmusic-mdns-ice-candidates). Others can resolve
	// them within the same network only. Beyond it, server-reflexive and relayed
	// candidates connect, which do not have the addresses either.
	MDNSCandidates bool `json:"-"`
	// DisableTCP leaves out active TCP candidates (RFC 6544), which connect to a
	// remote that listens on TCP, such as a Host with a TCPAddr. With them, a remote
	// can make this end open connections to addresses of its choice, just as it can
	// make it send checks over UDP. A Host without a TCPAddr has no active TCP
	// candidates.
	DisableTCP bool `json:"-"`
	// PlainCandidates signals UDP candidates only, and no empty last one: Godot's
	// native plugin prints a warning for the others. It implies DisableTCP.
	PlainCandidates bool `json:"-"`
	// ICELite makes this end ICE-lite (RFC 8445 §2.5): it has host candidates only,
	// sends no checks and answers checks. It is for servers that everybody can reach;
	// the remote must not be lite. It sends data to the source address of the remote's
	// checks without checking it: a remote that forges that address can direct data to
	// others, up to what it acknowledges blindly (RFC 8445 §19.5).
	ICELite bool `json:"-"`
	// ICEUfrag and ICEPwd are the local ICE credentials until the first ICE restart,
	// which draws new ones. They are for remotes that know the credentials before they
	// have a description, as with Host.Accept. Letters, digits, + and /: 4 to 256 of
	// them, and 22 to 256. Both are set, or neither: then they are random. A password
	// that can be guessed lets others send checks in the remote's name. Two
	// connections of a Host cannot have the same ufrag at a time.
	ICEUfrag, ICEPwd string `json:"-"`
	// MinDTLS and MaxDTLS are version numbers: tls.VersionTLS12 and VersionTLS13, or
	// those on the wire, 0xfefd and 0xfefc. 0: all versions.
	MinDTLS, MaxDTLS uint16 `json:"-"`
	// DisableSNAP leaves a=sctp-init out of descriptions (draft-hancke-tsvwg-snap). With
	// it, the association of two ends that both know it is established as soon as DTLS
	// is; other remotes ignore it.
	DisableSNAP bool `json:"-"`
	// DisableSPED keeps the DTLS handshake out of ICE's checks
	// (draft-hancke-webrtc-sped). With it, two ends that both know it save the round trip
	// of the checks. Other remotes ignore it.
	DisableSPED bool `json:"-"`
	// MaxMessageSize is the longest message in bytes, both ways; it is signalled. 0:
	// 262144. The receive window is never smaller. A longer message closes its
	// channel.
	MaxMessageSize int `json:"-"`
	// MemoryLimit is how many bytes of data and channels the remote can make this end
	// keep: messages that the program has not read, fragments, channels with their
	// labels, and SCTP's state of streams. 0: the receive window, which is 1 MiB and
	// grows to 16 MiB if the program reads fast, and sctp.DefaultReserve beside it. At
	// least 2.5 times MaxMessageSize, and 320 KiB. Data beyond it is dropped or
	// refused; the connection ends if nothing else helps. See sctp.Memory.
	MemoryLimit int `json:"-"`
	// MaxChannels is how many channels may be open at a time, of both ends together;
	// 0: 65535. CreateDataChannel fails beyond it, and a channel of the remote is
	// closed at once.
	MaxChannels int `json:"-"`
	// ReceiveWindow is how many bytes of messages that the program has not read the
	// remote may send. 0: 1 MiB, which grows to 16 MiB if the program reads fast. Other
	// values stay as they are. At least MaxMessageSize.
	ReceiveWindow int `json:"-"`
	// SendBufferSize is how many bytes may be queued on a channel; 0: 4 MiB.
	SendBufferSize int `json:"-"`
	// MaxDatagramSize is the longest UDP payload in bytes that is sent, and turns path
	// MTU discovery off. 0: 1200, which every IPv6 path carries, and more where
	// discovery finds it. At least 576.
	MaxDatagramSize int `json:"-"`
	// CongestionControl chooses the congestion controller. The zero value measures the
	// path, like BBR: it keeps its speed where packets are lost at random, keeps
	// queues short, and was measured to share with flows like itself and with Reno.
	// CUBIC and Reno behave like TCP.
	CongestionControl sctp.CongestionControl `json:"-"`
	// GatherTimeout is how long gathering waits for STUN and TURN servers, look-ups of
	// their names included. 0: 10 s. A later answer still brings its candidate. Report
	// names the servers that have not answered.
	GatherTimeout time.Duration `json:"-"`
	// DisconnectedTimeout is how long after the remote's last answer the connection
	// becomes StateDisconnected. 0: 8 s. At least 1 s.
	DisconnectedTimeout time.Duration `json:"-"`
	// FailedTimeout is how long after the remote's last answer a connection that was
	// established becomes StateFailed. 0: 30 s, which is also the most: nobody may send
	// longer without an answer (RFC 7675 §5.1). At least DisconnectedTimeout.
	FailedTimeout time.Duration `json:"-"`
	// KeepaliveInterval is the mean time between two keepalives, which are ICE's consent
	// requests and are answered. 0: 5 s, or less if DisconnectedTimeout demands it. At
	// least 500 ms; at most two thirds of DisconnectedTimeout, so that the answer to
	// one keepalive comes before the next one is overdue.
	KeepaliveInterval time.Duration `json:"-"`
	// DSCP is the differentiated services code point, 0 to 63, of the connection's own
	// UDP sockets (RFC 8837 §5 has 0, 10, 18 and 26 for data). Systems may ignore it;
	// where they refuse it, the log has a warning. It has no effect on a Host: see
	// HostConfig.DSCP.
	DSCP int `json:"-"`
	// BusyPoll is how long the goroutine that reads one of the connection's own UDP
	// sockets looks for the next datagram before it sleeps. 0: it sleeps at once. With
	// some 100 µs, answers are faster while messages follow each other closely, but a
	// processor is busy meanwhile. At most one second. It has no effect on systems
	// other than Linux; for a Host, see HostConfig.BusyPoll.
	BusyPoll time.Duration `json:"-"`
	// TLSConfig is for connections to turns: servers. Nil: the machine's certificate
	// authorities, and the URL's host as the name. Over DTLS only RootCAs, ServerName,
	// Time and InsecureSkipVerify are used.
	TLSConfig *tls.Config `json:"-"`
	// Filter, if set, is called with every datagram of the connection's sockets; false
	// drops it. It is for tests with a bad network, and is called with the
	// connection's lock held: a slow Filter delays only its own connection.
	Filter func(outgoing bool, datagram []byte) bool `json:"-"`
	// KeyLogWriter gets the DTLS secrets in NSS format, for Wireshark. They make the
	// encryption void: for debugging only.
	KeyLogWriter io.Writer `json:"-"`
	// EventLog gets a log of the connection for programs that draw or analyse it: ICE
	// checks, DTLS flights, SCTP packets with losses and estimates of the path, and all
	// states. It is a JSON text sequence like qlog; EVENTLOG.md describes it. It shows
	// addresses, sizes and times to its reader, but no keys, passwords, labels or
	// contents. Connections may share a writer: their records have different group ids,
	// and Write is called by one goroutine at a time. It gets whole records, with the
	// connection's lock held: a slow writer delays the connections that have logs. After
	// an error of Write, which Logger gets, the connection goes on without its log.
	EventLog io.Writer `json:"-"`
	// PacketCapture gets the datagrams of the connection in the format pcapng, for
	// Wireshark, together with the DTLS secrets. A second interface in the capture has
	// the SCTP packets inside DTLS. Datagrams over TCP or TLS are written as if UDP
	// carried them, with a comment that says so. The secrets and the SCTP packets show
	// everything that is sent, and make the encryption void: for debugging only. For its calls and errors, see
	// EventLog.
	PacketCapture io.Writer `json:"-"`
	// Logger gets what helps to find out why a connection does not come about. Nil: no
	// log.
	Logger *slog.Logger `json:"-"`

	incoming *incomingRemote // of Incoming.Connect; nil: the remote has a description
	foreign  bool            // listenUDP has opened a PacketConn that is not a UDP socket of the system
	ignored  *[]string       // keys of the JSON form without effect, for the log; nil: none
}

// Defaults and limits of Config.
const (
	defaultMaxMessageSize = 262144  // what browsers advertise
	defaultSendBufferSize = 4 << 20 // half of Chromium's send buffer; enough for 4 MiB/s at a round trip of 1 s
	defaultDatagramSize   = 1200    // browsers': the 1280 bytes of RFC 8200 less IPv6, UDP and TURN headers
	minDatagramSize       = 576
	maxDatagramSize       = 65000
	maxMessageSizeLimit   = 1 << 30
	defaultGatherTimeout  = 10 * time.Second
	maxBusyPoll           = time.Second
	maxDSCP               = 63
	minDisconnected       = time.Second
	minKeepalive          = 500 * time.Millisecond
)

// An ICEServer is a STUN or TURN server, under one or several URLs
// (RFC 7064, RFC 7065).
type ICEServer struct {
	URLs       []string `json:"urls"` // in JSON also a single string
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// ChannelOptions are the properties of a data channel. The zero value is an ordered,
// reliable channel that is announced to the remote in band. In code:
//
//	ChannelOptions{Ordered: new(false), MaxRetransmits: new(0)}
type ChannelOptions struct {
	// Negotiated says that both ends create the channel, with the same ID. Data that
	// arrives before this end has created it is kept, up to 256 KiB of all channels; a
	// reliable channel whose data was dropped is closed at once.
	Negotiated bool `json:"negotiated"`
	// ID is the stream, 0 to 65534: set if and only if Negotiated. If the remote
	// supports fewer streams, a channel beyond them is closed with an error that says
	// so.
	ID *int `json:"id"`
	// MaxRetransmits is how often a packet is retransmitted at most. At most one of
	// MaxRetransmits and MaxPacketLifeTime is set.
	MaxRetransmits *int `json:"maxRetransmits"`
	// MaxPacketLifeTime is how long after PutPacket, in milliseconds, lost data of a
	// packet is retransmitted. A packet that has begun is finished, unless a part of
	// it is lost after its lifetime. A packet that waits for its turn is dropped after
	// its lifetime, but not within three round trips or 50 ms: so 1 ms loses nothing
	// on a path without loss that carries what the program sends.
	MaxPacketLifeTime *int `json:"maxPacketLifeTime"`
	// Ordered: nil means true. False without limits is a reliable, unordered channel.
	Ordered *bool `json:"ordered"`
	// Protocol is the program's name of the subprotocol on the channel.
	Protocol string `json:"protocol"`
	// InBandID is the stream of a channel that is not Negotiated, 0 to 65534. Nil: the
	// next free one. The DTLS client, which is usually the answerer, opens channels
	// with even ids, and the server with odd ones (RFC 8832 §6). A channel that was
	// created with another id before the roles were known is closed, with an error
	// that says so, when the connection is established. It is not in the dictionary.
	InBandID *int `json:"-"`
	// Priority weighs the channel's data against that of other channels. It is not in
	// the dictionary. It is signalled to the remote, unless Negotiated.
	Priority Priority `json:"-"`
}

// check returns an error if the configuration is invalid.
func (cfg *Config) check() error {
	for _, s := range cfg.ICEServers {
		if _, err := s.parse(); err != nil {
			return err
		}
	}
	switch {
	case cfg.MaxMessageSize < 0 || cfg.MaxMessageSize > maxMessageSizeLimit:
		return invalid("MaxMessageSize %d is not 0 to %d", cfg.MaxMessageSize, maxMessageSizeLimit)
	case cfg.MemoryLimit != 0 && cfg.MemoryLimit < sctp.MinMemoryLimit(cfg.maxReceived()):
		return invalid("MemoryLimit %d is not 0 or at least %d", cfg.MemoryLimit, sctp.MinMemoryLimit(cfg.maxReceived()))
	case cfg.MaxChannels < 0 || cfg.MaxChannels > 65535:
		return invalid("MaxChannels %d is not 0 to 65535", cfg.MaxChannels)
	case cfg.SendBufferSize < 0:
		return invalid("SendBufferSize %d is negative", cfg.SendBufferSize)
	case cfg.GatherTimeout < 0:
		return invalid("GatherTimeout %v is negative", cfg.GatherTimeout)
	case cfg.ReceiveWindow != 0 && cfg.ReceiveWindow < cfg.maxMessageSize():
		return invalid("ReceiveWindow %d is not 0 or at least MaxMessageSize, %d", cfg.ReceiveWindow, cfg.maxMessageSize())
	case cfg.DSCP < 0 || cfg.DSCP > maxDSCP:
		return invalid("DSCP %d is not 0 to %d", cfg.DSCP, maxDSCP)
	case cfg.DisableUDP && cfg.MDNSCandidates:
		return invalid("MDNSCandidates need UDP: they cannot be used with DisableUDP")
	case cfg.BusyPoll < 0 || cfg.BusyPoll > maxBusyPoll:
		return invalid("BusyPoll %v is not 0 to %v", cfg.BusyPoll, maxBusyPoll)
	case cfg.CongestionControl > sctp.CongestionReno:
		return invalid("CongestionControl %d is unknown", cfg.CongestionControl)
	case cfg.MaxDatagramSize != 0 && (cfg.MaxDatagramSize < minDatagramSize || cfg.MaxDatagramSize > maxDatagramSize):
		return invalid("MaxDatagramSize %d is not 0 or %d to %d", cfg.MaxDatagramSize, minDatagramSize, maxDatagramSize)
	case cfg.ICETransportPolicy != ICETransportPolicyAll && cfg.ICETransportPolicy != ICETransportPolicyRelay:
		return invalid("ICETransportPolicy %d is unknown", cfg.ICETransportPolicy)
	case cfg.IPFamily < IPFamilyAny || cfg.IPFamily > IPFamily6:
		return invalid("IPFamily %d is unknown", cfg.IPFamily)
	case (cfg.MinPort == 0) != (cfg.MaxPort == 0) || cfg.MinPort > cfg.MaxPort:
		return invalid("MinPort %d and MaxPort %d are no range", cfg.MinPort, cfg.MaxPort)
	case cfg.Certificate != nil && (len(cfg.Certificate.Certificate) == 0 || cfg.Certificate.PrivateKey == nil):
		return invalid("Certificate has no certificate or no private key")
	case cfg.Host != nil && len(cfg.Host.sockets) == 0:
		return invalid("Host was not made by NewHost")
	}
	if cfg.MDNSCandidates && cfg.custom() {
		return invalid("MDNSCandidates is not possible with ListenPacket, Resolve or DialContext: multicast DNS has sockets of its own")
	}
	if err := cfg.checkCredentials(); err != nil {
		return err
	}
	if cfg.ICELite && (len(cfg.ICEServers) > 0 || cfg.ICETransportPolicy != ICETransportPolicyAll) {
		return invalid("ICELite has host candidates only: no ICEServers and no relays")
	}
	for _, a := range cfg.LocalAddresses {
		switch {
		case a.IsUnspecified():
			return invalid("LocalAddresses: %v is no address of the machine: leave them empty for all, or set IPFamily for those of a family", a)
		case !a.IsValid() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return invalid("LocalAddresses: %v is not an address to bind to", a)
		}
	}
	for _, a := range cfg.PublicAddresses {
		if !a.Public.IsValid() || a.Public.IsUnspecified() || a.Public.IsMulticast() || a.Local.IsValid() && a.Local.Unmap().Is4() != a.Public.Unmap().Is4() {
			return invalid("public address %v cannot stand for %v", a.Public, a.Local)
		}
	}
	if err := cfg.checkConsent(); err != nil {
		return err
	}
	return cfg.checkDTLS()
}

// checkConsent checks the times after which a connection is disconnected or failed.
func (cfg *Config) checkConsent() error {
	times := cfg.consentTimes()
	switch {
	case times.Stale < minDisconnected:
		return invalid("DisconnectedTimeout %v is not 0 or at least %v", times.Stale, minDisconnected)
	case times.Expires < times.Stale || times.Expires > ice.DefaultConsentExpires:
		return invalid("FailedTimeout %v is not 0 or between DisconnectedTimeout, %v, and %v", times.Expires, times.Stale, ice.DefaultConsentExpires)
	case times.Interval < minKeepalive || times.Interval > times.Stale*2/3:
		return invalid("KeepaliveInterval %v is not 0 or between %v and two thirds of DisconnectedTimeout, %v", times.Interval, minKeepalive, times.Stale)
	}
	return nil
}

func (cfg *Config) consentTimes() ice.ConsentTimes {
	stale := orDefault(cfg.DisconnectedTimeout, ice.DefaultConsentStale)
	return ice.ConsentTimes{
		Stale:    stale,
		Expires:  orDefault(cfg.FailedTimeout, ice.DefaultConsentExpires),
		Interval: orDefault(cfg.KeepaliveInterval, min(ice.DefaultConsentInterval, stale*2/3)),
	}
}

// Lengths of the ufrag and the password of ICE (RFC 8839 §5.4).
const (
	minICEUfrag      = 4
	minICEPwd        = 22
	maxICECredential = 256
)

// checkCredentials checks ICEUfrag and ICEPwd.
func (cfg *Config) checkCredentials() error {
	switch {
	case cfg.ICEUfrag == "" && cfg.ICEPwd == "":
	case cfg.ICEUfrag == "" || cfg.ICEPwd == "":
		return invalid("ICEUfrag and ICEPwd: set both, or leave both empty")
	case len(cfg.ICEUfrag) < minICEUfrag || len(cfg.ICEUfrag) > maxICECredential || !iceChars(cfg.ICEUfrag):
		return invalid("ICEUfrag is not %d to %d letters, digits, + and /", minICEUfrag, maxICECredential)
	case len(cfg.ICEPwd) < minICEPwd || len(cfg.ICEPwd) > maxICECredential || !iceChars(cfg.ICEPwd):
		return invalid("ICEPwd is not %d to %d letters, digits, + and /", minICEPwd, maxICECredential)
	}
	return nil
}

// iceChars reports whether s consists of ice-char (RFC 8839 §5.1).
func iceChars(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '+', c == '/':
		default:
			return false
		}
	}
	return true
}

// checkDTLS returns DTLS's error, before anything is offered.
func (cfg *Config) checkDTLS() error {
	minVersion, err := dtlsVersion(cfg.MinDTLS)
	if err != nil {
		return err
	}
	maxVersion, err := dtlsVersion(cfg.MaxDTLS)
	if err != nil {
		return err
	}
	if cfg.Certificate == nil && minVersion == 0 && maxVersion == 0 {
		return nil
	}
	anybody := []dtls.Fingerprint{{Hash: "sha-256", Value: make([]byte, 32)}}
	if _, err := dtls.NewConn(dtls.Config{
		Client: cfg.Certificate == nil, Certificate: cfg.Certificate, Fingerprints: anybody, MinVersion: minVersion, MaxVersion: maxVersion,
	}); err != nil {
		return invalid("%w", err)
	}
	return nil
}

func (cfg *Config) gatherTimeout() time.Duration {
	return orDefault(cfg.GatherTimeout, defaultGatherTimeout)
}

func (cfg *Config) maxMessageSize() int { return orDefault(cfg.MaxMessageSize, defaultMaxMessageSize) }

// maxReceived is the longest message that SCTP accepts: one of the program, or a
// DATA_CHANNEL_OPEN.
func (cfg *Config) maxReceived() int { return max(cfg.maxMessageSize(), datachannel.MaxOpenSize) }

func (cfg *Config) sendBufferSize() int  { return orDefault(cfg.SendBufferSize, defaultSendBufferSize) }
func (cfg *Config) maxDatagramSize() int { return orDefault(cfg.MaxDatagramSize, defaultDatagramSize) }

func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// check returns an error if a channel's label or options are invalid.
func (o *ChannelOptions) check(label string) error {
	switch {
	case len(label) > 65535:
		return invalid("label of %d bytes is longer than 65535", len(label)) // RFC 8832 §5.1
	case !utf8.ValidString(label):
		return invalid("label is not UTF-8")
	case len(o.Protocol) > 65535:
		return invalid("protocol of %d bytes is longer than 65535", len(o.Protocol))
	case !utf8.ValidString(o.Protocol):
		return invalid("protocol is not UTF-8")
	case o.Negotiated && o.ID == nil:
		return invalid("negotiated without an id")
	case o.InBandID != nil && (o.Negotiated || *o.InBandID < 0 || *o.InBandID > 65534):
		return invalid("InBandID %d is not 0 to 65534 of a channel that is not negotiated", *o.InBandID)
	case !o.Negotiated && o.ID != nil:
		return invalid("an id without negotiated")
	case o.ID != nil && (*o.ID < 0 || *o.ID > 65534):
		return invalid("id %d is not 0 to 65534", *o.ID)
	case o.MaxRetransmits != nil && o.MaxPacketLifeTime != nil:
		return invalid("both maxRetransmits and maxPacketLifeTime")
	case o.MaxRetransmits != nil && (*o.MaxRetransmits < 0 || *o.MaxRetransmits > 65535):
		return invalid("maxRetransmits %d is not 0 to 65535", *o.MaxRetransmits)
	case o.Priority < 0 || int(o.Priority) >= len(priorityWeights):
		return invalid("priority %d is not one of the four", int(o.Priority))
	case o.MaxPacketLifeTime != nil && (*o.MaxPacketLifeTime < 0 || *o.MaxPacketLifeTime > 65535):
		return invalid("maxPacketLifeTime %d is not 0 to 65535", *o.MaxPacketLifeTime)
	}
	return nil
}

// ordered is Ordered with its default.
func (o *ChannelOptions) ordered() bool { return o.Ordered == nil || *o.Ordered }

// UnmarshalJSON reads the dictionary of Godot's initialize, or a browser's
// RTCConfiguration: iceServers and iceTransportPolicy. Other keys of browsers and of
// Godot's native plugin are ignored, and Initialize logs them; null counts as absent.
// Unknown keys, repeated keys and wrong types are ErrInvalidParameter.
func (cfg *Config) UnmarshalJSON(b []byte) error {
	out := *cfg
	var ignored []string
	err := eachMember(b, "configuration", func(key string, value json.RawMessage) error {
		switch key {
		case "iceServers":
			out.ICEServers = nil
			if isNull(value) {
				return nil
			}
			servers, err := elements(value, key)
			if err != nil {
				return err
			}
			out.ICEServers = make([]ICEServer, len(servers))
			for i, v := range servers {
				keys, err := out.ICEServers[i].read(v)
				if err != nil {
					return err
				}
				ignored = append(ignored, keys...)
			}
		case "iceTransportPolicy":
			policy := "all"
			var err error
			if !isNull(value) {
				policy, err = text(value, key)
			}
			switch {
			case err != nil:
				return err
			case policy == "relay":
				out.ICETransportPolicy = ICETransportPolicyRelay
			case policy == "all":
				out.ICETransportPolicy = ICETransportPolicyAll
			default:
				return invalid("iceTransportPolicy is %q, not \"all\" or \"relay\"", policy)
			}
		case "bundlePolicy", "rtcpMuxPolicy", "iceCandidatePoolSize", "certificates", "peerIdentity", "sdpSemantics", "libdatachannel":
			if !isNull(value) {
				ignored = append(ignored, key)
			}
		default:
			return invalid("unknown key %q", key)
		}
		return nil
	})
	out.ignored = nil
	if len(ignored) > 0 {
		out.ignored = &ignored
	}
	if err == nil {
		*cfg = out
	}
	return err
}

// MarshalJSON writes the dictionary, without absent values.
func (cfg Config) MarshalJSON() ([]byte, error) {
	var policy string
	if cfg.ICETransportPolicy == ICETransportPolicyRelay {
		policy = "relay"
	}
	return json.Marshal(struct {
		ICEServers         []ICEServer `json:"iceServers,omitempty"`
		ICETransportPolicy string      `json:"iceTransportPolicy,omitempty"`
	}{cfg.ICEServers, policy})
}

// UnmarshalJSON reads one server of the dictionary; see [Config.UnmarshalJSON].
func (s *ICEServer) UnmarshalJSON(b []byte) error {
	_, err := s.read(b)
	return err
}

// read is UnmarshalJSON, and returns the ignored keys.
func (s *ICEServer) read(b []byte) (ignored []string, err error) {
	var out ICEServer
	err = eachMember(b, "server", func(key string, value json.RawMessage) (err error) {
		if isNull(value) && slices.Contains([]string{"urls", "url", "username", "credential", "credentialType"}, key) {
			return nil
		}
		switch key {
		case "urls", "url": // browsers once used url
			if out.URLs != nil {
				return invalid("both urls and url")
			}
			out.URLs, err = stringOrStrings(value, key)
		case "credentialType":
			ignored = append(ignored, key)
		case "username":
			out.Username, err = text(value, key)
		case "credential":
			out.Credential, err = text(value, key)
		default:
			err = invalid("unknown key %q", key)
		}
		return err
	})
	if err == nil {
		*s = out
	}
	return ignored, err
}

func isNull(value json.RawMessage) bool { return string(value) == "null" }

// UnmarshalJSON reads Godot's dictionary. Unknown and repeated keys and wrong types
// are ErrInvalidParameter.
func (o *ChannelOptions) UnmarshalJSON(b []byte) error {
	var out ChannelOptions
	err := eachMember(b, "channel options", func(key string, value json.RawMessage) (err error) {
		switch key {
		case "negotiated":
			out.Negotiated, err = boolean(value, key)
		case "ordered":
			var v bool
			v, err = boolean(value, key)
			out.Ordered = &v
		case "id":
			out.ID, err = whole(value, key)
		case "maxRetransmits":
			out.MaxRetransmits, err = whole(value, key)
		case "maxPacketLifeTime", "maxPacketLifetime": // Godot's documentation has both spellings
			if out.MaxPacketLifeTime != nil {
				return invalid("maxPacketLifeTime is given twice")
			}
			out.MaxPacketLifeTime, err = whole(value, key)
		case "protocol":
			out.Protocol, err = text(value, key)
		default:
			err = invalid("unknown key %q", key)
		}
		return err
	})
	if err == nil {
		*o = out
	}
	return err
}

// MarshalJSON writes Godot's dictionary, without absent values.
func (o ChannelOptions) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Negotiated        bool   `json:"negotiated,omitempty"`
		ID                *int   `json:"id,omitempty"`
		MaxRetransmits    *int   `json:"maxRetransmits,omitempty"`
		MaxPacketLifeTime *int   `json:"maxPacketLifeTime,omitempty"`
		Ordered           *bool  `json:"ordered,omitempty"`
		Protocol          string `json:"protocol,omitempty"`
	}{o.Negotiated, o.ID, o.MaxRetransmits, o.MaxPacketLifeTime, o.Ordered, o.Protocol})
}

// eachMember calls f for each member of a JSON object. encoding/json alone would
// ignore the case of keys and accept repeated ones.
func eachMember(b []byte, what string, f func(key string, value json.RawMessage) error) error {
	var whole json.RawMessage
	if err := json.Unmarshal(b, &whole); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return invalid("%s is not a JSON object", what)
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		key := t.(string) // encoding/json allows no other token here
		if seen[key] {
			return invalid("key %q is given twice", key)
		}
		seen[key] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

func elements(b json.RawMessage, key string) ([]json.RawMessage, error) {
	var v []json.RawMessage
	if b[0] != '[' || json.Unmarshal(b, &v) != nil {
		return nil, invalid("%s is not an array", key)
	}
	return v, nil
}

func stringOrStrings(b json.RawMessage, key string) ([]string, error) {
	if b[0] == '"' {
		s, err := text(b, key)
		return []string{s}, err
	}
	list, err := elements(b, key)
	if err != nil {
		return nil, invalid("%s is neither a string nor an array of strings", key)
	}
	out := make([]string, len(list))
	for i, e := range list {
		if out[i], err = text(e, key); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func text(b json.RawMessage, key string) (string, error) {
	var v string
	if b[0] != '"' || json.Unmarshal(b, &v) != nil {
		return "", invalid("%s is not a string", key)
	}
	return v, nil
}

func boolean(b json.RawMessage, key string) (bool, error) {
	switch string(b) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, invalid("%s is not true or false", key)
}

// whole reads a whole number, which Godot writes as 1.0.
func whole(b json.RawMessage, key string) (*int, error) {
	v, err := strconv.ParseFloat(string(b), 64)
	if err != nil || v != math.Trunc(v) || math.Abs(v) > 1<<31 {
		return nil, invalid("%s is not a whole number", key)
	}
	n := int(v)
	return &n, nil
}
