package main

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"purertc/ice"
	"purertc/rtcpeer"
)

// A progress shows on the terminal how far the transfer of a file is, and its path.
type progress struct {
	conn  *rtcpeer.Conn
	what  string // "sending file", for example
	size  int64  // 0: the size is not known
	begun time.Time
	bytes atomic.Int64
}

// showProgress shows the progress until the function that it returns is called.
func showProgress(conn *rtcpeer.Conn, verb string, c control) (p *progress, end func()) {
	p = &progress{conn: conn, what: fmt.Sprintf("%s %q", verb, c.Name), size: c.Size, begun: time.Now()}
	if c.Name == "" {
		return p, func() {}
	}
	info, err := os.Stderr.Stat()
	live := err == nil && info.Mode()&os.ModeCharDevice != 0 // a line can be replaced only on a terminal
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for ended := false; !ended; {
			select {
			case <-tick.C:
			case <-stop:
				ended = true
			}
			if live {
				fmt.Fprintf(os.Stderr, "\r\x1b[K%v", p)
			} else if ended {
				fmt.Fprint(os.Stderr, p)
			}
		}
		fmt.Fprintln(os.Stderr)
	}()
	return p, func() { close(stop); <-stopped }
}

// String returns a bar, the rate, the remaining time and the path.
func (p *progress) String() string {
	n, took := p.bytes.Load(), max(time.Since(p.begun), time.Millisecond)
	text := p.what
	if p.size > 0 {
		const width = 20
		filled := int(min(n*width/p.size, width))
		text += fmt.Sprintf(" [%s%s] %d %%", strings.Repeat("#", filled), strings.Repeat(".", width-filled), n*100/p.size)
	}
	text += fmt.Sprintf(" %.1f MB, %.1f Mbit/s", float64(n)/1e6, float64(n)*8/1e6/took.Seconds())
	if n > 0 && n < p.size {
		text += fmt.Sprintf(", %v left", time.Duration(float64(took)*float64(p.size-n)/float64(n)).Round(time.Second))
	}
	return text + ", " + path(p.conn)
}

// path says how the two machines are connected.
func path(c *rtcpeer.Conn) string {
	pair, ok := c.SelectedPair()
	if !ok {
		return "no path"
	}
	kind, family := "direct", "IPv4"
	if pair.Local.Type == ice.Relay || pair.Remote.Type == ice.Relay {
		kind = "relayed"
	}
	if pair.Remote.Addr.Addr().Is6() {
		family = "IPv6"
	}
	return fmt.Sprintf("%s, %s over %s to %v", kind, family, strings.ToUpper(pair.Local.Transport), pair.Remote.Addr)
}
