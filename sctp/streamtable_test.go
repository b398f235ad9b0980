package sctp

import (
	"slices"
	"testing"
)

// A table of few streams and a table of many behave alike.
func TestStreamTable(t *testing.T) {
	var table streamTable[int]
	value := func(id uint16) *int { return new(int(id)) }
	var want []uint16
	for n := range uint16(3 * fewStreams) {
		id := 60000 - 7*n
		if table.get(id) != nil {
			t.Fatalf("stream %d is there already", id)
		}
		table.add(id, value(id))
		want = append([]uint16{id}, want...)
		if got := table.ids(); !slices.Equal(got, want) {
			t.Fatalf("streams %v, want %v", got, want)
		}
		for _, id := range want {
			if s := table.get(id); s == nil || *s != int(id) {
				t.Fatalf("stream %d is lost among %d", id, len(want))
			}
		}
	}
	for _, id := range slices.Clone(want) {
		table.remove(id)
		want = want[1:]
		if got := table.ids(); table.get(id) != nil || !slices.Equal(got, want) {
			t.Fatalf("streams %v after %d was removed, want %v", got, id, want)
		}
	}
	if table.many != nil {
		t.Error("an empty map is kept")
	}
	table.add(3, value(3))
	if len(table.few) != 1 || !slices.Equal(table.ids(), []uint16{3}) {
		t.Error("not a small table again")
	}
}

// A table releases the memory of removed streams.
func TestStreamTableShrinks(t *testing.T) {
	var table streamTable[int]
	for id := range uint16(5000) {
		table.add(id, new(int))
	}
	for id := range uint16(4990) {
		table.remove(id)
	}
	if table.len() != 10 || table.many.peak > 700 || table.get(4990) == nil || table.get(4989) != nil {
		t.Errorf("%d streams, of at most %d", table.len(), table.many.peak)
	}
}
