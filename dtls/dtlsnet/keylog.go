package dtlsnet

import (
	"io"
	"sync"
)

// keyLogMutex is locked while a line of any key log is written, as in crypto/tls,
// because programs give the same writer to many connections.
var keyLogMutex sync.Mutex

type sharedKeyLog struct{ w io.Writer }

func (l sharedKeyLog) Write(line []byte) (int, error) {
	keyLogMutex.Lock()
	defer keyLogMutex.Unlock()
	return l.w.Write(line)
}

// SharedKeyLog returns a writer that any number of connections can use at the same
// time as their [dtls.Config.KeyLogWriter]. It writes to w, and each line is written
// separately. If w is nil, the result is nil. Dial and Listen call SharedKeyLog
// themselves.
func SharedKeyLog(w io.Writer) io.Writer {
	if w == nil {
		return nil
	}
	return sharedKeyLog{w}
}
