package rtcpeer

import (
	"crypto/tls"
	"sync"
	"time"

	"purertc/dtls"
)

// processCertificate is the one certificate that all peers of the process
// share, made at first use and made anew before it expires.
var processCertificate struct {
	mu      sync.Mutex
	cert    *tls.Certificate
	renewal time.Time
}

// sharedCertificate returns the process's certificate.
func sharedCertificate() (*tls.Certificate, error) {
	c := &processCertificate
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.cert == nil || now.After(c.renewal) {
		cert, err := dtls.GenerateCertificate(now, nil)
		if err != nil {
			return nil, err
		}
		// It is valid for a month; connections that began with it go on.
		c.cert, c.renewal = cert, now.Add(14*24*time.Hour)
	}
	return c.cert, nil
}
