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

// local keeps the examples on this machine.
var local = rtcpeer.Config{IncludeLoopback: true}

// link has two connections of one program signal to each other.
func link(from, to *rtcpeer.Conn) {
	from.OnSessionDescriptionCreated(func(typ, sdp string) {
		from.SetLocalDescription(typ, sdp)
		to.SetRemoteDescription(typ, sdp)
	})
	from.OnICECandidateCreated(func(media string, index int, name string) { to.AddICECandidate(media, index, name) })
}

// A game polls once a frame, and never waits.
func Example_frameLoop() {
	a, b := rtcpeer.New(), rtcpeer.New()
	a.Initialize(local)
	b.Initialize(local)
	defer a.Close()
	defer b.Close()
	link(a, b)
	link(b, a)

	// Both ends create the channel: unordered, and nothing is sent twice.
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

// A server's peers share one socket. A client that closes, vanishes (StateFailed)
// or does not connect in time is let go.
func Example_server() {
	host, err := rtcpeer.NewHost(rtcpeer.HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer host.Close()

	// For each client that asks, by whatever signalling there is:
	var clients sync.WaitGroup
	serve := func() *rtcpeer.Conn {
		c := rtcpeer.New()
		c.Initialize(rtcpeer.Config{Host: host})
		// An answer may take minutes to reach its client, so a first connection
		// has no time limit but the server's own.
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
						return // closed, or failed
					}
					ch.Send(context.Background(), append([]byte("echo of "), p...), text)
				}
			}()
		})
		clients.Go(func() {
			defer patience.Stop()
			defer c.Close()
			c.Run(context.Background()) // until closed by either end, or failed
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

// A signal is what one end has to tell the other.
type signal struct {
	Type, SDP   string // a description
	Media, Name string // or a candidate
	Index       int
}

// signalOver has a connection signal over a stream, a line of JSON for each
// description and candidate.
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

// Two ends signal over a pipe; a TCP connection would do as well. The channel
// is then a stream of bytes itself.
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
