package rtcpeer

import (
	"io"
	"sync"
)

// keyLogMutex makes lines of key logs come one after the other, as that of
// crypto/tls does: programs give the same writer to many connections.
var keyLogMutex sync.Mutex

type keyLog struct{ w io.Writer }

func (l keyLog) Write(line []byte) (int, error) {
	keyLogMutex.Lock()
	defer keyLogMutex.Unlock()
	return l.w.Write(line)
}

// lockedKeyLog returns a writer to w that connections may share; nil for nil.
func lockedKeyLog(w io.Writer) io.Writer {
	if w == nil {
		return nil
	}
	return keyLog{w}
}
