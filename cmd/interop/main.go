// Command interop exchanges messages of every kind between this stack and a remote
// end, in both roles, and reports the result. The remote ends are this stack itself
// and every browser that is found on the machine:
//
//	go run ./cmd/interop
//	go run ./cmd/interop -peers chromium -case text -v
//	go run ./cmd/interop -way tcp
//	go run ./cmd/interop speed
//	go run ./cmd/interop serve
//
// The browsers run headless and without a web driver. The program serves a page on
// localhost. The page executes the browser's half of the exchange and reports the
// results to the program.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "serve":
		err = serve(ctx, os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == "speed":
		err = speed(ctx, os.Args[2:])
	default:
		err = run(ctx, os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		stop()
		os.Exit(1)
	}
}

type stringList []string

func (l *stringList) String() string     { return strings.Join(*l, " ") }
func (l *stringList) Set(s string) error { *l = append(*l, s); return nil }

type options struct {
	peers    string
	caseName string
	way      string
	dtls     string
	args     stringList
	json     string
	verbose  bool
	count    int
}

func run(ctx context.Context, argv []string) error {
	var o options
	f := flag.NewFlagSet("interop", flag.ExitOnError)
	f.StringVar(&o.peers, "peers", "self,chromium,firefox", "the remote ends, separated by commas; a browser's path may be given: chromium=/path")
	f.StringVar(&o.caseName, "case", "", "run only this case")
	f.StringVar(&o.way, "way", "direct", "the scenario: direct; host, with the local end on a Host; invite, with the remote end joining by an invite, without signalling; lite, with the local end ICE-lite; names, with the local addresses hidden behind multicast DNS names; bad, over a network that delays, loses, repeats and reorders; rebinding, behind a NAT that changes the remote address every three seconds; tcp, without UDP; relay, both through a TURN server (coturn) that is started here; relay-tcp, the same with the remote end connected to it over TCP; restart, with ICE restarted twice a second; media, with audio and video of the page that come and go; smallmtu, with the browsers in a network namespace whose path carries no IP packet above 700 bytes (Linux, as root); or warp, with SNAP and SPED switched on in Chromium, both of which have to be used")
	f.StringVar(&o.dtls, "dtls", "", "cap our DTLS version: 1.2 or 1.3")
	f.Var(&o.args, "arg", "an argument for the browsers; may be repeated")
	f.StringVar(&o.json, "json", "", "write the results to this file as JSON")
	f.IntVar(&o.count, "count", 1, "run every case so many times")
	f.BoolVar(&o.verbose, "v", false, "log what happens to standard error")
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "usage: interop [flags]\n       interop speed [-peers chromium,firefox] [-mb 100] [-rounds 3]\n       interop serve [-addr 127.0.0.1:8080]\n\ncases: %s\n\n", strings.Join(caseNames(), " "))
		f.PrintDefaults()
	}
	f.Parse(argv)
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see interop -help", f.Arg(0))
	}
	if o.verbose {
		slog.SetLogLoggerLevel(slog.LevelDebug)
	}
	if o.caseName != "" && findCase(o.caseName) == nil {
		return fmt.Errorf("no case %q; there are: %s", o.caseName, strings.Join(caseNames(), " "))
	}
	results, err := runAll(ctx, o)
	if o.json != "" {
		b, merr := json.MarshalIndent(results, "", " ")
		if merr == nil {
			merr = os.WriteFile(o.json, append(b, '\n'), 0o644)
		}
		err = errors.Join(err, merr)
	}
	return err
}

func caseNames() (names []string) {
	for _, c := range cases {
		names = append(names, c.name)
	}
	return names
}

func findCase(name string) *testCase {
	for i := range cases {
		if cases[i].name == name {
			return &cases[i]
		}
	}
	return nil
}
