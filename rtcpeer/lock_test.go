package rtcpeer

import "testing"

// Signals are set when the lock is free, each once, and none is lost.
func TestPeerMutexWakes(t *testing.T) {
	var m peerMutex
	signals := make([]signal, 3*len(m.later))
	for i := range signals {
		<-signals[i].channel()
	}
	m.Lock()
	for i := range signals {
		m.wake(&signals[i])
		m.wake(&signals[i])
	}
	if len(signals[0].channel()) != 0 {
		t.Error("woken under the lock")
	}
	m.Unlock()
	for i := range signals {
		if len(signals[i].channel()) != 1 {
			t.Errorf("signal %d was not set", i)
		}
	}
	<-signals[0].channel()
	m.Lock()
	m.Unlock()
	if len(signals[0].channel()) != 0 {
		t.Error("set again")
	}
}
