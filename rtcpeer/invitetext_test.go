package rtcpeer

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func testInvitation() *invitation {
	v := newInvitation([]byte("a secret of the test"))
	v.fingerprint = [32]byte{1, 2, 3, 31: 255}
	v.expires = time.Unix(2e9, 0)
	v.addrs = []inviteAddr{
		{netip.MustParseAddrPort("192.0.2.1:3478"), false}, {netip.MustParseAddrPort("[2001:db8::1]:3478"), false},
		{netip.MustParseAddrPort("192.0.2.1:443"), true}, {netip.MustParseAddrPort("[2001:db8::1]:443"), true},
	}
	return v
}

// TestInviteText pins the format, which other programs and pages read.
func TestInviteText(t *testing.T) {
	v := testInvitation()
	const want = "rtc1.jxxQAnu850T9pvW7VPWCvO7Omj-4x25hAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP93NZQABMAAAgENlgYgAQ24AAAAAAAAAAAAAAABDZYUwAACAQG7FiABDbgAAAAAAAAAAAAAAAEBuw"
	text := v.String()
	got, err := parseInvitation(" " + text + "\n")
	if err != nil || got.ufrag != v.ufrag || got.pwd != v.pwd || got.fingerprint != v.fingerprint || !got.expires.Equal(v.expires) || !slices.Equal(got.addrs, v.addrs) {
		t.Errorf("%s is %+v, %v", text, got, err)
	}
	if text != want {
		t.Errorf("the text is %s, not %s", text, want)
	}
	c := v.credentials()
	if err := (&Config{ICEUfrag: c.ufrag, ICEPwd: c.pwd}).checkCredentials(); err != nil {
		t.Error(err)
	}
	j := v.joinerCredentials(joinerPrefix + "012345678901")
	if err := (&Config{ICEUfrag: j.ufrag, ICEPwd: j.pwd}).checkCredentials(); err != nil || j.pwd == c.pwd {
		t.Errorf("%v, the joiner's password is %s, the host's %s", err, j.pwd, c.pwd)
	}
}

func TestInviteTextErrors(t *testing.T) {
	text := testInvitation().String()
	none := testInvitation()
	none.addrs = nil
	for _, c := range []struct{ text, says string }{
		{"", "does not begin with rtc1."},
		{"hello", "does not begin with rtc1."},
		{"rtc2." + text[5:], "version"},
		{text[:20], "damaged or incomplete"},
		{text[:len(text)-3], "damaged or incomplete"},
		{text + "!", "damaged or incomplete"},
		{none.String(), "no address"},
		{text + strings.Repeat("A", 1000), "more than 1000"},
		{text + "AAAA", "damaged or incomplete"},
	} {
		if _, err := parseInvitation(c.text); !errors.Is(err, ErrInvalidParameter) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want %q", c.text, err, c.says)
		}
	}
}

// FuzzInviteText parses any text. If the text is valid, its invitation is written as
// the same text again.
func FuzzInviteText(f *testing.F) {
	f.Add(testInvitation().String())
	f.Add("rtc1.")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseInvitation(text)
		if err == nil && v.String() != strings.TrimSpace(text) {
			t.Errorf("%q became %q", text, v.String())
		}
	})
}
