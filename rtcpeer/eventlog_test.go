package rtcpeer

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/simnet"
)

// A logRecord is one event of an event log.
type logRecord struct {
	Time  float64
	Name  string
	Group string `json:"group_id"`
	Data  map[string]any
}

// readEventLog checks the form of a log, and returns its events. headers is the number of
// its headers.
func readEventLog(t *testing.T, log []byte) (events []logRecord, headers int) {
	t.Helper()
	parts := strings.Split(string(log), "\x1e")
	if parts[0] != "" {
		t.Fatalf("the log begins with %q", parts[0])
	}
	for i, p := range parts[1:] {
		var header struct {
			Version string `json:"qlog_version"`
			Trace   struct {
				Common struct {
					Group string  `json:"group_id"`
					Start float64 `json:"reference_time"`
				} `json:"common_fields"`
			}
		}
		var r logRecord
		if err := errors.Join(json.Unmarshal([]byte(p), &header), json.Unmarshal([]byte(p), &r)); err != nil || !strings.HasSuffix(p, "\n") {
			t.Fatalf("record %q: %v", p, err)
		}
		if header.Version != "" {
			if headers++; header.Trace.Common.Group == "" || header.Trace.Common.Start == 0 {
				t.Errorf("header %q has no group or reference time", p)
			}
			continue
		}
		if i == 0 {
			t.Errorf("the first record %q is no header", p)
		}
		if r.Group == "" {
			t.Errorf("event %q has no group", p)
		}
		events = append(events, r)
	}
	return events, headers
}

// A documentedEvent is a row of the table of events in EVENTLOG.md.
type documentedEvent struct {
	fields map[string]bool // whether the field may be absent
	seen   map[string]bool
	count  int
}

var (
	eventRow = regexp.MustCompile("(?m)^\\| `([a-z]+:[a-z_]+)` \\|[^|]*\\|([^|]*)\\|$")
	fieldRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [^|]+ \\| [^|]+ \\|$")
	fieldRef = regexp.MustCompile("(\\[?)`([a-z_]+)`")
)

// An eventTable is the tables of EVENTLOG.md.
type eventTable map[string]*documentedEvent

// documentedEvents reads EVENTLOG.md, and checks that its two tables have the same fields.
func documentedEvents(t *testing.T) eventTable {
	page := pages(t)["rtcpeer/EVENTLOG.md"]
	table, used := eventTable{}, map[string]bool{}
	for _, row := range eventRow.FindAllStringSubmatch(page, -1) {
		e := &documentedEvent{fields: map[string]bool{}, seen: map[string]bool{}}
		for _, f := range fieldRef.FindAllStringSubmatch(row[2], -1) {
			e.fields[f[2]] = f[1] == "["
			used[f[2]] = true
		}
		table[row[1]] = e
	}
	for _, row := range fieldRow.FindAllStringSubmatch(page, -1) {
		if !used[row[1]] {
			t.Errorf("EVENTLOG.md describes the field %s, which no event has", row[1])
		}
		delete(used, row[1])
	}
	for f := range used {
		t.Errorf("EVENTLOG.md does not describe the field %s", f)
	}
	if len(table) < 20 {
		t.Fatalf("only %d events were found in EVENTLOG.md", len(table))
	}
	return table
}

// check holds the events of a log to the table.
func (table eventTable) check(t *testing.T, events []logRecord) {
	t.Helper()
	last := 0.0
	for _, r := range events {
		e := table[r.Name]
		if e == nil {
			t.Errorf("the event %s is not in EVENTLOG.md", r.Name)
			continue
		}
		if r.Time < last {
			t.Errorf("the event %s at %v ms follows one at %v ms", r.Name, r.Time, last)
		}
		last = r.Time
		e.count++
		for f := range r.Data {
			if _, known := e.fields[f]; !known {
				t.Errorf("the field %s of the event %s is not in EVENTLOG.md", f, r.Name)
			}
			e.seen[f] = true
		}
		for f, optional := range e.fields {
			if _, is := r.Data[f]; !is && !optional {
				t.Errorf("the event %s has no field %s: %v", r.Name, f, r.Data)
			}
		}
	}
}

// loggedPair makes two ends, of which the first one writes a log.
func loggedPair(t *testing.T, seed uint64, p simnet.Path, remote Config) (log *bytes.Buffer, w *simnet.World, a, b *simPeer) {
	log = new(bytes.Buffer)
	w = simnet.New(seed)
	w.Default = p
	a = newSimPeer(t, w, Config{EventLog: log}, "10.0.0.1")
	b = newSimPeer(t, w, remote, "10.0.0.2")
	a.other, b.other = b, a
	return log, w, a, b
}

