package dtls

import (
	"runtime"
	"testing"
)

// heap returns the bytes of the heap that are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // finalizers of the first collection may free further memory
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestHalfOpenMemory checks that a server without address validation keeps at most 64 KiB
// for each client that stops after its ClientHello.
func TestHalfOpenMemory(t *testing.T) {
	const conns, most = 2000, 64 << 10
	for _, version := range []func(client, server *Config){only12, only13} {
		p := newPair(t, version)
		p.client.Start(epoch)
		var hello [][]byte
		for {
			d, ok := p.client.AppendDatagram(epoch, nil, 1200)
			if !ok {
				break
			}
			hello = append(hello, d)
		}
		cfg := *p.server.hs.cfg
		servers := make([]*Conn, conns)
		buf := make([]byte, 0, 1200)
		before := heap()
		for i := range servers {
			s, err := NewConn(cfg)
			if err != nil {
				t.Fatal(err)
			}
			s.Start(epoch)
			for _, d := range hello {
				s.HandleRecord(epoch, append(buf, d...))
			}
			flight, ok := s.AppendDatagram(epoch, buf, 1200)
			if !ok || len(flight) == 0 {
				t.Fatalf("no answer: %v", s.Err())
			}
			servers[i] = s
		}
		each := (int64(heap()) - int64(before)) / conns
		if each > most || each <= 0 {
			t.Errorf("%d bytes for each half-open connection, want at most %d", each, most)
		}
		t.Logf("%d bytes each", each)
		runtime.KeepAlive(servers)
	}
}
