package sdp

import "strings"

// A bundle holds the indexes of the sections that share the data section's
// transport, in the order of the BUNDLE group (RFC 9143 §7): the data section,
// and the media sections of its group that can be accepted beside it. The first
// is the tagged section, whose transport attributes hold for all.
type bundle []int

// bundle returns the bundle of the data section at index. A data section that
// is in no group is alone. It is empty if index is -1.
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
			delete(sections, mid) // a mid that the group lists twice counts once
		}
	}
	return b
}

// group returns the mids of the BUNDLE group that has this mid, separated by
// spaces, or "".
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

// bundled reports whether a section with this mid is in a BUNDLE group.
func (s *Session) bundled(mid string) bool { return s.group(mid) != "" }

// bundles reports whether m is a media section that can be accepted in the
// bundle of a data section: RTP over DTLS, with RTCP on the same transport
// (RFC 9143 §9.3).
func (m *Media) bundles() bool {
	_, mux := m.Attribute("rtcp-mux")
	return mux && !m.rejected() && (strings.HasSuffix(m.Proto, "RTP/SAVPF") || strings.HasSuffix(m.Proto, "RTP/SAVP"))
}

// transport returns the index of the section whose transport attributes hold
// for the data section at index: the tagged one of its bundle (RFC 9143 §7.1.3). A tagged
// section without credentials is passed over.
func (s *Session) transport(index int) int {
	for _, i := range s.bundle(index) {
		if _, ok := s.Media[i].Attribute("ice-ufrag"); ok {
			return i
		}
	}
	return index
}

// both returns the sections of b that are also in o.
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

// mids returns the mids of the bundle's sections.
func (b bundle) mids(sections []Media) []string {
	out := make([]string, 0, len(b))
	for _, i := range b {
		mid, _ := sections[i].Attribute("mid")
		out = append(out, mid)
	}
	return out
}

// codec returns the first format of a media section that is a codec, and not
// an aid to others such as retransmission.
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
