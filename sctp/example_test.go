package sctp_test

import (
	"fmt"
	"time"

	"purertc/sctp"
)

// This example connects two associations in one program and carries their packets by
// hand.
func ExampleAssociation() {
	now := time.Now()
	a, b := sctp.NewAssociation(sctp.Config{}), sctp.NewAssociation(sctp.Config{})
	a.Connect(now)
	b.Connect(now) // both ends may call Connect
	a.Send(now, sctp.Message{Stream: 1, PPID: 51, Data: []byte("hello")}, sctp.SendOptions{})
	for moved := true; moved; {
		moved = false
		for _, way := range [][2]*sctp.Association{{a, b}, {b, a}} {
			if pkt, ok := way[0].AppendPacket(now, nil, 1200); ok {
				way[1].HandlePacket(now, pkt)
				moved = true
			}
		}
	}
	m, ok := b.Receive()
	fmt.Println(b.State(), m.Stream, string(m.Data), ok)
	b.Release(now, len(m.Data))
	// Output: established 1 hello true
}
