package dtls

import (
	"errors"
	"testing"
	"time"
)

// TestAbort checks that the peer receives the alert of Abort, during and after the
// handshake, and that Err returns the reason.
func TestAbort(t *testing.T) {
	reason := errors.New("because")
	for _, version := range []func(client, server *Config){only12, only13} {
		p := newPair(t, version)
		p.client.Abort(AlertInternalError, reason)
		if p.client.Err() != nil {
			t.Errorf("before Start: %v", p.client.Err())
		}
		p.connect()
		p.client.Abort(AlertAccessDenied, reason)
		p.client.Abort(AlertInternalError, errors.New("too late"))
		p.run()
		var own, heard *AlertError
		if err := p.client.Err(); !errors.Is(err, reason) || !errors.As(err, &own) || own.Remote || own.Alert != AlertAccessDenied {
			t.Errorf("client: %v", err)
		}
		if err := p.server.Err(); !errors.As(err, &heard) || !heard.Remote || heard.Alert != AlertAccessDenied {
			t.Errorf("server: %v", err)
		}
		if p.client.Established() || len(p.client.BeginRecord(nil)) != 0 {
			t.Error("data can be sent after Abort")
		}
	}
}

// TestAbortInHandshake aborts each end after each step. The other end receives the
// alert once it can decrypt an alert.
func TestAbortInHandshake(t *testing.T) {
	reason := errors.New("because")
	for _, version := range []func(client, server *Config){only12, only13} {
		for _, client := range []bool{true, false} {
			for steps := range 5 {
				p := newPair(t, version)
				p.start()
				for range steps {
					p.step()
				}
				gone, left := p.server, p.client
				if client {
					gone, left = p.client, p.server
				}
				began := steps > 0 // the peer has received something
				gone.Abort(AlertInternalError, reason)
				p.run()
				if err := gone.Err(); !errors.Is(err, reason) || gone.Established() || !gone.NextTimeout().IsZero() {
					t.Errorf("client %t, after %d steps: err %v", client, steps, err)
				}
				var heard *AlertError
				if ok := errors.As(left.Err(), &heard) && heard.Remote && heard.Alert == AlertInternalError; began && !ok {
					t.Errorf("client %t, after %d steps: peer's err %v", client, steps, left.Err())
				}
				if took := p.now.Sub(epoch); began && took > causeWait+time.Second {
					t.Errorf("client %t, after %d steps: took %v", client, steps, took)
				}
			}
		}
	}
}

// TestOldKeysExpire checks that superseded keys are kept for late records, for a limited
// time.
func TestOldKeysExpire(t *testing.T) {
	for _, test := range []struct {
		name  string
		after time.Duration // time since the first record that was encrypted with new keys
		late  bool          // whether a record with old keys is still accepted
	}{
		{"soon", time.Second, true},
		{"just in time", oldKeysLife, true},
		{"too late", oldKeysLife + time.Nanosecond, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPair(t, only13)
			p.connect()
			p.exchange()
			late := p.client.FinishRecord(append(p.client.BeginRecord(nil), "late"...), 0)
			if err := p.client.UpdateKeys(false); err != nil {
				t.Fatal(err)
			}
			p.run()
			p.send(p.client, "new")
			p.run()
			used := p.server.records.oldKeysUntil.Add(-oldKeysLife)
			data, _ := p.server.HandleRecord(used.Add(test.after), late)
			if (string(data) == "late") != test.late {
				t.Errorf("got %q", data)
			}
		})
	}
}
