package dtlsnet

import (
	"io"
	"sync"
)

// keyLogMutex serializes the lines of all key logs, as crypto/tls does: programs
// give one writer to many connections.
var keyLogMutex sync.Mutex

type sharedKeyLog struct{ w io.Writer }

func (l sharedKeyLog) Write(line []byte) (int, error) {
	keyLogMutex.Lock()
	defer keyLogMutex.Unlock()
	return l.w.Write(line)
}

// SharedKeyLog returns a writer to w that any number of connections can use at
// the same time as their [dtls.Config.KeyLogWriter]: each line is written by
// itself. If w is nil, the result is nil. Dial and Listen call it themselves.
func SharedKeyLog(w io.Writer) io.Writer {
	if w == nil {
		return nil
	}
	return sharedKeyLog{w}
}
