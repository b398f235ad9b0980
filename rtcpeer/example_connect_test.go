package rtcpeer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"purertc/rtcpeer"
)

// A negotiator lets both ends renegotiate a connection at any time. This method is
// called perfect negotiation: if two offers cross, the polite end rolls its offer
// back, and the impolite end ignores the remote's offer.
type negotiator struct {
	conn   *rtcpeer.Conn
	polite bool
	send   func(typ, sdp string) // sends a description to the remote end, which calls receive

	mu sync.Mutex // held from reading the signalling state until the action that depends on it
}

// created is the handler of OnSessionDescriptionCreated.
func (n *negotiator) created(typ, sdp string) {
	n.mu.Lock()
	err := n.conn.SetLocalDescription(typ, sdp)
	n.mu.Unlock()
	if err == nil { // otherwise a remote offer came first, and an answer follows
		n.send(typ, sdp)
	}
}

// receive takes a description from signalling.
func (n *negotiator) receive(typ, sdp string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if typ == "offer" && n.conn.SignalingState() == rtcpeer.SignalingStateHaveLocalOffer {
		if !n.polite {
			return nil // the remote will roll its offer back
		}
		if err := n.conn.SetLocalDescription("rollback", ""); err != nil {
			return err
		}
	}
	return n.conn.SetRemoteDescription(typ, sdp)
}

