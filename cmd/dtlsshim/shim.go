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
	alertDecompressionFailure = 30               // RFC 5246 §7.2.2; what the runner waits for
	maxTimeouts               = 13               // in a row; the runner expects that to be the end
	maxTimeout                = 60 * time.Second // RFC 6347 §4.2.4.1, which the runner expects

	// clockTick is how coarse this owner's clock is: a timer that is due
	// within a tick is run. The runner expects 10 ms.
	clockTick = 10 * time.Millisecond
)

// A shim is one connection under test, in virtual time.
type shim struct {
	o     *options
	w     *wire
	conn  *dtls.Conn
	now   time.Time
	mtu   int
	begun bool // the handshake is over, and what follows it done

	session  *dtls.Session // what the next connection may resume
	sessions int           // how many came
	timeouts int           // since anything came
}

// run makes the connections that the flags want, one after the other.
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

// connect makes one connection, which resumes session if there is one.
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
		// The runner did not wait for our last words.
		return s, s.conn.Err()
	}
	return s, err
}

// run goes on until the connection ends.
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

// config makes the connection's configuration from the flags.
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
		// The runner expects nothing before its clock says so, and complaints
		// about whatever it sends.
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
		cfg.ALPN = []string{"none of yours"}
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
	// The default certificate is the last resort.
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

// load reads the certificate and its key.
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

var errVerifyFailed = errors.New("certificate refused: as the flags want it")

// verifyPeer judges the far end's certificates as the flags want it. The
// alerts are those that the runner expects.
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

// handle does what the runner said.
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

// expectTimeout checks when our next timeout is; want is negative for none.
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

// read gives a datagram to the connection and echoes its data.
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

// settle sends what is to be sent and, once, does what follows the handshake.
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

// takeSessions keeps the newest session.
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

// afterHandshake checks what was agreed on, and writes what is to be written
// before anything is read.
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
		s.conn.Abort(alertDecompressionFailure, errors.New("the flags want it"))
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

// done tells whether the connection came to its good end.
func (s *shim) done() bool {
	return s.begun && errors.Is(s.conn.Err(), dtls.ErrPeerClosed)
}

// ended judges the end of what the runner sends.
func (s *shim) ended(err error) error {
	switch {
	case s.conn.Err() != nil && !errors.Is(s.conn.Err(), dtls.ErrPeerClosed) && !errors.Is(s.conn.Err(), dtls.ErrClosed):
		return s.conn.Err()
	case !errors.Is(err, io.EOF):
		return err
	case !s.begun:
		return errors.New("the far end went during the handshake")
	}
	return nil
}