// sendAll sends n messages of 16 KiB as fast as the channel takes them, and runs the
// world until all have arrived.
func sendAll(t *testing.T, w *simnet.World, from, to *DataChannel, n int) {
	t.Helper()
	message, sent, arrived := make([]byte, 16384), 0, 0
	until(t, w, 2*time.Minute, "all messages arrive", func() bool {
		for sent < n && from.PutPacket(message) == nil {
			sent++
		}
		for to.AvailablePacketCount() > 0 {
			if _, err := to.GetPacket(); err != nil {
				t.Fatal(err)
			}
			arrived++
		}
		return arrived == n
	})
}

// openPair opens a negotiated channel between two ends.
func openPair(t *testing.T, w *simnet.World, a, b *simPeer, o ChannelOptions) (x, y *DataChannel) {
	t.Helper()
	o.Negotiated, o.ID = true, new(1)
	x, err := a.CreateDataChannel("secret label", o)
	if err == nil {
		y, err = b.CreateDataChannel("secret label", o)
	}
	if err == nil {
		err = a.CreateOffer()
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, w, 30*time.Second, "both channels are open", func() bool {
		return x.ReadyState() == ChannelStateOpen && y.ReadyState() == ChannelStateOpen
	})
	return x, y
}

// pathOf sets the paths between two ends.
func pathOf(w *simnet.World, a, b string, p simnet.Path) {
	w.Both(netip.MustParseAddr(a), netip.MustParseAddr(b), p)
}

// TestEventLogTable runs connections through everything that the log reports, and holds
// the logs and the tables of EVENTLOG.md to each other.
func TestEventLogTable(t *testing.T) {
	table := documentedEvents(t)
	check := func(log *bytes.Buffer) {
		t.Helper()
		events, headers := readEventLog(t, log.Bytes())
		if headers != 1 {
			t.Errorf("the log has %d headers, want 1", headers)
		}
		table.check(t, events)
		for _, secret := range []string{"secret label", "secret contents"} {
			if bytes.Contains(log.Bytes(), []byte(secret)) {
				t.Errorf("the log contains %q", secret)
			}
		}
	}
	path := simnet.Path{Delay: 10 * time.Millisecond, Rate: 50e6, Queue: 200_000}

	// Losses, reordering, then another path, a path that is down, and the end.
	log, w, a, b := loggedPair(t, 1, path, Config{})
	lossy := path
	lossy.Loss = 0.02
	x, y := openPair(t, w, a, b, ChannelOptions{})
	sendAll(t, w, x, y, 200)
	pathOf(w, "10.0.0.1", "10.0.0.2", lossy)
	sendAll(t, w, x, y, 100)
	sendAll(t, w, y, x, 50)
	unordered := path
	unordered.Reorder = 0.01
	pathOf(w, "10.0.0.1", "10.0.0.2", unordered)
	sendAll(t, w, x, y, 500)
	if err := a.AddICECandidate("0", 0, "candidate:1 2 UDP 1 192.0.2.1 5000 typ host"); err != nil {
		t.Fatal(err)
	}
	q := a.transport()
	q.locked(func(time.Time) { q.gatherer.dropLocal(netip.MustParseAddr("192.0.2.7"), errTooManyAddresses) })
	a.move("10.0.0.3")
	sendAll(t, w, x, y, 100)
	if err := x.PutPacket([]byte("secret contents")); err != nil {
		t.Fatal(err)
	}
	w.Default.Down = true
	pathOf(w, "10.0.0.3", "10.0.0.2", simnet.Path{Down: true})
	until(t, w, time.Minute, "the connection fails", func() bool { return a.ConnectionState() == StateFailed })
	a.Close()
	check(log)

	// A handshake over a path that is down at first, channels of the remote with limits,
	// and a remote that closes.
	for _, o := range []ChannelOptions{{MaxRetransmits: new(1), Ordered: new(false)}, {MaxPacketLifeTime: new(100)}} {
		log, w, a, b := loggedPair(t, 2, path, Config{DisableSPED: true}) // the path goes down between the checks and the handshake
		w.After(25*time.Millisecond, func() { pathOf(w, "10.0.0.1", "10.0.0.2", simnet.Path{Down: true}) })
		w.After(500*time.Millisecond, func() { pathOf(w, "10.0.0.1", "10.0.0.2", path) })
		openPair(t, w, a, b, ChannelOptions{})
		d, err := b.OpenDataChannel("secret label", o)
		if err != nil {
			t.Fatal(err)
		}
		until(t, w, time.Second, "the channel is acknowledged", func() bool { return len(a.kept) == 2 })
		a.transport().core.assoc.HandlePacket(w.Now(), []byte("no SCTP packet at all"))
		d.Close()
		until(t, w, time.Second, "the channel is closed", func() bool { return a.kept[1].ReadyState() == ChannelStateClosed })
		b.Close()
		until(t, w, time.Second, "the close arrives", func() bool { return a.ConnectionState() == StateClosed })
		check(log)
	}

	// A simulated network has no servers and no names.
	log = new(bytes.Buffer)
	l := newEventLog(log, "ufrag")
	l.iceEvent(time.Unix(1, 0), &ice.Event{Kind: ice.EventServerError, URL: "stun:192.0.2.1", Err: errors.New("no answer")})
	l.iceEvent(time.Unix(1, 0), &ice.Event{Kind: ice.EventCandidate, Candidate: ice.Candidate{Name: "x.local"}})
	l.flush()
	check(log)

	for name, e := range table {
		if e.count == 0 {
			t.Errorf("the event %s did not occur", name)
			continue
		}
		for f := range e.fields {
			if !e.seen[f] {
				t.Errorf("the field %s of the event %s did not occur", f, name)
			}
		}
	}
}

