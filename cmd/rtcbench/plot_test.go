package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// syntheticLog is a log of ten packets of 1000 bytes, 100 ms apart, of which the one with
// TSN 4294967295 is lost and sent again with TSN 2. TSNs begin at 4294967290, so that they
// pass zero.
func syntheticLog() string {
	var b strings.Builder
	record := func(format string, args ...any) { fmt.Fprintf(&b, "\x1e"+format+"\n", args...) }
	record(`{"qlog_version":"0.3","qlog_format":"JSON-SEQ","title":"a <log> & more","trace":{"common_fields":{"reference_time":1000,"group_id":"g"}}}`)
	record(`{"time":0,"name":"connection:state_changed","group_id":"g","data":{"state":"connecting"}}`)
	record(`{"time":0,"name":"ice:pair_selected","group_id":"g","data":{"remote":"192.0.2.1:5000"}}`)
	tsn := uint32(4294967290)
	for i := range 10 {
		at := 100 * i
		record(`{"time":%d,"name":"sctp:packet_sent","group_id":"g","data":{"size":1030,"chunks":["DATA"],"first_tsn":%d,"last_tsn":%d,"data_chunks":1,"data_bytes":1000}}`, at, tsn, tsn)
		record(`{"time":%d,"name":"recovery:metrics_updated","group_id":"g","data":{"congestion_window":%d,"bytes_in_flight":1000,"smoothed_rtt":50,"min_rtt":40,"pacing_rate":80000}}`, at, 1000*(i+1))
		if i == 8 {
			record(`{"time":%d,"name":"recovery:chunk_lost","group_id":"g","data":{"tsn":4294967295,"data_bytes":1000,"retransmitted":0}}`, at)
			record(`{"time":%d,"name":"sctp:packet_sent","group_id":"g","data":{"data_chunks":2,"data_bytes":2000,"retransmitted":1,"first_tsn":4294967295,"last_tsn":3}}`, at)
			tsn++
		}
		record(`{"time":%d,"name":"sctp:packet_received","group_id":"g","data":{"cumulative_tsn":%d}}`, at+50, tsn)
		tsn++
	}
	record(`{"time":1000,"name":"recovery:timeout","group_id":"g","data":{"timer":"tail-probe"}}`)
	return b.String()
}

// TestReadHistory checks the curves of a small log.
func TestReadHistory(t *testing.T) {
	h, err := readHistory(strings.NewReader(syntheticLog()), "")
	if err != nil {
		t.Fatal(err)
	}
	if h.title != "a <log> & more" || h.end != 1 {
		t.Errorf("title %q, end %v", h.title, h.end)
	}
	if last := h.sent[len(h.sent)-1]; len(h.sent) != 11 || last != (point{0.9, 11000}) {
		t.Errorf("%d packets sent, the last at %v", len(h.sent), last)
	}
	if first, last := h.acked[0], h.acked[9]; first != (point{0.05, 1000}) || last.y != 11000 {
		t.Errorf("acknowledged %v to %v", first, last)
	}
	// The lost chunk is the sixth one, and its data ends at 6000 bytes.
	if len(h.lost) != 1 || h.lost[0] != (point{0.8, 6000}) || len(h.resent) != 1 || h.resent[0] != (point{0.8, 6000}) {
		t.Errorf("lost %v, sent again %v", h.lost, h.resent)
	}
	if len(h.window) != 10 || h.window[9] != (point{0.9, 10000}) || h.smoothedRTT[0].y != 50 || h.minRTT[0].y != 40 || h.pacing[0].y != 80000 {
		t.Errorf("window %v, round trips %v and %v, pacing %v", h.window, h.smoothedRTT, h.minRTT, h.pacing)
	}
	if len(h.timeouts) != 1 || h.timeouts[0] != (labelled{1, "tail-probe"}) || len(h.paths) != 1 || h.paths[0].text != "path to 192.0.2.1:5000" {
		t.Errorf("timeouts %v, paths %v", h.timeouts, h.paths)
	}
	// 12 chunks of 1000 bytes were sent, one was lost, and at the last update one was in flight.
	if last := lastValue(h.delivered); last != 10000 {
		t.Errorf("delivered %v", h.delivered)
	}
	if r := rate(h.acked, 0, 1, 2); r[0].y != 10000 || r[1].y != 12000 {
		t.Errorf("rates %v", r)
	}
}

