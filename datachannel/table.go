package datachannel

import "slices"

// A table holds the channels of a session by stream. Most sessions have a few
// channels, for which a map would take more memory than the channels themselves. The
// zero value is empty.
type table struct {
	few  []*Channel          // up to fewChannels channels
	many map[uint16]*Channel // all channels, once there were more than fewChannels; otherwise nil
}

const fewChannels = 8

// get returns the channel of a stream, or nil if there is none.
func (t *table) get(id uint16) *Channel {
	for _, c := range t.few {
		if c.id == id {
			return c
		}
	}
	return t.many[id]
}

// add adds a channel. No other channel may have its stream.
func (t *table) add(c *Channel) {
	if t.many == nil && len(t.few) < fewChannels {
		t.few = append(t.few, c)
		return
	}
	if t.many == nil {
		t.many = make(map[uint16]*Channel, 2*fewChannels)
		for _, c := range t.few {
			t.many[c.id] = c
		}
		t.few = nil
	}
	t.many[c.id] = c
}

// remove removes the channel of a stream.
func (t *table) remove(id uint16) {
	t.few = slices.DeleteFunc(t.few, func(c *Channel) bool { return c.id == id })
	if delete(t.many, id); len(t.many) == 0 {
		t.many = nil
	}
}

// len returns the number of channels.
func (t *table) len() int { return len(t.few) + len(t.many) }

// ids returns the streams in order, so that nothing depends on the order of a map.
func (t *table) ids() []uint16 {
	ids := make([]uint16, 0, t.len())
	for _, c := range t.few {
		ids = append(ids, c.id)
	}
	for id := range t.many {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
