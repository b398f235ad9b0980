// Ice-restart serves a page with a button that restarts ICE. Every offer of the page,
// with or without a restart, belongs to the same connection.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"time"

	"purertc/rtcpeer"
)

//go:embed index.html
var page []byte

func main() {
	listen := flag.String("http", "127.0.0.1:8080", "address of the page")
	flag.Parse()
	conn := rtcpeer.New()
	conn.OnConnectionStateChanged(func(s rtcpeer.ConnectionState) { log.Print("connection ", s) })
	conn.OnSelectedPairChanged(func(p rtcpeer.CandidatePair) { log.Print("path ", p.Local.Addr, " – ", p.Remote.Addr) })
	conn.OnDataChannelReceived(func(ch *rtcpeer.DataChannel) { go sendTime(ch) })
	go conn.Run(context.Background())
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write(page) })
	http.HandleFunc("/doSignaling", func(w http.ResponseWriter, r *http.Request) {
		var offer rtcpeer.Description
		if err := json.NewDecoder(r.Body).Decode(&offer); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer, err := conn.Answer(r.Context(), offer)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(answer)
	})
	log.Fatal(http.ListenAndServe(*listen, nil))
}

// sendTime sends the time of day every three seconds.
func sendTime(ch *rtcpeer.DataChannel) {
	for {
		if err := ch.Send(context.Background(), []byte(time.Now().String()), true); err != nil {
			return
		}
		time.Sleep(3 * time.Second)
	}
}
