package udpmux

import (
	"fmt"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"purertc/ice"
)

// coturn, a STUN server of another project, answers Binding requests over a real
// socket.
func TestCoturnAnswers(t *testing.T) {
	path, err := exec.LookPath("turnserver")
	if err != nil {
		t.Skip("coturn's turnserver is not installed")
	}
	probe := open(t, Config{})
	port := probe.LocalAddr().Port()
	probe.Close()
	<-probe.Done()
	cmd := exec.Command(path, "-n", "--listening-ip", "127.0.0.1", "-p", fmt.Sprint(port), "--stun-only",
		"--no-tls", "--no-dtls", "--no-cli", "--log-file", "/dev/null", "--pidfile", t.TempDir()+"/pid")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()

	s := open(t, Config{})
	h := newRecorder()
	p := attach(t, s, h, 0, false) // the response is recognized by its transaction id
	a := ice.NewAgent(ice.Config{})
	now := time.Now()
	a.AddLocal(now, ice.Local{Addr: s.LocalAddr()})
	server := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	if err := a.AddServer(now, ice.Server{URL: "stun:coturn", Addr: server, Sock: ice.SockAny}); err != nil {
		t.Fatal(err)
	}
	a.EndOfLocal(now)
	timeout := time.After(10 * time.Second)
	for taken := 0; ; {
		now := time.Now()
		a.Advance(now)
		for {
			b, r, ok := a.AppendDatagram(now, nil)
			if !ok {
				break
			}
			p.Write(r, b, 0)
		}
		for {
			e, ok := a.NextEvent()
			if !ok {
				break
			}
			if e.Kind == ice.EventServerError {
				t.Fatalf("%s: %v", e.URL, e.Err)
			}
			if e.Kind == ice.EventGatheringComplete {
				if taken == 0 {
					t.Error("complete without an answer")
				}
				return
			}
		}
		var due <-chan time.Time
		if at := a.NextTimeout(); !at.IsZero() {
			due = time.After(time.Until(at))
		}
		select {
		case <-h.arrived:
			h.mu.Lock()
			for ; taken < len(h.got); taken++ {
				a.HandleDatagram(time.Now(), h.routes[taken], h.got[taken])
			}
			h.mu.Unlock()
		case <-due:
		case <-timeout:
			t.Fatal("coturn does not answer")
		}
	}
}
