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

// The opcodes of the runner's packet framing.
const (
	opPacket     = 'P' // a datagram
	opTimeout    = 'T' // the runner tells the shim to advance its clock
	opTimeoutAck = 't' // the shim's answer, before it does
	opExpect     = 'E' // when the shim's next timeout has to be
	opMTU        = 'M'
	opSetTimeout = 'U' // the initial timeout
)

// A wire carries datagrams over the runner's TCP connection.
type wire struct {
	conn net.Conn
	r    *bufio.Reader
}

// dial connects to the runner and sends the number of the test.
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

// close closes the connection after all that was written has arrived.
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

// A command is an instruction of the runner.
type command struct {
	op       byte
	datagram []byte
	duration time.Duration // of opTimeout, opExpect (negative: none) and opSetTimeout
	mtu      int
}

// maxDatagram bounds the size of a packet.
const maxDatagram = 1 << 20

// next reads a command. The error at the end is io.EOF.
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
