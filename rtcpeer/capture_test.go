package rtcpeer

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/simnet"
)

// A dissected packet is a packet of a capture, as tshark reads it.
type dissected struct {
	iface, inbound          string // interface_id; 1 for an inbound packet, 2 for an outbound one
	source, protocols, info string
	data                    string // hexadecimal payload, decrypted
}

// dissect gives a capture to tshark.
func dissect(t *testing.T, capture []byte) (packets []dissected) {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("there is no tshark to read the capture with")
	}
	file := filepath.Join(t.TempDir(), "capture.pcapng")
	if err := os.WriteFile(file, capture, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-n", "-r", file, "-T", "fields", "-E", "separator=|"}
	for _, field := range []string{"frame.interface_id", "frame.packet_flags_direction", "ip.src", "frame.protocols", "_ws.col.Info", "data.data"} {
		args = append(args, "-e", field)
	}
	var stderr bytes.Buffer
	cmd := exec.Command("tshark", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, stderr.Bytes())
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "|")
		if len(f) != 6 {
			t.Fatalf("tshark printed %q", line)
		}
		packets = append(packets, dissected{f[0], f[1], f[2], f[3], f[4], f[5]})
	}
	return packets
}

// TestCaptureWireshark captures a connection, and checks that Wireshark's tshark
// understands each layer: STUN, DTLS with its secrets, SCTP, and the establishment of a
// data channel. DTLS is version 1.2, because tshark 4.0 cannot read 1.3, and SCTP sends an
// INIT, which it does not with SNAP. The handshake is not in checks, where tshark 4.0 does
// not look for it.
func TestCaptureWireshark(t *testing.T) {
	var capture, secrets bytes.Buffer
	w := simnet.New(1)
	w.Default = simnet.Path{Delay: 10 * time.Millisecond}
	a := newSimPeer(t, w, Config{PacketCapture: &capture, KeyLogWriter: &secrets, MaxDTLS: tls.VersionTLS12, DisableSNAP: true, DisableSPED: true}, "10.0.0.1")
	b := newSimPeer(t, w, Config{}, "10.0.0.2")
	a.other, b.other = b, a
	x, err := a.CreateDataChannel("greetings", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	until(t, w, 5*time.Second, "the channel is open", func() bool { return x.ReadyState() == ChannelStateOpen && len(b.kept) == 1 })
	if err := x.PutPacket([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	until(t, w, time.Second, "the packet arrives", func() bool { return b.kept[0].AvailablePacketCount() == 1 })
	b.Close()
	until(t, w, time.Second, "the close arrives", func() bool { return a.ConnectionState() == StateClosed })

	if !strings.HasPrefix(secrets.String(), "CLIENT_RANDOM ") || !bytes.Contains(capture.Bytes(), secrets.Bytes()) {
		t.Errorf("the key log %q is not in the capture", secrets.String())
	}
	packets := dissect(t, capture.Bytes())
	find := func(what string, match func(p dissected) bool) {
		t.Helper()
		for _, p := range packets {
			if match(p) {
				return
			}
		}
		t.Errorf("there is no packet with %s in\n%q", what, packets)
	}
	find("a STUN request of the local end", func(p dissected) bool {
		return p.iface == "0" && p.inbound == "0x00000002" && p.source == "10.0.0.1" && strings.HasPrefix(p.info, "Binding Request")
	})
	find("a STUN response of the remote", func(p dissected) bool {
		return p.iface == "0" && p.inbound == "0x00000001" && p.source == "10.0.0.2" && strings.HasPrefix(p.info, "Binding Success Response")
	})
	find("the client's decrypted Finished", func(p dissected) bool {
		return p.iface == "0" && strings.Contains(p.info, "Client Key Exchange") && strings.HasSuffix(p.info, "Finished")
	})
	find("the decrypted message", func(p dissected) bool {
		return p.iface == "0" && strings.HasSuffix(p.protocols, ":dtls:data") && strings.Contains(p.data, hex.EncodeToString([]byte("hello")))
	})
	find("an SCTP packet of the remote", func(p dissected) bool {
		return p.iface == "1" && p.inbound == "0x00000001" && strings.Contains(p.info, "INIT_ACK")
	})
	find("the DATA_CHANNEL_OPEN", func(p dissected) bool {
		return p.iface == "1" && p.inbound == "0x00000002" && p.protocols == "sctp:rtcdc" && strings.Contains(p.info, "DATA_CHANNEL_OPEN_REQUEST")
	})
	find("the DATA_CHANNEL_ACK", func(p dissected) bool {
		return p.iface == "1" && p.inbound == "0x00000001" && strings.Contains(p.info, "DATA_CHANNEL_ACK")
	})
	find("the message inside SCTP", func(p dissected) bool {
		return p.iface == "1" && p.data == hex.EncodeToString([]byte("hello"))
	})
	for _, p := range packets {
		if strings.Contains(p.protocols, "malformed") || strings.Contains(p.info, "Malformed") {
			t.Errorf("malformed: %q", p)
		}
	}
}

// TestSocketOf checks the addresses of captured datagrams for each kind of socket.
func TestSocketOf(t *testing.T) {
	addr := netip.MustParseAddrPort
	g := &gatherer{
		locals: []local{
			{sock: 0, addr: addr("192.0.2.1:5000")}, {sock: 0, addr: addr("192.0.2.2:5000")},
			{sock: 1, addr: addr("192.0.2.1:9"), tcp: ice.TCPActive},
		},
		connections: []connection{
			{server: ice.Server{Sock: 2, Transport: ice.OverTLS}}, {server: ice.Server{Sock: 3, Transport: ice.OverUDP}},
		},
	}
	for _, c := range []struct {
		route ice.Route
		want  string
		over  string
	}{
		{ice.Route{Sock: 0, Local: netip.MustParseAddr("192.0.2.2")}, "192.0.2.2:5000", ""},
		{ice.Route{Sock: 0}, "192.0.2.1:5000", ""},
		{ice.Route{Sock: 1, Local: netip.MustParseAddr("192.0.2.1")}, "192.0.2.1:9", "not UDP: carried over TCP"},
		{ice.Route{Sock: 2}, "invalid AddrPort", "not UDP: carried over TLS"},
		{ice.Route{Sock: 3, Local: netip.MustParseAddr("192.0.2.1")}, "192.0.2.1:0", ""},
		{ice.Route{Sock: ice.SockMDNS, Local: netip.MustParseAddr("192.0.2.1")}, "192.0.2.1:5353", ""},
	} {
		if got, over := g.socketOf(c.route); got.String() != c.want || over != c.over {
			t.Errorf("%+v: %v %q, want %v %q", c.route, got, over, c.want, c.over)
		}
	}
}

// TestCaptureOff checks that nothing is captured, and that the program's key log is
// unchanged, without Config.PacketCapture.
func TestCaptureOff(t *testing.T) {
	var none *packetCapture
	var log bytes.Buffer
	if w := none.keyLog(&log); w != &log {
		t.Errorf("the key log is %v", w)
	}
	if none.on() || none.flush() != nil {
		t.Error("there is a capture")
	}
}
