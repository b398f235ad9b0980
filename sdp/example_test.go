package sdp_test

import (
	"fmt"

	"purertc/sdp"
)

// ExampleParams_Answer answers an offer with a video section: the data channels are
// accepted, and the video is not.
func ExampleParams_Answer() {
	offer, err := sdp.Parse(`v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
m=video 9 UDP/TLS/RTP/SAVPF 96
a=mid:0
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
a=mid:1
a=ice-ufrag:9voo
a=ice-pwd:BqaJYkNwnJ8qTUyTM1Kjx1wI
a=fingerprint:sha-256 93:94:AB:FB:DA:80:C3:B2:F6:08:DE:EC:88:A6:A7:33:E9:AE:8F:DC:A1:53:4A:BF:39:4E:0A:40:9C:24:5E:17
a=setup:actpass
a=sctp-port:5000
`)
	if err != nil {
		fmt.Println(err) // err contains line and column
		return
	}
	data, err := offer.Data()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("their ufrag is", data.Ufrag, "and their limit is", data.MaxMessageSize)

	text := sdp.Params{
		Origin: sdp.NewOrigin(1, 1), Ufrag: "Tg1x", Pwd: "bJxgkMbnsR5nYcXOtiRzKKKp",
		Setup: sdp.SetupActive, Fingerprints: data.Fingerprints, // a program uses its own fingerprints here
		SCTPPort: 5000, MaxMessageSize: 262144,
	}.Answer(offer, data)
	answer, err := sdp.Parse(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range answer.Media {
		mid, _ := m.Attribute("mid")
		fmt.Println(mid, m.Kind, m.Port)
	}
	// Output:
	// their ufrag is 9voo and their limit is 65536
	// 0 video 0
	// 1 application 9
}
