package rtcpeer

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConfigJSON(t *testing.T) {
	for text, want := range map[string][]ICEServer{
		`{}`:                                 nil,
		` { "iceServers" : [ ] } `:           {},
		`{"iceServers":[{"urls":"stun:a"}]}`: {{URLs: []string{"stun:a"}}},
		`{"iceServers":[ {"urls": [ "stun:a" , "turn:b" ], "username": "u", "credential": "c"}, {"urls":["stun:d"]} ]}`: {
			{URLs: []string{"stun:a", "turn:b"}, Username: "u", Credential: "c"}, {URLs: []string{"stun:d"}}},
	} {
		var c Config
		if err := json.Unmarshal([]byte(text), &c); err != nil || !cmp.Equal(c.ICEServers, want) {
			t.Errorf("%s: %+v, %v", text, c.ICEServers, err)
			continue
		}
		b, err := json.Marshal(c)
		var again Config
		if err != nil || json.Unmarshal(b, &again) != nil || len(again.ICEServers) != len(want) || len(want) > 0 && !cmp.Equal(again.ICEServers, want) {
			t.Errorf("%s: round trip %s, %v", text, b, err)
		}
	}
	for _, text := range []string{
		`[]`, `null`, `1`, `"x"`, `{"IceServers":[]}`, `{"iceservers":[]}`, `{"iceServers":[],"iceServers":[]}`, `{"iceServers":{}}`,
		`{"iceServers":[1]}`, `{"iceServers":[null]}`, `{"iceServers":[{"url":"stun:a","urls":"stun:b"}]}`, `{"iceServers":[{"urls":1}]}`, `{"iceServers":[{"urls":[1]}]}`,
		`{"iceServers":[{"urls":"a","urls":"b"}]}`, `{"iceServers":[{"urls":"a","username":1}]}`,
		`{"iceTransportPolicy":"none"}`, `{"iceTransportPolicy":1}`, `{"bundlepolicy":"balanced"}`,
		`{"Certificate":null}`, `{"MaxMessageSize":1}`, `{"iceServers":[{"urls":"a","ice\u0053ervers":1}]}`,
	} {
		c := Config{MaxMessageSize: 7}
		if err := c.UnmarshalJSON([]byte(text)); !errors.Is(err, ErrInvalidParameter) || c.MaxMessageSize != 7 || c.ICEServers != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{``, `{`, `{"iceServers":[}`, `{} x`} {
		var c Config
		err := c.UnmarshalJSON([]byte(text))
		if se := (*json.SyntaxError)(nil); !errors.As(err, &se) || errors.Is(err, ErrInvalidParameter) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if b, err := json.Marshal(Config{MaxMessageSize: 5}); err != nil || string(b) != `{}` {
		t.Errorf("%s, %v", b, err)
	}
}

func TestChannelOptionsJSON(t *testing.T) {
	for text, want := range map[string]ChannelOptions{
		`{}`: {},
		`{"negotiated": true, "id": 1.0, "ordered": false, "maxRetransmits": 3e1, "protocol": "p"}`: {
			Negotiated: true, ID: new(1), Ordered: new(false), MaxRetransmits: new(30), Protocol: "p"},
		`{"maxPacketLifeTime": 5}`:   {MaxPacketLifeTime: new(5)},
		`{"maxPacketLifetime": 5.0}`: {MaxPacketLifeTime: new(5)},
		`{"ordered": true, "id": 0}`: {Ordered: new(true), ID: new(0)},
	} {
		var o ChannelOptions
		if err := json.Unmarshal([]byte(text), &o); err != nil || !cmp.Equal(o, want) {
			t.Errorf("%s: %+v, %v", text, o, err)
		}
		b, err := json.Marshal(o)
		var again ChannelOptions
		if err != nil || json.Unmarshal(b, &again) != nil || !cmp.Equal(again, want) {
			t.Errorf("%s: round trip %s, %v", text, b, err)
		}
	}
	for _, text := range []string{
		`[]`, `null`, `{"ID":1}`, `{"maxretransmits":1}`, `{"x":1}`, `{"id":1,"id":1}`, `{"id":"1"}`, `{"id":null}`, `{"id":1.5}`, `{"id":1e300}`, `{"id":true}`,
		`{"negotiated":1}`, `{"ordered":"true"}`, `{"ordered":null}`, `{"protocol":1}`, `{"maxPacketLifeTime":1,"maxPacketLifetime":1}`,
	} {
		o := ChannelOptions{Protocol: "before"}
		if err := o.UnmarshalJSON([]byte(text)); !errors.Is(err, ErrInvalidParameter) || !cmp.Equal(o, ChannelOptions{Protocol: "before"}) {
			t.Errorf("%s: %v, %+v", text, err, o)
		}
	}
	if b, err := json.Marshal(ChannelOptions{}); err != nil || string(b) != `{}` {
		t.Errorf("%s, %v", b, err)
	}
}

func FuzzConfigJSON(f *testing.F) {
	f.Add([]byte(`{"iceServers":[{"urls":["stun:a:1"],"username":"u","credential":"c"}]}`))
	f.Add([]byte(`{"negotiated":true,"id":1.0,"ordered":false,"maxPacketLifetime":3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Config
		if json.Unmarshal(b, &c) == nil {
			c.check()
			if _, err := json.Marshal(c); err != nil {
				t.Error(err)
			}
		}
		var o ChannelOptions
		if json.Unmarshal(b, &o) == nil {
			o.check("")
			text, err := json.Marshal(o)
			var again ChannelOptions
			if err != nil || json.Unmarshal(text, &again) != nil || !cmp.Equal(o, again) {
				t.Errorf("%s became %s, %v", b, text, err)
			}
		}
	})
}

func TestServerURL(t *testing.T) {
	for text, want := range map[string]serverURL{
		"stun:example.org":                     {host: "example.org", port: 3478, transport: "udp"},
		"STUN:example.org:19302":               {host: "example.org", port: 19302, transport: "udp"},
		"stuns:example.org":                    {host: "example.org", port: 5349, transport: "tcp", secure: true},
		"turn:192.0.2.1":                       {host: "192.0.2.1", port: 3478, transport: "udp", turn: true},
		"turn:[2001:db8::1]:80?transport=tcp":  {host: "2001:db8::1", port: 80, transport: "tcp", turn: true},
		"turn:[2001:db8::1]?transport=udp":     {host: "2001:db8::1", port: 3478, transport: "udp", turn: true},
		"turns:a_b-c.example.:443":             {host: "a_b-c.example.", port: 443, transport: "tcp", turn: true, secure: true},
		"turns:example.org:5349?transport=udp": {host: "example.org", port: 5349, transport: "udp", turn: true, secure: true},
	} {
		want.text = text
		if got, err := parseServerURL(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "stun", "stun:", "example.org", "http://example.org", "stun://example.org", "turn:user@example.org", "turn:example.org/", "turn:example.org:",
		"turn:example.org:0", "turn:example.org:65536", "turn:example.org:x", "turn:2001:db8::1", "turn:[2001:db8::1", "turn:[2001:db8::1]x", "turn:[1.2.3.4]",
		"turn:[fe80::1%25eth0]", "turn:[x]", "turn:example.org?transport=sctp", "turn:example.org?x=y", "turn:example.org?", "stun:example.org?transport=udp",
		"turn:a b", " turn:a", "turn:.example.org", "turn:a..b", "turn:exämple.org", "stun:[::1]:",
	} {
		if _, err := parseServerURL(text); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
