package rtcpeer_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"

	"purertc/rtcpeer"
)

// A sharedSocket gives a Host the datagrams of a UDP socket that begin with a byte of
// STUN or DTLS (RFC 7983), and another protocol the rest.
type sharedSocket struct {
	*net.UDPConn
	other chan []byte
}

func (s sharedSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.UDPConn.ReadFrom(b)
		if err != nil || n > 0 && b[0] < 64 {
			return n, from, err
		}
		s.other <- slices.Clone(b[:n])
	}
}

// A server has one UDP port for WebRTC and for a protocol of its own. With QUIC,
// quic-go's Transport takes the place of sharedSocket: see cmd/interop/sharing.
func ExampleNewHost_sharedPort() {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer socket.Close() // the Host does not close it
	shared := sharedSocket{socket, make(chan []byte, 10)}
	host, err := rtcpeer.NewHost(rtcpeer.HostConfig{PacketConn: shared})
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
	go func() {
		if c, err := invite.Accept(ctx); err == nil {
			defer c.Close()
			c.Run(ctx)
		}
	}()
	c, err := rtcpeer.Join(ctx, invite.Text(), rtcpeer.Config{IncludeLoopback: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println("a WebRTC connection")

	client, err := net.Dial("udp4", socket.LocalAddr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	client.Write([]byte("\xc0 and another protocol"))
	fmt.Printf("%s\n", (<-shared.other)[2:])
	// Output:
	// a WebRTC connection
	// and another protocol
}
