package datachannel

// A channelList is a linked list of channels. The links are in the channels. A channel
// is in at most one list of each kind.
type channelList struct {
	kind        listKind
	first, last *Channel
}

type listKind uint8

const (
	listLive  listKind = iota // channels with a remote side that is not reset
	listTimed                 // channels that wait for the remote, in the order of their deadlines
	listKinds
)

// A link is the place of a channel in a list.
type link struct {
	list       *channelList // nil: the channel is in no list
	prev, next *Channel
}

func (l *channelList) add(c *Channel) {
	k := &c.links[l.kind]
	*k = link{list: l, prev: l.last}
	if l.last == nil {
		l.first = c
	} else {
		l.last.links[l.kind].next = c
	}
	l.last = c
}

// unlink removes a channel from its list of the given kind, if it is in one.
func (c *Channel) unlink(kind listKind) {
	k := &c.links[kind]
	l := k.list
	if l == nil {
		return
	}
	if k.prev == nil {
		l.first = k.next
	} else {
		k.prev.links[kind].next = k.next
	}
	if k.next == nil {
		l.last = k.prev
	} else {
		k.next.links[kind].prev = k.prev
	}
	*k = link{}
}
