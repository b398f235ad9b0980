// Answer waits for the offer of the program offer, answers it by HTTP, and talks on the
// channels of the offerer. Candidates follow one by one, in both directions.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"purertc/rtcpeer"
)

func main() {
	listen := flag.String("answer-address", "127.0.0.1:60000", "address that this program listens on")
	remote := flag.String("offer-address", "127.0.0.1:50000", "address of the program offer")
	flag.Parse()
	conn := rtcpeer.New()
	defer conn.Close()

	candidates := make(chan rtcpeer.Candidate, 100)
	conn.OnCandidate(func(c rtcpeer.Candidate) { candidates <- c })
	conn.OnConnectionStateChanged(func(s rtcpeer.ConnectionState) { log.Print("connection ", s) })
	conn.OnDataChannelReceived(func(ch *rtcpeer.DataChannel) { go talk(ch) })
	http.HandleFunc("/candidate", func(w http.ResponseWriter, r *http.Request) {
		var c rtcpeer.Candidate
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		} else if err := conn.AddCandidate(c); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	http.HandleFunc("/sdp", func(w http.ResponseWriter, r *http.Request) {
		var offer rtcpeer.Description
		if err := json.NewDecoder(r.Body).Decode(&offer); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer, err := conn.Answer(context.Background(), offer)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		go func() {
			post("http://"+*remote+"/sdp", answer)
			for c := range candidates {
				post("http://"+*remote+"/candidate", c)
			}
		}()
	})
	go func() { log.Fatal(http.ListenAndServe(*listen, nil)) }()
	if err := conn.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// post sends a value as JSON.
func post(url string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		log.Fatal(err)
	}
	response, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	response.Body.Close()
}

// talk prints what arrives, and sends a message every five seconds.
func talk(ch *rtcpeer.DataChannel) {
	go func() {
		for {
			if err := ch.Send(context.Background(), []byte("hello from the answerer"), true); err != nil {
				return
			}
			time.Sleep(5 * time.Second)
		}
	}()
	for {
		message, _, err := ch.Receive(context.Background())
		if err != nil {
			return
		}
		fmt.Printf("%s: %s\n", ch.Label(), message)
	}
}
