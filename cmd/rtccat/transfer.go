package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// A control is a text message of JSON: a header, a trailer or a verdict. Each end
// sends a header, the bytes in binary messages, and a trailer. It then receives the
// verdict of the other end.
type control struct {
	Kind   string // "header", "trailer" or "verdict"
	Name   string `json:",omitempty"` // in a header: name of the file; empty for standard input
	Size   int64  `json:",omitempty"` // in a header: size of the file in bytes
	SHA256 string `json:",omitempty"` // in a trailer: digest of the bytes sent
	Error  string `json:",omitempty"` // in a verdict: empty if all bytes arrived unchanged
}

const messageSize, maxControlSize = 64 << 10, 8 << 10 // bytes

var errDigest = errors.New("the bytes that arrived are not those that were sent")

// exchange sends and receives until both directions are finished. If this end sends or
// receives a file, exchange returns when the file is transferred: it does not wait
// until a person at the other end has finished typing.
func (l *link) exchange(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := os.Stdout
	if *outFile != "" {
		f, err := os.OpenFile(*outFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil {
			return err
		}
		defer f.Close()
		out = f
	}
	sent, received, verdict, named := make(chan error, 1), make(chan error, 1), make(chan error, 1), make(chan bool, 1)
	go func() { sent <- l.send(ctx, verdict) }()
	go func() { received <- l.receive(ctx, out, verdict, named) }()
	for done := 0; done < 2; done++ {
		var err error
		isFile := false
		select {
		case err = <-sent:
			isFile = *file != ""
		case err = <-received:
			isFile = <-named
		}
		if err != nil && l.conn.Err() != nil {
			err = fmt.Errorf("%w\n%s", err, l.conn.Report())
		}
		if err != nil || isFile {
			return err
		}
	}
	return nil
}

// send sends the file, or standard input, and waits for the verdict.
func (l *link) send(ctx context.Context, verdict <-chan error) error {
	var input io.Reader = l.input
	header := control{Kind: "header"}
	if *file != "" {
		f, err := os.Open(*file)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		header.Name, header.Size, input = filepath.Base(*file), info.Size(), f
	} else if *outFile != "" {
		input = strings.NewReader("") // this end only receives
	}
	if err := l.tell(ctx, header); err != nil {
		return err
	}
	p, end := showProgress(l.conn, "sending", header)
	defer end()
	digest, buffer := sha256.New(), make([]byte, min(messageSize, l.channel.MaxPacketSize()))
	for {
		n, readErr := input.Read(buffer)
		digest.Write(buffer[:n])
		p.bytes.Add(int64(n))
		if n > 0 {
			if err := l.channel.Send(ctx, buffer[:n], false); err != nil {
				return err
			}
		}
		if readErr == io.EOF {
			break
		} else if readErr != nil {
			return readErr
		}
	}
	if err := l.tell(ctx, control{Kind: "trailer", SHA256: hex.EncodeToString(digest.Sum(nil))}); err != nil {
		return err
	}
	select {
	case err := <-verdict:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell sends c as a text message.
func (l *link) tell(ctx context.Context, c control) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return l.channel.Send(ctx, b, true)
}

// receive writes the bytes that the other end sends to out, and passes the other end's
// verdict to send through the channel verdict. It returns after the trailer if the
// other end sends a file, and otherwise after both the trailer and the verdict. When
// it returns, named receives whether the other end sends a file.
func (l *link) receive(ctx context.Context, out io.Writer, verdict chan<- error, named chan<- bool) (err error) {
	isFile, ended, judged := false, false, false
	defer func() { named <- isFile }()
	buffered, digest := bufio.NewWriterSize(out, 1<<20), sha256.New()
	p, end := showProgress(l.conn, "", control{})
	defer func() { end() }()
	for !ended || !isFile && !judged {
		b, text, err := l.channel.Receive(ctx)
		if err != nil {
			return fmt.Errorf("the connection has ended before everything arrived: %w", err)
		}
		if !text && !ended {
			digest.Write(b)
			p.bytes.Add(int64(len(b)))
			if _, err = buffered.Write(b); err == nil && !isFile {
				err = buffered.Flush() // each message is written at once, because a person may be reading
			}
			l.channel.Recycle(b)
			if err != nil {
				return err
			}
			continue
		}
		var c control
		if !text || len(b) > maxControlSize || json.Unmarshal(b, &c) != nil {
			return errors.New("the other end is not an rtccat that this one understands")
		}
		switch {
		case c.Kind == "header" && !ended && !isFile:
			isFile = c.Name != ""
			p, end = showProgress(l.conn, "receiving", c)
		case c.Kind == "verdict" && !judged:
			if c.Error != "" {
				verdict <- fmt.Errorf("the other end says: %q", c.Error)
			}
			judged = true
			close(verdict)
		case c.Kind == "trailer" && !ended:
			ended = true
			if err = buffered.Flush(); err == nil && c.SHA256 != hex.EncodeToString(digest.Sum(nil)) {
				err = errDigest
			}
			answer := control{Kind: "verdict"}
			if err != nil {
				answer.Error = err.Error()
			}
			if err = errors.Join(err, l.tell(ctx, answer)); err != nil {
				return err
			}
		}
	}
	return nil
}
