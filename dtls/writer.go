package dtls

import (
	"encoding/binary"
	"errors"
)

// A writer writes the bodies of handshake messages, which cryptobyte.String
// reads. Of cryptobyte.Builder, each field with a length is an object and a
// function of its own, and a ClientHello has two dozen of those.
type writer struct {
	b       []byte
	tooLong bool // a field has more bytes than its length can say
}

// newWriter is for a body of about n bytes.
func newWriter(n int) *writer { return &writer{b: make([]byte, 0, n)} }

func (w *writer) uint8(v uint8)   { w.b = append(w.b, v) }
func (w *writer) uint16(v uint16) { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *writer) uint32(v uint32) { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *writer) bytes(b []byte)  { w.b = append(w.b, b...) }
func (w *writer) string(s string) { w.b = append(w.b, s...) }

// A field is where a field of unknown length begins.
type field struct{ at, lengthBytes int }

// open begins a field that has its length, of n bytes, before it.
func (w *writer) open(n int) field {
	for range n {
		w.b = append(w.b, 0)
	}
	return field{len(w.b), n}
}

// close ends the field f.
func (w *writer) close(f field) {
	length := len(w.b) - f.at
	for i := range f.lengthBytes {
		w.b[f.at-1-i] = byte(length >> (8 * i))
	}
	w.tooLong = w.tooLong || length>>(8*f.lengthBytes) != 0
}

// field writes b with its length, of n bytes, before it.
func (w *writer) field(n int, b []byte) {
	f := w.open(n)
	w.bytes(b)
	w.close(f)
}

// body is what was written.
func (w *writer) body() ([]byte, error) {
	if w.tooLong {
		return nil, errors.New("a field is too long")
	}
	return w.b, nil
}

// writeUint16s writes a list with a two-byte length before it.
func writeUint16s[T ~uint16](w *writer, list []T) {
	f := w.open(2)
	for _, v := range list {
		w.uint16(uint16(v))
	}
	w.close(f)
}
