package sdp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// golden returns a description that a browser has created.
func golden(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".sdp"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func parse(t testing.TB, text string) *Session {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, text)
	}
	return s
}

func data(t testing.TB, text string) *Data {
	t.Helper()
	d, err := parse(t, text).Data()
	if err != nil {
		t.Fatalf("Data: %v\n%s", err, text)
	}
	return d
}

// answer creates an answer to an offer, and parses it.
func answer(t testing.TB, p Params, offer *Session) *Session {
	t.Helper()
	d, err := offer.Data()
	if err != nil {
		t.Fatalf("Data: %v\n%s", err, offer)
	}
	return parse(t, p.Answer(offer, d))
}

const testFingerprint = "sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF"

// minimal is the shortest description of data channels.
const minimal = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" +
	"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n" +
	"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:" + testFingerprint + "\r\n"

func testParams() Params {
	f, _ := parseFingerprint(Line{}, testFingerprint)
	return Params{
		Origin: NewOrigin(42, 1), Mid: "0", Ufrag: "ours", Pwd: "ours-password-of-22-chars", ICEOptions: []string{"trickle", "ice2"},
		Setup: SetupActPass, TLSID: "tlsidtlsidtlsidtlsid", Fingerprints: []Fingerprint{f}, SCTPPort: 5000, MaxMessageSize: 262144,
	}
}

// The descriptions of browsers are written byte by byte as they were parsed.
func TestBrowsersRoundTrip(t *testing.T) {
	files, err := filepath.Glob("testdata/*.sdp")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".sdp")
		text := golden(t, name)
		if got := parse(t, text).String(); got != text {
			t.Errorf("%s: %s", name, cmp.Diff(text, got))
		}
		unix := strings.ReplaceAll(text, "\r\n", "\n")
		if got := parse(t, unix).String(); got != text {
			t.Errorf("%s with LF: %s", name, cmp.Diff(text, got))
		}
		if got := parse(t, strings.ReplaceAll(text, "\r\n", "\r\r\n\r\n")).String(); got != text {
			t.Errorf("%s with doubled line ends: %s", name, cmp.Diff(text, got))
		}
	}
}

// Data extracts the right values from the descriptions of browsers.
func TestBrowsersData(t *testing.T) {
	for _, tt := range []struct {
		name       string
		index      int
		mid        string
		setup      Setup
		candidates int
		end        bool
		max        int
	}{
		{"chromium-offer", 0, "0", SetupActPass, 0, false, 262144},
		{"chromium-offer-gathered", 0, "0", SetupActPass, 2, false, 262144},
		{"chromium-answer", 0, "0", SetupActive, 2, false, 262144},
		{"chromium-reoffer", 0, "0", SetupActPass, 0, false, 262144},
		{"chromium-media-offer", 2, "2", SetupActPass, 0, false, 262144},
		{"chromium-maxbundle-offer", 1, "1", SetupActPass, 0, false, 262144},
		{"firefox-offer", 0, "0", SetupActPass, 0, false, 1073741823},
		{"firefox-offer-gathered", 0, "0", SetupActPass, 4, true, 1073741823},
		{"firefox-answer", 0, "0", SetupActive, 4, true, 1073741823},
		{"firefox-reoffer", 0, "0", SetupActPass, 0, false, 1073741823},
		{"firefox-media-offer", 2, "2", SetupActPass, 0, false, 1073741823},
		{"firefox-maxbundle-offer", 1, "1", SetupActPass, 0, false, 1073741823},
	} {
		d := data(t, golden(t, tt.name))
		if d.Index != tt.index || d.Mid != tt.mid || d.Setup != tt.setup || d.Rejected || d.OldSyntax || d.ICELite ||
			len(d.Candidates) != tt.candidates || d.EndOfCandidates != tt.end || d.MaxMessageSize != tt.max || d.SCTPPort != 5000 {
			t.Errorf("%s: %+v", tt.name, d)
		}
		if len(d.Fingerprints) != 1 || d.Fingerprints[0].Hash != "sha-256" || len(d.Fingerprints[0].Value) != 32 {
			t.Errorf("%s: fingerprints %v", tt.name, d.Fingerprints)
		}
		if len(d.ICEOptions) != 1 || d.ICEOptions[0] != "trickle" || len(d.Ufrag) < 4 || len(d.Pwd) < 22 {
			t.Errorf("%s: ICE options %q, ufrag %q, pwd %q", tt.name, d.ICEOptions, d.Ufrag, d.Pwd)
		}
		for _, c := range d.Candidates {
			if !strings.HasPrefix(c, "candidate:") || strings.Count(c, " ") < 7 {
				t.Errorf("%s: candidate %q", tt.name, c)
			}
		}
	}
}

