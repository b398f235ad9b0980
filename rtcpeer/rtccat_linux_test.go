package rtcpeer

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rtccatBytes returns the size of the file that rtccat sends through each combination
// of NATs. CI sets the environment variable to 1 GB.
func rtccatBytes(t *testing.T) int64 {
	text := os.Getenv("RTCPEER_TEST_BYTES")
	if text == "" {
		return 5_000_000
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A cat is a running rtccat.
type cat struct {
	in   io.Writer
	log  *bufio.Reader // the standard error of rtccat
	text strings.Builder
	end  func() error
}

// cat starts rtccat in a namespace.
func (l *lab) cat(path, ns string, args ...string) *cat {
	l.t.Helper()
	c := exec.Command("ip", append([]string{"netns", "exec", l.prefix + ns, path}, args...)...)
	in, err := c.StdinPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	log, err := c.StderrPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Process.Kill() })
	k := &cat{in: in, log: bufio.NewReaderSize(log, 1<<16)}
	k.end = func() error {
		rest, _ := io.ReadAll(k.log)
		k.text.Write(rest)
		return c.Wait()
	}
	return k
}

// line returns the line that rtccat prints for the other rtccat.
func (k *cat) line(t *testing.T) string {
	t.Helper()
	for {
		line, err := k.log.ReadString('\n')
		k.text.WriteString(line)
		if err != nil {
			t.Fatalf("rtccat has ended:\n%s", &k.text)
		}
		if strings.HasPrefix(line, "rtccat1-") {
			return line
		}
	}
}

// TestRtccat sends a file with rtccat through every combination of NATs, and through a
// relay where there is no other path. It checks that the file arrives unchanged.
func TestRtccat(t *testing.T) {
	newLab(t) // skips the test where no namespaces can be made
	dir := t.TempDir()
	program, file := filepath.Join(dir, "rtccat"), filepath.Join(dir, "file")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/rtccat").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	size := rtccatBytes(t)
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, digest), rand.NewChaCha8([32]byte{}), size); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for _, ka := range natKinds {
		l := newNATLab(t)
		l.startTURN("middle", turnAddr)
		l.rules("natA", nat(ka, insideA))
		for _, kb := range natKinds {
			t.Run(fmt.Sprintf("%v with %v", ka, kb), func(t *testing.T) {
				l.rules("natB", nat(kb, insideB))
				servers, how := "-servers=stun:"+turnAddr, "direct, IPv4"
				if !connects(ka, kb) {
					servers, how = "-servers=stun:"+turnAddr+",turn:"+turnAddr, "relayed, IPv4"
				}
				out := filepath.Join(t.TempDir(), "out")
				a := l.cat(program, "hostA", servers, "-user=u", "-pass=p", "-file="+file, "offer")
				b := l.cat(program, "hostB", servers, "-user=u", "-pass=p", "-out="+out, "answer")
				start := time.Now()
				io.WriteString(b.in, a.line(t))
				io.WriteString(a.in, b.line(t))
				errA, errB := a.end(), b.end()
				took := time.Since(start)
				if errA != nil || errB != nil || !strings.Contains(a.text.String(), how) {
					t.Fatalf("%v, %v\n%s\n%s", errA, errB, &a.text, &b.text)
				}
				if got := digestOf(t, out); got != fmt.Sprintf("%x", digest.Sum(nil)) {
					t.Errorf("another file has arrived: %s", got)
				}
				t.Logf("%d bytes in %v, %s", size, took.Round(time.Millisecond), how)
			})
		}
	}
}

func digestOf(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}
