package datachannel_test

import (
	"fmt"
	"time"

	"purertc/datachannel"
	"purertc/sctp"
)

// ExampleSession connects two sessions in one program. The program carries their
// packets itself.
func ExampleSession() {
	now := time.Now()
	assoc := [2]*sctp.Association{sctp.NewAssociation(sctp.Config{}), sctp.NewAssociation(sctp.Config{})}
	var session [2]*datachannel.Session
	for i, a := range assoc {
		session[i] = datachannel.NewSession(a, datachannel.Config{})
		session[i].Start(now, i == 0) // session 0 is the DTLS client
		a.Connect(now)
	}
	chat, _ := session[0].Open(now, datachannel.Params{Label: "chat", MaxRetransmits: -1, MaxPacketLifeTime: -1})
	for moved := true; moved; {
		moved = false
		for i := range assoc {
			session[i].Process(now)
			for ev, ok := session[i].NextEvent(); ok; ev, ok = session[i].NextEvent() {
				switch {
				case ev.Kind == datachannel.EventState && ev.Channel == chat && ev.State == datachannel.StateOpen:
					chat.Send(now, []byte("hello"), true)
				case ev.Kind == datachannel.EventMessage:
					data, text, _ := ev.Channel.Receive(now)
					fmt.Println(ev.Channel.Params().Label, string(data), text)
				}
			}
			if pkt, ok := assoc[i].AppendPacket(now, nil, 1200); ok {
				assoc[1-i].HandlePacket(now, pkt)
				moved = true
			}
		}
	}
	// Output: chat hello true
}
