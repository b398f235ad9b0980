package rtcpeer

import (
	"crypto/tls"
	"slices"
	"testing"
	"time"

	"purertc/dtls"
	"purertc/rtcpeer/internal/simnet"
)

// manyRecords fills a datagram of 64 KB with empty records for the remote of c. change
// may change each record.
func manyRecords(c *dtls.Conn, change func(record []byte)) (b []byte) {
	const longest = 65507 // longest payload of UDP over IPv4
	for n := 0; len(b)+n <= longest; {
		start := len(b)
		b = c.FinishRecord(c.BeginRecord(b), start)
		change(b[start:])
		n = len(b) - start
	}
	return b
}

// recordsPair returns two connected cores.
func recordsPair(t testing.TB, version uint16) (now time.Time, a, b *core) {
	w := simnet.New(1)
	p, q := newSimPair(t, w, Config{MaxDTLS: version})
	if _, err := p.CreateDataChannel("x", ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := p.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	until(t, w, 10*time.Second, "both are connected", func() bool {
		return p.ConnectionState() == StateConnected && q.ConnectionState() == StateConnected
	})
	return w.Now(), &p.transport().core, &q.transport().core
}

// forge makes a record's tag invalid.
func forge(record []byte) { record[len(record)-1] ^= 1 }

// TestMaxRecords checks that of a datagram with many records only dtls.MaxRecords are
// handled.
func TestMaxRecords(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			now, a, b := recordsPair(t, version)
			rejects := func(what string, datagram []byte, want uint64) {
				t.Helper()
				before := b.dtls.Stats().Rejected
				b.handleData(now, slices.Clone(datagram))
				if n := b.dtls.Stats().Rejected - before; n != want {
					t.Errorf("%s: %d records rejected, want %d", what, n, want)
				}
			}
			rejects("forged records", manyRecords(a.dtls, forge), dtls.MaxRecords)
			// A record that was handled before is rejected as a replay.
			genuine := manyRecords(a.dtls, func([]byte) {})
			rejects("records of the peer", genuine, 0)
			rejects("the same again", genuine, dtls.MaxRecords)
			plain := slices.Repeat([]byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 5000)
			rejects("plaintext", plain, dtls.MaxRecords)
			if !b.dtls.Established() {
				t.Errorf("the connection ended: %v", b.dtls.Err())
			}
		})
	}
}

// BenchmarkManyRecords measures a datagram of 64 KB of empty records.
func BenchmarkManyRecords(b *testing.B) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		now, from, to := recordsPair(b, version)
		for name, datagram := range map[string][]byte{
			"forged":    manyRecords(from.dtls, forge),
			"plaintext": slices.Repeat([]byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 5000),
		} {
			b.Run(tls.VersionName(version)+"/"+name, func(b *testing.B) {
				datagram, copied := datagram, make([]byte, len(datagram))
				b.ReportAllocs()
				for b.Loop() {
					copy(copied, datagram) // records are decrypted in place
					to.handleData(now, copied)
				}
			})
		}
	}
}
