package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"time"
)

// A stackCommand is a program that runs one end of a pair with one stack. It
// understands the lines of the signalling.
type stackCommand struct {
	name, command string
}

// A figure is one number in a row of the table. It says how the number is found in the
// output of a pair.
type figure struct {
	name  string
	unit  string
	least bool // a smaller value is better
	share bool // the value is a percentage of the stack's goodput in the closest earlier row with alone set
	of    func(pairOutput) float64
}

// value returns the value of the figure in one run, or 0 if the run did not measure it.
// If the figure is a share, it is a percentage of the parameter alone, which has the
// same unit.
func (f figure) value(o pairOutput, alone float64) float64 {
	switch {
	case !f.share:
		return f.of(o)
	case alone == 0:
		return 0
	}
	return 100 * f.of(o) / alone
}

// A row is one measurement, which is made with each stack in turn.
type row struct {
	name    string
	args    string // arguments of the scenario, for both sides
	ours    string // additional arguments if the stack is this one
	impair  string
	alone   bool     // later figures that are a share refer to the goodput of this row
	stacks  []string // names of the stacks that are measured; nil: all
	rounds  int      // maximum number of rounds; 0: all rounds
	timeout string   // timeout of a pair; empty: 90s
	threads int      // GOMAXPROCS of each process; 0: the default of Go
	figures []figure
}

type pairOutput struct {
	Offer  map[string]any `json:"offer"`
	Answer map[string]any `json:"answer"`
}

func (o pairOutput) number(side, key string) float64 {
	m := o.Offer
	if side == "answer" {
		m = o.Answer
	}
	v, _ := m[key].(float64)
	return v
}

func answerOf(key string) func(pairOutput) float64 {
	return func(o pairOutput) float64 { return o.number("answer", key) }
}

func offerOf(key string, scale float64) func(pairOutput) float64 {
	return func(o pairOutput) float64 { return o.number("offer", key) * scale }
}

func bothSides(key string) func(pairOutput) float64 {
	return func(o pairOutput) float64 { return o.number("offer", key) + o.number("answer", key) }
}

// allAnswered returns how long it took until a message on every connection was
// answered; 0: a message was not answered.
func allAnswered(o pairOutput) float64 {
	if o.number("offer", "unanswered") > 0 {
		return 0
	}
	return o.number("offer", "ping_ms")
}

