package sctp

import "slices"

// A streamTable holds what is known of streams, by their number. Most
// associations use a few, for which a map would take more room than what it
// leads to, and more time. The zero value is empty.
type streamTable[S any] struct {
	few  []streamEntry[S] // up to fewStreams of them
	many map[uint16]*S    // all, once there were more; else nil
}

type streamEntry[S any] struct {
	id     uint16
	stream *S
}

const fewStreams = 8

// get returns the stream's state; nil: there is none.
func (t *streamTable[S]) get(id uint16) *S {
	for i := range t.few {
		if t.few[i].id == id {
			return t.few[i].stream
		}
	}
	return t.many[id]
}

// add adds the state of a stream that has none.
func (t *streamTable[S]) add(id uint16, s *S) {
	if t.many == nil && len(t.few) < fewStreams {
		t.few = append(t.few, streamEntry[S]{id, s})
		return
	}
	if t.many == nil {
		t.many = make(map[uint16]*S, 2*fewStreams)
		for _, e := range t.few {
			t.many[e.id] = e.stream
		}
		t.few = nil
	}
	t.many[id] = s
}

// remove forgets a stream.
func (t *streamTable[S]) remove(id uint16) {
	t.few = slices.DeleteFunc(t.few, func(e streamEntry[S]) bool { return e.id == id })
	if delete(t.many, id); len(t.many) == 0 {
		t.many = nil
	}
}

// each calls f with every stream's state, in no order.
func (t *streamTable[S]) each(f func(*S)) {
	for _, e := range t.few {
		f(e.stream)
	}
	for _, s := range t.many {
		f(s)
	}
}

// ids lists the streams, in order.
func (t *streamTable[S]) ids() []uint16 {
	ids := make([]uint16, 0, len(t.few)+len(t.many))
	for _, e := range t.few {
		ids = append(ids, e.id)
	}
	for id := range t.many {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
