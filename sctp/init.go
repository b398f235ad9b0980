package sctp

import (
	"encoding/binary"
	"errors"
)

// initParams is the part of an INIT or INIT ACK (RFC 9260 §3.3.2, §3.3.3) that a state
// cookie keeps.
type initParams struct {
	tag        uint32
	aRwnd      uint32
	outStreams uint16
	inStreams  uint16
	initialTSN chunkTSN

	forwardTSN   bool // partial reliability (RFC 3758)
	iData        bool // interleaving (RFC 8260)
	iForwardTSN  bool
	reconfig     bool // stream reset (RFC 6525)
	zeroChecksum bool // zero checksums over DTLS (RFC 9653)
}

// An initChunk is a parsed INIT or INIT ACK. Its slices are views of the packet.
type initChunk struct {
	initParams
	cookie       []byte // state cookie, only in an INIT ACK
	hostName     bool   // the chunk contains a Host Name Address parameter (RFC 9260 §3.3.2.1.4)
	unrecognized []byte // unknown parameters to report, padded
}

const (
	minRwnd      = 1500 // least a_rwnd in an INIT or INIT ACK (RFC 9260 §3.3.2, §3.3.3)
	rwndTooSmall = "a_rwnd under 1500"
)

var errMalformedInit = errors.New("sctp: malformed INIT")

// parseInit reads the body of an INIT or INIT ACK.
func parseInit(body []byte) (ic initChunk, err error) {
	if len(body) < initFixedSize {
		return ic, errMalformedInit
	}
	ic.tag = binary.BigEndian.Uint32(body)
	ic.aRwnd = binary.BigEndian.Uint32(body[4:])
	ic.outStreams = binary.BigEndian.Uint16(body[8:])
	ic.inStreams = binary.BigEndian.Uint16(body[10:])
	ic.initialTSN = chunkTSN(binary.BigEndian.Uint32(body[12:]))
	b := body[initFixedSize:]
	for len(b) > 0 {
		p, rest, ok := nextParam(b)
		if !ok {
			return ic, errMalformedInit
		}
		b = rest
		if stop := ic.takeParam(p); stop {
			break
		}
	}
	return ic, nil
}

// takeParam reads one parameter. stop says that no further parameter may be processed
// after this unknown one.
func (ic *initChunk) takeParam(p param) (stop bool) {
	switch p.typ {
	case paramStateCookie:
		ic.cookie = p.body
	case paramForwardTSN:
		ic.forwardTSN = true
	case paramSupportedExt:
		ic.takeExtensions(p.body)
	case paramZeroChecksum:
		if len(p.body) == 4 && binary.BigEndian.Uint32(p.body) == zeroChecksumOverDTLS {
			ic.zeroChecksum = true
		}
	case paramHostName:
		ic.hostName = true
	case paramIPv4, paramIPv6, paramUnrecognized, paramCookiePreserv, paramAddressTypes,
		paramECN, paramRandom, paramChunkList, paramHMAC, paramPad, paramAdaptation:
		// This end knows these parameter types and ignores them: addresses have no
		// meaning over DTLS (RFC 8261 §6.1), and the other parameters belong to
		// extensions that this package does not support.
	default:
		if p.typ&0x4000 != 0 && len(ic.unrecognized)+padded(len(p.whole)) <= maxUnrecognizedEchoed {
			// RFC 9260 §3.2.1: the second bit demands a report.
			ic.unrecognized = append(ic.unrecognized, p.whole...)
			ic.unrecognized = appendPadding(ic.unrecognized, len(p.whole))
		}
		return p.typ&0x8000 == 0 // RFC 9260 §3.2.1: if the first bit is 0, processing stops
	}
	return false
}

// takeExtensions reads the supported-extensions parameter (RFC 5061 §4.2.7).
func (ic *initChunk) takeExtensions(types []byte) {
	for _, t := range types {
		switch chunkType(t) {
		case chunkForwardTSN:
			ic.forwardTSN = true
		case chunkIForwardTSN:
			ic.iForwardTSN = true
		case chunkIData:
			ic.iData = true
		case chunkReconfig:
			ic.reconfig = true
		}
	}
}

// defect returns the cause of the ABORT that answers an INIT or INIT ACK with unusable
// contents, or 0.
func (ic *initChunk) defect() (code CauseCode, info []byte) {
	switch {
	case ic.outStreams == 0 || ic.inStreams == 0:
		return CauseInvalidParameter, nil
	case ic.aRwnd < minRwnd:
		return CauseProtocolViolation, []byte(rwndTooSmall) // RFC 9260 §3.3.2: a smaller a_rwnd is not allowed
	case ic.hostName:
		return CauseUnresolvableAddress, nil // RFC 9260 §3.3.2.1.4: host names are not allowed
	}
	return 0, nil
}

// appendInitChunk appends an INIT chunk.
func (p *initParams) appendInitChunk(b []byte) []byte {
	b, start := p.appendInit(b, chunkInit)
	return endChunk(b, start)
}

