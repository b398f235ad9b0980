package main

import (
	"encoding/json"
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A badNetwork is a path between two UDP peers on the loopback interface. It delays
// and drops datagrams, and has a bottleneck with a queue. It has two sockets, one in
// place of each peer. A peer sends to the socket that is in place of the other peer.
// From there the datagram goes to the other peer, and its source is the socket that is
// in place of the sender. The address of a peer is the source of the most recent
// datagram from it.
type badNetwork struct {
	portA, portB int
	sockets      [2]*net.UDPConn
	paths        [2]*badPath
}

// pathStats are the counters of one direction.
type pathStats struct {
	Received  int64 `json:"recv"`
	Lost      int64 `json:"rand_drop"`
	QueueFull int64 `json:"tail_drop"`
	TooLong   int64 `json:"mtu_drop"`
	Sent      int64 `json:"sent"`
	SentBytes int64 `json:"sent_bytes"`
	LateMaxUS int64 `json:"late_max_us"`
}

type badPath struct {
	in, out  *net.UDPConn
	from, to *atomic.Pointer[netip.AddrPort] // addresses of the peer that sends to the socket in, and of the peer to which the socket out sends
	delay    time.Duration
	loss     float64
	rate     float64 // bytes a second; 0: unlimited
	queue    float64 // maximum number of bytes that wait in the queue
	overhead int
	mtu      int
	rng      *rand.Rand

	mu    sync.Mutex
	fifo  []delayed
	more  chan struct{}
	end   chan struct{}
	stats pathStats
}

type delayed struct {
	at time.Time
	b  []byte
}

// startBadNetwork opens the sockets and starts carrying datagrams.
func startBadNetwork(args []string) (*badNetwork, error) {
	n, _, err := badNetworkOf(args)
	return n, err
}

func badNetworkOf(args []string) (*badNetwork, time.Duration, error) {
	f := flag.NewFlagSet("rtcbench impair", flag.ExitOnError)
	rtt := f.Duration("rtt", 0, "round-trip time, half in each direction")
	loss := f.Float64("loss", 0, "probability that a datagram is lost, in each direction")
	rate := f.Float64("rate", 0, "bottleneck in Mbit/s, in each direction; 0: none")
	queue := f.Int("queue", 0, "bytes that wait for it; 0: rate times round-trip time, at least 30000")
	overhead := f.Int("overhead", 28, "bytes of IP and UDP headers counted to each datagram")
	mtu := f.Int("mtu", 1500, "longest IP packet, overhead included; 0: no limit")
	seed := f.Uint64("seed", 1, "seed of the losses")
	dur := f.Duration("for", 0, "end after so long; 0: at the end of standard input")
	if err := f.Parse(args); err != nil {
		return nil, 0, err
	}
	bytesPerSecond := *rate * 1e6 / 8
	q := float64(*queue)
	if q == 0 {
		q = max(bytesPerSecond*rtt.Seconds(), 30000)
	}
	n := &badNetwork{}
	var peers [2]atomic.Pointer[netip.AddrPort]
	for i := range n.sockets {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, 0, err
		}
		c.SetReadBuffer(4 << 20)
		c.SetWriteBuffer(4 << 20)
		n.sockets[i] = c
	}
	n.portA = n.sockets[0].LocalAddr().(*net.UDPAddr).Port
	n.portB = n.sockets[1].LocalAddr().(*net.UDPAddr).Port
	for i := range n.paths {
		// Path 0 carries the datagrams that peer A sends to peer B.
		n.paths[i] = &badPath{
			in: n.sockets[1-i], out: n.sockets[i], from: &peers[i], to: &peers[1-i],
			delay: *rtt / 2, loss: *loss, rate: bytesPerSecond, queue: q, overhead: *overhead, mtu: *mtu,
			rng: rand.New(rand.NewPCG(*seed, uint64(i+1))), more: make(chan struct{}, 1), end: make(chan struct{}),
		}
		go n.paths[i].read()
		go n.paths[i].write()
	}
	return n, *dur, nil
}

func (n *badNetwork) stats() map[string]pathStats {
	out := map[string]pathStats{}
	for i, name := range []string{"ab", "ba"} {
		n.paths[i].mu.Lock()
		out[name] = n.paths[i].stats
		n.paths[i].mu.Unlock()
	}
	return out
}

func (n *badNetwork) close() {
	for i := range n.paths {
		close(n.paths[i].end)
		n.sockets[i].Close()
	}
}

// read receives datagrams. For each of them, it decides whether and when it is sent.
func (p *badPath) read() {
	buf := make([]byte, 65536)
	var free time.Time // when the queue of the bottleneck will be empty
	for {
		k, from, err := p.in.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if have := p.from.Load(); have == nil || *have != from {
			p.from.Store(&from)
		}
		now := time.Now()
		p.mu.Lock()
		p.stats.Received++
		switch {
		case p.mtu > 0 && k+p.overhead > p.mtu:
			p.stats.TooLong++
		case p.loss > 0 && p.rng.Float64() < p.loss:
			p.stats.Lost++
		default:
			at := now
			if p.rate > 0 {
				size := float64(k + p.overhead)
				if free.Before(now) {
					free = now
				}
				if free.Sub(now).Seconds()*p.rate+size > p.queue+1500 {
					p.stats.QueueFull++
					p.mu.Unlock()
					continue
				}
				free = free.Add(time.Duration(size / p.rate * 1e9))
				at = free
			}
			p.fifo = append(p.fifo, delayed{at.Add(p.delay), append([]byte(nil), buf[:k]...)})
			select {
			case p.more <- struct{}{}:
			default:
			}
		}
		p.mu.Unlock()
	}
}

// write sends each datagram when its time has come.
func (p *badPath) write() {
	for {
		p.mu.Lock()
		if len(p.fifo) == 0 {
			p.mu.Unlock()
			select {
			case <-p.more:
				continue
			case <-p.end:
				return
			}
		}
		d := p.fifo[0]
		if wait := time.Until(d.at); wait > 0 {
			p.mu.Unlock()
			time.Sleep(wait)
			continue
		}
		p.fifo[0] = delayed{}
		p.fifo = p.fifo[1:]
		p.stats.LateMaxUS = max(p.stats.LateMaxUS, time.Since(d.at).Microseconds())
		p.mu.Unlock()
		to := p.to.Load()
		if to == nil {
			continue
		}
		if _, err := p.out.WriteToUDPAddrPort(d.b, *to); err == nil {
			p.mu.Lock()
			p.stats.Sent++
			p.stats.SentBytes += int64(len(d.b))
			p.mu.Unlock()
		}
	}
}

// impair runs a bad network as a separate program. It prints the two ports, and
// carries datagrams until its time is over or standard input ends. Then it prints the
// figures.
func impair(args []string) error {
	n, dur, err := badNetworkOf(args)
	if err != nil {
		return err
	}
	defer n.close()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]int{"fa": n.portA, "fb": n.portB}); err != nil {
		return err
	}
	if dur > 0 {
		time.Sleep(dur)
	} else {
		io.Copy(io.Discard, os.Stdin)
	}
	return out.Encode(n.stats())
}
