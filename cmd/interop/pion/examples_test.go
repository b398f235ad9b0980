package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	"golang.org/x/net/websocket"
)

// The programs in cmd/examples connect to pion. In each test, pion has the role that
// it has in pion's example of the same name.

const patience = 20 * time.Second

// built builds an example and returns the path of the program.
func built(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(name))
	build := exec.Command("go", "build", "-o", path, "./cmd/examples/"+name)
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// An example is a running example program.
type example struct {
	in    io.WriteCloser
	lines *bufio.Scanner // lines of its standard output
	mu    sync.Mutex
	log   bytes.Buffer // its standard error
}

func (e *example) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.Write(p)
}

func (e *example) logged() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.String()
}

// started starts an example, which is ended together with the test.
func started(t *testing.T, name string, args ...string) *example {
	t.Helper()
	cmd := exec.Command(built(t, name), args...)
	e := &example{}
	cmd.Stderr = e
	var err error
	if e.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	e.lines = bufio.NewScanner(out)
	e.lines.Buffer(nil, 1<<20)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, e.logged())
		}
	})
	return e
}

// send writes a value to the example as one line of JSON.
func (e *example) send(t *testing.T, v any) {
	t.Helper()
	if err := json.NewEncoder(e.in).Encode(v); err != nil {
		t.Fatal(err)
	}
}

// receive reads a value from the example.
func receive[T any](t *testing.T, e *example) (v T) {
	t.Helper()
	if !e.lines.Scan() {
		t.Fatal("the example has ended")
	}
	if err := json.Unmarshal(e.lines.Bytes(), &v); err != nil {
		t.Fatalf("%v in %q", err, e.lines.Text())
	}
	return v
}

// pionAPI is pion's API with loopback addresses.
func pionAPI(types ...webrtc.NetworkType) *webrtc.API {
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	if len(types) > 0 {
		s.SetNetworkTypes(types)
	}
	return webrtc.NewAPI(webrtc.WithSettingEngine(s))
}

func pionPeer(t *testing.T, types ...webrtc.NetworkType) *webrtc.PeerConnection {
	t.Helper()
	pc, err := pionAPI(types...).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return pc
}

// complete applies a local description, and returns it with its candidates.
func complete(t *testing.T, pc *webrtc.PeerConnection, d webrtc.SessionDescription, err error) webrtc.SessionDescription {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(d); err != nil {
		t.Fatal(err)
	}
	<-gathered
	return *pc.LocalDescription()
}

// offered connects pion's channel "data" to an example that reads an offer and writes
// its answer.
func offered(t *testing.T, e *example) (pc *webrtc.PeerConnection, ch *webrtc.DataChannel, messages chan string) {
	t.Helper()
	pc = pionPeer(t)
	ch, messages = channelOf(t, pc)
	offer, err := pc.CreateOffer(nil)
	e.send(t, complete(t, pc, offer, err))
	if err := pc.SetRemoteDescription(receive[webrtc.SessionDescription](t, e)); err != nil {
		t.Fatal(err)
	}
	return pc, ch, messages
}

func channelOf(t *testing.T, pc *webrtc.PeerConnection) (*webrtc.DataChannel, chan string) {
	t.Helper()
	ch, err := pc.CreateDataChannel("data", nil)
	if err != nil {
		t.Fatal(err)
	}
	return ch, messagesOf(ch)
}

func messagesOf(ch *webrtc.DataChannel) chan string {
	messages := make(chan string, 1000)
	ch.OnMessage(func(m webrtc.DataChannelMessage) {
		select {
		case messages <- string(m.Data):
		default: // further messages of a bulk transfer are dropped
		}
	})
	return messages
}

func next(t *testing.T, messages chan string) string {
	t.Helper()
	select {
	case m := <-messages:
		return m
	case <-time.After(patience):
		t.Fatal("no message")
		return ""
	}
}