// TestReadBadLogs checks what is refused, and what is not.
func TestReadBadLogs(t *testing.T) {
	log := syntheticLog()
	header, _, _ := strings.Cut(log, "\n")
	for name, c := range map[string]struct {
		log  string
		want error
	}{
		"empty":           {"", errNoLog},
		"other text":      {"hello\nworld\n", errNoLog},
		"other JSON":      {"{\"a\":1}\n", errNoLog},
		"no header":       {log[len(header)+1:], errNoLog},
		"only the header": {header + "\n", nil},
		"cut off":         {log[:len(log)-10], nil},
	} {
		if _, err := readHistory(strings.NewReader(c.log), ""); !errors.Is(err, c.want) || err == nil != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := readHistory(strings.NewReader(header+"\n\x1e{bad}\n"), ""); err == nil || !strings.Contains(err.Error(), "record 2") {
		t.Errorf("a bad record: %v", err)
	}
}

// TestReadGroups reads a log that two connections share.
func TestReadGroups(t *testing.T) {
	first := syntheticLog()
	second := strings.ReplaceAll(first, `"group_id":"g"`, `"group_id":"h"`)
	header, events, _ := strings.Cut(second, "\n")
	event, _, _ := strings.Cut(events, "\n")
	log := header + "\n" + first + event + "\n"
	for group, packets := range map[string]int{"": 11, "g": 11, "h": 0} {
		h, err := readHistory(strings.NewReader(log), group)
		if err != nil || len(h.sent) != packets {
			t.Errorf("group %q: %v", group, err)
		}
	}
	if _, err := readHistory(strings.NewReader(log), "i"); err == nil || !strings.Contains(err.Error(), `["g" "h"]`) {
		t.Errorf("unknown group: %v", err)
	}
	if _, err := readHistory(strings.NewReader(first+event+"\n"), ""); err == nil || !strings.Contains(err.Error(), "no header") {
		t.Errorf("a group without header: %v", err)
	}
}

// An svgPath is a path of an image.
type svgPath struct{ class, stroke, d string }

// parseSVG checks that an image is well-formed, and returns its paths and texts.
func parseSVG(t *testing.T, image []byte) (paths []svgPath, texts []string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(image))
	text := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return paths, texts
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			text = e.Name.Local == "text"
			if e.Name.Local == "path" {
				var p svgPath
				for _, a := range e.Attr {
					switch a.Name.Local {
					case "class":
						p.class = a.Value
					case "stroke":
						p.stroke = a.Value
					case "d":
						p.d = a.Value
					}
				}
				paths = append(paths, p)
			}
		case xml.CharData:
			if text {
				texts = append(texts, string(e))
			}
		case xml.EndElement:
			text = false
		}
	}
}

