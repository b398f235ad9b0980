package sdp

import "strings"

// A bundle contains the indexes of the sections that share the transport of the data
// section, in the order of the BUNDLE group (RFC 9143 §7). These are the data
// section, and the media sections of its group that can be accepted together with it.
// The first section is the tagged section. Its transport attributes apply to all of
// them.
type bundle []int

// bundle returns the bundle that contains the data section. index is the index of the
// data section. If the data section is in no group, the bundle contains only the data
// section. If index is -1, the bundle is empty.
func (s *Session) bundle(index int) bundle {
	if index < 0 {
		return nil
	}
	mid, _ := s.Media[index].Attribute("mid")
	group := s.group(mid)
	if len(s.Media) == 1 || group == "" {
		return bundle{index}
	}
	sections := map[string]int{}
	for i := range s.Media {
		m := &s.Media[i]
		mid, ok := m.Attribute("mid")
		if _, known := sections[mid]; ok && !known && (i == index || m.bundles()) {
			sections[mid] = i
		}
	}
	var b bundle
	for mid := range strings.FieldsSeq(group) {
		if i, ok := sections[mid]; ok {
			b = append(b, i)
			delete(sections, mid) // a mid that the group lists twice is used only once
		}
	}
	return b
}

// group returns the mids of the BUNDLE group that contains this mid, separated by
// spaces; empty: there is no such group.
func (s *Session) group(mid string) string {
	for _, l := range s.Lines {
		name, value, ok := l.attribute()
		if !ok || name != "group" {
			continue
		}
		mids, ok := strings.CutPrefix(value, "BUNDLE ")
		if !ok {
			continue
		}
		for m := range strings.FieldsSeq(mids) {
			if m == mid {
				return mids
			}
		}
	}
	return ""
}

// bundled reports whether the section with this mid is in a BUNDLE group.
func (s *Session) bundled(mid string) bool { return s.group(mid) != "" }

// bundles reports whether m is a media section that can be accepted in the bundle of a
// data section. Its protocol must be RTP over DTLS, with RTCP on the same transport
// (RFC 9143 §9.3).
func (m *Media) bundles() bool {
	_, mux := m.Attribute("rtcp-mux")
	return mux && !m.rejected() && (strings.HasSuffix(m.Proto, "RTP/SAVPF") || strings.HasSuffix(m.Proto, "RTP/SAVP"))
}

// transport returns the index of the section with the transport attributes that apply
// to the data section. This is the tagged section of its bundle (RFC 9143 §7.1.3).
// index is the index of the data section. A tagged section without ICE credentials is
// ignored.
func (s *Session) transport(index int) int {
	for _, i := range s.bundle(index) {
		if _, ok := s.Media[i].Attribute("ice-ufrag"); ok {
			return i
		}
	}
	return index
}

// both returns the sections that are in b and in o, in the order of b.
func (b bundle) both(o bundle) bundle {
	in := map[int]bool{}
	for _, i := range o {
		in[i] = true
	}
	var out bundle
	for _, i := range b {
		if in[i] {
			out = append(out, i)
		}
	}
	return out
}

// mids returns the mids of the sections in the bundle.
func (b bundle) mids(sections []Media) []string {
	out := make([]string, 0, len(b))
	for _, i := range b {
		mid, _ := sections[i].Attribute("mid")
		out = append(out, mid)
	}
	return out
}

// codec returns the first format of a media section that is a codec itself. Formats
// that support other codecs, such as retransmission, are skipped.
func (m *Media) codec() string {
	aids := map[string]bool{}
	for _, l := range m.Lines {
		if name, value, ok := l.attribute(); ok && name == "rtpmap" {
			format, encoding, _ := strings.Cut(value, " ")
			encoding, _, _ = strings.Cut(encoding, "/")
			switch strings.ToLower(encoding) {
			case "rtx", "red", "ulpfec", "flexfec-03", "cn", "telephone-event":
				aids[format] = true
			}
		}
	}
	for _, f := range m.Formats {
		if !aids[f] {
			return f
		}
	}
	return m.Formats[0]
}