// An answer to a browser's offer has the same sections in the same order.
func TestBrowsersAnswered(t *testing.T) {
	files, _ := filepath.Glob("testdata/*offer*.sdp")
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".sdp")
		offer := parse(t, golden(t, name))
		d, err := offer.Data()
		if err != nil {
			t.Fatal(err)
		}
		p := testParams()
		p.Setup, p.EndOfCandidates = SetupActive, true
		text := p.Answer(offer, d)
		answer := parse(t, text)
		if len(answer.Media) != len(offer.Media) {
			t.Fatalf("%s: %d sections for %d", name, len(answer.Media), len(offer.Media))
		}
		for i, m := range answer.Media {
			o := offer.Media[i]
			mid, _ := m.Attribute("mid")
			want, _ := o.Attribute("mid")
			if m.Kind != o.Kind || m.Proto != o.Proto || mid != want || m.Port != 9 || len(m.Formats) != 1 || m.Formats[0] != o.Formats[0] {
				t.Errorf("%s: section %d is %+v for %+v", name, i, m, o)
			}
			ufrag, _ := m.Attribute("ice-ufrag")
			_, inactive := m.Attribute("inactive")
			_, mux := m.Attribute("rtcp-mux")
			_, end := m.Attribute("end-of-candidates")
			if media := i != d.Index; ufrag != "ours" || inactive != media || mux != media || end != (i == 0) {
				t.Errorf("%s: section %d is %+v", name, i, m)
			}
		}
		got, err := answer.Data()
		if err != nil || got.Index != d.Index || got.Mid != d.Mid || got.Ufrag != "ours" || got.Setup != SetupActive || got.Rejected {
			t.Errorf("%s: the answer's data %+v, %v", name, got, err)
		}
		var mids []string
		for i := range offer.Media {
			mids = append(mids, fmt.Sprint(i))
		}
		if want := "a=group:BUNDLE " + strings.Join(mids, " ") + "\r\n"; !strings.Contains(text, want) {
			t.Errorf("%s: no %q in\n%s", name, want, text)
		}
	}
}

func TestOffer(t *testing.T) {
	p := testParams()
	p.Candidates = []string{"candidate:1 1 udp 2113937151 10.0.0.1 5000 typ host"}
	p.EndOfCandidates, p.ICELite, p.SCTPInit = true, true, "AAAA"
	want := strings.ReplaceAll(`v=0
o=- 42 1 IN IP4 127.0.0.1
s=-
t=0 0
a=ice-lite
a=group:BUNDLE 0
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=candidate:1 1 udp 2113937151 10.0.0.1 5000 typ host
a=end-of-candidates
a=ice-ufrag:ours
a=ice-pwd:ours-password-of-22-chars
a=ice-options:trickle ice2
a=fingerprint:`+testFingerprint+`
a=setup:actpass
a=tls-id:tlsidtlsidtlsidtlsid
a=mid:0
a=sctp-port:5000
a=max-message-size:262144
a=sctp-init:AAAA
`, "\n", "\r\n")
	if got := p.Offer(nil, nil); got != want {
		t.Fatal(cmp.Diff(want, got))
	}
	d := data(t, want)
	if d.TLSID != p.TLSID || !d.ICELite || !d.EndOfCandidates || d.SCTPInit != "AAAA" || !cmp.Equal(d.Candidates, p.Candidates) ||
		!cmp.Equal(d.Fingerprints, p.Fingerprints) || !cmp.Equal(d.ICEOptions, p.ICEOptions) {
		t.Errorf("what was read is not what was written: %+v", d)
	}
}

// NewOrigin's id is a positive signed 64-bit number (RFC 8829 §5.2.1).
func TestNewOrigin(t *testing.T) {
	if o := NewOrigin(1<<64-1, 7); o.SessionID != "9223372036854775807" || o.SessionVersion != "7" {
		t.Errorf("%+v", o)
	}
}

