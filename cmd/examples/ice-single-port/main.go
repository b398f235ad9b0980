// Ice-single-port serves a page that makes ten connections. All of them use one UDP
// port of this program.
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
	udp := flag.String("udp", ":8443", "UDP address of all connections")
	flag.Parse()
	host, err := rtcpeer.NewHost(rtcpeer.HostConfig{Addr: *udp})
	if err != nil {
		log.Fatal(err)
	}
	go host.Run(context.Background())
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write(page) })
	http.HandleFunc("/doSignaling", func(w http.ResponseWriter, r *http.Request) {
		var offer rtcpeer.Description
		if err := json.NewDecoder(r.Body).Decode(&offer); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer, err := connect(r.Context(), host, offer)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(answer)
	})
	log.Fatal(http.ListenAndServe(*listen, nil))
}

// connect answers the offer of one client.
func connect(ctx context.Context, host *rtcpeer.Host, offer rtcpeer.Description) (rtcpeer.Description, error) {
	conn := rtcpeer.New()
	if err := conn.Initialize(rtcpeer.Config{Host: host}); err != nil {
		return rtcpeer.Description{}, err
	}
	conn.OnDataChannelReceived(func(ch *rtcpeer.DataChannel) { go sendTime(ch) })
	conn.OnConnectionStateChanged(func(s rtcpeer.ConnectionState) {
		if s == rtcpeer.StateFailed {
			conn.Close() // the client has vanished
		}
	})
	answer, err := conn.Answer(ctx, offer)
	if err != nil {
		conn.Close()
	}
	return answer, err
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
