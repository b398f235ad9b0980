// Package eventlog writes an event log: a JSON text sequence (RFC 7464) whose records
// have the form of qlog's events. The record separator 0x1E is before each record, and a
// line feed after it. The first record is a header. Each further record is an event:
//
//	{"time":12.345,"name":"ice:check_sent","group_id":"x7","data":{"remote":"192.0.2.1:5000"}}
//
// The group tells the events of several logs apart that are written to one file.
// The caller builds an event field by field, without allocations in the long run.
package eventlog

import (
	"io"
	"math"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"
)

// Values of the header.
const (
	Format  = "JSON-SEQ" // qlog's name of the serialization
	Version = "0.3"      // version of qlog of which the records have the form
	Schema  = 1          // version of the names and fields of the events
)

// maxText is the length in bytes at which strings are cut. The remote chooses the text of
// some of them.
const maxText = 256

// A Writer collects records, and writes them by Flush. It is not safe for concurrent
// use.
type Writer struct {
	w      io.Writer
	start  time.Time // the reference time of the log; zero: there was no event
	title  string
	group  string
	buf    []byte
	fields bool // the event that is built has a field
	failed bool // w has returned an error, and gets nothing more

	appendElement func(string) // the method element; made once, because each method value is an allocation
}

// New returns a Writer to w. The header names the log by title and group. The time of
// the first event is the log's reference time.
func New(w io.Writer, title, group string) *Writer {
	l := &Writer{w: w, title: title, group: group}
	l.appendElement = l.element
	return l
}

// Begin begins an event. Its fields follow, and then End.
func (l *Writer) Begin(now time.Time, name string) {
	if l.start.IsZero() {
		l.start = now
		l.header()
	}
	l.fields = false
	l.buf = append(l.buf, "\x1e{\"time\":"...)
	l.buf = appendMillis(l.buf, now.Sub(l.start))
	l.buf = append(l.buf, `,"name":`...)
	l.buf = appendString(l.buf, name)
	l.buf = append(l.buf, `,"group_id":`...)
	l.buf = appendString(l.buf, l.group)
	l.buf = append(l.buf, `,"data":{`...)
}

// header appends the first record.
func (l *Writer) header() {
	l.buf = append(l.buf, "\x1e{\"qlog_version\":\""+Version+"\",\"qlog_format\":\""+Format+"\",\"title\":"...)
	l.buf = appendString(l.buf, l.title)
	l.buf = append(l.buf, `,"schema_version":`...)
	l.buf = strconv.AppendInt(l.buf, Schema, 10)
	l.buf = append(l.buf, `,"trace":{"vantage_point":{"type":"unknown"},"common_fields":{"time_format":"relative","reference_time":`...)
	l.buf = appendMillis(l.buf, time.Duration(l.start.UnixNano()))
	l.buf = append(l.buf, `,"group_id":`...)
	l.buf = appendString(l.buf, l.group)
	l.buf = append(l.buf, "}}}\n"...)
}

// End ends the event that Begin began.
func (l *Writer) End() { l.buf = append(l.buf, "}}\n"...) }

// key appends the name of the next field.
func (l *Writer) key(key string) {
	if l.fields {
		l.buf = append(l.buf, ',')
	}
	l.fields = true
	l.buf = append(l.buf, '"')
	l.buf = append(l.buf, key...)
	l.buf = append(l.buf, `":`...)
}

// String appends a field with a text, which is cut after 256 bytes.
func (l *Writer) String(key, v string) {
	l.key(key)
	l.buf = appendString(l.buf, v)
}

// Error appends a field with the text of an error, or no field if the error is nil.
func (l *Writer) Error(key string, err error) {
	if err != nil {
		l.String(key, err.Error())
	}
}

// Int appends a field with a whole number.
func (l *Writer) Int(key string, v int) {
	l.key(key)
	l.buf = strconv.AppendInt(l.buf, int64(v), 10)
}

// Number appends a field with a number, rounded to a whole one.
func (l *Writer) Number(key string, v float64) {
	l.key(key)
	l.buf = strconv.AppendFloat(l.buf, math.Round(v), 'f', -1, 64)
}

// Millis appends a field with a duration in milliseconds, with three decimals at most.
func (l *Writer) Millis(key string, d time.Duration) {
	l.key(key)
	l.buf = appendMillis(l.buf, d)
}

// Bool appends a field with a truth value.
func (l *Writer) Bool(key string, v bool) {
	l.key(key)
	l.buf = strconv.AppendBool(l.buf, v)
}

// Addr appends a field with an address and port, or no field if the address is not
// valid.
func (l *Writer) Addr(key string, a netip.AddrPort) {
	if a.IsValid() {
		l.key(key)
		l.buf = append(l.buf, '"')
		l.buf = a.AppendTo(l.buf)
		l.buf = append(l.buf, '"')
	}
}

// Strings appends a field with an array of texts, for which each calls its argument.
func (l *Writer) Strings(key string, each func(func(string))) {
	l.key(key)
	l.buf = append(l.buf, '[')
	l.fields = false
	each(l.appendElement)
	l.fields = true
	l.buf = append(l.buf, ']')
}

// element appends the next element of an array.
func (l *Writer) element(v string) {
	if l.fields {
		l.buf = append(l.buf, ',')
	}
	l.fields = true
	l.buf = appendString(l.buf, v)
}

// Flush writes the records since the last Flush in one call of the writer. It returns the
// error of the writer once. After an error it writes nothing more.
func (l *Writer) Flush() error {
	b := l.buf
	if l.buf = l.buf[:0]; len(b) == 0 || l.failed {
		return nil
	}
	n, err := l.w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	l.failed = err != nil
	return err
}

// appendMillis appends a duration in milliseconds, with microseconds as decimals.
func appendMillis(b []byte, d time.Duration) []byte {
	us := int64(d / time.Microsecond)
	if us < 0 {
		b, us = append(b, '-'), -us
	}
	b = strconv.AppendInt(b, us/1000, 10)
	if us %= 1000; us == 0 {
		return b
	}
	b = append(b, '.', byte('0'+us/100), byte('0'+us/10%10), byte('0'+us%10))
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string (RFC 8259 §7). What is not UTF-8 is replaced.
func appendString(b []byte, s string) []byte {
	if len(s) > maxText {
		s = s[:maxText]
	}
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
