package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"purertc/dtls"
)

const (
	defaultMTU                = 1400
	defaultTimeout            = 400 * time.Millisecond
	alertDecompressionFailure = 30               // RFC 5246 §7.2.2; the runner expects this alert
	maxTimeouts               = 13               // number of consecutive timeouts after which the runner expects a failure
	maxTimeout                = 60 * time.Second // the maximum of RFC 6347 §4.2.4.1, which the runner expects

	// clockTick is the resolution of the shim's clock: a timer that runs out within
	// the next clockTick is handled now. The runner expects 10 ms.
	clockTick = 10 * time.Millisecond
)

// A shim is one connection that is tested. Its time is virtual.
type shim struct {
	o     *options
	w     *wire
	conn  *dtls.Conn
	now   time.Time
	mtu   int
	begun bool // the handshake has finished, and afterHandshake was called

	session  *dtls.Session // the newest session; the next connection may resume it
	sessions int           // number of sessions that were received
	timeouts int           // number of timeouts since the connection last made progress
}

// run makes all connections of a test, one after another.
func run(args []string) error {
	initial, err := parseFlags(args, false)
	if err != nil {
		return err
	}
	resumed, err := parseFlags(args, true)
	if err != nil {
		return err
	}
	now := time.Unix(1<<30, 0)
	var session *dtls.Session
	for i := range 1 + initial.resumeCount {
		o := initial
		if i > 0 {
			o = resumed
		}
		s, err := connect(o, now, session)
		if err != nil {
			return err
		}
		session, now = s.session, s.now
	}
	return nil
}

// connect makes one connection. If session is not nil, the connection resumes it.
func connect(o *options, now time.Time, session *dtls.Session) (*shim, error) {
	s := &shim{o: o, now: now, mtu: defaultMTU, session: session}
	cfg, err := s.config()
	if err != nil {
		return nil, err
	}
	if s.conn, err = dtls.NewConn(cfg); err != nil {
		return nil, err
	}
	if s.w, err = dial(o); err != nil {
		return nil, err
	}
	defer s.w.close()
	err = s.run()
	var network *net.OpError
	if errors.As(err, &network) && s.conn.Err() != nil {
		// The runner has not waited for the last alert.
		return s, s.conn.Err()
	}
	return s, err
}

// run runs the connection until it ends.
func (s *shim) run() error {
	o := s.o
	if o.mtu != 0 {
		s.mtu = o.mtu
	}
	s.conn.Start(s.now)
	for {
		if err := s.settle(); err != nil {
			return err
		}
		if s.done() {
			return nil
		}
		c, err := s.w.next()
		if err != nil {
			return s.ended(err)
		}
		if err := s.handle(c); err != nil {
			return err
		}
	}
}

// config returns the configuration that the flags describe.
func (s *shim) config() (cfg dtls.Config, err error) {
	o := s.o
	var ok bool
	cfg = dtls.Config{
		Client:           !o.server,
		Groups:           o.curves,
		SignatureSchemes: o.verifyPrefs,
		SRTPProfiles:     o.srtpProfiles,
		ALPN:             o.advertiseALPN,
		ServerName:       o.hostName,
		InitialTimeout:   defaultTimeout,
		MaxTimeout:       maxTimeout,
		HandshakeTimeout: -1,
		// The runner expects that nothing is retransmitted before the timer runs out.
		// It expects an error for each of its violations.
		PatientRetransmission: true,
		Strict:                true,
		NeedCertificate:       true,
	}
	if cfg.MinVersion, cfg.MaxVersion, ok = o.versions(); !ok {
		return cfg, errors.New("no supported versions enabled")
	}
	for _, g := range o.curves {
		switch g {
		case dtls.GroupP256, dtls.GroupP384, dtls.GroupX25519, dtls.GroupX25519MLKEM768:
		default:
			return cfg, errUnimplemented
		}
	}
	if o.initialTimeoutMS != 0 {
		cfg.InitialTimeout = time.Duration(o.initialTimeoutMS) * time.Millisecond
	}
	if o.server && !o.noServerNameAck {
		cfg.ServerName = o.expectServerName
	}
	if o.selectALPN != "" {
		cfg.ALPN = []string{o.selectALPN}
	}
	if o.rejectALPN {
		cfg.ALPN = []string{"none of the client's"}
	}
	if !o.noTicket {
		cfg.Tickets = true
		cfg.TicketKeys = []dtls.TicketKey{{}}
		if o.renewTicket && o.resumes {
			cfg.TicketKeys = []dtls.TicketKey{{1}, {}}
		}
		if o.skipTicket {
			cfg.TicketKeys = nil
		}
		cfg.Session = s.session
	}
	// The default certificate is chosen only if no other one is accepted.
	slices.SortStableFunc(o.credentials, func(a, b credential) int {
		if a.listed == b.listed {
			return 0
		} else if a.listed {
			return -1
		}
		return 1
	})
	for i := range o.credentials {
		cert, err := o.credentials[i].load()
		if err != nil {
			return cfg, err
		}
		cfg.Certificates = append(cfg.Certificates, cert)
		if o.credentials[i].mustMatchIssuer {
			cfg.MustMatchIssuer = append(cfg.MustMatchIssuer, cert)
		}
	}
	cfg.VerifyPeer = s.verifyPeer
	switch {
	case o.requireCertificate:
		cfg.ClientAuth = dtls.ClientAuthRequire
	case o.verifyPeer:
		cfg.ClientAuth = dtls.ClientAuthRequest
	default:
		cfg.ClientAuth = dtls.ClientAuthNone
	}
	return cfg, nil
}

