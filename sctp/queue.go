package sctp

// A queue is a FIFO queue in a ring that grows. trim releases its memory. The zero value
// is empty.
type queue[T any] struct {
	ring []T // its length is a power of two
	head uint
	n    int
}

func (q *queue[T]) push(v T) {
	if q.n == len(q.ring) {
		ring := make([]T, max(1, 2*len(q.ring)))
		for i := range q.n {
			ring[i] = q.ring[(q.head+uint(i))&uint(len(q.ring)-1)]
		}
		q.ring, q.head = ring, 0
	}
	q.ring[(q.head+uint(q.n))&uint(len(q.ring)-1)] = v
	q.n++
}

// at returns the i-th value from the front.
func (q *queue[T]) at(i int) *T { return &q.ring[(q.head+uint(i))&uint(len(q.ring)-1)] }

func (q *queue[T]) pop() (v T, ok bool) {
	if q.n == 0 {
		return v, false
	}
	var zero T
	v = q.ring[q.head]
	q.ring[q.head] = zero
	q.head = (q.head + 1) & uint(len(q.ring)-1)
	q.n--
	return v, true
}

// trim releases the memory of an empty queue.
func (q *queue[T]) trim() {
	if q.n == 0 {
		*q = queue[T]{}
	}
}
