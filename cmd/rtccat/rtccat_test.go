package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/base64"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"purertc/rtcpeer"
)

// The whole program is this test binary, with a variable that says so.
func TestMain(m *testing.M) {
	if os.Getenv("RTCCAT_TEST_PROGRAM") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A process is a running rtccat.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	log *bufio.Reader // its standard error
	out *bufio.Reader // its standard output
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], append([]string{"-servers=", "-loopback", "-timeout=20s"}, args...)...)}
	p.cmd.Env = append(os.Environ(), "RTCCAT_TEST_PROGRAM=1")
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.log = bufio.NewReader(log)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	return p
}

// line returns the first line of the log with the prefix.
func (p *process) line(t *testing.T, prefix string) string {
	t.Helper()
	for {
		line, err := p.log.ReadString('\n')
		if strings.HasPrefix(line, prefix) {
			return line
		}
		if err != nil {
			t.Fatalf("no line %q: %v", prefix, err)
		}
	}
}

// end waits for the end of the process, and returns the rest of its log.
func (p *process) end() (log string, err error) {
	rest, _ := io.ReadAll(p.log)
	return string(rest), p.cmd.Wait()
}

// TestBothDirections checks that each end writes the standard input of the other end to
// its standard output.
func TestBothDirections(t *testing.T) {
	a, b := start(t, "offer"), start(t, "answer")
	io.WriteString(b.in, a.line(t, linePrefix))
	io.WriteString(a.in, b.line(t, linePrefix))
	io.WriteString(a.in, "from a")
	io.WriteString(b.in, "from b")
	a.in.Close()
	b.in.Close()
	for p, want := range map[*process]string{a: "from b", b: "from a"} {
		out, _ := io.ReadAll(p.out)
		if log, err := p.end(); err != nil || string(out) != want {
			t.Errorf("%q, %v\n%s", out, err, log)
		}
	}
}

// A machine joins by the text of an invite, and gets a file.
func TestInvite(t *testing.T) {
	dir := t.TempDir()
	file, out := filepath.Join(dir, "file"), filepath.Join(dir, "out")
	content := bytes.Repeat([]byte("content "), 100_000)
	if err := os.WriteFile(file, content, 0o666); err != nil {
		t.Fatal(err)
	}
	a := start(t, "-listen=127.0.0.1:0", "-file="+file, "invite")
	text := strings.Fields(a.line(t, "rtccat join "))[2]
	b := start(t, "-out="+out, "join", text)
	for _, p := range []*process{a, b} {
		log, err := p.end()
		if err != nil || !strings.Contains(log, "100 %") || !strings.Contains(log, "direct, IPv4 over UDP") {
			t.Errorf("%v\n%s", err, log)
		}
	}
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// An end says so, with the report, if the remote goes away during the transfer.
func TestRemoteGone(t *testing.T) {
	a, b := start(t, "offer"), start(t, "answer")
	io.WriteString(b.in, a.line(t, linePrefix))
	io.WriteString(a.in, b.line(t, linePrefix))
	io.WriteString(a.in, "begun")
	if _, err := b.out.Peek(len("begun")); err != nil {
		t.Fatal(err)
	}
	a.cmd.Process.Signal(os.Interrupt)
	if log, err := b.end(); err == nil || !strings.Contains(log, "ended before everything arrived") || !strings.Contains(log, "ICE") {
		t.Errorf("%v\n%s", err, log)
	}
}

// Pasted lines: there and back, and what is no line.
func TestLines(t *testing.T) {
	d := rtcpeer.Description{Type: "offer", SDP: strings.Repeat("a=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\n", 20)}
	line := lineOf(d)
	if got, err := parseLine(line); err != nil || got != d {
		t.Errorf("%v, %v", got, err)
	}
	var bomb bytes.Buffer
	w, _ := flate.NewWriter(&bomb, flate.BestCompression)
	io.WriteString(w, `{"type":"`+strings.Repeat("x", 100*maxDescription)+`"}`)
	w.Close()
	for _, bad := range []string{"", "hello", linePrefix, line[:len(line)-10], strings.Replace(line, "1-", "2-", 1), linePrefix + base64.RawURLEncoding.EncodeToString(bomb.Bytes())} {
		if _, err := parseLine(bad); err != errLine {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}
