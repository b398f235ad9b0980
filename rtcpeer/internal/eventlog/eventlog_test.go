package eventlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// records splits a log at its separators, and decodes each record.
func records(t *testing.T, log []byte) (list []map[string]any) {
	t.Helper()
	parts := strings.Split(string(log), "\x1e")
	if parts[0] != "" {
		t.Fatalf("the log begins with %q, not with a record separator", parts[0])
	}
	for _, p := range parts[1:] {
		if !strings.HasSuffix(p, "\n") {
			t.Fatalf("record %q does not end with a line feed", p)
		}
		var v map[string]any
		if err := json.Unmarshal([]byte(p), &v); err != nil {
			t.Fatalf("record %q: %v", p, err)
		}
		list = append(list, v)
	}
	return list
}

// TestRecords writes one event with every type of field and decodes the log.
func TestRecords(t *testing.T) {
	var out bytes.Buffer
	l := New(&out, "a \"title\"", "group")
	start := time.UnixMilli(1_700_000_000_123)
	l.Begin(start, "x:first")
	l.End()
	l.Begin(start.Add(1500*time.Microsecond), "x:second")
	l.String("text", "a\"\\\n\x00é\xff")
	l.String("long", strings.Repeat("x", 1000))
	l.Error("error", errors.New("broken"))
	l.Error("none", nil)
	l.Int("int", -5)
	l.Number("number", 12345678.4)
	l.Millis("millis", -1250*time.Microsecond)
	l.Bool("bool", true)
	l.Addr("address", netip.MustParseAddrPort("[2001:db8::1]:5000"))
	l.Addr("no_address", netip.AddrPort{})
	l.Strings("empty", func(func(string)) {})
	l.Strings("list", func(f func(string)) { f("a"); f("b") })
	l.Int("last", 1)
	l.End()
	if out.Len() != 0 {
		t.Fatal("the log was written before Flush")
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{"qlog_version": "0.3", "qlog_format": "JSON-SEQ", "title": `a "title"`, "schema_version": 1.0, "trace": map[string]any{
			"vantage_point": map[string]any{"type": "unknown"},
			"common_fields": map[string]any{"time_format": "relative", "reference_time": 1_700_000_000_123.0, "group_id": "group"},
		}},
		{"time": 0.0, "name": "x:first", "group_id": "group", "data": map[string]any{}},
		{"time": 1.5, "name": "x:second", "group_id": "group", "data": map[string]any{
			"text": "a\"\\\n\x00é\uFFFD", "long": strings.Repeat("x", 256), "error": "broken", "int": -5.0, "number": 12345678.0,
			"millis": -1.25, "bool": true, "address": "[2001:db8::1]:5000", "empty": []any{}, "list": []any{"a", "b"}, "last": 1.0,
		}},
	}
	if diff := cmp.Diff(want, records(t, out.Bytes())); diff != "" {
		t.Error(diff)
	}
}

// A failing writer accepts n bytes and then returns an error.
type failing struct{ n, calls int }

func (f *failing) Write(b []byte) (int, error) {
	f.calls++
	if len(b) > f.n {
		return f.n, errors.New("disk full")
	}
	f.n -= len(b)
	return len(b), nil
}

// TestWriterFails checks that an error of the writer is returned once, and that the
// writer is not called again.
func TestWriterFails(t *testing.T) {
	f := &failing{n: 400}
	l := New(f, "", "")
	now := time.Unix(1, 0)
	errs := 0
	for range 100 {
		l.Begin(now, "x:event")
		l.String("text", "some text")
		l.End()
		if l.Flush() != nil {
			errs++
		}
	}
	calls := f.calls
	if l.Begin(now, "x:event"); l.Flush() != nil || f.calls != calls || errs != 1 {
		t.Errorf("%d errors, %d more calls after the error; want 1 and 0", errs, f.calls-calls)
	}
}

// TestAllocations checks that events cost no allocation once the buffer has grown.
func TestAllocations(t *testing.T) {
	l := New(&failing{n: 1 << 30}, "", "")
	now := time.Unix(1, 0)
	names := func(f func(string)) { f("DATA") }
	write := func() {
		l.Begin(now, "x:event")
		l.Int("n", 12345)
		l.Millis("t", 1234567)
		l.Strings("list", names)
		l.End()
		l.Flush()
	}
	write()
	if n := testing.AllocsPerRun(100, write); n != 0 {
		t.Errorf("%v allocations for an event, want 0", n)
	}
}