// A later offer keeps every section in its place (RFC 8829 §5.2.2).
func TestReoffer(t *testing.T) {
	offer := parse(t, golden(t, "firefox-media-offer"))
	p := testParams()
	answer := answer(t, p, offer)
	p.Origin = NewOrigin(42, 2)
	p.Ufrag = "later"
	later := parse(t, p.Offer(answer, offer))
	d, err := later.Data()
	if err != nil || d.Index != 2 || d.Mid != "2" || d.Ufrag != "later" || len(later.Media) != 3 {
		t.Fatalf("%+v, %v\n%s", d, err, later)
	}
	if later.Origin.SessionID != answer.Origin.SessionID || later.Origin.SessionVersion != "2" {
		t.Errorf("origin %+v after %+v", later.Origin, answer.Origin)
	}
	for i, kind := range []string{"audio", "video", "application"} {
		if m := later.Media[i]; m.Kind != kind || m.Port != 9 {
			t.Errorf("section %d: %+v", i, m)
		}
	}
	if group := later.group("2"); group != "0 1 2" {
		t.Errorf("the bundle is %q", group)
	}
	// A media section that either end rejected stays rejected.
	refused := parse(t, strings.Replace(strings.Replace(golden(t, "firefox-media-offer"), "m=video 9", "m=video 0", 1), "BUNDLE 0 1 2", "BUNDLE 0 2", 1))
	later = parse(t, p.Offer(answer, refused))
	if m := later.Media[1]; m.Port != 0 || later.group("2") != "0 2" {
		t.Errorf("the rejected section is %+v, the bundle %q", m, later.group("2"))
	}
	// A data section that was rejected is accepted again in its place.
	rejected := parse(t, strings.Replace(minimal, "m=application 9", "m=application 0", 1))
	again := parse(t, p.Offer(rejected, nil))
	if d, err := again.Data(); err != nil || d.Index != 0 || d.Rejected || len(again.Media) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	// If there is no data section, one is added, with an unused mid.
	for mid, want := range map[string]string{"a": "0", "0": "1"} {
		audio := parse(t, "v=0\no=- 1 1 IN IP4 0.0.0.0\nm=audio 0 RTP/AVP 0\na=mid:"+mid+"\n")
		if d, err := parse(t, p.Offer(audio, audio)).Data(); err != nil || d.Index != 1 || d.Mid != want {
			t.Errorf("%+v, %v", d, err)
		}
	}
}

func TestOldSyntax(t *testing.T) {
	text := strings.Replace(minimal, "UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5001", 1) + "a=sctpmap:5001 webrtc-datachannel 1024\r\na=mid:data\r\n"
	d := data(t, text)
	if !d.OldSyntax || d.SCTPPort != 5001 || d.MaxMessageSize != DefaultMaxMessageSize {
		t.Errorf("%+v", d)
	}
	a := answer(t, testParams(), parse(t, text)).String()
	for _, want := range []string{"m=application 9 DTLS/SCTP 5000\r\n", "a=sctpmap:5000 webrtc-datachannel 65535\r\n", "a=mid:data\r\n"} {
		if !strings.Contains(a, want) {
			t.Errorf("no %q in\n%s", want, a)
		}
	}
	if strings.Contains(a, "sctp-port") || strings.Contains(a, "BUNDLE") {
		t.Errorf("new syntax, or a group that was not offered, in\n%s", a)
	}
	if d := data(t, a); !d.OldSyntax || d.SCTPPort != 5000 {
		t.Errorf("%+v", d)
	}
}

// The forms of the m= line in drafts are answered in the same form.
func TestDataForms(t *testing.T) {
	for form, port := range map[string]int{"DTLS/SCTP 5001": 5001, "UDP/DTLS/SCTP 5001": 5001, "TCP/DTLS/SCTP 5001": 5001, "DTLS/SCTP webrtc-datachannel": 5002} {
		text := strings.Replace(minimal, "UDP/DTLS/SCTP webrtc-datachannel", form, 1)
		if port == 5001 {
			text += "a=sctpmap:5001 webrtc-datachannel 1024\r\n"
		} else {
			text += "a=sctp-port:5002\r\n"
		}
		if d := data(t, text); d.Rejected || d.SCTPPort != port || d.OldSyntax != (port == 5001) {
			t.Errorf("%s: %+v", form, d)
		}
		a := answer(t, testParams(), parse(t, text))
		if want := strings.Replace(form, "5001", "5000", 1); a.Media[0].Proto+" "+a.Media[0].Formats[0] != want {
			t.Errorf("%s is answered with %+v", form, a.Media[0])
		}
	}
}

