package rtcpeer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"purertc/ice"
	"purertc/sdp"
)

var goBlock = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

// pages returns all pages of documentation by their path from the root of the
// module.
func pages(t *testing.T) map[string]string {
	pages := map[string]string{}
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == "node_modules" || e.Name() == ".git" || e.Name() == "out"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md"):
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			pages[filepath.ToSlash(path[len("../"):])] = string(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(pages) < 8 {
		t.Fatalf("only %d pages were found", len(pages))
	}
	return pages
}

// build builds a program as a package of this module. The package exists only for the
// compiler.
func build(t *testing.T, text string) (program string) {
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(root, "rtcpeer", "documented", "main.go"): source}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "program.exe")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, "purertc/rtcpeer/documented").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// TestDocumentedPrograms builds every Go block of every page.
func TestDocumentedPrograms(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command to build programs with")
	}
	blocks := 0
	for page, text := range pages(t) {
		for i, m := range goBlock.FindAllStringSubmatch(text, -1) {
			blocks++
			t.Run(fmt.Sprintf("%s#%d", page, i), func(t *testing.T) { build(t, m[1]) })
		}
	}
	if blocks == 0 {
		t.Error("no page has a program")
	}
}

// TestREADMEConnects runs the program of the README as two processes.
func TestREADMEConnects(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command to build the program with")
	}
	m := goBlock.FindStringSubmatch(pages(t)["README.md"])
	if m == nil {
		t.Fatal("README.md has no program")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // a free port in place of the fixed one
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	text := strings.Replace(m[1], "127.0.0.1:9000", addr, 1)
	if text == m[1] {
		t.Fatal("the program's address was not found")
	}
	program := build(t, text)
	var outputs [2]bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	listener := exec.CommandContext(ctx, program, "listen")
	listener.Stdout, listener.Stderr = &outputs[0], &outputs[0]
	if err := listener.Start(); err != nil {
		t.Fatal(err)
	}
	var dialErr error
	for ctx.Err() == nil { // until the listener is ready
		outputs[1].Reset()
		dialer := exec.CommandContext(ctx, program, "dial")
		dialer.Stdout, dialer.Stderr = &outputs[1], &outputs[1]
		if dialErr = dialer.Run(); !strings.Contains(outputs[1].String(), "refused") {
			break
		}
	}
	if err := listener.Wait(); err != nil || dialErr != nil {
		t.Errorf("listen: %v, dial: %v", err, dialErr)
	}
	if outputs[0].String() != "hello from the one that dials\n" || outputs[1].String() != "hello from the one that listens\n" {
		t.Errorf("listen printed %q, dial %q", outputs[0].String(), outputs[1].String())
	}
}

var markdownLink = regexp.MustCompile(`\]\(([^)#]+)\)`)

// TestDocumentedLinks checks that the files which pages refer to exist, and the
// length of the README.
func TestDocumentedLinks(t *testing.T) {
	for page, text := range pages(t) {
		for _, m := range markdownLink.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", filepath.Dir(filepath.FromSlash(page)), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s refers to %s: %v", page, m[1], err)
			}
		}
	}
	if n := strings.Count(pages(t)["README.md"], "\n"); n > 150 {
		t.Errorf("README.md has %d lines, at most 150", n)
	}
}

var jsBlock = regexp.MustCompile("(?ms)^```js\n(.*?)^```$")

// TestDocumentedJoin runs the function of JOIN.md, which cmd/interop gives to browsers,
// with a peer connection that only keeps its descriptions. The answer that it makes
// says the same as the one for Go programs.
func TestDocumentedJoin(t *testing.T) {
	m := jsBlock.FindStringSubmatch(pages(t)["rtcpeer/JOIN.md"])
	if m == nil {
		t.Fatal("JOIN.md has no function")
	}
	script, err := os.ReadFile("../cmd/interop/join.js")
	if err != nil {
		t.Fatal(err)
	}
	if m[1] != string(script) {
		t.Error("the function in JOIN.md is not the one in cmd/interop/join.js, which the browsers run")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("there is no node to run the function with")
	}
	v := testInvitation()
	const fake = `
const pc = {
  async setLocalDescription() { this.localDescription = { type: 'offer', sdp: 'v=0\r\na=mid:data\r\n' }; },
  async setRemoteDescription(d) { process.stdout.write(d.type + '\n' + d.sdp); },
};
join(pc, process.argv[1] + '\n').catch(e => process.stdout.write('error ' + e.message));
`
	run := func(text string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), node, "-e", m[1]+fake, text).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	answer, ok := strings.CutPrefix(run(v.String()), "answer\n")
	if !ok {
		t.Fatalf("no answer, but %q", answer)
	}
	offer := sdp.Params{
		Origin: sdp.NewOrigin(1, 1), Mid: "data", Ufrag: "page", Pwd: strings.Repeat("p", 22), Setup: sdp.SetupActPass, SCTPPort: 5000,
		Fingerprints: []sdp.Fingerprint{{Hash: "sha-256", Value: make([]byte, 32)}},
	}.Offer(nil, nil)
	want, err := v.answer(offer, true)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseDescription("answer", answer)
	if err != nil {
		t.Fatalf("%v\n%s", err, answer)
	}
	like, err := parseDescription("answer", want)
	if err != nil {
		t.Fatal(err)
	}
	if !got.sameTransport(like) || !slices.Equal(candidateAddrs(t, got), candidateAddrs(t, like)) || !got.data().EndOfCandidates {
		t.Errorf("the answer is\n%s\nnot\n%s", answer, want)
	}
	v.expires = time.Unix(1, 0)
	if out := run(v.String()); !strings.Contains(out, "expired") {
		t.Errorf("an invite that has expired: %s", out)
	}
	if out := run("rtc2." + v.String()[5:]); !strings.Contains(out, "not an invite of this version") {
		t.Errorf("an invite of another version: %s", out)
	}
}

// candidateAddrs returns transport and address of the candidates in a description.
func candidateAddrs(t *testing.T, d *description) (list []string) {
	t.Helper()
	for _, line := range d.data().Candidates {
		c, err := ice.ParseCandidate(line)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprint(c.Transport, c.TCPType, c.Addr))
	}
	return list
}