// until waits until f is true.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !f(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func TestDataChannels(t *testing.T) {
	e := started(t, "data-channels")
	_, ch, messages := offered(t, e)
	if next(t, messages) == "" {
		t.Error("an empty message")
	}
	if err := ch.SendText("from pion"); err != nil {
		t.Fatal(err)
	}
	until(t, "the example has printed the message", func() bool { return strings.Contains(e.logged(), "data: from pion") })
}

func TestDataChannelsDetach(t *testing.T) {
	e := started(t, "data-channels-detach")
	_, ch, messages := offered(t, e)
	ch.OnOpen(func() { ch.Send([]byte("and back")) })
	if m := next(t, messages); m != "and back" {
		t.Errorf("%q", m)
	}
}

func TestDataChannelsFlowControl(t *testing.T) {
	e := started(t, "data-channels-flow-control", "-for", "1s")
	pc := pionPeer(t)
	channels := make(chan chan string, 1)
	pc.OnDataChannel(func(ch *webrtc.DataChannel) { channels <- messagesOf(ch) })
	if err := pc.SetRemoteDescription(receive[webrtc.SessionDescription](t, e)); err != nil {
		t.Fatal(err)
	}
	answer, err := pc.CreateAnswer(nil)
	e.send(t, complete(t, pc, answer, err))
	messages := <-channels
	for range 100 {
		if m := next(t, messages); len(m) != 1024 {
			t.Fatalf("%d bytes", len(m))
		}
	}
	until(t, "the example has printed its rate", func() bool { return strings.Contains(e.logged(), "Mbit/s") })
}

func TestDataChannelsClose(t *testing.T) {
	e := started(t, "data-channels-close", "-every", "10ms")
	_, ch, messages := offered(t, e)
	closed := make(chan struct{})
	ch.OnClose(func() { close(closed) })
	for i := range 5 {
		if m := next(t, messages); m != fmt.Sprint("message ", i) {
			t.Errorf("%q", m)
		}
	}
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("the channel is not closed at pion's end")
	}
	until(t, "the channel is closed at the example's end", func() bool { return strings.Contains(e.logged(), "data is closed") })
}

// freeAddress returns a loopback address with a free TCP port.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// post sends a value as JSON. It tries again while the example does not listen yet.
func post(t *testing.T, url string, v any) []byte {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var response *http.Response
	until(t, "the example listens at "+url, func() bool {
		response, err = http.Post(url, "application/json", bytes.NewReader(body))
		return err == nil
	})
	defer response.Body.Close()
	out, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %s, %v", url, response.Status, out, err)
	}
	return out
}

// The examples "offer" and "answer" exchange candidates one by one with pion, which
// takes the role of the other example.
func TestPeerToPeer(t *testing.T) {
	for _, role := range []string{"offer", "answer"} {
		t.Run(role, func(t *testing.T) {
			pc := pionPeer(t)
			here, there := freeAddress(t), freeAddress(t)
			messages := make(chan chan string, 1)
			pc.OnDataChannel(func(ch *webrtc.DataChannel) { messages <- messagesOf(ch) })
			var mu sync.Mutex
			var early []webrtc.ICECandidateInit
			pc.OnICECandidate(func(c *webrtc.ICECandidate) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case c == nil:
				case pc.RemoteDescription() == nil:
					early = append(early, c.ToJSON())
				default:
					post(t, "http://"+there+"/candidate", c.ToJSON())
				}
			})
			mux := http.NewServeMux()
			mux.HandleFunc("/candidate", func(w http.ResponseWriter, r *http.Request) {
				var c webrtc.ICECandidateInit
				if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
					t.Error(err)
				} else if err := pc.AddICECandidate(c); err != nil {
					t.Error(err)
				}
			})
			mux.HandleFunc("/sdp", func(w http.ResponseWriter, r *http.Request) {
				var d webrtc.SessionDescription
				if err := json.NewDecoder(r.Body).Decode(&d); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if err := pc.SetRemoteDescription(d); err != nil {
					t.Error(err)
				}
				for _, c := range early {
					post(t, "http://"+there+"/candidate", c)
				}
				mu.Unlock()
				if d.Type == webrtc.SDPTypeOffer {
					answer, err := pc.CreateAnswer(nil)
					if err != nil {
						t.Error(err)
						return
					}
					go func() {
						post(t, "http://"+there+"/sdp", answer)
						if err := pc.SetLocalDescription(answer); err != nil {
							t.Error(err)
						}
					}()
				}
			})
			server := &http.Server{Addr: here, Handler: mux}
			go server.ListenAndServe()
			t.Cleanup(func() { server.Close() })
			if role == "offer" {
				started(t, "peer-to-peer/offer", "-offer-address", there, "-answer-address", here)
				next(t, <-messages)
				return
			}
			started(t, "peer-to-peer/answer", "-offer-address", here, "-answer-address", there)
			_, got := channelOf(t, pc)
			offer, err := pc.CreateOffer(nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := pc.SetLocalDescription(offer); err != nil {
				t.Fatal(err)
			}
			post(t, "http://"+there+"/sdp", offer)
			next(t, got)
		})
	}
}

