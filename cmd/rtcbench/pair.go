package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A side is one of the two processes of a pair.
type side struct {
	name   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    io.ReadCloser
	mu     sync.Mutex
	line   []byte // temporary memory of send
	result json.RawMessage
	done   chan struct{} // closed when the process has printed its result
	exited chan struct{}
	err    error
}

func startSide(name, command string) (*side, error) {
	f := strings.Fields(command)
	if len(f) == 0 {
		return nil, fmt.Errorf("no command for side %s", name)
	}
	s := &side{name: name, cmd: exec.Command(f[0], f[1:]...), done: make(chan struct{}), exited: make(chan struct{})}
	s.cmd.Stderr = os.Stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if s.out, err = s.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	return s, s.cmd.Start()
}

func (s *side) send(line []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = append(append(s.line[:0], line...), '\n')
	s.in.Write(s.line)
}

// carryTo forwards the signalling lines of this side to the other side. If port is not
// 0, it replaces the port in this side's candidate by port.
func (s *side) carryTo(other *side, port int) {
	lines := bufio.NewScanner(s.out)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		line := lines.Bytes()
		if bytes.HasPrefix(line, signal) && !bytes.HasPrefix(line, result) && port == 0 {
			other.send(line) // nearly all lines are forwarded unchanged
			continue
		}
		var m map[string]any
		if json.Unmarshal(line, &m) != nil {
			fmt.Fprintf(os.Stderr, "%s: %s\n", s.name, line)
			continue
		}
		sdp, _ := m["sdp"].(string)
		switch {
		case m["t"] == "result":
			if s.result == nil {
				s.result = bytes.Clone(line)
				close(s.done)
			}
			continue
		case m["t"] == "sdp" && port != 0:
			m["sdp"] = redirect(sdp, port)
			line, _ = json.Marshal(m)
		}
		other.send(line)
	}
	s.err = s.cmd.Wait()
	close(s.exited)
}

// Prefixes that distinguish lines for the other side from all other lines.
var (
	signal = []byte(`{"t":"`)
	result = []byte(`{"t":"result"`)
)

// These regular expressions are compiled only where they are used. The measured peers
// are processes of this same program, and their garbage collectors would have to scan
// compiled expressions.
var (
	anyCandidate = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`a=candidate:[^\r\n]*\r?\n`)
	})
	hostCandidate = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(a=candidate:\S+ \d+ (?i:udp) \d+) \S+ \d+ (typ host)`)
	})
)

// redirect removes all candidates from a description except one host candidate. In
// that candidate it replaces the port by a port of the bad network.
func redirect(sdp string, port int) string {
	kept := false
	return anyCandidate().ReplaceAllStringFunc(sdp, func(c string) string {
		if kept || !hostCandidate().MatchString(c) {
			return ""
		}
		kept = true
		return hostCandidate().ReplaceAllString(c, fmt.Sprintf("${1} 127.0.0.1 %d ${2}", port))
	})
}

// pair runs two peers that connect to each other, optionally over a bad network. It
// prints the figures of both in one line.
func pair(args []string) (code int, err error) {
	f := flag.NewFlagSet("rtcbench pair", flag.ExitOnError)
	a := f.String("a", "", "command of the offerer")
	b := f.String("b", "", "command of the answerer")
	bad := f.String("impair", "", "flags of rtcbench impair, such as \"-rtt 50ms -loss 0.01\"; empty: a direct path")
	label := f.String("label", "", "label in the output")
	timeout := f.Duration("timeout", 60*time.Second, "give up after so long")
	f.Parse(args)

	var n *badNetwork
	portA, portB := 0, 0
	if *bad != "" {
		if n, err = startBadNetwork(strings.Fields(*bad)); err != nil {
			return 1, err
		}
		defer n.close()
		portA, portB = n.portA, n.portB
	}
	answerer, err := startSide("b", *b)
	if err != nil {
		return 1, err
	}
	offerer, err := startSide("a", *a)
	if err != nil {
		answerer.cmd.Process.Kill()
		return 1, err
	}
	go answerer.carryTo(offerer, portB)
	go offerer.carryTo(answerer, portA)

	deadline := time.After(*timeout)
	timedOut := false
	select {
	case <-offerer.done:
	case <-offerer.exited:
	case <-deadline:
		timedOut = true
	}
	if strings.Contains(*b, " throughput ") || strings.Contains(*b, " idle ") { // in these scenarios the answerer prints figures, too
		select {
		case <-answerer.done:
		case <-answerer.exited:
		case <-time.After(20 * time.Second):
		}
	}
	for _, s := range []*side{offerer, answerer} {
		s.send([]byte(`{"t":"bye"}`))
	}
	for _, s := range []*side{offerer, answerer} {
		select {
		case <-s.exited:
		case <-time.After(5 * time.Second):
			s.cmd.Process.Kill()
			<-s.exited
		}
		if s.err != nil {
			code = 1
		}
	}
	out := map[string]any{"label": *label, "offer": offerer.result, "answer": answerer.result}
	if n != nil {
		out["impair"] = n.stats()
	}
	if timedOut {
		out["timeout"], code = true, 1
	}
	return code, json.NewEncoder(os.Stdout).Encode(out)
}
