// Data-channels-flow-control makes an offer and sends messages of 1024 bytes as fast
// as the path carries them, on a channel without order and retransmissions. Send waits
// while the buffer is full, so no callback and no threshold is needed.
//
// It writes the offer to its standard output and reads the answer from its standard
// input, each as one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"os"
	"time"

	"purertc/rtcpeer"
)

func main() {
	duration := flag.Duration("for", 10*time.Second, "how long to send")
	flag.Parse()
	conn := rtcpeer.New()
	defer conn.Close()
	if err := conn.Initialize(rtcpeer.Config{SendBufferSize: 1 << 20}); err != nil {
		log.Fatal(err)
	}
	ch, err := conn.CreateDataChannel("data", rtcpeer.ChannelOptions{Ordered: new(false), MaxRetransmits: new(0)})
	if err != nil {
		log.Fatal(err)
	}
	offer, err := conn.Offer(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(offer); err != nil {
		log.Fatal(err)
	}
	var answer rtcpeer.Description
	if err := json.NewDecoder(os.Stdin).Decode(&answer); err != nil {
		log.Fatal(err)
	}
	if err := conn.SetAnswer(answer); err != nil {
		log.Fatal(err)
	}
	if err := ch.Opened(context.Background()); err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), *duration)
	defer cancel()
	message, sent, begin := make([]byte, 1024), 0, time.Now()
	for ch.Send(ctx, message, false) == nil {
		sent += len(message)
	}
	log.Printf("%.1f Mbit/s", float64(sent)*8/1e6/time.Since(begin).Seconds())
	if err := conn.Shutdown(context.Background()); err != nil { // Shutdown delivers queued messages
		log.Fatal(err)
	}
}
