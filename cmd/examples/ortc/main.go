// Ortc connects without descriptions: the two ends exchange their parameters of ICE,
// DTLS and SCTP, each as one line of JSON, as ORTC does. Package sdp turns parameters
// into a description and back.
//
//	ortc -offer      prints its parameters first, and is ICE's controlling end
//	ortc             waits for the remote's parameters
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"purertc/rtcpeer"
	"purertc/sdp"
)

// parameters contains the parameters that one end needs from the other.
type parameters struct {
	UsernameFragment, Password string
	Candidates                 []string
	Fingerprints               []sdp.Fingerprint
	SCTPPort, MaxMessageSize   int
}

func main() {
	offers := flag.Bool("offer", false, "be the controlling end")
	flag.Parse()
	ctx := context.Background()
	conn := rtcpeer.New()
	defer conn.Close()
	ch, err := conn.CreateDataChannel("foo", rtcpeer.ChannelOptions{Negotiated: true, ID: new(0)})
	if err != nil {
		log.Fatal(err)
	}
	if *offers {
		offer, err := conn.Offer(ctx)
		if err != nil {
			log.Fatal(err)
		}
		session, data := show(offer)
		answer := remote(sdp.SetupActive).Answer(session, data)
		if err := conn.SetAnswer(rtcpeer.Description{Type: "answer", SDP: answer}); err != nil {
			log.Fatal(err)
		}
	} else {
		offer := remote(sdp.SetupActPass).Offer(nil, nil)
		answer, err := conn.Answer(ctx, rtcpeer.Description{Type: "offer", SDP: offer})
		if err != nil {
			log.Fatal(err)
		}
		show(answer)
	}
	go func() {
		for ch.Send(ctx, []byte(time.Now().String()), true) == nil {
			time.Sleep(5 * time.Second)
		}
	}()
	for {
		message, _, err := ch.Receive(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintf(os.Stderr, "%s\n", message)
	}
}

// show prints the parameters in a local description, and returns the parsed
// description.
func show(d rtcpeer.Description) (*sdp.Session, *sdp.Data) {
	session, err := sdp.Parse(d.SDP)
	if err != nil {
		log.Fatal(err)
	}
	data, err := session.Data()
	if err != nil {
		log.Fatal(err)
	}
	json.NewEncoder(os.Stdout).Encode(parameters{
		data.Ufrag, data.Pwd, data.Candidates, data.Fingerprints, data.SCTPPort, data.MaxMessageSize,
	})
	return session, data
}

// remote reads the remote's parameters.
func remote(setup sdp.Setup) sdp.Params {
	var p parameters
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		log.Fatal(err)
	}
	return sdp.Params{
		Origin: sdp.NewOrigin(1, 1), Mid: "0", Ufrag: p.UsernameFragment, Pwd: p.Password,
		Candidates: p.Candidates, EndOfCandidates: true, Setup: setup,
		Fingerprints: p.Fingerprints, SCTPPort: p.SCTPPort, MaxMessageSize: p.MaxMessageSize,
	}
}
