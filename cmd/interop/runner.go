package main

import (
	"cmp"
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"purertc/rtcpeer"
)

// A result is the result of one case with one remote end, in one role of the local
// end.
type result struct {
	Peer    string  `json:"peer"`
	Version string  `json:"version"`
	Role    string  `json:"role"` // the role of the local end
	Case    string  `json:"case"`
	OK      bool    `json:"ok"`
	Error   string  `json:"error"`
	DTLS    string  `json:"dtls"`
	Group   string  `json:"group"`
	SetupMS float64 `json:"setup_ms"`
}

// A runner runs the cases with one remote end.
type runner struct {
	options  options
	name     string
	version  string
	page     *page // nil: the remote end is this stack
	scenario *scenario
}

// caseTimeout is the maximum duration of a case. The longest wait is in page-closed:
// it takes 5 to 10 s until the local end notices that a peer has disappeared.
const caseTimeout = 40 * time.Second

// runAll runs the cases with every remote end that was chosen and is installed.
func runAll(ctx context.Context, o options) ([]result, error) {
	fmt.Printf("%-9s %-14s %-6s %-5s %-15s %9s  %s\n", "peer", "version", "role", "DTLS", "group", "set-up", "cases passed")
	w, err := openScenario(ctx, o.way)
	if err != nil {
		return nil, err
	}
	defer w.end()
	all := []result{}
	failed := false
	for _, spec := range strings.Split(o.peers, ",") {
		name, path, _ := strings.Cut(spec, "=")
		r := &runner{options: o, name: name, scenario: w}
		end := func() {}
		if why := w.without[name]; why != "" {
			fmt.Printf("%-9s %s\n", name, why)
			continue
		}
		switch name {
		case "self":
			if w.foreign {
				fmt.Printf("%-9s cannot be apart from this program, so it does not go this way\n", name)
				continue
			}
			r.version = "-"
		case "chromium", "firefox":
			b, ok := findBrowser(name, path)
			if !ok {
				fmt.Printf("%-9s %s\n", name, howToGet[name])
				if path != "" {
					failed = true
				}
				continue
			}
			r.version = b.version
			args := o.args
			if name == "chromium" {
				args = slices.Concat(args, w.chromium)
			}
			var err error
			if r.page, end, err = startPage(ctx, b, args, w); err != nil {
				fmt.Printf("%-9s %s\n", name, err)
				all = append(all, result{Peer: name, Version: b.version, Role: "offer", Case: "start", Error: err.Error()})
				failed = true
				continue
			}
		default:
			return all, fmt.Errorf("no peer %q: there are self, chromium and firefox", name)
		}
		for _, role := range []string{"offer", "answer"} {
			if w.host != nil && role == "offer" {
				continue // the host of an invite waits for joiners
			}
			results := r.runRole(ctx, role)
			all = append(all, results...)
			failed = show(r, role, results) || failed
		}
		end()
	}
	if failed {
		return all, errors.New("some cases failed")
	}
	if len(all) == 0 {
		return all, errors.New("nothing was run")
	}
	return all, nil
}

// show prints one line of the table and, below it, the cases that have failed.
func show(r *runner, role string, results []result) (failed bool) {
	passed := 0
	var setup float64
	var last result
	for _, x := range results {
		if x.OK {
			passed++
			setup += x.SetupMS
			if x.DTLS != "" {
				last = x
			}
		}
	}
	if passed > 0 {
		setup /= float64(passed)
	}
	fmt.Printf("%-9s %-14s %-6s %-5s %-15s %6.0f ms  %d of %d\n", r.name, r.version, role, last.DTLS, last.Group, setup, passed, len(results))
	for _, x := range results {
		if !x.OK {
			fmt.Printf("    %s: %s\n", x.Case, x.Error)
		}
	}
	return passed < len(results)
}

func (r *runner) runRole(ctx context.Context, role string) (results []result) {
	for i := range cases {
		c := &cases[i]
		if r.options.caseName != "" && c.name != r.options.caseName || c.lossless && r.scenario.loses || c.name == "negotiated" && r.scenario.host != nil || ctx.Err() != nil {
			continue
		}
		for range r.options.count {
			progress(fmt.Sprintf("%s, %s: %s", r.name, role, c.name))
			results = append(results, r.runCase(ctx, role, c))
		}
	}
	progress("")
	return results
}

