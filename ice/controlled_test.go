package ice

import (
	"net/netip"
	"testing"
	"time"

	"purertc/stun"
)

// Some controlling agents, such as pion, nominate a pair when a check arrives on it
// after their own check was answered, and otherwise only at a slow tick. Whatever the
// order of the first checks of the two agents, the controlled agent sends exactly one
// check after its response.
func TestCheckAfterAnswer(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration // time from the first possible check of the local agent to the first check of the remote agent
	}{
		{"the peer checks after its answer to ours", 50 * time.Millisecond},
		{"both check at once", 0},
		{"the peer checks while ours is under way", 5 * time.Millisecond},
		{"our check is being answered", 15 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1)
			a := w.peer("a", Config{}, "192.0.2.1:1000")
			local, remote := a.socks[0], netip.MustParseAddrPort("192.0.2.2:2000")
			ufrag, pwd := a.Credentials()
			const peerPwd = "0123456789abcdefghijklmn"
			send := func(b []byte) {
				w.flight = append(w.flight, packet{at: w.now.Add(w.delay), from: remote, to: local, b: b})
			}
			check := func(id byte) {
				m := stun.Build(nil, stun.BindingRequest, stun.TransactionID{id})
				m.String(stun.AttrUsername, ufrag+":peer")
				m.Uint32(stun.AttrPriority, 1<<24)
				m.Uint64(stun.AttrICEControlling, 1)
				m.Integrity(stun.NewIntegrity([]byte(pwd)))
				m.Fingerprint()
				send(m.Finish())
			}
			answered, afterAnswer := false, 0
			w.nodes = map[netip.AddrPort]func(packet){remote: func(k packet) {
				m, err := stun.Parse(k.b)
				if err != nil {
					t.Fatal(err)
				}
				if m.Type() != stun.BindingRequest {
					answered = true
					return
				}
				if answered {
					afterAnswer++
				}
				x := stun.Build(nil, stun.BindingSuccess, m.TransactionID())
				x.XORAddr(stun.AttrXORMappedAddress, k.from)
				x.Integrity(stun.NewIntegrity([]byte(peerPwd)))
				x.Fingerprint()
				send(x.Finish())
			}}
			a.SetRemote(w.now, "peer", peerPwd, false)
			if err := a.AddRemote(w.now, Candidate{Component: 1, Transport: "udp", Addr: remote, Priority: 1 << 24}); err != nil {
				t.Fatal(err)
			}
			w.run(c.after, nil)
			check(1)
			w.run(100*time.Millisecond, nil)
			if afterAnswer != 1 {
				t.Errorf("%d checks followed the answer, want 1", afterAnswer)
			}
			// Further checks of the remote agent are only answered.
			for id := range byte(5) {
				check(2 + id)
				w.run(100*time.Millisecond, nil)
			}
			if afterAnswer != 1 {
				t.Errorf("%d checks followed the answers, want 1", afterAnswer)
			}
		})
	}
}