// signalled sends pion's offer to the page of an example, and applies the example's
// answer.
func signalled(t *testing.T, address string, pc *webrtc.PeerConnection, options *webrtc.OfferOptions) {
	t.Helper()
	offer, err := pc.CreateOffer(options)
	var answer webrtc.SessionDescription
	if err := json.Unmarshal(post(t, "http://"+address+"/doSignaling", complete(t, pc, offer, err)), &answer); err != nil {
		t.Fatal(err)
	}
	if err := pc.SetRemoteDescription(answer); err != nil {
		t.Fatal(err)
	}
}

func TestICERestart(t *testing.T) {
	address := freeAddress(t)
	started(t, "ice-restart", "-http", address)
	pc := pionPeer(t)
	_, messages := channelOf(t, pc)
	signalled(t, address, pc, nil)
	next(t, messages)
	before := pc.RemoteDescription().SDP
	signalled(t, address, pc, &webrtc.OfferOptions{ICERestart: true})
	if ufragOf(before) == ufragOf(pc.RemoteDescription().SDP) {
		t.Error("the answer has the credentials from before the restart")
	}
	next(t, messages)
}

func ufragOf(sdp string) string {
	_, rest, _ := strings.Cut(sdp, "a=ice-ufrag:")
	ufrag, _, _ := strings.Cut(rest, "\r\n")
	return ufrag
}

func TestICESinglePort(t *testing.T) {
	address := freeAddress(t)
	started(t, "ice-single-port", "-http", address, "-udp", "127.0.0.1:0")
	ports := map[uint16]bool{}
	for range 10 {
		pc := pionPeer(t)
		_, messages := channelOf(t, pc)
		signalled(t, address, pc, nil)
		next(t, messages)
		pair, err := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
		if err != nil {
			t.Fatal(err)
		}
		ports[pair.Remote.Port] = true
	}
	if len(ports) != 1 {
		t.Errorf("ports %v", ports)
	}
}

func TestICETCP(t *testing.T) {
	address := freeAddress(t)
	started(t, "ice-tcp", "-http", address, "-tcp", "127.0.0.1:0")
	pc := pionPeer(t, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeUDP4)
	_, messages := channelOf(t, pc)
	signalled(t, address, pc, nil)
	next(t, messages)
	pair, err := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil {
		t.Fatal(err)
	}
	if pair.Remote.Protocol != webrtc.ICEProtocolTCP {
		t.Errorf("pair %v", pair)
	}
}

// parameters contains the parameters that the example "ortc" exchanges.
type parameters struct {
	UsernameFragment, Password string
	Candidates                 []string
	Fingerprints               []struct {
		Hash  string
		Value []byte
	}
	SCTPPort, MaxMessageSize int
}

