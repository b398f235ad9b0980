// Ice-tcp serves a page that connects over TCP only.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"time"

	"purertc/ice"
	"purertc/rtcpeer"
)

//go:embed index.html
var page []byte

func main() {
	listen := flag.String("http", "127.0.0.1:8080", "address of the page")
	tcp := flag.String("tcp", ":8443", "TCP address of all connections")
	flag.Parse()
	host, err := rtcpeer.NewHost(rtcpeer.HostConfig{TCPAddr: *tcp})
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
	if err := conn.Initialize(rtcpeer.Config{Host: host, DisableUDP: true}); err != nil {
		return rtcpeer.Description{}, err
	}
	conn.OnDataChannelReceived(func(ch *rtcpeer.DataChannel) { go sendTime(ch) })
	conn.OnICEStateChanged(func(s ice.State) { log.Print("ICE ", s) })
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