// rivalRows returns the rows of the table.
func rivalRows() []row {
	mbps := figure{name: "goodput", unit: "Mbit/s", of: answerOf("mbps")}
	onPath := []figure{mbps}
	webRTC := []string{"purertc", "pion", "libdatachannel"} // all stacks but quic-go
	goOnly := []string{"purertc", "pion"}
	return []row{
		{name: "bulk, datagrams of 1200 bytes at most", args: "throughput -size 16384 -warm 1s -dur 5s", ours: "-mtu 1200", alone: true, figures: []figure{
			mbps, {name: "CPU, both ends", unit: "s/GB", least: true, of: bothSides("cpu_s_per_gb")}}},
		{name: "ping-pong 64 B", args: "latency -size 64 -warm 1s -dur 4s", figures: []figure{
			{name: "p50", unit: "µs", least: true, of: offerOf("p50_us", 1)}, {name: "p99", unit: "µs", least: true, of: offerOf("p99_us", 1)}}},
		// This row is needed for the next row. There, "of its speed alone" is a share
		// of this row's goodput for this stack. For the other stacks, it is a share of
		// the goodput in the first row.
		{name: "bulk, path discovery on", args: "throughput -size 16384 -warm 1s -dur 5s", alone: true, stacks: []string{"purertc"}, figures: []figure{mbps}},
		{name: "ping beside a bulk transfer", args: "latency -size 64 -bulk -warm 1s -dur 4s", figures: []figure{
			{name: "p50", unit: "ms", least: true, of: offerOf("p50_us", 1e-3)}, {name: "p99", unit: "ms", least: true, of: offerOf("p99_us", 1e-3)},
			{name: "bulk beside it", unit: "Mbit/s", of: offerOf("bulk_mbps_sent", 1)},
			{name: "of its speed alone", unit: "%", share: true, of: offerOf("bulk_mbps_sent", 1)}}},
		{name: "100 Mbit/s, RTT 50 ms, no loss", args: "throughput -warm 0s -dur 15s", impair: "-rtt 50ms -rate 100", stacks: webRTC, figures: onPath},
		{name: "100 Mbit/s, RTT 50 ms, 1 % loss", args: "throughput -warm 0s -dur 15s", impair: "-rtt 50ms -rate 100 -loss 0.01", stacks: webRTC, figures: onPath},
		{name: "100 Mbit/s, RTT 100 ms, 0.1 % loss", args: "throughput -warm 0s -dur 15s", impair: "-rtt 100ms -rate 100 -loss 0.001", stacks: webRTC, figures: onPath},
		{name: "100 Mbit/s, RTT 20 ms, 5 % loss", args: "throughput -warm 0s -dur 15s", impair: "-rtt 20ms -rate 100 -loss 0.05", stacks: webRTC, figures: onPath},
		// Each stack uses certificates in its usual way: this stack generates one for
		// each process, and the other stacks generate one for each connection.
		{name: "connections, 16 at once", args: "connect -conc 16 -dur 5s", stacks: webRTC, figures: []figure{
			{name: "rate", unit: "1/s", of: offerOf("per_s", 1)}, {name: "CPU, offering end", unit: "ms", least: true, of: offerOf("cpu_ms_per_conn", 1)}}},
		{name: "connections, 16 at once, all with one certificate", args: "connect -conc 16 -dur 5s -sharedcert", stacks: goOnly, figures: []figure{
			{name: "rate", unit: "1/s", of: offerOf("per_s", 1)}, {name: "CPU, offering end", unit: "ms", least: true, of: offerOf("cpu_ms_per_conn", 1)}}},
		// Each process uses one thread. Two processes with two threads each would
		// preempt each other on two processors.
		{name: "connections, 16 at once, one thread an end", args: "connect -conc 16 -dur 5s", stacks: goOnly, threads: 1, figures: []figure{
			{name: "rate", unit: "1/s", of: offerOf("per_s", 1)}, {name: "CPU, offering end", unit: "ms", least: true, of: offerOf("cpu_ms_per_conn", 1)}}},
		{name: "1000 idle connections, offering end", args: "idle -conns 1000 -sharedcert", stacks: webRTC, figures: []figure{
			{name: "memory each", unit: "KiB", least: true, of: offerOf("heap_stack_kb_per_conn", 1)},
			{name: "goroutines each", unit: "number", least: true, of: offerOf("goroutines_per_conn", 1)},
			{name: "CPU", unit: "%", least: true, of: offerOf("cpu_pct", 1)}}},
		// pion uses a separate socket for each connection, at both ends.
		{name: "10,000 connections to one socket (2 rounds)", args: "idle -conns 10000 -ping -sharedcert", stacks: goOnly, rounds: 2, timeout: "400s", figures: []figure{
			{name: "connected", unit: "number", of: func(o pairOutput) float64 { return o.number("offer", "conns") - o.number("offer", "failed") }},
			{name: "a message to each and back", unit: "ms", least: true, of: allAnswered},
			{name: "memory each", unit: "KiB", least: true, of: offerOf("heap_stack_kb_per_conn", 1)}}},
	}
}

