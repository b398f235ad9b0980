package rtcpeer

import "testing"

// Signals are set when the lock is free, each once, and none is lost.
func TestPeerMutexWakes(t *testing.T) {
	var m peerMutex
	var signals []signal
	for range 3 * len(m.later) {
		signals = append(signals, newSignal())
	}
	m.Lock()
	for _, s := range signals {
		m.wake(s)
		m.wake(s)
	}
	if len(signals[0]) != 0 {
		t.Error("woken under the lock")
	}
	m.Unlock()
	for i, s := range signals {
		if len(s) != 1 {
			t.Errorf("signal %d was not set", i)
		}
	}
	<-signals[0]
	m.Lock()
	m.Unlock()
	if len(signals[0]) != 0 {
		t.Error("set again")
	}
}
