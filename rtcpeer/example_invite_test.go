package rtcpeer_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"sync"
	"time"

	"purertc/dtls"
	"purertc/rtcpeer"
)

// A game server publishes one text, and everybody joins: Go programs with Join, web
// pages with the function on the page JOIN. There is no other server.
func ExampleHost_Invite() {
	host, err := rtcpeer.NewHost(rtcpeer.HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer host.Close()
	invite, err := host.Invite(rtcpeer.InviteConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// The server.
	var players sync.WaitGroup
	players.Go(func() {
		for {
			c, err := invite.Accept(ctx)
			if err != nil {
				return // withdrawn
			}
			c.OnDataChannelReceived(func(ch *rtcpeer.DataChannel) {
				go func() {
					name, _, _ := ch.Receive(ctx)
					ch.Send(ctx, append([]byte("welcome, "), name...), true)
				}()
			})
			players.Go(func() {
				defer c.Close()
				c.Run(ctx) // until the player leaves or vanishes
			})
		}
	})

	// The players.
	for _, name := range []string{"Ada", "Grace"} {
		c, err := rtcpeer.Join(ctx, invite.Text(), rtcpeer.Config{IncludeLoopback: true})
		if err != nil {
			fmt.Println(err)
			return
		}
		ch, _ := c.OpenDataChannel("game", rtcpeer.ChannelOptions{})
		ch.Send(ctx, []byte(name), true)
		p, _, err := ch.Receive(ctx)
		fmt.Printf("%s %v\n", p, err)
		c.Close()
	}
	invite.Close()
	players.Wait()
	// Output:
	// welcome, Ada <nil>
	// welcome, Grace <nil>
}

// In libp2p's webrtc-direct, a dialer has the server's address and the hash of its
// certificate, and nothing is signalled. The dialer draws one string, which is the
// ufrag and the password of both ends, and writes the server's answer itself. The
// server reads the string from the dialer's first check. Then the two ends
// authenticate the dialer on a channel, which this example leaves out.
func ExampleHost_Accept() {
	cert, err := dtls.GenerateCertificate(time.Now(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	hash, err := dtls.CertificateFingerprint("sha-256", cert.Certificate[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	host, err := rtcpeer.NewHost(rtcpeer.HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer host.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	// The server.
	go func() {
		for {
			in, err := host.Accept(ctx)
			if err != nil {
				return
			}
			c, err := in.Connect(rtcpeer.Config{Certificate: cert}, in.LocalUfrag, in.RemoteUfrag)
			if err != nil {
				continue // the check is not of this protocol, or the remote is refused
			}
			c.OnDataChannelReceived(func(ch *rtcpeer.DataChannel) {
				go func() {
					p, _, _ := ch.Receive(ctx)
					ch.Send(ctx, append([]byte("echo of "), p...), true)
				}()
			})
			go func() {
				defer c.Close()
				c.Run(ctx)
			}()
		}
	}()

	// The dialer.
	random := make([]byte, 24)
	rand.Read(random)
	secret := "libp2p+webrtc+v1/" + base64.StdEncoding.EncodeToString(random)
	c := rtcpeer.New()
	c.Initialize(rtcpeer.Config{IncludeLoopback: true, ICEUfrag: secret, ICEPwd: secret})
	defer c.Close()
	ch, _ := c.CreateDataChannel("noise", rtcpeer.ChannelOptions{})
	c.OnSessionDescriptionCreated(func(typ, sdp string) {
		c.SetLocalDescription(typ, sdp)
		c.SetRemoteDescription("answer", fmt.Sprintf("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"+
			"m=application %d UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 %v\r\na=mid:0\r\n"+
			"a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:sha-256 %s\r\na=setup:passive\r\n"+
			"a=sctp-port:5000\r\na=max-message-size:16384\r\na=candidate:1 1 UDP 1 %v %d typ host\r\na=end-of-candidates\r\n",
			host.Addr().Port(), host.Addr().Addr(), secret, secret, colons(hash.Value), host.Addr().Addr(), host.Addr().Port()))
	})
	c.CreateOffer()
	go c.Run(ctx)
	ch.Send(ctx, []byte("hello"), true)
	p, _, err := ch.Receive(ctx)
	fmt.Printf("%s %v\n", p, err)
	// Output: echo of hello <nil>
}

// colons formats bytes as in an a=fingerprint attribute.
func colons(b []byte) (s string) {
	for i, v := range b {
		if i > 0 {
			s += ":"
		}
		s += fmt.Sprintf("%02X", v)
	}
	return s
}