// TestPlot draws a small log, and looks for its curves, marks and labels.
func TestPlot(t *testing.T) {
	h, err := readHistory(strings.NewReader(syntheticLog()), "")
	if err != nil {
		t.Fatal(err)
	}
	paths, texts := parseSVG(t, h.draw(0, 1))
	all := "\n" + strings.Join(texts, "\n") + "\n"
	for _, want := range []string{"a <log> & more", "data, MB", "window, KB", "round trip, ms", "rate, Mbit/s", "lost (1)", "sent again (1)", "tail-probe", "path to 192.0.2.1:5000", "0.5 s"} {
		if !strings.Contains(all, "\n"+want+"\n") {
			t.Errorf("the text %q is missing in %q", want, texts)
		}
	}
	count := map[string]int{}
	for _, p := range paths {
		if p.class == "curve" {
			count[p.stroke]++
		}
	}
	// Blue: sent, in flight, smoothed. Green: acknowledged, shortest, delivered. Orange: window, pacing.
	if count[blue] != 3 || count[green] != 3 || count[orange] != 2 || count[violet] != 0 {
		t.Errorf("curves by color: %v", count)
	}
	ticks := 0
	for _, p := range paths {
		if p.class == "" && strings.HasPrefix(p.d, "M") && strings.Contains(p.d, "v") {
			// 6000 of 1.05 times 11000 bytes, at 0.8 s.
			length := map[string]string{red: "v-5", orange: "v5"}[p.stroke]
			if want := fmt.Sprintf("M%s %s%s", pixels(60+0.8*788), pixels(58+190*(1-6000/(1.05*11000))), length); p.d != want {
				t.Errorf("tick %q, want %q", p.d, want)
			}
			ticks++
		}
	}
	if ticks != 2 {
		t.Errorf("%d ticks, want one for the loss and one for the retransmission", ticks)
	}
	if _, texts := parseSVG(t, h.draw(0.85, 1)); strings.Contains(strings.Join(texts, "\n"), "lost (1)") {
		t.Error("a loss outside of the time is counted")
	}
}

// TestSteps checks that a curve with many points keeps its extremes, and that its size is
// bounded.
func TestSteps(t *testing.T) {
	p := &panel{left: 0, top: 0, width: 300, height: 100, from: 0, to: 1, most: 100}
	var points []point
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 100_000 {
		points = append(points, point{float64(i) / 100_000, 40 + 20*rng.Float64()})
	}
	points[50_000].y, points[70_000].y = 100, 0
	d := newDrawing(300, 100)
	p.steps(d, points, blue)
	paths, _ := parseSVG(t, d.end())
	fields := strings.Fields(strings.NewReplacer("M", " ", "L", " ").Replace(paths[0].d))
	least, most := 1000.0, -1000.0
	for i := 1; i < len(fields); i += 2 {
		var y float64
		fmt.Sscan(fields[i], &y)
		least, most = min(least, y), max(most, y)
	}
	if least != 0 || most != 100 {
		t.Errorf("pixels from %v to %v, want 0 to 100", least, most)
	}
	if len(fields) > 2*3*101 {
		t.Errorf("%d coordinates for 300 pixels", len(fields))
	}
}

// TestNiceStep checks the steps of axes.
func TestNiceStep(t *testing.T) {
	for size, want := range map[float64]float64{0: 1, 1: 0.5, 4: 1, 5: 2, 9: 5, 100: 50, 40: 10, 0.004: 0.001} {
		if got := niceStep(size, 4); got < want*0.999 || got > want*1.001 {
			t.Errorf("%v: %v, want %v", size, got, want)
		}
	}
}

// TestComparisonChart checks that the chart of the comparison is well-formed, with one bar
// for each figure and stack.
func TestComparisonChart(t *testing.T) {
	stacks := []stackCommand{{name: "a"}, {name: "b"}}
	lines := []comparison{
		{row: "bulk <1200>", figure: figure{name: "goodput", unit: "Mbit/s"}, values: map[string][]float64{"a": {10, 20, 30}, "b": {5}}},
		{row: "ping", figure: figure{name: "p50", unit: "µs", least: true}, values: map[string][]float64{"a": {0}, "b": {0}}},
	}
	image := comparisonChart(lines, stacks)
	_, texts := parseSVG(t, image)
	all := strings.Join(texts, "\n")
	for _, want := range []string{"bulk <1200>", "goodput, Mbit/s; more is better", "p50, µs; less is better", "20.0", "5.0"} {
		if !strings.Contains(all, want) {
			t.Errorf("the text %q is missing in %q", want, texts)
		}
	}
	// Two rectangles of the legend, and two of each figure; b's first one is a quarter as long as a's.
	if n := bytes.Count(image, []byte("<rect")); n != 6 || !bytes.Contains(image, []byte(`width="420"`)) || !bytes.Contains(image, []byte(`width="105"`)) {
		t.Errorf("%d rectangles in %s", n, image)
	}
}
