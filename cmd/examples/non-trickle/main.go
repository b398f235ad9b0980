// Non-trickle connects two terminals. Each program prints one line, which is pasted
// into the other one. Then it prints each line that is typed in the other terminal.
//
//	non-trickle -offer      prints an offer, and waits for the answer
//	non-trickle             waits for an offer, and prints the answer
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"

	"purertc/rtcpeer"
)

func main() {
	offers := flag.Bool("offer", false, "make the offer")
	flag.Parse()
	ctx := context.Background()
	conn := rtcpeer.New()
	defer conn.Close()
	chat, err := conn.CreateDataChannel("chat", rtcpeer.ChannelOptions{Negotiated: true, ID: new(0)})
	if err != nil {
		log.Fatal(err)
	}
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<20)
	if *offers {
		show(conn.Offer(ctx))
		if err := conn.SetAnswer(pasted(input)); err != nil {
			log.Fatal(err)
		}
	} else {
		show(conn.Answer(ctx, pasted(input)))
	}
	if err := chat.Opened(ctx); err != nil {
		log.Fatal(err, "\n", conn.Report())
	}
	go func() {
		for input.Scan() && chat.Send(ctx, input.Bytes(), true) == nil {
		}
		conn.Shutdown(ctx)
	}()
	for {
		message, _, err := chat.Receive(ctx)
		if err != nil {
			return // either end has closed
		}
		fmt.Printf("> %s\n", message)
	}
}

// show prints a local description as one line.
func show(d rtcpeer.Description, err error) {
	if err != nil {
		log.Fatal(err)
	}
	json.NewEncoder(os.Stdout).Encode(d)
}

// pasted reads a remote description from one line.
func pasted(input *bufio.Scanner) (d rtcpeer.Description) {
	input.Scan()
	if err := json.Unmarshal(input.Bytes(), &d); err != nil {
		log.Fatal("the line is not the other program's: ", err)
	}
	return d
}
