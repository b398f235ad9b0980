package main

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// BenchmarkDirectServer is rtcpeer's benchmark of that name with pion at both ends: one
// request after the other on one of 200 connections to a server with one socket. The
// server gets an offer in place of a check with an unknown ufrag.
func BenchmarkDirectServer(b *testing.B) {
	const dialers = 200
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	var s webrtc.SettingEngine
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEUDPMux(webrtc.NewICEUDPMux(nil, socket))
	server := webrtc.NewAPI(webrtc.WithSettingEngine(s))
	start := time.Now()
	var first *webrtc.PeerConnection
	for range dialers {
		pc := dialServer(b, server)
		if first == nil {
			first = pc
		}
	}
	dialed := time.Since(start)
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	goroutines := runtime.NumGoroutine()
	b.ReportAllocs()
	for b.Loop() {
		request(b, first)
	}
	b.ReportMetric(float64(dialed.Milliseconds()), "ms-to-dial")
	b.ReportMetric(float64(goroutines), "goroutines")
	b.ReportMetric(float64(memory.HeapAlloc)/dialers/1024, "heap-KiB/conn")
}

// dialServer connects to a new connection of the server, and exchanges three messages
// on the negotiated channel 0.
func dialServer(b *testing.B, server *webrtc.API) *webrtc.PeerConnection {
	b.Helper()
	pc, err := pionAPI().NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		b.Fatal(err)
	}
	remote, err := server.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { pc.Close(); remote.Close() })
	remote.OnDataChannel(func(ch *webrtc.DataChannel) {
		if ch.Negotiated() {
			return
		}
		ch.OnMessage(func(m webrtc.DataChannelMessage) { ch.Send(m.Data) })
	})
	id, yes := uint16(0), true
	done := make(chan struct{})
	zero, err := pc.CreateDataChannel("", &webrtc.DataChannelInit{Negotiated: &yes, ID: &id})
	if err != nil {
		b.Fatal(err)
	}
	zeroRemote, err := remote.CreateDataChannel("", &webrtc.DataChannelInit{Negotiated: &yes, ID: &id})
	if err != nil {
		b.Fatal(err)
	}
	received := 0
	zeroRemote.OnMessage(func(webrtc.DataChannelMessage) {
		if received++; received == 1 {
			zeroRemote.Send(make([]byte, 200))
		} else {
			close(done)
		}
	})
	zero.OnOpen(func() { zero.Send(make([]byte, 32)) })
	zero.OnMessage(func(webrtc.DataChannelMessage) { zero.Send(make([]byte, 168)) })
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		b.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		b.Fatal(err)
	}
	<-gathered
	if err := remote.SetRemoteDescription(*pc.LocalDescription()); err != nil {
		b.Fatal(err)
	}
	answer, err := remote.CreateAnswer(nil)
	if err != nil {
		b.Fatal(err)
	}
	gathered = webrtc.GatheringCompletePromise(remote)
	if err := remote.SetLocalDescription(answer); err != nil {
		b.Fatal(err)
	}
	<-gathered
	if err := pc.SetRemoteDescription(*remote.LocalDescription()); err != nil {
		b.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(patience):
		b.Fatal("no connection")
	}
	return pc
}

// request opens a channel, sends a message, waits for the echo, and closes the channel.
func request(b *testing.B, pc *webrtc.PeerConnection) {
	ch, err := pc.CreateDataChannel("", nil)
	if err != nil {
		b.Fatal(err)
	}
	echoed, closed := make(chan struct{}), make(chan struct{})
	ch.OnOpen(func() { ch.Send([]byte("ping")) })
	ch.OnMessage(func(webrtc.DataChannelMessage) { close(echoed) })
	ch.OnClose(func() { close(closed) })
	<-echoed
	if err := ch.Close(); err != nil {
		b.Fatal(err)
	}
	<-closed
}
