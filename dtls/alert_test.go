package dtls

import "testing"

// TestOutAlert bounds the repetitions of an alert.
func TestOutAlert(t *testing.T) {
	l := newRecordLayer(false)
	var a outAlert
	a.repeat()
	if b := a.append(nil, 100, &l); b != nil {
		t.Errorf("an alert that was not set: %x", b)
	}
	a.set(levelFatal, AlertDecodeError)
	if b := a.append(nil, recordHeaderLen+1, &l); b != nil {
		t.Errorf("an alert without room: %x", b)
	}
	sent := 0
	for range 10 {
		if b := a.append(nil, 100, &l); b != nil {
			sent++
		}
		a.repeat()
	}
	if sent != 1+maxAlertRepeats {
		t.Errorf("sent %d times", sent)
	}
}
