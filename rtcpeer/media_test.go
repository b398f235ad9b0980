package rtcpeer

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"purertc/rtcpeer/internal/simnet"
)

// A mediaPage changes the descriptions of a data-only Conn to those of a page with
// media and data. It removes the media from remote descriptions.
type mediaPage struct {
	t        *testing.T
	sections []string // kind and mid of each section, such as "audio a", "video v" and "data 0"; "stopped x" is a rejected section
	group    string   // the mids of the bundle; the first one is that of the tagged section
	bare     bool     // all sections except the tagged one are bundle-only, without transport attributes
	answer   bool
}

var transportLines = regexp.MustCompile(`a=(ice-ufrag|ice-pwd|ice-options|fingerprint|setup|tls-id|candidate|end-of-candidates)\b.*\r\n`)

// withMedia returns the page's description for the description of a data-only Conn.
func (p *mediaPage) withMedia(sdp string) string {
	head, data, _ := strings.Cut(sdp, "m=application 9")
	transport := strings.Join(transportLines.FindAllString(data, -1), "")
	var b strings.Builder
	b.WriteString(strings.Replace(head, "BUNDLE 0", "BUNDLE "+p.group, 1))
	for _, s := range p.sections {
		kind, mid, _ := strings.Cut(s, " ")
		tagged := strings.Fields(p.group)[0] == mid
		port, own := 9, transport
		if p.bare && !tagged && !p.answer {
			port, own = 0, "a=bundle-only\r\n"
		}
		switch kind {
		case "data":
			fmt.Fprintf(&b, "m=application %d%s%s", port, transportLines.ReplaceAllString(data, ""), own)
		case "stopped":
			fmt.Fprintf(&b, "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:%s\r\na=inactive\r\n", mid)
		default:
			fmt.Fprintf(&b, "m=%s %d UDP/TLS/RTP/SAVPF 111 0\r\n%sa=mid:%s\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n", kind, port, own, mid)
		}
	}
	return b.String()
}

// withoutMedia checks that the Conn's description has the same sections as the page's,
// and returns it without the media sections.
func (p *mediaPage) withoutMedia(sdp string) string {
	p.t.Helper()
	parts := strings.Split(sdp, "m=")
	if len(parts) != len(p.sections)+1 || !strings.Contains(parts[0], "BUNDLE "+p.group+"\r\n") {
		p.t.Fatalf("%d sections for %q, bundle %q:\n%s", len(parts)-1, p.sections, p.group, sdp)
	}
	head, data, candidates := strings.Replace(parts[0], p.group, "0", 1), "", ""
	for i, s := range p.sections {
		kind, mid, _ := strings.Cut(s, " ")
		section := parts[i+1]
		rejected, inactive := strings.Contains(section, " 0 UDP"), strings.Contains(section, "a=inactive") && strings.Contains(section, "a=rtcp-mux")
		if !strings.Contains(section, "a=mid:"+mid+"\r\n") || rejected != (kind == "stopped") || (kind == "audio" || kind == "video") && !inactive {
			p.t.Errorf("section %q is\n%s", s, section)
		}
		if kind == "data" {
			data = section
		}
		for line := range strings.Lines(section) {
			if strings.HasPrefix(line, "a=candidate") || strings.HasPrefix(line, "a=end-of") {
				candidates += line
			}
		}
	}
	return head + "m=" + data + candidates
}

