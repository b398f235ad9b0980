package rtcpeer

import (
	"encoding/base64"

	"purertc/sctp"
)

// A snapState says whether the two ends set up SCTP by their descriptions
// (draft-hancke-tsvwg-snap), in a=sctp-init, which saves the round trips of SCTP's
// handshake.
type snapState struct {
	disabled bool   // Config.DisableSNAP, or another association has replaced the first one
	local    string // value of the local a=sctp-init, once it is known
	used     bool   // both ends have signalled it
}

// localInit returns the value of a=sctp-init for a local description; empty: the
// description has none. All descriptions have the same value (draft §5.6). One that
// follows the association's set-up has none if the first ones had none.
func (c *core) localInit() string {
	s := &c.snap
	if s.disabled || s.local != "" && c.dtls != nil && !s.used {
		return ""
	}
	if s.local == "" {
		chunk, err := c.assoc.LocalInit()
		if err != nil {
			return "" // the association has begun, or ends for lack of random numbers
		}
		s.local = base64.StdEncoding.EncodeToString(chunk)
	}
	return s.local
}

// takeRemoteInit takes the INIT chunks of the two descriptions that are applied first.
//
// A remote that does not know SNAP may repeat the local line: libdatachannel's answer has
// every attribute of the offer that it does not know. Two ends never draw the same chunk.
func (c *core) takeRemoteInit(local, remote string) error {
	if c.snap.disabled || local == "" || remote == "" || remote == local {
		return nil
	}
	chunk, err := decodeInit(remote)
	if err != nil {
		return err
	}
	if err := c.assoc.SetRemoteInit(chunk); err != nil {
		return err
	}
	c.snap.used = true
	return nil
}

// decodeInit decodes the value of a=sctp-init.
func decodeInit(value string) ([]byte, error) {
	chunk, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, invalid("a=sctp-init: %w", err)
	}
	if err := sctp.CheckInit(chunk); err != nil {
		return nil, invalid("a=sctp-init: %w", err)
	}
	return chunk, nil
}
