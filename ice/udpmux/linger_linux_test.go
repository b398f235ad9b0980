package udpmux

import (
	"net"
	"runtime"
	"testing"
	"time"
)

// A lingerer returns at once where something waits, gives up after a while
// where nothing comes, and stops looking where that never pays.
func TestLinger(t *testing.T) {
	if runtime.GOMAXPROCS(0) == 1 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var l lingerer
	l.init(raw)
	if _, err := conn.WriteTo([]byte("x"), conn.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	for n := 0; l.credit != maxCredit; n++ { // a few, or more on a loaded machine
		if l.linger(); n > 1000 || l.credit > maxCredit {
			t.Fatalf("credit %v with a datagram there", l.credit)
		}
	}
	if _, _, err := conn.ReadFrom(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	tries := 0
	for ; l.pause == 0; tries++ {
		if l.linger(); tries > 100 {
			t.Fatal("goes on in vain for ever")
		}
	}
	if time.Since(begin) < time.Duration(tries)*lingerTime {
		t.Errorf("%d tries took %v", tries, time.Since(begin))
	}
	for range lingerPause {
		l.linger()
	}
	if l.pause != 0 || l.credit != startCredit {
		t.Errorf("pause %d, credit %v after the pause", l.pause, l.credit)
	}
	if n := testing.AllocsPerRun(100, l.linger); n != 0 {
		t.Errorf("%v allocations", n)
	}
	conn.Close()
	l.linger()
}
