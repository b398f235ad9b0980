package rtcpeer

import (
	"crypto/tls"
	"sync"
	"time"

	"purertc/dtls"
)

// processCertificate is the certificate that all connections of the process share,
// made at first use and again before it expires.
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
		// It is valid for a month. Connections keep the certificate that they began
		// with.
		c.cert, c.renewal = cert, now.Add(14*24*time.Hour)
	}
	return c.cert, nil
}