func TestORTC(t *testing.T) {
	for _, role := range []webrtc.ICERole{webrtc.ICERoleControlling, webrtc.ICERoleControlled} {
		t.Run("pion is "+role.String(), func(t *testing.T) {
			var args []string
			if role == webrtc.ICERoleControlled {
				args = []string{"-offer"}
			}
			e := started(t, "ortc", args...)
			api := pionAPI()
			gatherer, err := api.NewICEGatherer(webrtc.ICEGatherOptions{})
			if err != nil {
				t.Fatal(err)
			}
			ice := api.NewICETransport(gatherer)
			dtls, err := api.NewDTLSTransport(ice, nil)
			if err != nil {
				t.Fatal(err)
			}
			sctp := api.NewSCTPTransport(dtls)
			t.Cleanup(func() { sctp.Stop(); dtls.Stop(); ice.Stop() })
			gathered := make(chan struct{})
			gatherer.OnLocalCandidate(func(c *webrtc.ICECandidate) {
				if c == nil {
					close(gathered)
				}
			})
			if err := gatherer.Gather(); err != nil {
				t.Fatal(err)
			}
			<-gathered
			local := localParameters(t, gatherer, dtls, sctp)
			var remote parameters
			if role == webrtc.ICERoleControlled {
				remote = receive[parameters](t, e)
				e.send(t, local)
			} else {
				e.send(t, local)
				remote = receive[parameters](t, e)
			}
			startORTC(t, remote, role, ice, dtls, sctp)
			id := uint16(0)
			ch, err := api.NewDataChannel(sctp, &webrtc.DataChannelParameters{Label: "foo", ID: &id, Negotiated: true, Ordered: true})
			if err != nil {
				t.Fatal(err)
			}
			next(t, messagesOf(ch))
		})
	}
}

func localParameters(t *testing.T, gatherer *webrtc.ICEGatherer, dtls *webrtc.DTLSTransport, sctp *webrtc.SCTPTransport) (p parameters) {
	t.Helper()
	candidates, err := gatherer.GetLocalCandidates()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range candidates {
		p.Candidates = append(p.Candidates, c.ToJSON().Candidate)
	}
	ice, err := gatherer.GetLocalParameters()
	if err != nil {
		t.Fatal(err)
	}
	p.UsernameFragment, p.Password = ice.UsernameFragment, ice.Password
	d, err := dtls.GetLocalParameters()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range d.Fingerprints {
		var value []byte
		for b := range strings.SplitSeq(f.Value, ":") {
			var n byte
			fmt.Sscanf(b, "%x", &n)
			value = append(value, n)
		}
		p.Fingerprints = append(p.Fingerprints, struct {
			Hash  string
			Value []byte
		}{f.Algorithm, value})
	}
	p.SCTPPort, p.MaxMessageSize = 5000, int(sctp.GetCapabilities().MaxMessageSize)
	return p
}

func startORTC(t *testing.T, remote parameters, role webrtc.ICERole, ice *webrtc.ICETransport, dtls *webrtc.DTLSTransport, sctp *webrtc.SCTPTransport) {
	t.Helper()
	var candidates []webrtc.ICECandidate
	for _, line := range remote.Candidates {
		if c, ok := candidateOf(t, line); ok {
			candidates = append(candidates, c)
		}
	}
	if err := ice.SetRemoteCandidates(candidates); err != nil {
		t.Fatal(err)
	}
	if err := ice.Start(nil, webrtc.ICEParameters{UsernameFragment: remote.UsernameFragment, Password: remote.Password}, &role); err != nil {
		t.Fatal(err)
	}
	parameters := webrtc.DTLSParameters{Role: webrtc.DTLSRoleAuto}
	for _, f := range remote.Fingerprints {
		parameters.Fingerprints = append(parameters.Fingerprints, webrtc.DTLSFingerprint{
			Algorithm: f.Hash, Value: strings.ReplaceAll(fmt.Sprintf("% x", f.Value), " ", ":"),
		})
	}
	if err := dtls.Start(parameters); err != nil {
		t.Fatal(err)
	}
	if err := sctp.Start(webrtc.SCTPCapabilities{MaxMessageSize: uint32(remote.MaxMessageSize)}); err != nil {
		t.Fatal(err)
	}
}

