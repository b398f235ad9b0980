package datachannel

import (
	"slices"
	"testing"
)

// A table of few channels and a table of many channels behave alike.
func TestTable(t *testing.T) {
	var all table
	var want []uint16
	for n := range uint16(3 * fewChannels) {
		id := 60000 - 7*n
		if all.get(id) != nil {
			t.Fatalf("stream %d is there already", id)
		}
		all.add(&Channel{id: id})
		want = append([]uint16{id}, want...)
		if got := all.ids(); !slices.Equal(got, want) {
			t.Fatalf("streams %v, want %v", got, want)
		}
		for _, id := range want {
			if c := all.get(id); c == nil || c.id != id {
				t.Fatalf("stream %d is lost among %d", id, len(want))
			}
		}
	}
	for _, id := range slices.Clone(want) {
		all.remove(id)
		want = want[1:]
		if got := all.ids(); all.get(id) != nil || !slices.Equal(got, want) {
			t.Fatalf("streams %v after %d was removed, want %v", got, id, want)
		}
	}
	if all.many != nil {
		t.Error("an empty map is kept")
	}
	if all.add(&Channel{id: 3}); len(all.few) != 1 || !slices.Equal(all.ids(), []uint16{3}) {
		t.Error("not a small table again")
	}
}