// rivals runs every benchmark, which is a row of the table, with every stack. In each
// round the stacks run one after another. It writes a table and a chart of the medians.
func rivals(args []string) error {
	f := flag.NewFlagSet("rtcbench rivals", flag.ExitOnError)
	rounds := f.Int("rounds", 5, "how often everything is measured, in turn")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ours := f.String("ours", self, "our command")
	pion := f.String("pion", "", "pion's peer; empty: not run")
	node := f.String("node", "", "libdatachannel's peer; empty: not run")
	quic := f.String("quic", "", "quic-go's peer; empty: not run")
	floor := f.String("floor", "", "the program that measures the machine's own limit; empty: not run")
	out := f.String("out", "out/rivals", "where .md, .svg and .json are written")
	match := f.String("row", "", "only rows whose name has this in it")
	f.Parse(args)

	stacks := []stackCommand{{"purertc", *ours}}
	for _, s := range []stackCommand{{"pion", *pion}, {"libdatachannel", *node}, {"quic-go", *quic}} {
		if s.command != "" {
			stacks = append(stacks, s)
		}
	}
	results := map[string][]float64{} // the values of all runs, by row, stack and figure
	alone := map[string]float64{}     // the most recent goodput in a row with alone set, by stack
	key := func(r row, s, figure string) string { return r.name + "|" + s + "|" + figure }
	for round := range *rounds {
		if *floor != "" {
			if err := measureFloor(*floor, results); err != nil {
				fmt.Fprintln(os.Stderr, "rtcbench: floor:", err)
			}
		}
		for _, r := range rivalRows() {
			if !strings.Contains(r.name, *match) || r.rounds > 0 && round >= r.rounds {
				continue
			}
			for i, s := range stacks {
				if r.stacks != nil && !slices.Contains(r.stacks, s.name) {
					continue
				}
				fmt.Fprintf(os.Stderr, "\r\x1b[Kround %d of %d: %s: %s", round+1, *rounds, r.name, s.name)
				if r.alone {
					delete(alone, s.name)
				}
				o, err := measurePair(*ours, s.command, i == 0, r)
				if err != nil {
					fmt.Fprintf(os.Stderr, "\r\x1b[K%s: %s: %v\n", r.name, s.name, err)
				}
				if r.alone {
					alone[s.name] = o.number("answer", "mbps")
				}
				for _, g := range r.figures {
					if v := g.value(o, alone[s.name]); v > 0 {
						results[key(r, s.name, g.name)] = append(results[key(r, s.name, g.name)], v)
					}
				}
			}
		}
	}
	fmt.Fprint(os.Stderr, "\r\x1b[K")
	if err := os.MkdirAll(filepath.Dir(*out), 0o755); err != nil {
		return err
	}
	var lines []comparison
	for _, r := range rivalRows() {
		if !strings.Contains(r.name, *match) {
			continue
		}
		for _, g := range r.figures {
			c := comparison{row: r.name, rounds: cmp.Or(r.rounds, *rounds), figure: g, values: map[string][]float64{}}
			for _, s := range stacks {
				c.values[s.name] = results[key(r, s.name, g.name)]
			}
			lines = append(lines, c)
		}
	}
	table := comparisonTable(lines, stacks, *rounds) + floorLine(lines, results)
	fmt.Print(table)
	raw, err := json.MarshalIndent(results, "", " ")
	if err != nil {
		return err
	}
	for ext, b := range map[string][]byte{".md": []byte(table), ".svg": comparisonChart(lines, stacks), ".json": raw} {
		if err := os.WriteFile(*out+ext, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// measurePair runs a pair in which both ends use the same stack. If it returns both
// figures and an error, the figures are valid.
func measurePair(self, command string, own bool, r row) (o pairOutput, err error) {
	args := r.args
	if own && r.ours != "" {
		args += " " + r.ours
	}
	scenario, rest, _ := strings.Cut(args, " ")
	side := func(role string) string { return command + " " + scenario + " -role " + role + " " + rest }
	timeout := r.timeout
	if timeout == "" {
		timeout = "90s"
	}
	argv := []string{"pair", "-timeout", timeout, "-a", side("offer"), "-b", side("answer")}
	if r.impair != "" {
		argv = append(argv, "-impair", r.impair)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(self, argv...)
	cmd.Stderr = &stderr
	if r.threads > 0 {
		cmd.Env = append(cmd.Environ(), fmt.Sprintf("GOMAXPROCS=%d", r.threads))
	}
	out, err := cmd.Output()
	if uerr := json.Unmarshal(out, &o); uerr != nil {
		return o, fmt.Errorf("%w: %s", uerr, firstLine(stderr.String()))
	}
	return o, err
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// Keys of the floor's figures. The floor is the limit that the kernel and the ciphers
// set, measured in one process.
const (
	floorBulk    = "floor|bulk, Mbit/s"
	floorPingP50 = "floor|ping-pong, p50, µs"
	floorPingP99 = "floor|ping-pong, p99, µs"
)

func measureFloor(command string, results map[string][]float64) error {
	for _, args := range []string{"udp -io gso -crypto=true", "pingpong"} {
		out, err := exec.Command(command, strings.Fields(args)...).Output()
		if err != nil {
			return err
		}
		var v struct {
			Mbps float64 `json:"mbps_app"`
			P50  float64 `json:"p50_us"`
			P99  float64 `json:"p99_us"`
		}
		if err := json.Unmarshal(out, &v); err != nil {
			return err
		}
		for key, x := range map[string]float64{floorBulk: v.Mbps, floorPingP50: v.P50, floorPingP99: v.P99} {
			if x > 0 {
				results[key] = append(results[key], x)
			}
		}
	}
	return nil
}

// floorLine returns a line that describes the limit of this machine in this run.
func floorLine(lines []comparison, results map[string][]float64) string {
	bulk := median(results[floorBulk])
	if bulk == 0 {
		return ""
	}
	of := ""
	if len(lines) > 0 && lines[0].row == rivalRows()[0].name {
		of = fmt.Sprintf(", of which the first row is %.0f %%", 100*median(lines[0].values["purertc"])/bulk)
	}
	return fmt.Sprintf("\nThe machine's floor, in one process: bulk (GSO, AES-128-GCM and CRC32c) %s Mbit/s%s; ping-pong between two sockets p50 %s µs, p99 %s µs.\n",
		short(bulk), of, short(median(results[floorPingP50])), short(median(results[floorPingP99])))
}

// A comparison contains the values of one figure for all stacks.
type comparison struct {
	row    string
	rounds int // number of rounds that were planned
	figure figure
	values map[string][]float64
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// spread returns the median with the lowest and the highest value, as a text.
func spread(values []float64) string {
	text := short(median(values))
	if len(values) > 1 {
		text += fmt.Sprintf(" (%s–%s)", short(slices.Min(values)), short(slices.Max(values)))
	}
	return text
}

func short(v float64) string {
	switch {
	case v == 0:
		return "–"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 1:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// comparisonTable returns the medians, with the spread of the rounds, as a Markdown
// table.
func comparisonTable(lines []comparison, stacks []stackCommand, rounds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Medians of %d interleaved rounds, with the lowest and the highest value, %s, %s/%s, %d processors, %s.\n\n", rounds, time.Now().Format("2 January 2006"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	b.WriteString("| what | figure |")
	for _, s := range stacks {
		b.WriteString(" " + s.name + " |")
	}
	b.WriteString("\n| --- | --- |" + strings.Repeat(" ---: |", len(stacks)) + "\n")
	for _, c := range lines {
		fmt.Fprintf(&b, "| %s | %s, %s |", c.row, c.figure.name, c.figure.unit)
		for _, s := range stacks {
			values := c.values[s.name]
			b.WriteString(" " + spread(values))
			if n := len(values); n > 0 && n < min(rounds, c.rounds) {
				fmt.Fprintf(&b, " (%d runs)", n) // the other runs have failed
			}
			b.WriteString(" |")
		}
		b.WriteByte('\n')
	}
	b.WriteString("\n–: not measured. A stack that cannot do a scenario has no value in that row.\n")
	if slices.ContainsFunc(stacks, func(s stackCommand) bool { return s.name == "quic-go" }) {
		b.WriteString("quic-go is a QUIC library and no WebRTC stack: it takes part in the bulk and ping rows only, with length-prefixed messages on one stream a channel and datagrams of 1200 bytes.\n")
	}
	return b.String()
}

// comparisonChart returns the medians as a chart with bars. The scale differs from
// figure to figure.
func comparisonChart(lines []comparison, stacks []stackCommand) []byte {
	const left, width, bar, gap = 330, 420, 13, 12
	colors := []string{blue, gray, pale, orange}
	d := newDrawing(left+width+90, 40+len(lines)*(len(stacks)*bar+gap))
	for i, s := range stacks {
		x := float64(left + i*110)
		d.rect(x, 10, 11, 11, colors[i])
		d.text(x+16, 20, atStart, s.name)
	}
	y := 36.0
	for _, c := range lines {
		most := 0.0
		for _, s := range stacks {
			most = max(most, median(c.values[s.name]))
		}
		better := "more is better"
		if c.figure.least {
			better = "less is better"
		}
		middle := y + float64(len(stacks)*bar/2)
		d.text(left-8, middle, atEnd, c.row)
		d.note(left-8, middle+11, atEnd, c.figure.name+", "+c.figure.unit+"; "+better)
		for i, s := range stacks {
			v := median(c.values[s.name])
			w := 0.0
			if most > 0 {
				w = v / most * width
			}
			d.rect(left, y, w, bar-2, colors[i])
			d.text(left+w+5, y+bar-4, atStart, short(v))
			y += bar
		}
		y += gap
	}
	return d.end()
}
