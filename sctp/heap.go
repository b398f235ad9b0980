package sctp

// heapUp moves item i of a binary heap towards the root, while it is less than its
// parent. moved, if not nil, is called with each item and its new index.
func heapUp[T any](h []T, i int, less func(a, b T) bool, moved func(v T, i int)) {
	for parent := (i - 1) / 2; i > 0 && less(h[i], h[parent]); parent = (i - 1) / 2 {
		heapSwap(h, i, parent, moved)
		i = parent
	}
}

// heapDown moves item i away from the root, while one of its children is less than it.
func heapDown[T any](h []T, i int, less func(a, b T) bool, moved func(v T, i int)) {
	for {
		child := 2*i + 1
		if child+1 < len(h) && less(h[child+1], h[child]) {
			child++
		}
		if child >= len(h) || !less(h[child], h[i]) {
			return
		}
		heapSwap(h, i, child, moved)
		i = child
	}
}

// heapRemove removes item i of a binary heap.
func heapRemove[T any](h []T, i int, less func(a, b T) bool, moved func(v T, i int)) []T {
	var zero T
	last := len(h) - 1
	heapSwap(h, i, last, moved)
	h[last] = zero
	if h = h[:last]; i < last {
		heapDown(h, i, less, moved)
		heapUp(h, i, less, moved)
	}
	return h
}

func heapSwap[T any](h []T, i, j int, moved func(v T, i int)) {
	h[i], h[j] = h[j], h[i]
	if moved != nil {
		moved(h[i], i)
		moved(h[j], j)
	}
}
