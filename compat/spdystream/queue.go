package spdystream

import (
	"sort"
	"sync"

	"github.com/moby/spdystream/spdy"
)

// FRAME_WORKERS and QUEUE_SIZE are the number of goroutines, and the number of frames queued for
// each, in the original. They are kept for programs that name them: this package has no such
// queues.
const (
	FRAME_WORKERS = 5
	QUEUE_SIZE    = 50
)

// A PriorityFrameQueue returns frames by priority, and frames of equal priority in the order of
// arrival. Connections here do not use it; the type is kept for programs that do. Any number of
// goroutines may use a queue at once.
type PriorityFrameQueue struct {
	queue *frameQueue
}

type frameQueue struct {
	size int

	mu       sync.Mutex
	changed  sync.Cond
	waiting  []waitingFrame // by priority, the next frame last
	draining bool
}

type waitingFrame struct {
	frame    spdy.Frame
	priority uint8
}

// NewPriorityFrameQueue returns a queue for size frames, at least one.
func NewPriorityFrameQueue(size int) *PriorityFrameQueue {
	q := &frameQueue{size: max(size, 1)}
	q.changed.L = &q.mu
	return &PriorityFrameQueue{q}
}

// Push adds a frame; 0 is the most urgent priority. Push blocks while the queue is full, and drops
// the frame if the queue is full and Drain has been called.
func (q *PriorityFrameQueue) Push(frame spdy.Frame, priority uint8) { q.queue.push(frame, priority) }

// Pop removes the next frame. Pop blocks while the queue is empty, and returns nil if the queue is
// empty and Drain has been called.
func (q *PriorityFrameQueue) Pop() spdy.Frame { return q.queue.pop() }

// Drain makes Pop and Push return instead of blocking.
func (q *PriorityFrameQueue) Drain() {
	q.queue.mu.Lock()
	defer q.queue.mu.Unlock()
	q.queue.draining = true
	q.queue.changed.Broadcast()
}

func (q *frameQueue) push(frame spdy.Frame, priority uint8) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) >= q.size {
		if q.draining {
			return
		}
		q.changed.Wait()
	}
	// The slice is popped from its end: insert in front of all frames that are as urgent or more.
	at := sort.Search(len(q.waiting), func(i int) bool { return q.waiting[i].priority <= priority })
	q.waiting = append(q.waiting, waitingFrame{})
	copy(q.waiting[at+1:], q.waiting[at:])
	q.waiting[at] = waitingFrame{frame, priority}
	q.changed.Broadcast()
}

func (q *frameQueue) pop() spdy.Frame {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 {
		if q.draining {
			return nil
		}
		q.changed.Wait()
	}
	last := len(q.waiting) - 1
	frame := q.waiting[last].frame
	q.waiting[last] = waitingFrame{}
	q.waiting = q.waiting[:last]
	q.changed.Broadcast()
	return frame
}
