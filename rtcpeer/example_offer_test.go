package rtcpeer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"purertc/rtcpeer"
)

// Two ends exchange an offer and an answer as JSON, and wait for what they need. Nobody
// calls Poll.
func ExampleConn_Offer() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	// Both ends create the channel, with the same ID.
	chat := rtcpeer.ChannelOptions{Negotiated: true, ID: new(0)}

	offers, answers := make(chan []byte), make(chan []byte) // the program's signalling
	go func() {
		b := rtcpeer.New()
		b.Initialize(local)
		ch, _ := b.CreateDataChannel("chat", chat)
		var offer rtcpeer.Description
		json.Unmarshal(<-offers, &offer)
		answer, err := b.Answer(ctx, offer)
		if err != nil {
			fmt.Println(err)
			return
		}
		text, _ := json.Marshal(answer)
		answers <- text
		message, _, _ := ch.Receive(ctx)
		ch.Send(ctx, append([]byte("you said: "), message...), true)
		<-b.Done() // until the remote closes
	}()

	a := rtcpeer.New()
	defer a.Close()
	a.Initialize(local)
	ch, _ := a.CreateDataChannel("chat", chat)
	offer, err := a.Offer(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := json.Marshal(offer)
	offers <- text
	var answer rtcpeer.Description
	json.Unmarshal(<-answers, &answer)
	if err := a.SetAnswer(answer); err != nil {
		fmt.Println(err)
		return
	}
	if err := ch.Opened(ctx); err != nil {
		fmt.Println(err, a.Report()) // the report says why
		return
	}
	ch.Send(ctx, []byte("hello"), true)
	message, _, err := ch.Receive(ctx)
	fmt.Printf("%s %v\n", message, err)
	// Output: you said: hello <nil>
}
