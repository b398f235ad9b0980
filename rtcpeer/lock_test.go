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
	//lint:ignore SA2001 Unlock is what is tested
	m.Unlock()
	if len(signals[0].channel()) != 0 {
		t.Error("set again")
	}
}

// Who is notified finds the lock free, and is told once of all that there is.
func TestPeerMutexNotifies(t *testing.T) {
	var m peerMutex
	told := 0
	m.notify = func() {
		told++
		if !m.mu.TryLock() {
			t.Fatal("notified under the lock")
		}
		m.mu.Unlock()
	}
	for want := range 2 {
		m.Lock()
		m.told = want > 0
		m.Unlock()
		if told != want {
			t.Errorf("notified %d times, want %d", told, want)
		}
	}
	m.Lock()
	//lint:ignore SA2001 Unlock is what is tested
	m.Unlock()
	if told != 1 {
		t.Error("notified again")
	}
}