// candidateOf parses the line of a UDP candidate.
func candidateOf(t *testing.T, line string) (c webrtc.ICECandidate, ok bool) {
	t.Helper()
	f := strings.Fields(strings.TrimPrefix(line, "candidate:"))
	if len(f) < 8 || f[2] != "udp" {
		return c, false
	}
	c = webrtc.ICECandidate{Foundation: f[0], Component: 1, Protocol: webrtc.ICEProtocolUDP, Address: f[4], Typ: webrtc.ICECandidateTypeHost}
	fmt.Sscan(f[3], &c.Priority)
	fmt.Sscan(f[5], &c.Port)
	return c, f[7] == "host"
}

func TestTrickleICE(t *testing.T) {
	address := freeAddress(t)
	started(t, "trickle-ice", "-http", address)
	var ws *websocket.Conn
	until(t, "the example listens", func() (ok bool) {
		var err error
		ws, err = websocket.Dial("ws://"+address+"/websocket", "", "http://"+address)
		return err == nil
	})
	defer ws.Close()
	pc := pionPeer(t)
	_, messages := channelOf(t, pc)
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := websocket.JSON.Send(ws, offer); err != nil {
		t.Fatal(err)
	}
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		if c != nil {
			websocket.JSON.Send(ws, c.ToJSON())
		}
	})
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			var message struct {
				webrtc.SessionDescription
				webrtc.ICECandidateInit
			}
			var text []byte
			if websocket.Message.Receive(ws, &text) != nil {
				return
			}
			var isDescription struct{ SDP string }
			if err := json.Unmarshal(text, &isDescription); err != nil {
				t.Error(err)
			}
			if isDescription.SDP != "" {
				if err := json.Unmarshal(text, &message.SessionDescription); err != nil {
					t.Error(err)
				} else if err := pc.SetRemoteDescription(message.SessionDescription); err != nil {
					t.Error(err)
				}
				continue
			}
			if err := json.Unmarshal(text, &message.ICECandidateInit); err != nil {
				t.Error(err)
			} else if err := pc.AddICECandidate(message.ICECandidateInit); err != nil {
				t.Error(err)
			}
		}
	}()
	next(t, messages)
}

func TestNonTrickle(t *testing.T) {
	for _, role := range []string{"offer", "answer"} {
		t.Run(role, func(t *testing.T) {
			pc := pionPeer(t)
			id, yes := uint16(0), true
			ch, err := pc.CreateDataChannel("chat", &webrtc.DataChannelInit{Negotiated: &yes, ID: &id})
			if err != nil {
				t.Fatal(err)
			}
			messages := messagesOf(ch)
			ch.OnOpen(func() { ch.SendText("from pion") })
			var e *example
			if role == "offer" {
				e = started(t, "non-trickle", "-offer")
				if err := pc.SetRemoteDescription(receive[webrtc.SessionDescription](t, e)); err != nil {
					t.Fatal(err)
				}
				answer, err := pc.CreateAnswer(nil)
				e.send(t, complete(t, pc, answer, err))
			} else {
				e = started(t, "non-trickle")
				offer, err := pc.CreateOffer(nil)
				e.send(t, complete(t, pc, offer, err))
				if err := pc.SetRemoteDescription(receive[webrtc.SessionDescription](t, e)); err != nil {
					t.Fatal(err)
				}
			}
			fmt.Fprintln(e.in, "typed")
			if m := next(t, messages); m != "typed" {
				t.Errorf("%q", m)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			printed := make(chan string, 1)
			go func() {
				if e.lines.Scan() {
					printed <- e.lines.Text()
				}
			}()
			select {
			case line := <-printed:
				if line != "> from pion" {
					t.Errorf("printed %q", line)
				}
			case <-ctx.Done():
				t.Error("the example has printed nothing")
			}
		})
	}
}
