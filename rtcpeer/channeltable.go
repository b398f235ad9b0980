package rtcpeer

// A channelTable has the channels of a Conn by their ChannelExtension. Most
// connections have one channel, for which a map would take more memory than the
// channel. The zero value is empty.
type channelTable struct {
	one  *channel                      // one of the channels; nil: all channels are in more
	more map[ChannelExtension]*channel // all other channels
}

// get returns the channel; nil: there is none.
func (t *channelTable) get(ext ChannelExtension) *channel {
	if t.one != nil && t.one.ext == ext {
		return t.one
	}
	return t.more[ext]
}

func (t *channelTable) add(c *channel) {
	if t.one == nil || t.one.ext == c.ext {
		t.one = c
		return
	}
	if t.more == nil {
		t.more = map[ChannelExtension]*channel{}
	}
	t.more[c.ext] = c
}

func (t *channelTable) remove(ext ChannelExtension) {
	if t.one != nil && t.one.ext == ext {
		t.one = nil
	} else {
		delete(t.more, ext)
	}
}

// each calls f for every channel, in no order.
func (t *channelTable) each(f func(*channel)) {
	if t.one != nil {
		f(t.one)
	}
	for _, c := range t.more {
		f(c)
	}
}
