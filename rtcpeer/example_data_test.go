package rtcpeer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"purertc/rtcpeer"
)

// connected creates two connections of one program with a channel between them.
// Example_signalling shows all steps. The function end closes the connections.
func connected(cfg rtcpeer.Config, o rtcpeer.ChannelOptions) (x, y *rtcpeer.DataChannel, a, b *rtcpeer.Conn, end func()) {
	a, b = rtcpeer.New(), rtcpeer.New()
	cfg.IncludeLoopback = true
	a.Initialize(cfg)
	b.Initialize(cfg)
	link(a, b)
	link(b, a)
	o.Negotiated, o.ID = true, new(1)
	x, _ = a.CreateDataChannel("example", o)
	y, _ = b.CreateDataChannel("example", o)
	a.CreateOffer()
	go a.Run(context.Background())
	go b.Run(context.Background())
	return x, y, a, b, func() {
		a.Close()
		b.Close()
	}
}

// Example_file sends a file with back-pressure and progress. Send waits while
// Config.SendBufferSize bytes are queued, so that memory stays bounded even if the
// remote reads slowly. An empty packet marks the end.
func Example_file() {
	x, y, _, _, end := connected(rtcpeer.Config{SendBufferSize: 1 << 20}, rtcpeer.ChannelOptions{})
	defer end()
	file := make([]byte, 5<<20)
	rand.Read(file)

	ctx := context.Background()
	send := func(r io.Reader, size int, progress func(percent int)) error {
		p := make([]byte, 64<<10)
		for sent := 0; ; {
			n, err := io.ReadFull(r, p)
			if n > 0 {
				if err := x.Send(ctx, p[:n], false); err != nil {
					return err
				}
				sent += n
				progress(100 * sent / size)
			}
			switch {
			case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
				return x.Send(ctx, nil, false)
			case err != nil:
				return err
			}
		}
	}
	var percent atomic.Int32
	failed := make(chan error, 1)
	go func() { failed <- send(bytes.NewReader(file), len(file), func(p int) { percent.Store(int32(p)) }) }()

	var received bytes.Buffer
	for {
		p, _, err := y.Receive(ctx)
		if err != nil || len(p) == 0 {
			break
		}
		received.Write(p)
		y.Recycle(p) // later packets use the memory of p
	}
	fmt.Println(<-failed, percent.Load(), "%", bytes.Equal(received.Bytes(), file))
	// Output: <nil> 100 % true
}

// ExampleDataChannel_NetConn uses a channel as a net.Conn with deadlines.
func ExampleDataChannel_NetConn() {
	x, y, _, _, end := connected(rtcpeer.Config{}, rtcpeer.ChannelOptions{})
	defer end()
	here, _ := x.NetConn()
	there, _ := y.NetConn()

	here.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := here.Read(make([]byte, 100))
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))

	here.SetReadDeadline(time.Time{}) // no deadline
	go io.WriteString(there, "later")
	p := make([]byte, 5)
	_, err = io.ReadFull(here, p)
	fmt.Printf("%s %v\n", p, err)

	there.Close()
	_, err = here.Read(p)
	fmt.Println(err)
	// Output:
	// true
	// later <nil>
	// EOF
}

// ExampleConn_Stats prints statistics. They are plain values, so a game can show them
// in every frame.
func ExampleConn_Stats() {
	x, y, a, _, end := connected(rtcpeer.Config{}, rtcpeer.ChannelOptions{})
	defer end()
	ctx := context.Background()
	x.Send(ctx, []byte("1234"), true)
	y.Receive(ctx)

	s := a.Stats()
	fmt.Println("ICE", s.Transport.ICEState != "new", "DTLS", s.Transport.DTLSVersion, s.Transport.DTLSState)
	fmt.Println("round trip below a second:", s.CandidatePair.CurrentRoundTripTime < time.Second)
	fmt.Println("sent on the channel:", x.Stats().MessagesSent, "message,", x.Stats().BytesSent, "bytes")
	// Output:
	// ICE true DTLS 1.3 connected
	// round trip below a second: true
	// sent on the channel: 1 message, 4 bytes
}
