package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"purertc/rtcpeer"
)

//go:embed serve.html
var servePage string

// serve serves a page for a browser that a person has opened. The page connects to
// this program and shows the state, the round-trip time and the throughput.
func serve(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("interop serve", flag.ExitOnError)
	addr := f.String("addr", "127.0.0.1:8080", "where the page is served")
	f.Parse(args)
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, servePage)
	})
	mux.HandleFunc("POST /offer", func(w http.ResponseWriter, r *http.Request) {
		answer, err := answerPage(ctx, http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(answer)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { <-ctx.Done(); server.Close() }()
	fmt.Printf("open http://%s/ in a browser; end with Ctrl-C\n", l.Addr())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// A description is a session description in JSON, in the form of
// RTCSessionDescription.
type description struct {
	Type string `json:"type"`
	SDP  string `json:"sdp"`
}

// answerPage creates a connection for a page's offer. It returns the answer, with all
// candidates.
func answerPage(ctx context.Context, body io.Reader) (answer description, err error) {
	var offer description
	if err := json.NewDecoder(body).Decode(&offer); err != nil {
		return answer, err
	}
	c := rtcpeer.New()
	if err := c.Initialize(rtcpeer.Config{IncludeLoopback: true}); err != nil {
		return answer, err
	}
	c.OnSessionDescriptionCreated(func(typ, sdp string) { c.SetLocalDescription(typ, sdp) })
	gathered := make(chan struct{})
	c.OnICECandidateCreated(func(_ string, _ int, name string) {
		if name == "" {
			close(gathered)
			c.OnICECandidateCreated(nil)
		}
	})
	c.OnDataChannelReceived(func(d *rtcpeer.DataChannel) { go servePageChannel(ctx, d) })
	if err := c.SetRemoteDescription(offer.Type, offer.SDP); err != nil {
		c.Close()
		return answer, err
	}
	go func() {
		c.Run(ctx)
		c.Close()
	}()
	select {
	case <-gathered:
	case <-time.After(5 * time.Second):
		c.Close()
		return answer, errors.New("no candidates were gathered")
	}
	answer.Type, answer.SDP = c.LocalDescription()
	return answer, nil
}

// servePageChannel does what the label of a channel says. On "ping" it sends every
// message back. On "down" it sends as long as the page wants. On "up" it counts what
// it receives.
func servePageChannel(ctx context.Context, d *rtcpeer.DataChannel) {
	var sending atomic.Bool
	var received atomic.Int64
	packet := make([]byte, 16384)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if d.Label() == "up" {
		go func() { // the page draws how much has arrived
			for range time.Tick(100 * time.Millisecond) {
				if d.Send(ctx, fmt.Append(nil, received.Load()), true) != nil {
					return
				}
			}
		}()
	}
	for {
		p, text, err := d.Receive(ctx)
		if err != nil {
			return
		}
		switch d.Label() {
		case "ping":
			d.Send(ctx, p, text)
		case "down":
			if want := string(p) == "go"; want && !sending.Swap(want) {
				go func() {
					for sending.Load() && d.Send(ctx, packet, false) == nil {
					}
				}()
			} else if !want {
				sending.Store(false)
			}
		case "up":
			received.Add(int64(len(p)))
		}
	}
}
