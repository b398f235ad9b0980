package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// A browser is a browser that is installed on this machine.
type browser struct {
	name    string // chromium or firefox
	path    string
	version string
}

// places lists the paths at which browsers may be installed, in order of preference.
var places = map[string][]string{
	"chromium": {"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
		`C:\Program Files\Google\Chrome\Application\chrome.exe`},
	"firefox": {"firefox-esr", "firefox", "/Applications/Firefox.app/Contents/MacOS/firefox", `C:\Program Files\Mozilla Firefox\firefox.exe`},
}

// howToGet says how a missing browser can be installed.
var howToGet = map[string]string{
	"chromium": "not found; install it (Debian: apt-get install chromium), or give its path: -peers chromium=/path/to/chrome",
	"firefox":  "not found; install it (Debian: apt-get install firefox-esr), or give its path: -peers firefox=/path/to/firefox",
}

// findBrowser looks for a browser. If path is not empty, it looks only there.
func findBrowser(name, path string) (browser, bool) {
	candidates := places[name]
	if path != "" {
		candidates = []string{path}
	}
	for _, p := range candidates {
		if full, err := exec.LookPath(p); err == nil {
			return browser{name, full, versionOf(full)}, true
		}
	}
	return browser{}, false
}

var versionNumber = regexp.MustCompile(`[0-9]+(\.[0-9]+)+`)

func versionOf(path string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, path, "--version").Output()
	if v := versionNumber.FindString(string(out)); v != "" {
		return v
	}
	return "unknown"
}

// start starts the browser, headless, with the page at url. If "within" is not empty,
// it is a command that starts the browser. The returned function ends the browser.
func (b browser) start(url string, args, within []string) (stop func(), err error) {
	profile, err := os.MkdirTemp("", "interop-"+b.name+"-")
	if err != nil {
		return nil, err
	}
	var argv []string
	env := os.Environ()
	switch b.name {
	case "chromium":
		argv = []string{"--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-default-browser-check",
			"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
			"--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--user-data-dir=" + profile}
		if runtime.GOOS == "linux" && os.Geteuid() == 0 {
			argv = append(argv, "--no-sandbox") // the sandbox does not work for the user root
		}
	case "firefox":
		if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(firefoxPrefs), 0o600); err != nil {
			return nil, err
		}
		argv = []string{"--headless", "--no-remote", "--profile", profile}
		env = append(env, "HOME="+profile)
	}
	argv = slices.Concat(within, []string{b.path}, argv, args, []string{url})
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = env
	own(cmd)
	if err := cmd.Start(); err != nil {
		os.RemoveAll(profile)
		return nil, err
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	return func() {
		end(cmd)
		<-exited
		for range 20 { // child processes may still be writing into the directory
			if os.RemoveAll(profile) == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	}, nil
}

// firefoxPrefs are settings that prevent Firefox from connecting to services. They do
// not change the settings of WebRTC.
var firefoxPrefs = func() string {
	var b strings.Builder
	for _, p := range []string{
		`"network.captive-portal-service.enabled", false`, `"network.connectivity-service.enabled", false`,
		`"app.update.enabled", false`, `"toolkit.telemetry.enabled", false`, `"datareporting.policy.dataSubmissionEnabled", false`,
		`"datareporting.healthreport.uploadEnabled", false`, `"browser.safebrowsing.update.enabled", false`,
		`"extensions.update.enabled", false`, `"browser.shell.checkDefaultBrowser", false`,
		`"services.settings.server", "http://127.0.0.1:9/"`, `"app.normandy.enabled", false`,
		`"browser.aboutwelcome.enabled", false`, `"network.dns.disablePrefetch", true`, `"network.prefetch-next", false`,
	} {
		fmt.Fprintf(&b, "user_pref(%s);\n", p)
	}
	return b.String()
}()

// A page is the program's connection to the page in a browser. Calls go to the page,
// and events come from it, over HTTP on the loopback interface.
type page struct {
	mu      sync.Mutex
	calls   []rpcCall
	replies map[int]chan event
	next    int
	peers   map[int]chan event // channels for the events of each peer connection
	agent   string
	wake    chan struct{}
	hello   chan struct{}
	once    sync.Once
}

type rpcCall struct {
	N    int            `json:"n"`
	Op   string         `json:"op"`
	Args map[string]any `json:"args"`
}

func newPage() *page {
	return &page{replies: map[int]chan event{}, peers: map[int]chan event{}, wake: make(chan struct{}, 1), hello: make(chan struct{})}
}

// serveRPC answers a request of the page with the next calls. It waits until there is
// one.
func (p *page) serveRPC(w http.ResponseWriter, r *http.Request) {
	timeout := time.After(20 * time.Second)
	for {
		p.mu.Lock()
		calls := p.calls
		p.calls = nil
		p.mu.Unlock()
		if len(calls) > 0 {
			json.NewEncoder(w).Encode(calls)
			return
		}
		select {
		case <-p.wake:
		case <-r.Context().Done():
			return
		case <-timeout:
			fmt.Fprintln(w, "[]")
			return
		}
	}
}

// serveReport handles replies and events that the page sends.
func (p *page) serveReport(w http.ResponseWriter, r *http.Request) {
	var events []event
	if err := json.NewDecoder(r.Body).Decode(&events); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, e := range events {
		p.mu.Lock()
		var to chan event
		switch e.Kind {
		case "hello":
			p.agent = e.Agent
			p.once.Do(func() { close(p.hello) })
		case "reply":
			to = p.replies[e.N]
			delete(p.replies, e.N)
		default:
			to = p.peers[e.Peer]
		}
		p.mu.Unlock()
		if to != nil {
			to <- e
		}
	}
}

// call asks the page to execute an operation, and waits for the reply.
func (p *page) call(ctx context.Context, op string, args map[string]any, out any) error {
	reply := make(chan event, 1)
	p.mu.Lock()
	p.next++
	n := p.next
	p.replies[n] = reply
	p.calls = append(p.calls, rpcCall{n, op, args})
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
	select {
	case e := <-reply:
		if e.Error != "" {
			return fmt.Errorf("page: %s: %s", op, e.Error)
		}
		if out == nil {
			return nil
		}
		return json.Unmarshal(e.Result, out)
	case <-ctx.Done():
		return fmt.Errorf("page: %s: %w", op, ctx.Err())
	}
}
