// Trickle-ice serves a page that exchanges descriptions and candidates with this
// program on a WebSocket, each candidate as soon as it is known.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/websocket"

	"purertc/rtcpeer"
)

//go:embed index.html
var page []byte

func main() {
	listen := flag.String("http", "127.0.0.1:8080", "address of the page")
	flag.Parse()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write(page) })
	http.Handle("/websocket", websocket.Handler(serve))
	log.Fatal(http.ListenAndServe(*listen, nil))
}

// serve connects with the page at the other end of a WebSocket.
func serve(ws *websocket.Conn) {
	conn := rtcpeer.New()
	defer conn.Close()
	var sending sync.Mutex // held until the answer is sent: the page takes no candidate before it
	conn.OnCandidate(func(c rtcpeer.Candidate) {
		sending.Lock()
		defer sending.Unlock()
		websocket.JSON.Send(ws, c)
	})
	conn.OnConnectionStateChanged(func(s rtcpeer.ConnectionState) { log.Print("connection ", s) })
	conn.OnDataChannelReceived(func(ch *rtcpeer.DataChannel) { go sendTime(ch) })
	go func() {
		for {
			var message struct { // an offer or a candidate
				rtcpeer.Description
				rtcpeer.Candidate
			}
			var text []byte
			err := websocket.Message.Receive(ws, &text)
			if err == nil {
				err = json.Unmarshal(text, &message)
			}
			if err != nil {
				return // the page has closed the WebSocket; the connection stays open
			}
			if message.Type == "offer" {
				var answer rtcpeer.Description
				sending.Lock()
				if answer, err = conn.Answer(context.Background(), message.Description); err == nil {
					err = websocket.JSON.Send(ws, answer)
				}
				sending.Unlock()
			} else {
				err = conn.AddCandidate(message.Candidate)
			}
			if err != nil {
				log.Print(err)
			}
		}
	}()
	if err := conn.Run(context.Background()); err != nil {
		log.Print(err)
	}
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
