package rtcpeer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"purertc/dtls"
	"purertc/rtcpeer"
)

// A server like those of libp2p's webrtc-direct: dialers are known by the ufrag of
// their first check, and authenticate themselves on the negotiated channel 0. Then they
// open a channel for each request.

// handshakeSizes are the lengths in bytes of the messages of a Noise XX handshake.
var handshakeSizes = []int{32, 200, 168}

// authenticate exchanges three messages on channel 0, as long as those of Noise XX.
// Each end sends a digest of the fingerprints that it sees, as the prologue of libp2p's
// handshake has them.
func authenticate(ctx context.Context, ch *rtcpeer.DataChannel, prologue []byte, dialer bool) error {
	for i, size := range handshakeSizes {
		message := append(bytes.Clone(prologue), make([]byte, size-len(prologue))...)
		if dialer == (i%2 == 0) {
			if err := ch.Send(ctx, message, false); err != nil {
				return err
			}
			continue
		}
		got, _, err := ch.Receive(ctx)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, message) {
			return fmt.Errorf("message %d is not what both ends should see", i)
		}
	}
	return nil
}

// channelZero are the options of the channel that both ends create.
var channelZero = rtcpeer.ChannelOptions{Negotiated: true, ID: new(0)}

// serveDirect accepts dialers until ctx ends. Each channel of a dialer echoes what
// comes, and is closed when the dialer closes it.
func serveDirect(ctx context.Context, host *rtcpeer.Host, cert *tls.Certificate, hash []byte, failed func(error)) {
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		in, err := host.Accept(ctx)
		if err != nil {
			return
		}
		c, err := in.Connect(rtcpeer.Config{Certificate: cert, KeepRemoteCertificate: true}, in.LocalUfrag, in.RemoteUfrag)
		if err != nil {
			failed(err)
			continue
		}
		zero, err := c.OpenDataChannel("", channelZero)
		if err != nil {
			failed(err)
			continue
		}
		c.OnDataChannelReceived(func(ch *rtcpeer.DataChannel) {
			go func() {
				defer ch.Close()
				for {
					p, text, err := ch.Receive(ctx)
					if err != nil || ch.Send(ctx, p, text) != nil {
						return
					}
				}
			}()
		})
		serving.Go(func() {
			err := c.Connected(ctx)
			if err == nil {
				remote := sha256.Sum256(c.RemoteCertificate())
				err = authenticate(ctx, zero, append(remote[:16:16], hash[:16]...), false)
			}
			if err != nil && ctx.Err() == nil {
				failed(err)
			}
		})
	}
}

// dialDirect connects to the server, whose certificate has the hash.
func dialDirect(ctx context.Context, host *rtcpeer.Host, hash dtls.Fingerprint, own *tls.Certificate) (*rtcpeer.Conn, error) {
	random := make([]byte, 24)
	rand.Read(random)
	secret := "libp2p+webrtc+v1/" + base64.StdEncoding.EncodeToString(random)
	c := rtcpeer.New()
	if err := c.Initialize(rtcpeer.Config{
		LocalAddresses: []netip.Addr{host.Addr().Addr()}, Certificate: own, ICEUfrag: secret, ICEPwd: secret,
	}); err != nil {
		return nil, err
	}
	zero, err := c.CreateDataChannel("", channelZero)
	if err != nil {
		return nil, err
	}
	if _, err = c.Offer(ctx); err != nil {
		return nil, err
	}
	if err = c.SetAnswer(rtcpeer.Description{Type: "answer", SDP: fmt.Sprintf("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"+
		"m=application %d UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 %v\r\na=mid:0\r\n"+
		"a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:sha-256 %s\r\na=setup:passive\r\n"+
		"a=sctp-port:5000\r\na=max-message-size:16384\r\na=candidate:1 1 UDP 1 %v %d typ host\r\na=end-of-candidates\r\n",
		host.Addr().Port(), host.Addr().Addr(), secret, secret, colons(hash.Value), host.Addr().Addr(), host.Addr().Port())}); err != nil {
		return nil, err
	}
	if err = c.Connected(ctx); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, c.Report())
	}
	self := sha256.Sum256(own.Certificate[0])
	return c, authenticate(ctx, zero, append(self[:16:16], hash.Value[:16]...), true)
}

// request opens a channel, sends a message, waits for the echo, and closes the channel,
// until the server has closed it, too.
func request(ctx context.Context, c *rtcpeer.Conn) error {
	ch, err := c.OpenDataChannel("", rtcpeer.ChannelOptions{})
	if err != nil {
		return err
	}
	if err := ch.Send(ctx, []byte("ping"), false); err != nil {
		return err
	}
	if _, _, err := ch.Receive(ctx); err != nil {
		return err
	}
	ch.Close()
	if p, _, err := ch.Receive(ctx); err == nil {
		return fmt.Errorf("a message after Close: %q", p)
	}
	return nil
}

// directServer starts a server and connects dialers to it.
func directServer(t testing.TB, dialers int) []*rtcpeer.Conn {
	t.Helper()
	cert, err := dtls.GenerateCertificate(time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := dtls.CertificateFingerprint("sha-256", cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	own, err := dtls.GenerateCertificate(time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	host, err := rtcpeer.NewHost(rtcpeer.HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { serveDirect(ctx, host, cert, hash.Value, func(err error) { t.Error(err) }) })
	running.Go(func() { host.Run(ctx) })
	conns := make([]*rtcpeer.Conn, dialers)
	t.Cleanup(func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
		cancel()
		host.Close()
		running.Wait()
	})
	dialing, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	var dials sync.WaitGroup
	for i := range conns {
		dials.Go(func() {
			c, err := dialDirect(dialing, host, hash, own)
			if err != nil {
				t.Error(err)
			}
			conns[i] = c
		})
	}
	dials.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return conns
}

// Many dialers at once, each with its ufrag, and requests of all of them.
func TestDirectServer(t *testing.T) {
	before := runtime.NumGoroutine()
	conns := directServer(t, 50)
	// Each dialer has a socket with a reader; the server has none for each connection.
	if n := runtime.NumGoroutine() - before; n > 2*len(conns)+20 {
		t.Errorf("%d goroutines for %d connections, both ends", n, len(conns))
	}
	var requests sync.WaitGroup
	for _, c := range conns {
		requests.Go(func() {
			for range 20 {
				if err := request(t.Context(), c); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	requests.Wait()
}

// BenchmarkDirectServer measures one request after the other on one of 200 connections;
// cmd/interop/pion has the same with pion.
func BenchmarkDirectServer(b *testing.B) {
	const dialers = 200
	start := time.Now()
	conns := directServer(b, dialers)
	dialed := time.Since(start)
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	goroutines := runtime.NumGoroutine()
	b.ReportAllocs()
	for b.Loop() {
		if err := request(b.Context(), conns[0]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(dialed.Milliseconds()), "ms-to-dial")
	b.ReportMetric(float64(goroutines), "goroutines")
	b.ReportMetric(float64(memory.HeapAlloc)/dialers/1024, "heap-KiB/conn")
}