// Example_perfectNegotiation lets both ends offer at the same time.
func Example_perfectNegotiation() {
	a, b := rtcpeer.New(), rtcpeer.New()
	a.Initialize(local)
	b.Initialize(local)
	defer a.Close()
	defer b.Close()
	na, nb := &negotiator{conn: a, polite: true}, &negotiator{conn: b}
	toA, toB := make(chan func(), 100), make(chan func(), 100) // these channels carry the signalling
	na.send = func(typ, sdp string) { toB <- func() { nb.receive(typ, sdp) } }
	nb.send = func(typ, sdp string) { toA <- func() { na.receive(typ, sdp) } }
	a.OnSessionDescriptionCreated(na.created)
	b.OnSessionDescriptionCreated(nb.created)
	a.OnICECandidateCreated(func(media string, index int, name string) {
		toB <- func() { b.AddICECandidate(media, index, name) }
	})
	b.OnICECandidateCreated(func(media string, index int, name string) {
		toA <- func() { a.AddICECandidate(media, index, name) }
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, calls := range []chan func(){toA, toB} {
		go func() {
			for ctx.Err() == nil {
				select {
				case f := <-calls:
					f()
				case <-ctx.Done():
				}
			}
		}()
	}

	chat := rtcpeer.ChannelOptions{Negotiated: true, ID: new(1)}
	x, _ := a.CreateDataChannel("chat", chat)
	y, _ := b.CreateDataChannel("chat", chat)
	a.CreateOffer() // both ends offer at once
	b.CreateOffer()
	go a.Run(ctx)
	go b.Run(ctx)
	x.Send(ctx, []byte("after glare"), true)
	p, _, err := y.Receive(ctx)
	fmt.Printf("%s %v\n", p, err)
	// Output: after glare <nil>
}

// ExampleConn_RestartICE restarts ICE, which finds a new path when a connection is
// disconnected or has failed. Channels stay open, and queued data is sent on the new
// path.
func ExampleConn_RestartICE() {
	x, y, a, b, end := connected(rtcpeer.Config{}, rtcpeer.ChannelOptions{})
	defer end()
	ctx := context.Background()
	x.Send(ctx, []byte("before"), true)
	y.Receive(ctx)

	_, before := a.LocalDescription()
	agreed := make(chan bool, 10)
	b.OnSignalingStateChanged(func(s rtcpeer.SignalingState) { agreed <- s == rtcpeer.SignalingStateStable })
	a.RestartICE()
	a.CreateOffer()
	for !<-agreed {
	}
	_, after := a.LocalDescription()
	fmt.Println("new credentials:", ufrag(before) != ufrag(after))

	x.Send(ctx, []byte("and after"), true)
	p, _, err := y.Receive(ctx)
	fmt.Printf("%s %v\n", p, err)
	// Output:
	// new credentials: true
	// and after <nil>
}

func ufrag(sdp string) string {
	_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
	line, _, _ := strings.Cut(rest, "\r\n")
	return line
}

// Example_relayOnly uses relayed candidates only. So no remote learns an address of
// this machine, and a firewall has to let through only one server port. (This example
// does not contact a TURN server.)
func Example_relayOnly() {
	c := rtcpeer.New()
	defer c.Close()
	err := c.Initialize(rtcpeer.Config{
		ICETransportPolicy: rtcpeer.ICETransportPolicyRelay,
		ICEServers: []rtcpeer.ICEServer{{
			URLs:     []string{"turn:turn.example.com:3478", "turns:turn.example.com:443?transport=tcp"},
			Username: "user", Credential: "password",
		}},
	})
	fmt.Println(err)
	// Output: <nil>
}

// ExampleConn_Report prints why there is no connection.
func ExampleConn_Report() {
	a, b := rtcpeer.New(), rtcpeer.New()
	// A Filter that drops every datagram simulates a network without a path.
	cfg := rtcpeer.Config{IncludeLoopback: true, DisableTCP: true, Filter: func(bool, []byte) bool { return false }}
	a.Initialize(cfg)
	b.Initialize(cfg)
	defer a.Close()
	defer b.Close()
	link(a, b)
	link(b, a)
	a.CreateDataChannel("x", rtcpeer.ChannelOptions{})
	a.CreateOffer()

	deadline := time.After(time.Second) // how long the program waits for a connection
	for waiting := true; waiting; {
		select {
		case <-deadline:
			waiting = false
		case <-time.After(10 * time.Millisecond):
			a.Poll()
			b.Poll()
		}
	}
	r := a.Report()
	fmt.Println("connection", r.Connection)
	fmt.Println("there are pairs:", len(r.ICE.Pairs) > 0)
	answered := 0
	for _, p := range r.ICE.Pairs {
		answered += int(p.ResponsesReceived)
	}
	fmt.Println("answered checks:", answered)
	// fmt.Println(r) prints the whole report.

	// Output:
	// connection connecting
	// there are pairs: true
	// answered checks: 0
}

// Example_wireshark logs the secrets of a connection, so that Wireshark can decrypt
// it. Write the secrets to a file, and name the file in Wireshark's settings of the
// protocol TLS. The log makes the encryption useless, so it is only for debugging.
func Example_wireshark() {
	var secrets lockedBuffer // usually a file that is opened with os.O_APPEND
	x, y, _, _, end := connected(rtcpeer.Config{KeyLogWriter: &secrets}, rtcpeer.ChannelOptions{})
	defer end()
	ctx := context.Background()
	x.Send(ctx, []byte("secret"), true)
	y.Receive(ctx)
	fmt.Println(strings.Contains(secrets.String(), "CLIENT_TRAFFIC_SECRET_0 "))
	// Output: true
}

// The event log of a connection, which EVENTLOG.md describes, is a JSON text sequence:
// here a program reads from it how the connection came about. A file that has the log can
// be drawn with rtcbench plot.
func Example_eventLog() {
	var log bytes.Buffer // a file
	x, y, _, _, end := connected(rtcpeer.Config{EventLog: &log}, rtcpeer.ChannelOptions{})
	ctx := context.Background()
	x.Send(ctx, []byte("hello"), true)
	y.Receive(ctx)
	end()
	established := 0
	for record := range strings.SplitSeq(log.String(), "\x1e") {
		var e struct {
			Name string
			Data struct {
				Version string
			}
		}
		if json.Unmarshal([]byte(record), &e) == nil && e.Name == "dtls:established" {
			fmt.Println("DTLS", e.Data.Version)
			established++
		}
	}
	fmt.Println(established, "handshakes, one of each end")
	// Output:
	// DTLS 1.3
	// DTLS 1.3
	// 2 handshakes, one of each end
}

// A lockedBuffer collects lines of two connections.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
