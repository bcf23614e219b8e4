package spdystream

import (
	"sort"
	"sync"

	"github.com/moby/spdystream/spdy"
)

// FRAME_WORKERS and QUEUE_SIZE are how many goroutines took how many frames each in the
// original. They are kept for programs that name them: here nothing queues.
const (
	FRAME_WORKERS = 5
	QUEUE_SIZE    = 50
)

// A PriorityFrameQueue hands out frames by priority, and those of one priority in the
// order in which they came. No connection uses one here; it is kept for programs that
// do. Any number of goroutines may use it at once.
type PriorityFrameQueue struct {
	queue *frameQueue
}

type frameQueue struct {
	size int

	mu       sync.Mutex
	changed  sync.Cond
	waiting  []waitingFrame // by priority, the next one last
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

// Push adds a frame; 0 is the most urgent priority. It waits while the queue is full,
// and drops the frame if it is full and Drain has been called.
func (q *PriorityFrameQueue) Push(frame spdy.Frame, priority uint8) { q.queue.push(frame, priority) }

// Pop takes out the next frame. It waits while there is none, and returns nil if there
// is none and Drain has been called.
func (q *PriorityFrameQueue) Pop() spdy.Frame { return q.queue.pop() }

// Drain makes Pop and Push wait no more.
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
	// Behind, which is before in the slice, all that are as urgent or more.
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
