// Data-channels-detach answers an offer and uses every channel of the remote as a
// net.Conn: it sends the received bytes back. A channel need not be detached first.
//
// It reads the offer from its standard input and writes the answer to its standard
// output, each as one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"os"

	"purertc/rtcpeer"
)

func main() {
	conn := rtcpeer.New()
	defer conn.Close()
	conn.OnDataChannelReceived(func(ch *rtcpeer.DataChannel) {
		stream, err := ch.NetConn()
		if err != nil {
			log.Print(err) // NetConn returns an error if the channel is not ordered and reliable
			return
		}
		log.Printf("%s: %v – %v", ch.Label(), stream.LocalAddr(), stream.RemoteAddr())
		go func() {
			defer stream.Close()
			n, err := io.Copy(stream, stream)
			log.Printf("%s: %d bytes, %v", ch.Label(), n, err)
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
