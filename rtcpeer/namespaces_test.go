package rtcpeer

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// A namespaceConfig configures an end in a namespace. It is passed in an environment
// variable.
type namespaceConfig struct {
	Offer   bool
	Servers []ICEServer `json:",omitempty"`
	Roots   string      `json:",omitempty"` // name of a file with root certificates
	TCPAddr string      `json:",omitempty"` // the answerer has a Host, which listens at this TCP address
}

// namespaceVariable is the environment variable with the namespaceConfig.
const namespaceVariable = "RTCPEER_TEST_NAMESPACE"

// A namespaceLine is one line that an end and the test exchange.
type namespaceLine struct {
	Type, SDP   string // a description
	Media, Name string // a candidate; Type is "candidate"
	Index       int
	Size        int    // with Type "echo": send a message of this size; with "echoed": the message has come back
	How         string // with "echoed": the types of the candidates in use, the offerer's first
	Report      string // with Type "report": the report of the connection
}

// namespacePeer runs one end in a process of its own. Its signalling and commands are
// lines of JSON.
func namespacePeer(text string) error {
	var cfg namespaceConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		return err
	}
	config := Config{ICEServers: cfg.Servers}
	if cfg.Roots != "" {
		pem, err := os.ReadFile(cfg.Roots)
		if err != nil {
			return err
		}
		config.TLSConfig = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1"}
		config.TLSConfig.RootCAs.AppendCertsFromPEM(pem)
	}
	if cfg.TCPAddr != "" && !cfg.Offer {
		h, err := NewHost(HostConfig{TCPAddr: cfg.TCPAddr})
		if err != nil {
			return err
		}
		defer h.Close()
		config.Host = h
	}
	c := New()
	if err := c.Initialize(config); err != nil {
		return err
	}
	defer c.Close()
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	say := func(l namespaceLine) {
		mu.Lock()
		defer mu.Unlock()
		out.Encode(l)
	}
	c.OnSessionDescriptionCreated(func(typ, sdp string) {
		c.SetLocalDescription(typ, sdp)
		say(namespaceLine{Type: typ, SDP: sdp})
	})
	c.OnICECandidateCreated(func(media string, index int, name string) {
		say(namespaceLine{Type: "candidate", Media: media, Index: index, Name: name})
	})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ch, err := c.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(1)})
	if err != nil {
		return err
	}
	if cfg.Offer {
		if err := c.CreateOffer(); err != nil {
			return err
		}
	} else {
		go func() {
			for {
				p, text, err := ch.Receive(ctx)
				if err != nil || ch.Send(ctx, p, text) != nil {
					return
				}
			}
		}()
	}
	go c.Run(ctx)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var l namespaceLine
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			return err
		}
		switch l.Type {
		case "offer", "answer":
			err = c.SetRemoteDescription(l.Type, l.SDP)
		case "candidate":
			err = c.AddICECandidate(l.Media, l.Index, l.Name)
		case "echo":
			go func() {
				if ch.Send(ctx, make([]byte, l.Size), false) != nil {
					return
				}
				if p, _, err := ch.Receive(ctx); err == nil {
					say(namespaceLine{Type: "echoed", Size: len(p), How: selectedTypes(c)})
				}
			}()
		case "report":
			say(namespaceLine{Type: "report", Report: c.Report().String()})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// selectedTypes returns the types of the selected pair's candidates, local and remote,
// and the remote address.
func selectedTypes(c *Conn) string {
	for _, p := range c.Report().ICE.Pairs {
		if p.Selected {
			return fmt.Sprintf("%v–%v %v", p.Local.Type, p.Remote.Type, p.Remote.Addr.Addr())
		}
	}
	return "nothing"
}