// load reads the certificate and its private key from files.
func (c *credential) load() (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, err
	}
	for _, scheme := range c.schemes {
		cert.SupportedSignatureAlgorithms = append(cert.SupportedSignatureAlgorithms, tls.SignatureScheme(scheme))
	}
	return &cert, nil
}

var errVerifyFailed = errors.New("certificate refused, as the flags ask")

// verifyPeer accepts or rejects the peer's certificates, as the flags say. If it
// rejects them, it returns the alert that the runner expects.
func (s *shim) verifyPeer([][]byte) error {
	switch {
	case s.conn.ConnectionState().Resumed && !s.o.reverifyOnResume, !s.o.verifyFail:
		return nil
	case !s.o.verifyPeer && !s.o.useCustomVerify:
		return nil
	case s.o.useCustomVerify:
		return &dtls.AlertError{Alert: dtls.AlertCertificateUnknown, Err: errVerifyFailed}
	}
	return &dtls.AlertError{Alert: dtls.AlertHandshakeFailure, Err: errVerifyFailed}
}

// handle executes a command of the runner.
func (s *shim) handle(c command) error {
	switch c.op {
	case opPacket:
		before := s.conn.NextTimeout()
		err := s.read(c.datagram)
		if s.conn.NextTimeout() != before {
			s.timeouts = 0
		}
		return err
	case opTimeout:
		if _, err := s.w.conn.Write([]byte{opTimeoutAck}); err != nil {
			return err
		}
		s.now = s.now.Add(c.duration)
		before := s.conn.Stats().Retransmissions
		s.conn.Advance(s.now.Add(clockTick))
		if s.conn.Stats().Retransmissions > before {
			s.timeouts++
		}
		if s.timeouts == maxTimeouts {
			return errors.New("peer does not answer")
		}
	case opExpect:
		return s.expectTimeout(c.duration)
	case opMTU:
		s.mtu = c.mtu
	case opSetTimeout:
		s.conn.SetRTT(c.duration / 2)
	}
	return nil
}

// expectTimeout returns an error unless the time from now to the next timeout is want.
// If want is negative, no timeout is expected.
func (s *shim) expectTimeout(want time.Duration) error {
	got := time.Duration(-1)
	if at := s.conn.NextTimeout(); !at.IsZero() {
		got = max(0, at.Sub(s.now))
	}
	if got != want {
		return fmt.Errorf("next timeout in %v, want %v", got, want)
	}
	return nil
}

// read handles a received datagram and sends its application data back.
func (s *shim) read(datagram []byte) error {
	for len(datagram) > 0 {
		data, n := s.conn.HandleRecord(s.now, datagram)
		datagram = datagram[n:]
		if data == nil {
			continue
		}
		reply := make([]byte, len(data))
		for i, b := range data {
			reply[i] = b ^ 0xff
		}
		if err := s.settle(); err != nil {
			return err
		}
		if err := s.write(reply); err != nil {
			return err
		}
		if s.o.keyUpdate || s.o.keyUpdateBeforeRead {
			if err := s.conn.UpdateKeys(false); err != nil {
				return err
			}
		}
	}
	return nil
}

