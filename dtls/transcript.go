package dtls

import (
	"encoding/binary"
	"hash"
)

// A transcript consists of all messages of a handshake, from both ends. Its form
// depends on the version. It begins with the ClientHello, after the version is known.
// Until then, add has no effect.
type transcript struct {
	messages []byte    // all messages in full, which signatures of DTLS 1.2 cover
	digest   hash.Hash // hash of the messages in DTLS 1.3; nil in DTLS 1.2
	header   [4]byte   // temporary memory of add
	version  Version
}

// add appends a message, which either end has sent.
func (t *transcript) add(m message) {
	switch t.version {
	case VersionDTLS12:
		t.messages = m.appendTranscript12(t.messages)
	case VersionDTLS13:
		// RFC 9147 §5.2: each message contains the header of TLS, without the message
		// number and the fragment fields.
		binary.BigEndian.PutUint32(t.header[:], uint32(m.typ)<<24|uint32(len(m.body)))
		t.digest.Write(t.header[:])
		t.digest.Write(m.body)
	}
}

// retry replaces the first ClientHello by its hash (RFC 8446 §4.4.1).
func (t *transcript) retry() {
	first := t.digest.Sum(nil)
	t.digest.Reset()
	t.add(message{typ: typeMessageHash, body: first})
}

// cloneDigest copies the digest of DTLS 1.3 in its current state.
func (t *transcript) cloneDigest() (hash.Hash, error) { return t.digest.(hash.Cloner).Clone() }
