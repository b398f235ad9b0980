package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"

	"purertc/dtls"
)

const (
	defaultMTU     = 1400
	defaultTimeout = 400 * time.Millisecond
	maxTimeout     = 60 * time.Second // RFC 6347 §4.2.4.1, which the runner expects
)

// A shim is one connection under test, in virtual time.
type shim struct {
	o     *options
	w     *wire
	conn  *dtls.Conn
	now   time.Time
	mtu   int
	begun bool // the handshake is over, and what follows it done
}

// run does what the flags want.
func run(o *options) error {
	cfg, err := config(o)
	if err != nil {
		return err
	}
	conn, err := dtls.NewConn(cfg)
	if err != nil {
		return err
	}
	w, err := dial(o)
	if err != nil {
		return err
	}
	defer w.close()
	s := &shim{o: o, w: w, conn: conn, now: time.Unix(1<<30, 0), mtu: defaultMTU}
	if o.mtu != 0 {
		s.mtu = o.mtu
	}
	conn.Start(s.now)
	for {
		if err := s.settle(); err != nil {
			return err
		}
		if s.done() {
			return nil
		}
		c, err := w.next()
		if err != nil {
			return s.ended(err)
		}
		if err := s.handle(c); err != nil {
			return err
		}
	}
}

// config makes the connection's configuration from the flags.
func config(o *options) (cfg dtls.Config, err error) {
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
	if o.selectALPN != "" {
		cfg.ALPN = []string{o.selectALPN}
	}
	if o.certFile != "" {
		cert, err := tls.LoadX509KeyPair(o.certFile, o.keyFile)
		if err != nil {
			return cfg, err
		}
		cfg.Certificate = &cert
	}
	cfg.VerifyPeer = func([][]byte) error {
		if o.verifyFail {
			return errors.New("verification failed")
		}
		return nil
	}
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

// handle does what the runner said.
func (s *shim) handle(c command) error {
	switch c.op {
	case opPacket:
		return s.read(c.datagram)
	case opTimeout:
		if _, err := s.w.conn.Write([]byte{opTimeoutAck}); err != nil {
			return err
		}
		s.now = s.now.Add(c.duration)
		s.conn.Advance(s.now)
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
		data, n := s.conn.ReadRecord(s.now, datagram)
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
		if s.o.keyUpdate {
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
		b, ok := s.conn.AppendHandshake(s.now, nil, s.mtu)
		if !ok {
			break
		}
		if err := s.w.send(b); err != nil {
			return err
		}
	}
	if s.conn.Established() && !s.begun {
		s.begun = true
		return s.afterHandshake()
	}
	return nil
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
	if o.keyUpdateBeforeRead {
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
