package sctp

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// usrsctpEcho is an example program of usrsctp, another implementation of
// SCTP (Debian: libusrsctp-examples).
const usrsctpEcho = "/usr/lib/usrsctp/echo_server"

// TestUsrsctpEcho exchanges messages with usrsctp, SCTP directly in UDP
// (RFC 6951), without DTLS and so with checksums.
func TestUsrsctpEcho(t *testing.T) {
	if _, err := os.Stat(usrsctpEcho); err != nil {
		t.Skip("needs usrsctp's echo_server (Debian: libusrsctp-examples)")
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	probe, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	server := probe.LocalAddr().(*net.UDPAddr)
	probe.Close()
	cmd := exec.Command(usrsctpEcho, strconv.Itoa(server.Port), strconv.Itoa(conn.LocalAddr().(*net.UDPAddr).Port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()

	for _, interleaving := range []bool{true, false} {
		echoAll(t, conn, server, interleaving)
	}
}

// echoAll connects, sends messages of many sizes, expects them back, and shuts down.
func echoAll(t *testing.T, conn *net.UDPConn, server *net.UDPAddr, interleaving bool) {
	a := NewAssociation(Config{LocalPort: 5001, RemotePort: 7, DisableZeroChecksum: true, DisableInterleaving: !interleaving})
	a.Connect(time.Now())
	var want [][]byte
	for i, size := range []int{1, 2, 3, 4, 5, 100, 1131, 1132, 1133, 1200, 2000, 5000, 9999} {
		want = append(want, testMessage(1, i, size))
		if err := a.Send(time.Now(), Message{Stream: 1, PPID: 53, Data: want[i]}, SendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	buf := make([]byte, 65536)
	var echoed []byte
	total := 0
	for _, w := range want {
		total += len(w)
	}
	for closing := false; ; {
		now := time.Now()
		if now.After(deadline) {
			t.Fatalf("interleaving %v: timeout in %v with %d of %d bytes: %+v", interleaving, a.State(), len(echoed), total, a.Stats())
		}
		a.Advance(now)
		for {
			pkt, ok := a.AppendPacket(now, nil, 1200)
			if !ok {
				break
			}
			if _, err := conn.WriteToUDP(pkt, server); err != nil {
				t.Log(err)
			}
		}
		for {
			m, ok := a.Receive()
			if !ok {
				break
			}
			// The server sends a large message back in pieces. On one ordered stream
			// the bytes are still in order.
			echoed = append(echoed, m.Data...)
			a.Release(now, len(m.Data))
		}
		if !closing && len(echoed) == total {
			if !bytes.Equal(echoed, bytes.Join(want, nil)) {
				t.Fatal("echo differs")
			}
			if a.receiver.interleaving() && !interleaving {
				t.Error("interleaving was not offered")
			}
			a.Shutdown(now)
			closing = true
			continue
		}
		if ev, ok := a.NextEvent(); ok {
			if ev.Kind == EventClosed && closing {
				t.Logf("interleaving %v (negotiated %v): %d bytes echoed, SHUTDOWN completed", interleaving, a.handshake.peer.iData, total)
				for {
					pkt, ok := a.AppendPacket(now, nil, 1200)
					if !ok {
						return
					}
					conn.WriteToUDP(pkt, server)
				}
			}
			if ev.Kind == EventFailed {
				t.Fatal(ev.Err)
			}
			continue
		}
		next := a.NextTimeout()
		if next.IsZero() || next.After(now.Add(200*time.Millisecond)) {
			next = now.Add(200 * time.Millisecond)
		}
		conn.SetReadDeadline(next)
		if n, _, err := conn.ReadFromUDP(buf); err == nil {
			a.HandlePacket(time.Now(), buf[:n])
		}
	}
}
