package sctp

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"
)

// Two ends that have exchanged their INIT chunks are established at once, and send data
// without any packet of the handshake.
func TestSnap(t *testing.T) {
	p := newPair(t, 1, Config{}, Config{})
	var inits [2][]byte
	for i, a := range p.ends {
		var err error
		if inits[i], err = a.LocalInit(); err != nil {
			t.Fatal(err)
		}
		if again, err := a.LocalInit(); err != nil || string(again) != string(inits[i]) {
			t.Errorf("LocalInit differs the second time: %v", err)
		}
	}
	for i, a := range p.ends {
		if err := a.SetRemoteInit(inits[1-i]); err != nil {
			t.Fatal(err)
		}
		if a.State() != StateClosed || !a.NextTimeout().IsZero() {
			t.Errorf("state %v before Connect", a.State())
		}
		a.Connect(p.now)
		if a.State() != StateEstablished {
			t.Errorf("state %v after Connect", a.State())
		}
		if _, err := a.LocalInit(); err != ErrClosed {
			t.Errorf("LocalInit after Connect: %v", err)
		}
	}
	p.send(0, 1, []byte("there"), SendOptions{})
	p.send(1, 1, []byte("and back"), SendOptions{})
	p.run(p.delay + time.Millisecond)
	if len(p.got[0]) != 1 || len(p.got[1]) != 1 {
		t.Errorf("messages %v after half a round trip", p.got)
	}
	p.run(time.Second)
	for i, a := range p.ends {
		if n := a.Stats().BytesInFlight; n != 0 {
			t.Errorf("end %d: %d bytes are not acknowledged", i, n)
		}
	}
	if err := p.ends[0].ResetStreams(p.now, 1); err != nil {
		t.Fatal(err)
	}
	p.flush(0)
	p.run(time.Second)
	p.wantEvent(0, EventResetDone)
}

// The path may change as soon as the association is established, before it has sent any
// packet.
func TestSnapAndPathChange(t *testing.T) {
	for _, control := range []CongestionControl{CongestionBBR, CongestionCubic, CongestionReno} {
		p := newPair(t, 3, Config{CongestionControl: control}, Config{CongestionControl: control})
		for i, a := range p.ends {
			chunk, err := a.LocalInit()
			if err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				if err := p.ends[0].SetRemoteInit(chunk); err != nil {
					t.Fatal(err)
				}
			}
		}
		first, err := p.ends[0].LocalInit()
		if err != nil {
			t.Fatal(err)
		}
		if err := p.ends[1].SetRemoteInit(first); err != nil {
			t.Fatal(err)
		}
		for _, a := range p.ends {
			a.Connect(p.now)
			a.ChangePath(p.now)
		}
		p.send(0, 1, make([]byte, 100_000), SendOptions{})
		p.send(1, 1, make([]byte, 100_000), SendOptions{})
		p.run(time.Second)
		if len(p.got[0]) != 1 || len(p.got[1]) != 1 {
			t.Errorf("%v: %d and %d messages", control, len(p.got[0]), len(p.got[1]))
		}
	}
}

// An end whose remote has signalled no INIT chunk sends the one that it has signalled.
func TestSnapWithOldRemote(t *testing.T) {
	p := newPair(t, 2, Config{}, Config{})
	chunk, err := p.ends[0].LocalInit()
	if err != nil {
		t.Fatal(err)
	}
	p.inspect = func(to int, pkt []byte) bool {
		if to == 1 && chunkType(pkt[commonHeaderSize]) == chunkInit && string(pkt[commonHeaderSize:]) != string(chunk) {
			t.Errorf("INIT %x differs from the signalled %x", pkt[commonHeaderSize:], chunk)
		}
		return true
	}
	p.connect()
}

// INIT chunks that are signalled: that of the draft, and what is refused.
func TestCheckInit(t *testing.T) {
	draft, err := base64.StdEncoding.DecodeString("AQAAHols3R0AUAAA/////+B5ZR3AAAAEgAgABoLA") // §4.1, without padding
	if err != nil {
		t.Fatal(err)
	}
	p, err := parseSignalledInit(draft)
	want := initParams{tag: 0x896cdd1d, aRwnd: 0x500000, outStreams: 65535, inStreams: 65535, initialTSN: 0xe079651d, forwardTSN: true, reconfig: true}
	if err != nil || p != want {
		t.Errorf("%+v, %v", p, err)
	}
	changed := func(i int, values ...byte) []byte {
		b := append([]byte(nil), draft...)
		copy(b[i:], values)
		return b
	}
	for name, b := range map[string][]byte{
		"empty": nil, "a part": draft[:20], "no INIT": changed(0, 2), "more than its length": append(draft[:len(draft):len(draft)], 0, 0, 1, 0, 0, 4),
		"tag 0": changed(4, 0, 0, 0, 0), "window 1499": changed(8, 0, 0, 5, 0xdb), "no outgoing streams": changed(12, 0, 0),
		"no incoming streams": changed(14, 0, 0), "parameter that is too long": changed(22, 0, 100), "parameter that is too short": changed(22, 0, 3),
	} {
		if err := CheckInit(b); !errors.Is(err, ErrInit) {
			t.Errorf("%s: %v", name, err)
		}
		a := NewAssociation(Config{})
		if _, err := a.LocalInit(); err != nil {
			t.Fatal(err)
		}
		if err := a.SetRemoteInit(b); !errors.Is(err, ErrInit) || a.handshake.signalled != nil {
			t.Errorf("%s: SetRemoteInit: %v", name, err)
		}
	}
}

// FuzzSignalledInit: no INIT chunk that is accepted breaks the association.
func FuzzSignalledInit(f *testing.F) {
	draft, _ := base64.StdEncoding.DecodeString("AQAAHols3R0AUAAA/////+B5ZR3AAAAEgAgABoLA")
	f.Add(draft)
	f.Fuzz(func(t *testing.T, b []byte) {
		a := NewAssociation(Config{})
		if _, err := a.LocalInit(); err != nil {
			t.Fatal(err)
		}
		if err := a.SetRemoteInit(b); err != nil {
			if CheckInit(b) == nil {
				t.Error("CheckInit accepts what SetRemoteInit refuses")
			}
			return
		}
		now := time.Unix(1e9, 0)
		a.Connect(now)
		if a.State() != StateEstablished {
			t.Fatalf("state %v", a.State())
		}
		a.Send(now, Message{Stream: 0, PPID: 53, Data: make([]byte, 5000)}, SendOptions{})
		for range 10 {
			if _, ok := a.AppendPacket(now, nil, 1200); !ok {
				break
			}
		}
	})
}