// TestEventLogSequence checks the order of the events with which two ends connect, and
// the amount of data that the log shows.
func TestEventLogSequence(t *testing.T) {
	log, w, a, b := loggedPair(t, 1, simnet.Path{Delay: 10 * time.Millisecond}, Config{})
	x, y := openPair(t, w, a, b, ChannelOptions{})
	sendAll(t, w, x, y, 20)
	a.Close()
	events, _ := readEventLog(t, log.Bytes())
	want := []string{
		"connection:signaling_state_changed", "ice:local_candidate", "ice:remote_candidate", "ice:check_sent", "dtls:message_received", "dtls:flight_sent",
		"ice:check_answered", "ice:pair_selected", "dtls:established", "sctp:state_changed", "channel:state_changed", "sctp:packet_sent", "recovery:metrics_updated",
		"dtls:alert_sent",
	}
	next, sent := 0, 0.0
	for _, e := range events {
		if next < len(want) && e.Name == want[next] {
			next++
		}
		if e.Name == "sctp:packet_sent" && e.Data["retransmitted"] == nil {
			n, _ := e.Data["data_bytes"].(float64)
			sent += n
		}
	}
	if next < len(want) {
		t.Errorf("%s did not follow %s", want[next], want[next-1])
	}
	if sent != 20*16384 {
		t.Errorf("%v bytes of data were sent by the log, want %d", sent, 20*16384)
	}
}

// A brokenWriter returns an error from its third call on.
type brokenWriter struct{ calls int }

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.calls++; w.calls > 2 {
		return 0, errors.New("no space")
	}
	return len(b), nil
}

// TestLogWriterFails checks that a connection outlives the writers of its logs, and that
// Config.Logger gets one warning for each.
func TestLogWriterFails(t *testing.T) {
	var logged bytes.Buffer
	events, capture := new(brokenWriter), new(brokenWriter)
	w := simnet.New(1)
	w.Default = simnet.Path{Delay: 10 * time.Millisecond}
	b := newSimPeer(t, w, Config{}, "10.0.0.2")
	a := newSimPeer(t, w, Config{EventLog: events, PacketCapture: capture, Logger: slog.New(slog.NewTextHandler(&logged, nil))}, "10.0.0.1")
	a.other, b.other = b, a
	x, y := openPair(t, w, a, b, ChannelOptions{})
	sendAll(t, w, x, y, 20)
	for _, text := range []string{"the event log ends", "the packet capture ends"} {
		if n := strings.Count(logged.String(), text); n != 1 {
			t.Errorf("%d warnings %q, want 1", n, text)
		}
	}
	if events.calls != 3 || capture.calls != 3 {
		t.Errorf("%d and %d calls of the writers, want 3", events.calls, capture.calls)
	}
}

// TestSharedWriters checks that two connections can write both logs to the same writers:
// each has a header, and their events have different groups.
func TestSharedWriters(t *testing.T) {
	log, capture := new(bytes.Buffer), new(bytes.Buffer)
	x, y, _, _ := realPair(t, Config{EventLog: log, PacketCapture: capture})
	x.Close()
	y.Close()
	events, headers := readEventLog(t, log.Bytes())
	established := map[string]int{}
	for _, e := range events {
		if e.Name == "dtls:established" {
			established[e.Group]++
		}
	}
	if headers != 2 || len(established) != 2 {
		t.Errorf("%d headers and %v handshakes, want 2 and one of each group", headers, established)
	}
	if n := bytes.Count(capture.Bytes(), []byte("decrypted SCTP")); n != 2 {
		t.Errorf("%d sections in the capture, want 2", n)
	}
}

// TestLogAllocations checks that a message costs no allocation with both logs on.
func TestLogAllocations(t *testing.T) {
	if raced {
		t.Skip("the race detector has sync.Pool forget at random")
	}
	w, x, y := connectWireWith(t, Config{EventLog: discard{}, PacketCapture: discard{}})
	msg := make([]byte, 16384)
	for range 200 {
		carry(t, w, x, y, msg, true)
	}
	if n := testing.AllocsPerRun(200, func() { carry(t, w, x, y, msg, true) }); n != 0 {
		t.Errorf("%v allocations for a message with both logs on", n)
	}
}

// discard is a writer that drops everything.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
