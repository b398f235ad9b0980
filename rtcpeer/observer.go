package rtcpeer

import (
	"log/slog"
	"sync"
)

// logMutex is locked while a log of any connection is written, as in dtlsnet, because
// programs give the same writer to many connections.
var logMutex sync.Mutex

// An observer has the logs of a connection that show its packets: Config.EventLog and
// Config.PacketCapture.
type observer struct {
	events  *eventLog      // nil: off
	capture *packetCapture // nil: off
}

func newObserver(cfg *Config, ufrag string) observer {
	return observer{newEventLog(cfg.EventLog, ufrag), newPacketCapture(cfg.PacketCapture)}
}

// on reports whether flush has something to do.
func (o *observer) on() bool { return o.events != nil || o.capture != nil }

// flush writes complete records and packets. A writer that fails gets nothing more, and
// the connection goes on without its log.
func (o *observer) flush(log *slog.Logger) {
	logMutex.Lock()
	defer logMutex.Unlock()
	if err := o.events.flush(); err != nil {
		log.Warn("the event log ends: its writer failed", "error", err)
	}
	if err := o.capture.flush(); err != nil {
		log.Warn("the packet capture ends: its writer failed", "error", err)
	}
}
