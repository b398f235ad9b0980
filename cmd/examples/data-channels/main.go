// Data-channels answers an offer and talks on every channel that the remote opens: it
// prints what arrives, and sends a random text every five seconds.
//
// It reads the offer from its standard input and writes the answer to its standard
// output, each as one line of JSON, as JSON.stringify(pc.localDescription) makes it.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"purertc/rtcpeer"
)

func main() {
	conn := rtcpeer.New()
	defer conn.Close()
	conn.OnDataChannelReceived(func(ch *rtcpeer.DataChannel) {
		go print(ch)
		go send(ch)
	})

	var offer rtcpeer.Description
	if err := json.NewDecoder(os.Stdin).Decode(&offer); err != nil {
		log.Fatal(err)
	}
	answer, err := conn.Answer(context.Background(), offer)
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		log.Fatal(err)
	}
	if err := conn.Run(context.Background()); err != nil { // Run returns when either end closes the connection
		log.Fatal(err)
	}
}

func print(ch *rtcpeer.DataChannel) {
	for {
		message, _, err := ch.Receive(context.Background())
		if err != nil {
			return
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", ch.Label(), message)
	}
}

func send(ch *rtcpeer.DataChannel) {
	for {
		if err := ch.Send(context.Background(), []byte(rand.Text()), true); err != nil {
			return
		}
		time.Sleep(5 * time.Second)
	}
}