// A page has media and data from the first offer on. It adds, stops and recycles
// media, and changes the tagged section of the bundle. Data is still transferred.
func TestMediaBesideData(t *testing.T) {
	for _, bare := range []bool{true, false} {
		w := simnet.New(1)
		w.Default = simnet.Path{Delay: 10 * time.Millisecond}
		a, b := newSimPair(t, w, Config{})
		page := &mediaPage{t: t, bare: bare, sections: []string{"audio a", "data 0"}, group: "a 0"}
		a.OnSessionDescriptionCreated(func(typ, sdp string) {
			page.answer = typ == "answer"
			if err := a.SetLocalDescription(typ, sdp); err != nil {
				t.Fatal(err)
			}
			if err := b.SetRemoteDescription(typ, page.withMedia(first(a.LocalDescription()))); err != nil {
				t.Fatalf("%s: %v\n%s", typ, err, page.withMedia(sdp))
			}
		})
		b.OnSessionDescriptionCreated(func(typ, sdp string) {
			if err := b.SetLocalDescription(typ, sdp); err != nil {
				t.Fatal(err)
			}
			if err := a.SetRemoteDescription(typ, page.withoutMedia(first(b.LocalDescription()))); err != nil {
				t.Fatal(err)
			}
		})
		a.OnICECandidateCreated(nil)
		b.OnICECandidateCreated(func(media string, index int, name string) {
			tag := strings.Fields(page.group)[0]
			if media != tag || !strings.HasSuffix(page.sections[index], " "+tag) {
				t.Errorf("a candidate for section %d, %q; the tagged one is %q of %q", index, media, tag, page.sections)
			}
			if err := a.AddICECandidate("0", 0, name); err != nil {
				t.Error(err)
			}
		})
		x, err := a.CreateDataChannel("x", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var y *DataChannel
		b.OnDataChannelReceived(func(d *DataChannel) { y = d })
		sent := 0
		works := func(what string) {
			t.Helper()
			until(t, w, 5*time.Second, what+": the channel is open", func() bool {
				return y != nil && a.SignalingState() == SignalingStateStable && b.SignalingState() == SignalingStateStable
			})
			sent++
			for _, end := range []*DataChannel{x, y} {
				if err := end.PutPacket([]byte(what)); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
			}
			until(t, w, 5*time.Second, what+": packets arrive", func() bool { return x.AvailablePacketCount() == sent && y.AvailablePacketCount() == sent })
			w.Run(10*time.Second, func() bool { return false })
			if a.ConnectionState() != StateConnected || b.ConnectionState() != StateConnected {
				t.Fatalf("%s: states %v and %v\n%s", what, a.ConnectionState(), b.ConnectionState(), b.Report())
			}
		}
		offer := func(from *simPeer, what, group string, sections ...string) {
			t.Helper()
			page.sections, page.group = sections, group
			if err := from.CreateOffer(); err != nil {
				t.Fatal(err)
			}
			works(what)
		}
		offer(a, "audio first", "a 0", "audio a", "data 0")
		offer(a, "video added", "a 0 v", "audio a", "data 0", "video v")
		offer(b, "an offer of the Conn", "a 0 v", "audio a", "data 0", "video v")
		offer(a, "audio stopped", "0 v", "stopped a", "data 0", "video v")
		offer(a, "audio recycled", "0 v b", "audio b", "data 0", "video v")
		b.RestartICE()
		offer(b, "restarted by the Conn", "0 v b", "audio b", "data 0", "video v")
		offer(a, "another order", "b v 0", "audio b", "data 0", "video v")
		a.RestartICE()
		offer(a, "restarted by the page", "v 0", "stopped b", "data 0", "video v")
		offer(b, "an offer after it", "v 0", "stopped b", "data 0", "video v")
		a.Close()
		b.Close()
	}
}

// A page first offers audio only, and adds data later.
func TestMediaBeforeData(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newDeaf(t, n, "10.0.0.1"), newDeaf(t, n, "10.0.0.2")
		head, _, _ := strings.Cut(a.offered(t), "m=application")
		audio := head + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:a\r\na=sendrecv\r\na=rtcp-mux\r\n"
		b.remote(t, "offer", audio)
		answer := b.next(t, "answer")
		if !strings.Contains(answer, "m=audio 0 ") {
			t.Errorf("the audio section is not rejected:\n%s", answer)
		}
		b.local(t, "answer", answer)
		b.want(t, SignalingStateStable)
		exchangeFrom(t, a, b)
	})
}