// The numbers of an o= line may have any length, and a=setup may be in upper or lower
// case.
func TestLenient(t *testing.T) {
	long := strings.Repeat("9", 100)
	text := strings.Replace(minimal, "o=- 1 1", "o=- "+long+" "+long, 1) + "a=setup:ACTPASS\r\n"
	s := parse(t, text)
	if s.Origin.SessionID != long || s.Origin.SessionVersion != long || s.String() != text {
		t.Errorf("%+v", s.Origin)
	}
	if d := data(t, text); d.Setup != SetupActPass {
		t.Errorf("setup is %q", d.Setup)
	}
}

// A session-level attribute applies unless the section has the same attribute.
func TestSessionLevel(t *testing.T) {
	other := strings.Replace(testFingerprint, "00:11", "99:99", 1)
	head := "v=0\no=- 1 1 IN IP4 0.0.0.0\na=ice-ufrag:session\na=ice-pwd:sessionsessionsessionsession\na=ice-options:a b\n" +
		"a=setup:passive\na=ice-lite\na=fingerprint:" + other + "\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\n"
	d := data(t, head)
	if d.Ufrag != "session" || d.Pwd != "sessionsessionsessionsession" || d.Setup != SetupPassive || !d.ICELite ||
		len(d.ICEOptions) != 2 || len(d.Fingerprints) != 1 || d.Fingerprints[0].Value[0] != 0x99 {
		t.Errorf("%+v", d)
	}
	d = data(t, head+"a=ice-ufrag:media\na=setup:active\na=fingerprint:"+testFingerprint+"\na=fingerprint:SHA-1 AB:CD\n")
	if d.Ufrag != "media" || d.Setup != SetupActive || len(d.Fingerprints) != 2 || d.Fingerprints[0].Value[0] != 0 || d.Fingerprints[1].Hash != "sha-1" {
		t.Errorf("%+v", d)
	}
}

