package sharing

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/pipe"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"purertc/dtls"
	"purertc/rtcpeer"
)

// serve accepts joiners of an invite and sends every packet back.
func serve(ctx context.Context, invite *rtcpeer.Invite) {
	for {
		c, err := invite.Accept(ctx)
		if err != nil {
			return
		}
		c.OnDataChannelReceived(func(ch *rtcpeer.DataChannel) {
			go func() {
				for {
					p, text, err := ch.Receive(ctx)
					if err != nil || ch.Send(ctx, p, text) != nil {
						return
					}
				}
			}()
		})
		go func() {
			defer c.Close()
			c.Run(ctx)
		}()
	}
}

// echo sends a megabyte in 64 packets and waits until all of them have come back.
func echo(ctx context.Context, ch *rtcpeer.DataChannel) error {
	packet := bytes.Repeat([]byte("0123456789abcdef"), 1024)
	const packets = 64
	sent := make(chan error, 1)
	go func() {
		for range packets {
			if err := ch.Send(ctx, packet, false); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for n := range packets {
		p, _, err := ch.Receive(ctx)
		if err != nil {
			return err
		}
		if !bytes.Equal(p, packet) {
			return fmt.Errorf("packet %d came back with %d bytes", n, len(p))
		}
	}
	return <-sent
}

// TestQUIC has a Host and a QUIC listener use one UDP port at the same time.
func TestQUIC(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	transport := &quic.Transport{Conn: socket}
	defer transport.Close()
	cert, err := dtls.GenerateCertificate(time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := transport.Listen(&tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"test"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept(ctx)
			if err != nil {
				return
			}
			stream, err := conn.AcceptStream(ctx)
			if err != nil {
				return
			}
			go func() {
				io.Copy(stream, stream)
				stream.Close()
			}()
		}
	}()

	host, err := rtcpeer.NewHost(rtcpeer.HostConfig{PacketConn: NewQUICPort(transport)})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	invite, err := host.Invite(rtcpeer.InviteConfig{})
	if err != nil {
		t.Fatal(err)
	}
	go serve(ctx, invite)
	c, err := rtcpeer.Join(ctx, invite.Text(), rtcpeer.Config{IncludeLoopback: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go c.Run(ctx)
	ch, err := c.OpenDataChannel("x", rtcpeer.ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()

	conn, err := quic.DialAddr(ctx, socket.LocalAddr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"test"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("over QUIC ", 100_000)
	done := make(chan error, 2)
	go func() { done <- echo(ctx, ch) }()
	go func() {
		go func() {
			io.WriteString(stream, text)
			stream.Close()
		}()
		b, err := io.ReadAll(stream)
		if err == nil && string(b) != text {
			err = fmt.Errorf("%d bytes came back by QUIC", len(b))
		}
		done <- err
	}()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}

	// The QUIC connection still works after the Host is closed.
	c.Close()
	if err := host.Close(); err != nil {
		t.Error(err)
	}
	if stream, err = conn.OpenStreamSync(ctx); err != nil {
		t.Error(err)
	}
	conn.CloseWithError(0, "")
}

// netstacks returns two connected network stacks in user space with the addresses
// 10.0.0.1 and 10.0.0.2.
func netstacks(t *testing.T) (stacks [2]*stack.Stack) {
	a, b := pipe.New("\x02\x00\x00\x00\x00\x01", "\x02\x00\x00\x00\x00\x02", 1500)
	for i, link := range []stack.LinkEndpoint{a, b} {
		s := stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{udp.NewProtocol, tcp.NewProtocol},
		})
		if err := s.CreateNIC(1, link); err != nil {
			t.Fatal(err)
		}
		addr := tcpip.ProtocolAddress{
			Protocol:          header.IPv4ProtocolNumber,
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), PrefixLen: 24},
		}
		if err := s.AddProtocolAddress(1, addr, stack.AddressProperties{}); err != nil {
			t.Fatal(err)
		}
		s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
		t.Cleanup(func() { s.Close() })
		stacks[i] = s
	}
	return stacks
}

// onNetstack returns a Host on UDP port 4000 of a network stack, and on TCP port 4000 if
// tcp is set.
func onNetstack(t *testing.T, s *stack.Stack, addr string, tcp bool) *rtcpeer.Host {
	t.Helper()
	ip := netip.MustParseAddr(addr)
	local := tcpip.FullAddress{NIC: 1, Addr: tcpip.AddrFrom4(ip.As4()), Port: 4000}
	conn, err := gonet.DialUDP(s, &local, nil, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	cfg := rtcpeer.HostConfig{PacketConn: conn}
	if tcp {
		l, err := gonet.ListenTCP(s, local, ipv4.ProtocolNumber)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Listener = l
	}
	h, err := rtcpeer.NewHost(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// TestNetstack connects two Hosts on gVisor's network stacks. No datagram goes through
// the network stack of the system.
func TestNetstack(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stacks := netstacks(t)
	server, client := onNetstack(t, stacks[0], "10.0.0.1", true), onNetstack(t, stacks[1], "10.0.0.2", false)
	invite, err := server.Invite(rtcpeer.InviteConfig{})
	if err != nil {
		t.Fatal(err)
	}
	go serve(ctx, invite)
	c, err := rtcpeer.Join(ctx, invite.Text(), rtcpeer.Config{Host: client})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go c.Run(ctx)
	ch, err := c.OpenDataChannel("x", rtcpeer.ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer ch.Close()
	if err := echo(ctx, ch); err != nil {
		t.Errorf("%v\n%v", err, c.Report())
	}
	if server.TCPAddr() != netip.MustParseAddrPort("10.0.0.1:4000") {
		t.Errorf("the host's TCP address is %v", server.TCPAddr())
	}
}
