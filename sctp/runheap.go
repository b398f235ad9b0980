package sctp

// A runHeap is a heap of incomplete runs, of which first come those that a
// FORWARD TSN names first. A far end may have hundreds of thousands of runs under
// way, and each of its packets may skip one: to look at them all each time would
// cost it 28 bytes, and us 14 ms.
type runHeap struct {
	runs  []*run
	byTSN bool // of DATA chunks, by the first TSN; else by the number of the message
}

// before is the order of the heap.
func (h *runHeap) before(o messageOrder, u, v *run) bool {
	if h.byTSN {
		return chunkTSN(u.first.pos).before(chunkTSN(v.first.pos))
	}
	return o.before(u.first.seq, v.first.seq)
}

// at is where in the heap a run is.
func (h *runHeap) at(u *run) *int {
	if h.byTSN {
		return &u.atTSN
	}
	return &u.atSeq
}

// top is the first run; nil: there is none.
func (h *runHeap) top() *run {
	if len(h.runs) == 0 {
		return nil
	}
	return h.runs[0]
}

func (h *runHeap) add(o messageOrder, u *run) {
	h.runs = append(h.runs, u)
	*h.at(u) = len(h.runs) - 1
	h.up(o, len(h.runs)-1)
}

// remove takes a run out, if it is there.
func (h *runHeap) remove(o messageOrder, u *run) {
	i, last := *h.at(u), len(h.runs)-1
	if i > last || h.runs[i] != u {
		return
	}
	h.swap(i, last)
	h.runs[last] = nil
	if h.runs = shrunk(h.runs[:last]); i < last {
		h.down(o, i)
		h.up(o, i)
	}
}

func (h *runHeap) swap(i, j int) {
	h.runs[i], h.runs[j] = h.runs[j], h.runs[i]
	*h.at(h.runs[i]), *h.at(h.runs[j]) = i, j
}

func (h *runHeap) up(o messageOrder, i int) {
	for i > 0 && h.before(o, h.runs[i], h.runs[(i-1)/2]) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (h *runHeap) down(o messageOrder, i int) {
	for {
		child := 2*i + 1
		if child >= len(h.runs) {
			return
		}
		if child+1 < len(h.runs) && h.before(o, h.runs[child+1], h.runs[child]) {
			child++
		}
		if !h.before(o, h.runs[child], h.runs[i]) {
			return
		}
		h.swap(i, child)
		i = child
	}
}
