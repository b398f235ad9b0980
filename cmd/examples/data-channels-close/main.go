// Data-channels-close answers an offer, sends some messages on every channel of the
// remote, and closes the channel. It ends when all channels are closed.
//
// It reads the offer from its standard input and writes the answer to its standard
// output, each as one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"purertc/rtcpeer"
)

func main() {
	messages := flag.Int("close-after", 5, "close a channel after so many messages")
	interval := flag.Duration("every", time.Second, "time between messages")
	flag.Parse()
	conn := rtcpeer.New()
	defer conn.Close()
	conn.OnDataChannelReceived(func(ch *rtcpeer.DataChannel) {
		go func() {
			for i := range *messages {
				if err := ch.Send(context.Background(), fmt.Append(nil, "message ", i), true); err != nil {
					break // the remote closed the channel first
				}
				time.Sleep(*interval)
			}
			ch.Close() // Close delivers queued messages first
			for {
				if _, _, err := ch.Receive(context.Background()); errors.Is(err, io.EOF) {
					log.Printf("%s is closed", ch.Label())
					return
				} else if err != nil {
					log.Print(err)
					return
				}
			}
		}()
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
	if err := conn.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
