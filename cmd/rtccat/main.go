// Rtccat sends bytes or files from one machine to another, through NATs, encrypted, and
// without a server that sees them.
//
//	rtccat [flags] offer       prints a line for the other machine, and reads the line of its answer
//	rtccat [flags] answer      reads the line of the offer, and prints a line
//	rtccat [flags] invite      prints a text with which the other machine joins, if it can reach an address of this one
//	rtccat [flags] join TEXT   joins with that text
//
// Each end sends its standard input to the other end, which writes the bytes to its
// standard output. With -file an end sends a file, with -out it writes what it receives
// to a file. The receiver checks a digest of all that was sent.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"purertc/rtcpeer"
)

var (
	servers  = flag.String("servers", "stun:stun.l.google.com:19302", "STUN and TURN servers, separated by commas; empty: none")
	user     = flag.String("user", "", "user name at the TURN servers")
	pass     = flag.String("pass", "", "password at the TURN servers")
	relay    = flag.Bool("relay", false, "connect by the TURN servers only")
	loopback = flag.Bool("loopback", false, "use loopback addresses, too")
	listen   = flag.String("listen", ":0", "invite: UDP address to listen on")
	paste    = flag.String("paste", "/dev/stdin", "where the other machine's line is read from; /dev/tty if standard input is a pipe")
	file     = flag.String("file", "", "send this file")
	outFile  = flag.String("out", "", "write what arrives to this file, which must not exist")
	patience = flag.Duration("timeout", 10*time.Minute, "how long to wait for the other machine")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, flag.Arg(0), flag.Arg(1)); err != nil {
		fmt.Fprintln(os.Stderr, "rtccat:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, mode, text string) error {
	l := &link{conn: rtcpeer.New(), input: bufio.NewReaderSize(os.Stdin, 1<<16)}
	defer func() { l.conn.Close() }()
	err := l.connect(ctx, mode, text)
	if err == nil {
		err = l.exchange(ctx)
	}
	if err != nil {
		return err
	}
	return l.conn.Shutdown(ctx) // delivers what is queued
}

// A link is a connection with a channel, and this end's standard input.
type link struct {
	conn    *rtcpeer.Conn
	channel *rtcpeer.DataChannel
	input   *bufio.Reader
}

// connect connects to the other machine.
func (l *link) connect(ctx context.Context, mode, text string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, *patience)
	defer cancel()
	switch {
	case mode == "offer" || mode == "answer":
		err = l.connectByLines(ctx, mode)
	case mode == "invite":
		err = l.waitForJoiner(ctx)
	case mode == "join" && text != "":
		if err = l.open(rtcpeer.Config{IncludeLoopback: *loopback}); err == nil {
			err = l.conn.Join(text)
		}
	default:
		err = errors.New("usage: rtccat [flags] offer|answer|invite|join TEXT; rtccat -h lists the flags")
	}
	if err != nil {
		return err
	}
	if err = l.channel.Opened(ctx); err != nil {
		return fmt.Errorf("no connection: %w\n%s", err, l.conn.Report())
	}
	return nil
}

// channel has the options of the channel, which both ends create.
var channel = rtcpeer.ChannelOptions{Negotiated: true, ID: new(0), Protocol: "rtccat/1"}

// open initializes the connection and creates the channel.
func (l *link) open(cfg rtcpeer.Config) (err error) {
	if err := l.conn.Initialize(cfg); err != nil {
		return err
	}
	l.channel, err = l.conn.CreateDataChannel("rtccat", channel)
	return err
}

// connectByLines exchanges an offer and an answer with the person at the terminal.
func (l *link) connectByLines(ctx context.Context, mode string) error {
	cfg := rtcpeer.Config{IncludeLoopback: *loopback}
	if *relay {
		cfg.ICETransportPolicy = rtcpeer.ICETransportPolicyRelay
	}
	for url := range strings.FieldsFuncSeq(*servers, func(r rune) bool { return r == ',' }) {
		s := rtcpeer.ICEServer{URLs: []string{url}}
		if strings.HasPrefix(url, "turn") {
			s.Username, s.Credential = *user, *pass
		}
		cfg.ICEServers = append(cfg.ICEServers, s)
	}
	if err := l.open(cfg); err != nil {
		return err
	}
	if mode == "offer" {
		offer, err := l.conn.Offer(ctx)
		if err != nil {
			return err
		}
		show("Run \"rtccat answer\" on the other machine, and paste this line there:", lineOf(offer))
		answer, err := l.pasted("Paste its line here:")
		if err != nil {
			return err
		}
		return l.conn.SetAnswer(answer)
	}
	offer, err := l.pasted("Paste the line of \"rtccat offer\" here:")
	if err != nil {
		return err
	}
	answer, err := l.conn.Answer(ctx, offer)
	if err == nil {
		show("Paste this line into the other rtccat:", lineOf(answer))
	}
	return err
}

// waitForJoiner waits for the machine that joins.
func (l *link) waitForJoiner(ctx context.Context) error {
	host, err := rtcpeer.NewHost(rtcpeer.HostConfig{Addr: *listen})
	if err != nil {
		return err // the host is never closed: it lasts as long as the program
	}
	invite, err := host.Invite(rtcpeer.InviteConfig{Config: rtcpeer.Config{IncludeLoopback: *loopback}, MaxJoiners: 1})
	if err != nil {
		return err
	}
	defer invite.Close()
	show("Run this on the other machine:", "rtccat join "+invite.Text())
	conn, err := invite.Accept(ctx)
	if err != nil {
		return fmt.Errorf("nobody has joined: %w", err)
	}
	l.conn = conn
	l.channel, err = conn.OpenDataChannel("rtccat", channel)
	return err
}

// show prints a line for the other machine.
func show(instruction, line string) { fmt.Fprintf(os.Stderr, "%s\n\n%s\n\n", instruction, line) }

// pasted reads the other machine's line.
func (l *link) pasted(instruction string) (d rtcpeer.Description, err error) {
	fmt.Fprintln(os.Stderr, instruction)
	from := l.input
	if *paste != "/dev/stdin" {
		f, err := os.Open(*paste)
		if err != nil {
			return d, err
		}
		defer f.Close()
		from = bufio.NewReader(f)
	}
	line, err := from.ReadString('\n')
	if err != nil && (err != io.EOF || line == "") {
		return d, fmt.Errorf("no line was pasted: %w", err)
	}
	return parseLine(strings.TrimSpace(line))
}
