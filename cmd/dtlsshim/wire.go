package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net"
	"time"
)

// The opcodes of the packets that the runner and the shim exchange.
const (
	opPacket     = 'P' // a datagram
	opTimeout    = 'T' // the runner tells the shim to advance its clock
	opTimeoutAck = 't' // the shim's answer to opTimeout, which it sends before it advances its clock
	opExpect     = 'E' // the runner says when the shim's next timeout must be
	opMTU        = 'M'
	opSetTimeout = 'U' // the runner sets the initial timeout
)

// A wire carries datagrams over a TCP connection to the runner.
type wire struct {
	conn net.Conn
	r    *bufio.Reader
}

// dial connects to the runner and sends the shim's id, by which the runner recognizes
// the test.
func dial(o *options) (*wire, error) {
	host := "127.0.0.1"
	if o.ipv6 {
		host = "::1"
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(host, o.port))
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(binary.LittleEndian.AppendUint64(nil, o.shimID)); err != nil {
		return nil, err
	}
	return &wire{conn, bufio.NewReader(conn)}, nil
}

// close closes the connection after everything that was written has arrived at the
// runner.
func (w *wire) close() {
	if c, ok := w.conn.(*net.TCPConn); ok {
		c.CloseWrite()
		io.Copy(io.Discard, w.r)
	}
	w.conn.Close()
}

func (w *wire) send(datagram []byte) error {
	b := append([]byte{opPacket}, binary.BigEndian.AppendUint32(nil, uint32(len(datagram)))...)
	_, err := w.conn.Write(append(b, datagram...))
	return err
}

// A command is an instruction from the runner.
type command struct {
	op       byte
	datagram []byte
	duration time.Duration // the duration of an opTimeout, opExpect or opSetTimeout; negative in opExpect: no timeout is expected
	mtu      int
}

// maxDatagram is the maximum size in bytes of a datagram.
const maxDatagram = 1 << 20

// next reads the next command. At the end, the error is io.EOF.
func (w *wire) next() (c command, err error) {
	if c.op, err = w.r.ReadByte(); err != nil {
		return c, err
	}
	var number [8]byte
	read := func(n int) (uint64, error) {
		_, err := io.ReadFull(w.r, number[8-n:])
		v := binary.BigEndian.Uint64(number[:])
		return v, err
	}
	var v uint64
	switch c.op {
	case opPacket:
		if v, err = read(4); err == nil && v <= maxDatagram {
			c.datagram = make([]byte, v)
			_, err = io.ReadFull(w.r, c.datagram)
		}
	case opTimeout:
		v, err = read(8)
		c.duration = time.Duration(v)
	case opExpect:
		v, err = read(8)
		c.duration = time.Duration(v)
		if v == math.MaxUint64 {
			c.duration = -1
		}
	case opMTU:
		v, err = read(4)
		c.mtu = int(v)
	case opSetTimeout:
		v, err = read(4)
		c.duration = time.Duration(v) * time.Millisecond
	default:
		err = fmt.Errorf("opcode %q", c.op)
	}
	return c, err
}
