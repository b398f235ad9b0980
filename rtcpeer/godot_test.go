package rtcpeer

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"purertc/ice"
)

// The descriptions and candidates of Godot 3.2 and 4.6, native and in browsers, are
// accepted: offers are answered, answers are applied, and candidates are known.
func TestGodotSignalling(t *testing.T) {
	dirs, _ := filepath.Glob("testdata/godot/*")
	if len(dirs) < 9 {
		t.Fatalf("%d captures", len(dirs))
	}
	for _, dir := range dirs {
		descriptions, _ := filepath.Glob(dir + "/*offer.*")
		answers, _ := filepath.Glob(dir + "/*answer.*")
		if len(descriptions)+len(answers) == 0 {
			t.Errorf("%s has no descriptions", dir)
		}
		for _, file := range append(descriptions, answers...) {
			inBubble(t, func(t *testing.T) { godotDescription(t, file) })
		}
	}
}

func godotDescription(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := newDeaf(t, newMemNet(), "10.0.0.1")
	typ := "offer"
	if strings.Contains(file, "answer") {
		typ = "answer"
		c.local(t, "offer", c.offered(t))
	}
	c.remote(t, typ, string(text))
	if typ == "offer" {
		answer := c.next(t, "answer")
		if !strings.Contains(answer, "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n") || !strings.Contains(answer, "a=mid:0\r\n") {
			t.Errorf("%s is answered with\n%s", file, answer)
		}
		c.local(t, "answer", answer)
	}
	c.want(t, SignalingStateStable)
	// The files with the candidates of the same peer are named godot-candidate-N, or
	// FROM-to-TO-candidate.
	stem := file[:strings.LastIndex(file, typ)]
	candidates, _ := filepath.Glob(stem + "candidate*")
	if len(candidates) == 0 {
		t.Errorf("%s has no candidates", file)
	}
	for _, f := range candidates {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		if len(lines) != 3 {
			t.Fatalf("%s has %d lines", f, len(lines))
		}
		index, err := strconv.Atoi(lines[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddICECandidate(lines[0], index, lines[2]); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		if _, err := ice.ParseCandidate(lines[2]); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

// Configurations of browsers and of Godot's native plugin are accepted. Keys without a
// meaning for this package are logged by name.
func TestForeignConfig(t *testing.T) {
	var cfg Config
	if err := json.Unmarshal([]byte(`{"iceServers": [{"url": "stun:a", "credentialType": "password", "username": null, "credential": null}, {"urls": ["stun:b"]}],
		"iceTransportPolicy": "relay", "bundlePolicy": "max-bundle", "rtcpMuxPolicy": "require", "iceCandidatePoolSize": 2, "certificates": [],
		"peerIdentity": null, "libdatachannel": {"enableIceTcp": true, "mtu": 1200}}`), &cfg); err != nil {
		t.Fatal(err)
	}
	if len(cfg.ICEServers) != 2 || cfg.ICEServers[0].URLs[0] != "stun:a" || cfg.ICETransportPolicy != ICETransportPolicyRelay {
		t.Errorf("%+v", cfg)
	}
	if b, err := json.Marshal(cfg); err != nil || string(b) != `{"iceServers":[{"urls":["stun:a"]},{"urls":["stun:b"]}],"iceTransportPolicy":"relay"}` {
		t.Errorf("written as %s, %v", b, err)
	}
	var log bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	c := New()
	defer c.Close()
	if err := c.Initialize(cfg); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"credentialType", "bundlePolicy", "rtcpMuxPolicy", "iceCandidatePoolSize", "certificates", "libdatachannel"} {
		if !strings.Contains(log.String(), key) {
			t.Errorf("%s is not in the log: %s", key, log.String())
		}
	}
	if strings.Contains(log.String(), "peerIdentity") {
		t.Errorf("null is in the log: %s", log.String())
	}
}

// PlainCandidates leaves out TCP candidates, and the empty candidate at the end.
func TestPlainCandidates(t *testing.T) {
	host, err := NewHost(HostConfig{Addr: "127.0.0.1:0", TCPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	for _, h := range []*Host{nil, host} {
		for _, plain := range []bool{false, true} {
			c := New()
			if err := c.Initialize(Config{Host: h, IncludeLoopback: true, PlainCandidates: plain}); err != nil {
				t.Fatal(err)
			}
			var names []string
			c.OnSessionDescriptionCreated(func(typ, sdp string) { c.SetLocalDescription(typ, sdp) })
			c.OnICECandidateCreated(func(_ string, _ int, name string) { names = append(names, name) })
			c.CreateDataChannel("x", ChannelOptions{})
			c.CreateOffer()
			for c.GatheringState() != GatheringStateComplete {
				if err := c.Wait(context.Background()); err != nil {
					t.Fatal(err)
				}
				c.Poll()
			}
			_, sdp := c.LocalDescription()
			tcp, last := strings.Contains(strings.Join(names, "\n")+sdp, " tcp "), len(names) > 0 && names[len(names)-1] == ""
			if len(names) < 1 || tcp == plain || last == plain {
				t.Errorf("plain %v, with a host %v: %q in\n%s", plain, h != nil, names, sdp)
			}
			c.Close()
		}
	}
}
