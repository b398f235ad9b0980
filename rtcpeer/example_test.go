package rtcpeer_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"

	"purertc/rtcpeer"
)

// local makes the examples use only addresses of this machine.
var local = rtcpeer.Config{IncludeLoopback: true}

// link connects the signalling of two connections of one program.
func link(from, to *rtcpeer.Conn) {
	from.OnSessionDescriptionCreated(func(typ, sdp string) {
		from.SetLocalDescription(typ, sdp)
		to.SetRemoteDescription(typ, sdp)
	})
	from.OnICECandidateCreated(func(media string, index int, name string) { to.AddICECandidate(media, index, name) })
}

// In Example_frameLoop a game polls once in every frame, and never waits.
func Example_frameLoop() {
	a, b := rtcpeer.New(), rtcpeer.New()
	a.Initialize(local)
	b.Initialize(local)
	defer a.Close()
	defer b.Close()
	link(a, b)
	link(b, a)

	// Both ends create the channel. It is unordered and retransmits nothing.
	moves := rtcpeer.ChannelOptions{Negotiated: true, ID: new(1), Ordered: new(false), MaxRetransmits: new(0)}
	ours, _ := a.CreateDataChannel("moves", moves)
	theirs, _ := b.CreateDataChannel("moves", moves)
	a.CreateOffer()

	frames := time.NewTicker(time.Second / 60)
	defer frames.Stop()
	for range frames.C {
		a.Poll()
		b.Poll()
		if ours.ReadyState() == rtcpeer.ChannelStateOpen && theirs.ReadyState() == rtcpeer.ChannelStateOpen {
			ours.PutPacket([]byte("jump"))
		}
		if theirs.AvailablePacketCount() > 0 {
			p, _ := theirs.GetPacket()
			fmt.Printf("%s\n", p)
			return
		}
	}
	// Output: jump
}

// In Example_server all peers of a server share one socket. The server drops a client
// that closes, vanishes (StateFailed) or does not connect in time.
func Example_server() {
	host, err := rtcpeer.NewHost(rtcpeer.HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer host.Close()

	// The server does this for each client that signals to it, in any way.
	var clients sync.WaitGroup
	serve := func() *rtcpeer.Conn {
		c := rtcpeer.New()
		c.Initialize(rtcpeer.Config{Host: host})
		// An answer may take minutes to reach its client, so a first connection has no
		// time limit except that of the server.
		patience := time.AfterFunc(time.Minute, func() { c.Close() })
		c.OnStateChanged(func() {
			if c.ConnectionState() == rtcpeer.StateConnected {
				patience.Stop()
			}
		})
		c.OnDataChannelReceived(func(ch *rtcpeer.DataChannel) {
			go func() {
				for {
					p, text, err := ch.Receive(context.Background())
					if err != nil {
						return // the connection was closed or has failed
					}
					ch.Send(context.Background(), append([]byte("echo of "), p...), text)
				}
			}()
		})
		clients.Go(func() {
			defer patience.Stop()
			defer c.Close()
			c.Run(context.Background()) // until either end closes the connection, or it fails
		})
		return c
	}

	for i := range 2 {
		client, server := rtcpeer.New(), serve()
		client.Initialize(local)
		link(client, server)
		link(server, client)
		ch, _ := client.CreateDataChannel("questions", rtcpeer.ChannelOptions{})
		client.CreateOffer()
		go client.Run(context.Background())
		ch.Send(context.Background(), fmt.Append(nil, "question ", i), true)
		p, _, err := ch.Receive(context.Background())
		fmt.Printf("%s %v\n", p, err)
		client.Close()
	}
	clients.Wait()
	fmt.Println("all clients are gone")
	// Output:
	// echo of question 0 <nil>
	// echo of question 1 <nil>
	// all clients are gone
}

// A signal contains what one end signals to the other: a description or a candidate.
type signal struct {
	Type, SDP   string // a description
	Media, Name string // a candidate
	Index       int
}

// signalOver makes a connection signal over a stream. Each description and each
// candidate is a line of JSON.
func signalOver(c *rtcpeer.Conn, stream net.Conn) {
	out, ended := make(chan signal, 100), make(chan struct{})
	go func() {
		e := json.NewEncoder(stream)
		for {
			select {
			case s := <-out:
				e.Encode(s)
			case <-ended:
				return
			}
		}
	}()
	c.OnSessionDescriptionCreated(func(typ, sdp string) {
		c.SetLocalDescription(typ, sdp)
		out <- signal{Type: typ, SDP: sdp}
	})
	c.OnICECandidateCreated(func(media string, index int, name string) {
		out <- signal{Media: media, Index: index, Name: name}
	})
	go func() {
		defer close(ended)
		for lines := bufio.NewReader(stream); ; {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			var s signal
			switch err := json.Unmarshal(line, &s); {
			case err != nil:
				return
			case s.Type != "":
				c.SetRemoteDescription(s.Type, s.SDP)
			default:
				c.AddICECandidate(s.Media, s.Index, s.Name)
			}
		}
	}()
}

// In Example_signalling two ends signal over a pipe. A TCP connection would work as
// well. The channel is then used as a stream of bytes.
func Example_signalling() {
	one, other := net.Pipe()
	defer one.Close()
	defer other.Close()
	a, b := rtcpeer.New(), rtcpeer.New()
	a.Initialize(local)
	b.Initialize(local)
	defer a.Close()
	defer b.Close()
	signalOver(a, one)
	signalOver(b, other)

	received := make(chan *rtcpeer.DataChannel, 1)
	b.OnDataChannelReceived(func(ch *rtcpeer.DataChannel) { received <- ch })
	ch, _ := a.CreateDataChannel("stream", rtcpeer.ChannelOptions{})
	a.CreateOffer()
	go a.Run(context.Background())
	go b.Run(context.Background())

	stream, _ := ch.NetConn()
	go fmt.Fprintln(stream, "hello over WebRTC")
	far, _ := (<-received).NetConn()
	line, err := bufio.NewReader(far).ReadString('\n')
	fmt.Printf("%q %v\n", line, err)
	// Output: "hello over WebRTC\n" <nil>
}
