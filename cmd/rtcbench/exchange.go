package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"purertc/rtcpeer"
)

// exchangeTimeout is the maximum duration of one case.
const exchangeTimeout = 30 * time.Second

// exchange sends every kind of message to a remote end that sends it back.
func (b *bencher) exchange() (figures, error) {
	c, err := b.dial(0, "exchange")
	if err != nil {
		return nil, err
	}
	d := c.channels[0]
	cases := []struct {
		name string
		run  func(context.Context) error
	}{
		{"text", func(ctx context.Context) error { return roundTrip(ctx, d, []byte("text: äöü 日本語 😀"), true) }},
		{"binary", func(ctx context.Context) error { return roundTrip(ctx, d, []byte{0, 1, 2, 254, 255}, false) }},
		{"empty-text", func(ctx context.Context) error { return roundTrip(ctx, d, nil, true) }},
		{"empty-binary", func(ctx context.Context) error { return roundTrip(ctx, d, nil, false) }},
		{"sizes", func(ctx context.Context) error { return exchangeSizes(ctx, d) }},
		{"in-order", func(ctx context.Context) error { return exchangeInOrder(ctx, d) }},
		{"ordered", func(ctx context.Context) error { return b.exchangeKind(ctx, c, rtcpeer.ChannelOptions{}) }},
		{"unordered", func(ctx context.Context) error {
			return b.exchangeKind(ctx, c, rtcpeer.ChannelOptions{Ordered: new(false)})
		}},
		{"maxretransmits", func(ctx context.Context) error {
			return b.exchangeKind(ctx, c, rtcpeer.ChannelOptions{Ordered: new(false), MaxRetransmits: new(3)})
		}},
		{"maxpacketlifetime", func(ctx context.Context) error {
			return b.exchangeKind(ctx, c, rtcpeer.ChannelOptions{MaxPacketLifeTime: new(2000)})
		}},
		{"close", func(ctx context.Context) error { return closeChannel(ctx, d) }},
	}
	failed := []string{}
	for _, t := range cases {
		ctx, cancel := context.WithTimeout(context.Background(), exchangeTimeout)
		if err := t.run(ctx); err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", t.name, err))
		}
		cancel()
	}
	return figures{"ok": len(failed) == 0, "cases": len(cases), "failed": failed}, nil
}

// roundTrip sends a message and checks that it comes back unchanged.
func roundTrip(ctx context.Context, d *rtcpeer.DataChannel, p []byte, text bool) error {
	if err := d.Send(ctx, p, text); err != nil {
		return fmt.Errorf("%d bytes: %w", len(p), err)
	}
	got, gotText, err := d.Receive(ctx)
	if err != nil {
		return fmt.Errorf("%d bytes: %w", len(p), err)
	}
	if !bytes.Equal(got, p) || text != gotText {
		return fmt.Errorf("%d bytes (text %v) came back as %d bytes (text %v)", len(p), text, len(got), gotText)
	}
	return nil
}

// exchangeSizes sends messages of several sizes, from one byte to the largest size
// that the remote end accepts, but not more than 1 MiB.
func exchangeSizes(ctx context.Context, d *rtcpeer.DataChannel) error {
	most := min(d.MaxPacketSize(), 1<<20)
	for _, n := range []int{1, 2, 100, 1100, 1200, 1300, 16384, 65535, 65536, 65537, 262144, most} {
		if n > most {
			continue
		}
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(i*7 + n)
		}
		if err := roundTrip(ctx, d, p, false); err != nil {
			return err
		}
	}
	return nil
}

func exchangeInOrder(ctx context.Context, d *rtcpeer.DataChannel) error {
	const count = 200
	errs := make(chan error, 1)
	go func() {
		for i := range count {
			if err := d.Send(ctx, binary.BigEndian.AppendUint32(nil, uint32(i)), false); err != nil {
				errs <- err
				return
			}
		}
		errs <- nil
	}()
	for i := range count {
		p, _, err := d.Receive(ctx)
		if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if len(p) != 4 || binary.BigEndian.Uint32(p) != uint32(i) {
			return fmt.Errorf("message %d came back as %x", i, p)
		}
	}
	return <-errs
}

// exchangeKind opens a channel with the given options, sends messages on it, and
// closes it.
func (b *bencher) exchangeKind(ctx context.Context, c *connection, o rtcpeer.ChannelOptions) error {
	d, err := c.OpenDataChannel("kind", o)
	if err != nil {
		return err
	}
	for i := range 20 {
		if err := roundTrip(ctx, d, []byte(fmt.Sprint("message ", i)), i%2 == 0); err != nil {
			return err
		}
	}
	return closeChannel(ctx, d)
}

// closeChannel closes a channel and waits until the remote end has closed it, too.
func closeChannel(ctx context.Context, d *rtcpeer.DataChannel) error {
	if err := d.Close(); err != nil {
		return err
	}
	for {
		if _, _, err := d.Receive(ctx); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}