// write sends application data.
func (s *shim) write(data []byte) error {
	b := append(s.conn.BeginRecord(nil), data...)
	return s.w.send(s.conn.FinishRecord(b, 0))
}

// settle sends all datagrams that are pending. When the handshake has finished, it
// calls afterHandshake once.
func (s *shim) settle() error {
	for {
		b, ok := s.conn.AppendDatagram(s.now, nil, s.mtu)
		if !ok {
			break
		}
		if err := s.w.send(b); err != nil {
			return err
		}
	}
	s.takeSessions()
	if s.conn.Established() && !s.begun {
		s.begun = true
		return s.afterHandshake()
	}
	return nil
}

// takeSessions handles the connection's events. It stores the newest session.
func (s *shim) takeSessions() {
	for {
		e, ok := s.conn.NextEvent()
		if !ok {
			return
		}
		if e.Kind == dtls.EventSession {
			s.session = e.Session
			s.sessions++
		}
	}
}

// afterHandshake checks what the two ends have agreed on. It then writes the data
// that, as the flags say, is written before anything is read.
func (s *shim) afterHandshake() error {
	o, got := s.o, s.conn.ConnectionState()
	switch {
	case o.expectVersion != 0 && got.Version != o.expectVersion:
		return fmt.Errorf("version %v", got.Version)
	case o.expectCurve != 0 && got.Group != o.expectCurve:
		return fmt.Errorf("group %v", got.Group)
	case o.expectCipher != 0 && got.CipherSuite != o.expectCipher:
		return fmt.Errorf("suite %v", got.CipherSuite)
	case o.expectALPN != "" && got.ALPN != o.expectALPN:
		return fmt.Errorf("protocol %q", got.ALPN)
	case got.Resumed != (o.resumes && !o.expectSessionMiss):
		return fmt.Errorf("resumed: %t", got.Resumed)
	case !o.server && got.Version == dtls.VersionDTLS12 && !o.noTicket && (s.sessions > 0) != (!got.Resumed || o.expectTicketRenewal):
		return fmt.Errorf("%d new sessions", s.sessions)
	case o.expectHRR && !got.HelloRetryRequest, o.expectNoHRR && got.HelloRetryRequest:
		return fmt.Errorf("HelloRetryRequest: %t", got.HelloRetryRequest)
	case o.expectServerName != "" && got.ServerName != o.expectServerName:
		return fmt.Errorf("server name %q", got.ServerName)
	case o.expectNoSession && s.sessions > 0:
		return fmt.Errorf("%d sessions", s.sessions)
	case o.expectNoPeer && len(got.PeerCertificates) > 0:
		return errors.New("there is a peer certificate")
	}
	if o.exportLen > 0 {
		var context []byte
		if o.useExportContext {
			context = []byte(o.exportContext)
		}
		b, err := s.conn.ExportKeyingMaterial(o.exportLabel, context, o.exportLen)
		if err != nil {
			return err
		}
		if err := s.write(b); err != nil {
			return err
		}
	}
	if o.shimWritesFirst {
		if err := s.write([]byte(o.shimInitialWrite)); err != nil {
			return err
		}
	}
	if o.sendAlert {
		s.conn.Abort(alertDecompressionFailure, errors.New("the flags ask for an alert"))
	}
	if o.keyUpdateBeforeRead && !o.sendAlert {
		if err := s.conn.UpdateKeys(false); err != nil {
			return err
		}
	}
	if o.shimShutsDown {
		s.conn.Close(s.now)
	}
	return s.settle()
}

// done reports whether the connection was closed after its handshake had finished.
func (s *shim) done() bool {
	return s.begun && errors.Is(s.conn.Err(), dtls.ErrPeerClosed)
}

// ended returns the result of the test after the runner has closed the wire. err is
// the error of reading from the wire.
func (s *shim) ended(err error) error {
	switch {
	case s.conn.Err() != nil && !errors.Is(s.conn.Err(), dtls.ErrPeerClosed) && !errors.Is(s.conn.Err(), dtls.ErrClosed):
		return s.conn.Err()
	case !errors.Is(err, io.EOF):
		return err
	case !s.begun:
		return errors.New("the peer closed the connection during the handshake")
	}
	return nil
}
