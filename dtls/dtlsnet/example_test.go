package dtlsnet_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"purertc/dtls"
	"purertc/dtls/dtlsnet"
)

// Example connects a server and a client over UDP. Each of them knows the other's
// fingerprints.
func Example() {
	serverCert, serverPrints := certificate()
	clientCert, clientPrints := certificate()

	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	listener, err := dtlsnet.Listen(socket, dtls.Config{Certificate: serverCert, Fingerprints: clientPrints})
	if err != nil {
		panic(err)
	}
	defer listener.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		b := make([]byte, 1500)
		n, err := conn.Read(b)
		if err != nil {
			panic(err)
		}
		fmt.Printf("the server received %q\n", b[:n])
	}()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	socket, err = net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	conn, err := dtlsnet.Dial(ctx, socket, listener.Addr(), dtls.Config{Certificate: clientCert, Fingerprints: serverPrints})
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		panic(err)
	}
	<-done
	// Output:
	// the server received "hello"
}

// certificate generates a certificate and returns it with its fingerprint.
func certificate() (*tls.Certificate, []dtls.Fingerprint) {
	cert, err := dtls.GenerateCertificate(time.Now(), nil)
	if err != nil {
		panic(err)
	}
	f, err := dtls.CertificateFingerprint("sha-256", cert.Certificate[0])
	if err != nil {
		panic(err)
	}
	return cert, []dtls.Fingerprint{f}
}
