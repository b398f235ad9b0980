package sctp

import (
	"maps"
	"slices"
)

// A streamTable maps stream numbers to state. Most associations use few streams, for which
// a map would take more memory than the state itself, and more time. The zero value is
// empty.
type streamTable[S any] struct {
	few  []streamEntry[S] // up to fewStreams entries
	many *streamMap[S]    // all entries, once there were more than fewStreams
}

type streamEntry[S any] struct {
	id     uint16
	stream *S
}

// A streamMap is a map that releases memory. A plain map keeps the memory for as many
// entries as it ever had.
type streamMap[S any] struct {
	byID map[uint16]*S
	peak int // highest number of streams since byID was made
}

const fewStreams = 8

// get returns the state of a stream, or nil.
func (t *streamTable[S]) get(id uint16) *S {
	for i := range t.few {
		if t.few[i].id == id {
			return t.few[i].stream
		}
	}
	if t.many == nil {
		return nil
	}
	return t.many.byID[id]
}

// add adds the state of a stream that is not in the table.
func (t *streamTable[S]) add(id uint16, s *S) {
	if t.many == nil && len(t.few) < fewStreams {
		t.few = append(t.few, streamEntry[S]{id, s})
		return
	}
	if t.many == nil {
		t.many = &streamMap[S]{byID: make(map[uint16]*S, 2*fewStreams)}
		for _, e := range t.few {
			t.many.byID[e.id] = e.stream
		}
		t.few = nil
	}
	t.many.byID[id] = s
	t.many.peak = max(t.many.peak, len(t.many.byID))
}

// remove removes a stream.
func (t *streamTable[S]) remove(id uint16) {
	m := t.many
	if m == nil {
		t.few = slices.DeleteFunc(t.few, func(e streamEntry[S]) bool { return e.id == id })
		return
	}
	delete(m.byID, id)
	switch n := len(m.byID); {
	case n == 0:
		t.many = nil
	case m.peak >= 1024 && n < m.peak/8:
		byID := make(map[uint16]*S, n)
		maps.Copy(byID, m.byID)
		m.byID, m.peak = byID, n
	}
}

// len returns the number of streams.
func (t *streamTable[S]) len() int {
	if t.many != nil {
		return len(t.many.byID)
	}
	return len(t.few)
}

// each calls f with the state of every stream, in no order.
func (t *streamTable[S]) each(f func(*S)) {
	for _, e := range t.few {
		f(e.stream)
	}
	if t.many != nil {
		for _, s := range t.many.byID {
			f(s)
		}
	}
}

// ids returns the streams in order.
func (t *streamTable[S]) ids() []uint16 {
	ids := make([]uint16, 0, t.len())
	for _, e := range t.few {
		ids = append(ids, e.id)
	}
	if t.many != nil {
		for id := range t.many.byID {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