// progress replaces the current line on a terminal.
func progress(what string) {
	if i, err := os.Stderr.Stat(); err == nil && i.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprint(os.Stderr, "\r\x1b[K", what)
	}
}

// runCase runs one case on a new connection.
func (r *runner) runCase(ctx context.Context, role string, c *testCase) result {
	out := result{Peer: r.name, Version: r.version, Role: role, Case: c.name}
	limit := caseTimeout
	if r.scenario.slow {
		limit *= 3
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cfg := rtcpeer.Config{}
	switch r.options.dtls {
	case "1.2":
		cfg.MaxDTLS = tls.VersionTLS12
	case "1.3":
		cfg.MaxDTLS = tls.VersionTLS13
	}
	if r.options.verbose {
		cfg.Logger = slog.Default().With("case", c.name, "role", role)
	}
	r.scenario.configure(&cfg)
	if c.lossy {
		cfg.Filter = dropper(uint64(len(c.name)))
	}
	p, err := newPair(ctx, r, role, !c.complete && r.scenario.host == nil, cfg)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	defer p.end()
	if c.whole != nil {
		begin := time.Now()
		err = c.whole(ctx, p)
		p.setup = time.Since(begin)
	} else {
		var l *link
		if l, err = p.open(ctx, c.name, c.options); err == nil {
			run := func() error { return c.run(ctx, l) }
			switch {
			case c.vanishes || c.complete:
				err = run()
			case r.scenario.restart > 0:
				err = p.restarting(ctx, run)
			case r.scenario.media:
				err = l.withMedia(ctx, run)
			default:
				err = run()
			}
		}
		if err == nil && r.scenario.check != nil && p.conn.ConnectionState() == rtcpeer.StateConnected {
			err = r.scenario.check(p.conn.Report())
		}
	}
	t := p.conn.Stats().Transport
	out.DTLS, out.Group = t.DTLSVersion, t.DTLSGroup
	out.SetupMS = float64(p.setup.Microseconds()) / 1000
	out.OK = err == nil
	if err != nil {
		out.Error = err.Error()
		slog.Debug("case failed", "report", p.conn.Report().String())
	}
	return out
}

func (r *runner) newRemote(ctx context.Context, trickle bool) (remote, error) {
	if r.page != nil {
		return r.page.newPeer(ctx, trickle, r.scenario)
	}
	var cfg rtcpeer.Config
	if r.scenario.configureRemote != nil {
		r.scenario.configureRemote(&cfg)
	}
	return newSelfPeer(trickle, cfg)
}

//go:embed page.js
var pageScript string

// joinScript is the function that rtcpeer/JOIN.md gives to pages.
//
//go:embed join.js
var joinScript string

const pageHTML = `<!doctype html><meta charset="utf-8"><title>purertc interop</title><body><script src="/join.js"></script><script src="/page.js"></script>`

// startPage serves the page and starts a browser that opens it.
func startPage(ctx context.Context, b browser, args []string, w *scenario) (p *page, end func(), err error) {
	l, err := net.Listen("tcp", net.JoinHostPort(cmp.Or(w.server, "127.0.0.1"), "0"))
	if err != nil {
		return nil, nil, err
	}
	p = newPage()
	server := &http.Server{Handler: p.handler()}
	go server.Serve(l)
	stop, err := b.start(fmt.Sprintf("http://%s/", l.Addr()), args, w.within)
	if err != nil {
		server.Close()
		return nil, nil, err
	}
	end = func() { stop(); server.Close() }
	select {
	case <-p.hello:
		return p, end, nil
	case <-time.After(60 * time.Second):
		err = fmt.Errorf("%s did not load the page within a minute", b.path)
	case <-ctx.Done():
		err = ctx.Err()
	}
	end()
	return nil, nil, err
}

func (p *page) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, pageHTML)
	})
	mux.HandleFunc("GET /page.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		fmt.Fprint(w, pageScript)
	})
	mux.HandleFunc("GET /join.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		fmt.Fprint(w, joinScript)
	})
	mux.HandleFunc("POST /rpc", p.serveRPC)
	mux.HandleFunc("POST /report", p.serveReport)
	return mux
}
