package dtls_test

import (
	"fmt"
	"time"

	"purertc/dtls"
)

// Example connects two ends in one program, without a network: each end handles the
// datagrams that the other end appends.
func Example() {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	config := func(client bool) (dtls.Config, []dtls.Fingerprint) {
		cert, err := dtls.GenerateCertificate(now, nil)
		if err != nil {
			panic(err)
		}
		f, err := dtls.CertificateFingerprint("sha-256", cert.Certificate[0])
		if err != nil {
			panic(err)
		}
		return dtls.Config{Client: client, Certificate: cert}, []dtls.Fingerprint{f}
	}
	a, aPrint := config(true)
	b, bPrint := config(false)
	a.Fingerprints, b.Fingerprints = bPrint, aPrint // signalling carries the fingerprints

	client, err := dtls.NewConn(a)
	if err != nil {
		panic(err)
	}
	server, err := dtls.NewConn(b)
	if err != nil {
		panic(err)
	}
	client.Start(now)
	server.Start(now)

	read := func(c *dtls.Conn, datagram []byte) {
		for len(datagram) > 0 {
			data, n := c.HandleRecord(now, datagram)
			if data != nil {
				fmt.Printf("received %q\n", data)
			}
			datagram = datagram[n:]
		}
	}
	for !client.Established() || !server.Established() {
		for d, ok := client.AppendDatagram(now, nil, 1200); ok; d, ok = client.AppendDatagram(now, nil, 1200) {
			read(server, d)
		}
		for d, ok := server.AppendDatagram(now, nil, 1200); ok; d, ok = server.AppendDatagram(now, nil, 1200) {
			read(client, d)
		}
	}
	fmt.Println("DTLS", client.ConnectionState().Version, client.ConnectionState().CipherSuite)

	d := client.BeginRecord(nil)
	d = append(d, "hello"...)
	read(server, client.FinishRecord(d, 0))
	// Output:
	// DTLS 1.3 TLS_AES_128_GCM_SHA256
	// received "hello"
}
