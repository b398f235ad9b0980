package sctp

// A runHeap is a heap of runs in the order in which FORWARD TSNs skip them. A remote may
// have hundreds of thousands of runs under way and skip one with each packet. Without the
// heap, 28 bytes of the remote would cost 14 ms.
type runHeap struct {
	runs  []*run
	byTSN bool // ordered by the first TSN (DATA chunks), or else by the message's number
}

// before reports whether u is skipped before v.
func (h *runHeap) before(o messageOrder, u, v *run) bool {
	if h.byTSN {
		return chunkTSN(u.first.pos).before(chunkTSN(v.first.pos))
	}
	return o.before(u.first.seq, v.first.seq)
}

// at returns the index of a run in the heap.
func (h *runHeap) at(u *run) *int {
	if h.byTSN {
		return &u.atTSN
	}
	return &u.atSeq
}

// top returns the first run, or nil.
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

// remove removes a run if it is in the heap.
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