// appendInitAck appends an INIT ACK chunk with a state cookie, and with the parameters
// of the INIT that are not known (RFC 9260 §3.2.1).
func (p *initParams) appendInitAck(b, cookie, unrecognized []byte) []byte {
	b, start := p.appendInit(b, chunkInitAck)
	b = appendParam(b, paramStateCookie, cookie)
	for len(unrecognized) > 0 {
		p, rest, ok := nextParam(unrecognized)
		if !ok {
			break
		}
		b = appendParam(b, paramUnrecognized, p.whole)
		unrecognized = rest
	}
	return endChunk(b, start)
}

// appendInit begins an INIT or INIT ACK chunk with the parameters that both types of
// chunk have. endChunk ends the chunk.
func (p *initParams) appendInit(b []byte, t chunkType) (_ []byte, start int) {
	b, start = beginChunk(b, t, 0)
	b = binary.BigEndian.AppendUint32(b, p.tag)
	b = binary.BigEndian.AppendUint32(b, p.aRwnd)
	b = binary.BigEndian.AppendUint16(b, p.outStreams)
	b = binary.BigEndian.AppendUint16(b, p.inStreams)
	b = binary.BigEndian.AppendUint32(b, uint32(p.initialTSN))
	if p.forwardTSN {
		b = appendParam(b, paramForwardTSN, nil)
	}
	ext := make([]byte, 0, 4)
	if p.iData {
		ext = append(ext, byte(chunkIData), byte(chunkIForwardTSN))
	}
	ext = append(ext, byte(chunkForwardTSN), byte(chunkReconfig))
	b = appendParam(b, paramSupportedExt, ext)
	if p.zeroChecksum {
		b = appendParam(b, paramZeroChecksum, []byte{0, 0, 0, zeroChecksumOverDTLS})
	}
	return b, start
}

// cookieSize is the length of a state cookie in bytes.
const cookieSize = cookieMACSize + 44

// A cookie is the state that an INIT ACK carries, so that this end need not keep it (RFC
// 9260 §5.1.3).
type cookie struct {
	created           instant
	localTag          uint32
	localTSN          chunkTSN
	localTie, peerTie uint32 // Tie-Tags, RFC 9260 §5.2.2
	peer              initParams
}

const (
	cookieForwardTSN = 1 << iota
	cookieIData
	cookieIForwardTSN
	cookieReconfig
	cookieZeroChecksum
)

// append appends the contents of the cookie without its MAC.
func (c *cookie) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(c.created))
	b = binary.BigEndian.AppendUint32(b, c.localTag)
	b = binary.BigEndian.AppendUint32(b, uint32(c.localTSN))
	b = binary.BigEndian.AppendUint32(b, c.localTie)
	b = binary.BigEndian.AppendUint32(b, c.peerTie)
	b = binary.BigEndian.AppendUint32(b, c.peer.tag)
	b = binary.BigEndian.AppendUint32(b, uint32(c.peer.initialTSN))
	b = binary.BigEndian.AppendUint32(b, c.peer.aRwnd)
	b = binary.BigEndian.AppendUint16(b, c.peer.outStreams)
	b = binary.BigEndian.AppendUint16(b, c.peer.inStreams)
	var flags uint32
	for i, set := range []bool{c.peer.forwardTSN, c.peer.iData, c.peer.iForwardTSN, c.peer.reconfig, c.peer.zeroChecksum} {
		if set {
			flags |= 1 << i
		}
	}
	return binary.BigEndian.AppendUint32(b, flags)
}

// parseCookie reads the contents of a cookie with a verified MAC.
func parseCookie(b []byte) (c cookie) {
	c.created = int64(binary.BigEndian.Uint64(b))
	c.localTag = binary.BigEndian.Uint32(b[8:])
	c.localTSN = chunkTSN(binary.BigEndian.Uint32(b[12:]))
	c.localTie = binary.BigEndian.Uint32(b[16:])
	c.peerTie = binary.BigEndian.Uint32(b[20:])
	c.peer.tag = binary.BigEndian.Uint32(b[24:])
	c.peer.initialTSN = chunkTSN(binary.BigEndian.Uint32(b[28:]))
	c.peer.aRwnd = binary.BigEndian.Uint32(b[32:])
	c.peer.outStreams = binary.BigEndian.Uint16(b[36:])
	c.peer.inStreams = binary.BigEndian.Uint16(b[38:])
	flags := binary.BigEndian.Uint32(b[40:])
	c.peer.forwardTSN = flags&cookieForwardTSN != 0
	c.peer.iData = flags&cookieIData != 0
	c.peer.iForwardTSN = flags&cookieIForwardTSN != 0
	c.peer.reconfig = flags&cookieReconfig != 0
	c.peer.zeroChecksum = flags&cookieZeroChecksum != 0
	return c
}
