package rtcpeer

// A fifo is a queue, first in, first out. An empty fifo keeps room for up to fifoKept
// items. The zero value is empty.
type fifo[T any] struct {
	items []T
	head  int // index of the first item
}

// fifoKept is the number of items for which an empty queue keeps room.
const fifoKept = 64

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) push(v T) {
	if q.head > 0 && len(q.items) == cap(q.items) && q.head >= len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

func (q *fifo[T]) pop() (v T, ok bool) {
	if q.len() == 0 {
		return v, false
	}
	v, q.items[q.head] = q.items[q.head], v
	if q.head++; q.len() == 0 {
		q.items, q.head = q.items[:0], 0
		if cap(q.items) > fifoKept {
			q.items = nil
		}
	}
	return v, true
}
