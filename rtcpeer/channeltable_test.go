package rtcpeer

import "testing"

// A table of one channel and a table of many channels behave alike.
func TestChannelTable(t *testing.T) {
	var table channelTable
	var all []*channel
	check := func() {
		t.Helper()
		n := 0
		table.each(func(*channel) { n++ })
		if n != len(all) {
			t.Errorf("%d channels, want %d", n, len(all))
		}
		for _, c := range all {
			if table.get(c.ext) != c {
				t.Error("a channel is lost")
			}
		}
	}
	add := func() {
		c := &channel{ext: &stackChannel{}}
		table.add(c)
		all = append(all, c)
		check()
	}
	remove := func() {
		c := all[0]
		all = all[1:]
		table.remove(c.ext)
		if check(); table.get(c.ext) != nil {
			t.Error("still there")
		}
	}
	for range 5 {
		add()
	}
	remove()
	add() // the new channel is stored in the place of the first one
	for len(all) > 0 {
		remove()
	}
	if table.get(nil) != nil {
		t.Error("a channel without extension")
	}
}