// The tagged section of the bundle contains the transport attributes (RFC 9143
// §7.1.3).
func TestBundled(t *testing.T) {
	const transport = "a=ice-ufrag:abcd\na=ice-pwd:0123456789012345678901\na=setup:active\na=fingerprint:" + testFingerprint + "\na=candidate:1 1 udp 1 10.0.0.1 1 typ host\n"
	text := "v=0\no=- 1 1 IN IP4 0.0.0.0\na=group:LS x\na=group:BUNDLE a d\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:a\na=rtcp-mux\n" + transport +
		"m=application 0 UDP/DTLS/SCTP webrtc-datachannel\na=bundle-only\na=mid:d\n"
	d := data(t, text)
	if d.Rejected || d.Index != 1 || d.Transport != 0 || d.TransportMid != "a" || d.Ufrag != "abcd" || d.Setup != SetupActive || len(d.Fingerprints) != 1 || len(d.Candidates) != 1 {
		t.Errorf("%+v", d)
	}
	for name, broken := range map[string]string{
		"not of the group":        strings.Replace(text, "BUNDLE a d", "BUNDLE a", 1),
		"alone in the group":      strings.Replace(text, "BUNDLE a d", "BUNDLE d", 1),
		"group without a section": strings.Replace(text, "BUNDLE a d", "BUNDLE q d", 1),
		"bad transport":           strings.Replace(text, "ice-ufrag:abcd", "ice-ufrag:a", 1),
		"no rtcp-mux":             strings.Replace(text, "a=rtcp-mux\n", "", 1),
	} {
		if _, err := parse(t, broken).Data(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// Before there is an answer, each section may have a transport of its own.
	own := strings.NewReplacer("abcd", "efgh", "10.0.0.1", "10.0.0.2").Replace(transport)
	text = strings.Replace(text, "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\na=bundle-only\n", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=max-message-size:7\n"+own, 1)
	if d := data(t, text); d.Transport != 0 || d.Ufrag != "abcd" || d.MaxMessageSize != 7 || len(d.Candidates) != 1 || !strings.Contains(d.Candidates[0], "10.0.0.1") {
		t.Errorf("%+v", d)
	}
	// A section that is rejected, or that cannot be accepted, is not used as the
	// tagged section.
	for name, text := range map[string]string{
		"rejected":    strings.Replace(text, "m=audio 9", "m=audio 0", 1),
		"no DTLS":     strings.Replace(text, "UDP/TLS/RTP/SAVPF", "RTP/AVP", 1),
		"no rtcp-mux": strings.Replace(text, "a=rtcp-mux\n", "", 1),
		"order":       strings.Replace(text, "BUNDLE a d", "BUNDLE d a", 1),
	} {
		if d := data(t, text); d.Transport != 1 || d.TransportMid != "d" || d.Ufrag != "efgh" {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// A media section is accepted with a codec, not with a format that only supports other
// codecs.
func TestInactiveCodec(t *testing.T) {
	offer := strings.Replace(minimal, "m=application", "a=group:BUNDLE a d\r\nm=video 9 UDP/TLS/RTP/SAVPF 97 96 98\r\na=mid:a\r\na=rtcp-mux\r\na=sendrecv\r\n"+
		"a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=rtpmap:98 VP8/90000\r\na=rtpmap:960 x/1\r\nm=application", 1) + "a=mid:d\r\n"
	a := answer(t, testParams(), parse(t, offer)).String()
	if want := "a=mid:a\r\na=inactive\r\na=rtcp-mux\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\nm=application 9 "; !strings.Contains(a, want) || !strings.Contains(a, "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n") {
		t.Errorf("the video is not accepted as it should be:\n%s", a)
	}
}

// A media section is rejected with its codecs, because werift looks for a codec.
func TestRejectedMedia(t *testing.T) {
	offer := strings.Replace(minimal, "m=application", "m=audio 9 UDP/TLS/RTP/SAVPF 96 0\r\na=mid:a\r\na=sendrecv\r\na=rtpmap:96 opus/48000/2\r\n"+
		"a=fmtp:96 stereo=1\r\na=rtpmap:0 PCMU/8000\r\nm=application", 1)
	a := answer(t, testParams(), parse(t, offer)).String()
	if want := "m=audio 0 UDP/TLS/RTP/SAVPF 96 0\r\nc=IN IP4 0.0.0.0\r\na=mid:a\r\na=inactive\r\n" +
		"a=rtpmap:96 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\nm=application 9 "; !strings.Contains(a, want) {
		t.Errorf("the audio is not rejected as it should be:\n%s", a)
	}
}

// For a description without a data section, Data returns the same as for a rejected
// data section.
func TestNoDataSection(t *testing.T) {
	for _, section := range []string{"", "m=audio 9 RTP/AVP 0\n", "m=application 9 UDP/DTLS/SCTP something-else\n", "m=application 9 TCP/MSRP *\n"} {
		text := "v=0\no=- 1 1 IN IP4 0.0.0.0\n" + section
		if d := data(t, text); d.Index != -1 || !d.Rejected {
			t.Errorf("%q: %+v", section, d)
		}
		for _, m := range answer(t, testParams(), parse(t, text)).Media {
			if m.Port != 0 {
				t.Errorf("%q is answered with %+v", section, m)
			}
		}
	}
}

func TestRejected(t *testing.T) {
	rejected := strings.Replace(minimal, "m=application 9", "m=application 0", 1)
	if d := data(t, rejected); !d.Rejected || d.Ufrag != "" {
		t.Errorf("%+v", d)
	}
	// The first data section that is not rejected is used.
	both := rejected + strings.TrimPrefix(minimal[strings.Index(minimal, "m="):], "")
	if d := data(t, both); d.Rejected || d.Index != 1 {
		t.Errorf("%+v", d)
	}
	// An offer without a section is answered without a section.
	a := answer(t, testParams(), parse(t, rejected)).String()
	if d := data(t, a); !d.Rejected || strings.Contains(a, "BUNDLE") {
		t.Errorf("%+v", d)
	}
}

func TestMaxMessageSize(t *testing.T) {
	for value, want := range map[string]int{
		"": DefaultMaxMessageSize, "0": 0, "1": 1, " 1200 ": 1200, "65536": 65536,
		"2147483647": 1<<31 - 1, "2147483648": 1<<31 - 1, "99999999999999999999999": 1<<31 - 1,
	} {
		text := minimal
		if value != "" {
			text += "a=max-message-size:" + value + "\r\n"
		}
		if d := data(t, text); d.MaxMessageSize != want {
			t.Errorf("%q: %d, want %d", value, d.MaxMessageSize, want)
		}
	}
}

// Errors contain the line and the column.
func TestErrors(t *testing.T) {
	const head = "v=0\no=- 1 1 IN IP4 0.0.0.0\n"
	lines := strings.Count(minimal, "\n")
	for _, tt := range []struct {
		text         string
		line, column int
		problem      string
	}{
		{"", 1, 1, "no v="},
		{"v=0\n", 1, 1, "no o="},
		{"o=- 1 1 IN IP4 0.0.0.0\n", 1, 1, "v=0 first"},
		{"v=1\n", 1, 3, "version"},
		{head + "garbage\n", 3, 1, "letter"},
		{head + "a\n", 3, 1, "letter"},
		{head + "A=b\n", 3, 1, "letter"},
		{head + "a=x\x00y\n", 3, 4, "byte"},
		{head + "a=x\ry\n", 3, 4, "byte"},
		{"v=0\no=- 1 1 IN IP4\n", 2, 3, "5 fields"},
		{"v=0\no=- x 1 IN IP4 0.0.0.0\n", 2, 5, "session id"},
		{"v=0\no=- 1 x IN IP4 0.0.0.0\n", 2, 7, "session version"},
		{head + "m=application\n", 3, 3, "1 fields"},
		{head + "m=application 65536 UDP/DTLS/SCTP webrtc-datachannel\n", 3, 15, "65535"},
		{head + "m=application -1 UDP/DTLS/SCTP webrtc-datachannel\n", 3, 15, "65535"},
		{head + "s=" + strings.Repeat("x", MaxSize), 1, 1, "longer"},
		{head + strings.Repeat("m=audio 0 RTP/AVP 0\n", MaxMedia+1), MaxMedia + 3, 1, "more than"},
	} {
		_, err := Parse(tt.text)
		wantSyntaxError(t, tt.text, err, tt.line, tt.column, tt.problem)
	}
	for _, tt := range []struct {
		text         string
		line, column int
		problem      string
	}{
		{head + "m=application 9 DTLS/SCTP 0\n", 3, 1, "SCTP port"},
		{head + "m=application 9 DTLS/SCTP 0\n", 3, 1, "SCTP port"},
		{strings.Replace(minimal, "a=ice-ufrag:abcd\r\n", "", 1), 5, 1, "ice-ufrag"},
		{strings.Replace(minimal, "a=ice-pwd:0123456789012345678901\r\n", "", 1), 5, 1, "ice-pwd"},
		{strings.Replace(minimal, "a=fingerprint:"+testFingerprint+"\r\n", "", 1), 5, 1, "fingerprint"},
		{strings.Replace(minimal, "abcd", "abc", 1), 6, 13, "3 characters"},
		{strings.Replace(minimal, "abcd", "ab:d", 1), 6, 15, "character ':'"},
		{strings.Replace(minimal, "abcd", strings.Repeat("a", 257), 1), 6, 13, "257 characters"},
		{strings.Replace(minimal, "0123456789012345678901", "short", 1), 7, 11, "5 characters"},
		{strings.Replace(minimal, "sha-256 ", "", 1), 8, 15, "1 fields"},
		{strings.Replace(minimal, "00:11", "0g:11", 1), 8, 23, "hexadecimal"},
		{strings.Replace(minimal, "00:11:22", "001:1:22", 1), 8, 23, "hexadecimal"},
		{strings.Replace(minimal, testFingerprint, "sha-256 ABC:D", 1), 8, 23, "hexadecimal"},
		{minimal + "a=setup:both\r\n", lines + 1, 9, "setup"},
		{minimal + "a=sctp-port:0\r\n", lines + 1, 13, "SCTP port"},
		{minimal + "a=sctp-port:x\r\n", lines + 1, 13, "SCTP port"},
		{minimal + "a=max-message-size:-1\r\n", lines + 1, 20, "max-message-size"},
		{strings.Replace(minimal, "UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000", 1) + "a=sctpmap:5001 webrtc-datachannel\r\n", lines + 1, 11, "sctpmap"},
		{strings.Replace(minimal, "t=0 0", "a=setup:both", 1), 4, 9, "setup"},
	} {
		_, err := parse(t, tt.text).Data()
		wantSyntaxError(t, tt.text, err, tt.line, tt.column, tt.problem)
	}
}

func wantSyntaxError(t *testing.T, text string, err error, line, column int, problem string) {
	t.Helper()
	var e *SyntaxError
	if !errors.As(err, &e) || e.Line != line || e.Column != column || !strings.Contains(e.Problem, problem) {
		t.Errorf("%.200q: %v, want %q at line %d column %d", text, err, problem, line, column)
	}
	if len(fmt.Sprint(err)) > 300 {
		t.Errorf("%.60q: an error of %d bytes", text, len(fmt.Sprint(err)))
	}
}

// The size of the values that a description contains is limited.
func TestLimits(t *testing.T) {
	text := minimal + strings.Repeat("a=candidate:1 1 udp 1 10.0.0.1 1 typ host\r\n", maxCandidates+7) + strings.Repeat("a=fingerprint:sha-1 AB\r\n", 1000)
	if d := data(t, text); len(d.Candidates) != maxCandidates || d.MoreCandidates != 7 || len(d.Fingerprints) != maxFingerprints {
		t.Errorf("%d candidates and %d more, %d fingerprints", len(d.Candidates), d.MoreCandidates, len(d.Fingerprints))
	}
}

// Every truncated description is either an error, or is the same after writing and
// parsing it once more.
func TestTruncated(t *testing.T) {
	text := golden(t, "chromium-maxbundle-offer")
	for i := range text {
		checkParse(t, text[:i])
	}
}

func TestWithCandidates(t *testing.T) {
	s := parse(t, golden(t, "firefox-offer-gathered"))
	before := s.String()
	one := []string{"candidate:1 1 udp 1 10.0.0.1 1 typ host"}
	d := data(t, s.WithCandidates(0, one, false))
	if !cmp.Equal(d.Candidates, one) || d.EndOfCandidates {
		t.Errorf("%+v", d)
	}
	if d = data(t, s.WithCandidates(0, nil, true)); d.Candidates != nil || !d.EndOfCandidates {
		t.Errorf("%+v", d)
	}
	if s.String() != before {
		t.Error("the session itself was changed")
	}
}

// checkParse checks the properties that every text must have when it is parsed.
func checkParse(t *testing.T, text string) {
	s, err := Parse(text)
	if err != nil {
		if e := (*SyntaxError)(nil); !errors.As(err, &e) || e.Line < 1 || e.Column < 1 {
			t.Fatalf("error %#v", err)
		}
		return
	}
	written := s.String()
	again, err := Parse(written)
	if err != nil {
		t.Fatalf("what was written cannot be read: %v\n%q", err, written)
	}
	if again.String() != written {
		t.Fatalf("not stable: %s", cmp.Diff(written, again.String()))
	}
	d, err := s.Data()
	if err != nil {
		return
	}
	p := testParams()
	a := p.Answer(s, d)
	parsed, err := Parse(a)
	if err != nil {
		t.Fatalf("the answer cannot be read: %v\n%s", err, a)
	}
	got, err := parsed.Data()
	if err != nil || got.Index != d.Index || got.Rejected != d.Rejected || len(parsed.Media) != len(s.Media) {
		t.Fatalf("the answer has %+v, %v, for %+v", got, err, d)
	}
	later, err := Parse(p.Offer(parsed, s))
	if err != nil {
		t.Fatalf("the later offer cannot be read: %v", err)
	}
	if _, err := later.Data(); err != nil {
		t.Fatalf("the later offer: %v", err)
	}
}

// BenchmarkManySections parses a description of maximum length in the worst form:
// nearly all lines are in its first section.
func BenchmarkManySections(b *testing.B) {
	const section = "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\n"
	var text strings.Builder
	text.WriteString("v=0\no=- 1 1 IN IP4 0.0.0.0\n" + section)
	for text.Len() < MaxSize-MaxMedia*len(section) {
		text.WriteString("a=x\n")
	}
	for range MaxMedia - 1 {
		text.WriteString(section)
	}
	s, err := Parse(text.String())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if d, err := s.Data(); err != nil || d.Index != 0 || !d.Rejected {
			b.Fatalf("%+v, %v", d, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.sdp")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add(minimal)
	f.Add(strings.Replace(minimal, "UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000", 1))
	f.Add("v=0\no=- 1 1 IN IP4 0.0.0.0\na=group:BUNDLE a d\nm=audio 9/2 X Y Z\na=mid:a\nm=application 0 UDP/DTLS/SCTP webrtc-datachannel\na=mid:d\na=bundle-only\n")
	f.Fuzz(checkParse)
}
