package spdy

import (
	"container/heap"
	"sync"
)

// A headerJob is a header block in the queue of the sender. The block is encoded when the caller
// queues it, so the caller's header map is never shared, and compressed when the sender writes it.
type headerJob struct {
	st    *Stream
	typ   FrameType
	flags frameFlags
	block *[]byte // uncompressed name/value block, from blockPool

	// parent is the stream that a push accompanies, nil if the job opens no push. DATA of the
	// parent must not overtake the push (SPEC U8).
	parent *Stream
}

// payer returns the stream whose share of the connection is charged for the block.
func (j *headerJob) payer() *Stream {
	if j.parent != nil {
		return j.parent
	}
	return j.st
}

// leastBlockCost is the minimum charge, in bytes, for a queued block of a stream: even a small
// block occupies a buffer of blockPool.
const leastBlockCost = 1 << 10

// kept returns the charge for a queued block.
func (j *headerJob) kept() int32 { return int32(max(len(*j.block), leastBlockCost)) }

// waits adds a job to the jobs that DATA of the job's streams must wait for, or removes the job if
// sign is -1.
func (j *headerJob) waits(sign int32) {
	payer := j.payer()
	payer.headerBytes += sign * j.kept()
	j.st.headerJobs += sign
	if j.parent != nil {
		j.parent.pushJobs += sign
	}
	if sign < 0 {
		ringBell(payer.room)
	}
}

// A queuedJob is a headerJob in a headerQueue.
type queuedJob struct {
	headerJob
	begins uint64     // clock time at which the stream has received the share for all earlier blocks
	turn   uint64     // primary sort key of the queue
	seq    uint32     // secondary sort key
	at     int        // index in the heap
	next   *queuedJob // the next job of the same stream
}

var queuedJobPool = sync.Pool{New: func() any { return new(queuedJob) }}

// A headerQueue selects the next header block for the sender. The queue shares the connection among
// the streams with queued blocks, by bytes, as a weighted fair queue does, since a block cannot be
// split. The clock counts the bytes that each stream would have sent if the streams alternated byte
// by byte: the clock advances by the bytes sent, divided by the number of streams that wait or are
// ahead. A stream is ahead after a large block was sent whole. The turn of a block is the clock
// time at which the stream has received the share for all earlier blocks. The turn of a block of
// more than turnQuantum bytes is later, by the bytes beyond turnQuantum: so large blocks of a
// stream delay another stream by no more than the block being written. Small blocks of streams that
// have sent nothing recently are sent in order of arrival.
//
// The turns of a stream's blocks increase, and so do the turns of all SYN_STREAMs: stream ids are
// assigned when SYN_STREAMs are queued, and must increase on the wire (SPEC S2). A push counts
// against the share of the parent. Guarded by Session.mu.
type headerQueue struct {
	jobs  headerHeap
	ahead *aheadHeap // clock times until which streams are ahead; nil if none are
	clock uint64
	open  uint64 // turn of the last queued SYN_STREAM
	seq   uint32 // of the last job

	flush flushers // callers that wait for the network; here because every session has a queue
}

// openLag is the maximum distance from the clock to the turn of a SYN_STREAM: other streams, which
// did not cause the delay, wait for the SYN_STREAM.
const openLag = 4 * turnQuantum

func (q *headerQueue) empty() bool { return len(q.jobs) == 0 }

func (q *headerQueue) push(j headerJob) {
	job := queuedJobPool.Get().(*queuedJob)
	*job = queuedJob{headerJob: j}
	job.waits(1)
	q.giveTurn(job)
	if q.seq++; q.empty() {
		q.seq = 0 // prevents an overflow
	}
	job.seq = q.seq
	last := &j.st.jobs
	for *last != nil { // usually one job: a caller that could queue many jobs waits
		last = &(*last).next
	}
	*last = job
	heap.Push(&q.jobs, job)
}

// giveTurn sets the turn of a block and charges the stream.
func (q *headerQueue) giveTurn(job *queuedJob) {
	payer, size := job.payer(), uint64(len(*job.block)+frameHeaderSize)
	job.begins = max(q.clock, payer.turned)
	job.turn = job.begins
	if size > turnQuantum && (job.typ != FrameSynStream || job.parent != nil) {
		job.turn += size - turnQuantum
	}
	if job.typ == FrameSynStream {
		job.turn = max(min(job.turn, q.clock+openLag), q.open)
		q.open = job.turn
		job.st.turned = max(job.st.turned, job.turn)
	}
	payer.turned = max(job.begins+size, job.turn)
}

func (q *headerQueue) pop() headerJob {
	job := heap.Pop(&q.jobs).(*queuedJob)
	size := uint64(len(*job.block) + frameHeaderSize)
	q.clock = max(q.clock, min(job.begins, job.turn))
	q.clock += max(size/uint64(len(q.jobs)+1+q.runAhead()), 1)
	if until := job.begins + size; size > turnQuantum && until > q.clock && !q.empty() {
		if q.ahead == nil {
			q.ahead = new(aheadHeap)
		}
		heap.Push(q.ahead, until)
	}
	return q.leave(job)
}

// runAhead returns the number of streams that are ahead of the clock. Streams with only small
// blocks do not count.
func (q *headerQueue) runAhead() int {
	if q.ahead == nil {
		return 0
	}
	for len(*q.ahead) > 0 && (*q.ahead)[0] <= q.clock {
		heap.Pop(q.ahead)
	}
	return len(*q.ahead)
}

// size returns the size of the next block in bytes. The queue must not be empty.
func (q *headerQueue) size() int { return len(*q.jobs[0].block) }

// leave updates the stream of a job that has left the heap.
func (q *headerQueue) leave(job *queuedJob) headerJob {
	at := &job.st.jobs
	for *at != job {
		at = &(*at).next
	}
	*at = job.next
	if q.empty() {
		q.open, q.ahead = 0, nil
		if cap(q.jobs) > queueKept {
			q.jobs = nil
		}
	}
	j := job.headerJob
	*job = queuedJob{}
	queuedJobPool.Put(job)
	j.waits(-1)
	return j
}

// queueKept is the largest capacity that an empty queue keeps.
const queueKept = 64

// drop removes the queued blocks of a stream. The blocks have not been compressed, so the
// compression context stays valid (SPEC §2.5).
func (q *headerQueue) drop(st *Stream) {
	if st.raw != nil {
		st.raw.dropHeldLocked()
	}
	for st.jobs != nil {
		job := st.jobs
		heap.Remove(&q.jobs, job.at)
		putBlock(q.leave(job).block)
		st.headerLoss = true
	}
}

func (q *headerQueue) clear() {
	for len(q.jobs) > 0 {
		last := len(q.jobs) - 1
		job := q.jobs[last]
		q.jobs[last] = nil
		q.jobs = q.jobs[:last]
		job.st.headerLoss = true
		putBlock(q.leave(job).block)
	}
	q.jobs = nil
}

// A headerHeap is a heap with the next job at the top.
type headerHeap []*queuedJob

// The methods are for package heap.

func (h headerHeap) Len() int { return len(h) }

func (h headerHeap) Less(i, j int) bool {
	if h[i].turn != h[j].turn {
		return h[i].turn < h[j].turn
	}
	return h[i].seq < h[j].seq
}

func (h headerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push appends a job.
func (h *headerHeap) Push(x any) {
	job := x.(*queuedJob)
	job.at = len(*h)
	*h = append(*h, job)
}

// Pop removes the last job.
func (h *headerHeap) Pop() any {
	last := len(*h) - 1
	job := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return job
}

// An aheadHeap is a heap with the earliest clock time at the top.
type aheadHeap []uint64

// The methods are for package heap.

func (h aheadHeap) Len() int           { return len(h) }
func (h aheadHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h aheadHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *aheadHeap) Push(x any)        { *h = append(*h, x.(uint64)) }

// Pop removes the last time.
func (h *aheadHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	*h = (*h)[:last]
	return t
}

// mostQueued is the maximum number of queued header-block bytes of a stream, including the stream's
// pushes; a single block may be larger. mostQueued fills a batch: with less, a stream would leave
// the rest of the batch to streams whose turn is later.
const mostQueued = batchSize

// lockForBlock locks Session.mu for a caller that is about to queue a header block of size bytes,
// for the stream or for an accompanying push. If waits is set and too many bytes are queued,
// lockForBlock first waits for the sender, the write deadline or the end of the stream. On failure
// nothing is locked.
func (st *Stream) lockForBlock(waits bool, size int) (err error) {
	look := func() (bell chan struct{}) {
		bell, err = st.lookForRoom(waits, size)
		return bell
	}
	w := wait{limit: &st.writeDeadline, end: st.done}
	w.until(look(), look)
	return err
}

// lookForRoom is a single check of lockForBlock. It returns the bell to wait for, with nothing
// locked.
func (st *Stream) lookForRoom(waits bool, size int) (bell chan struct{}, err error) {
	s := st.session
	s.mu.Lock()
	err = st.writableLocked()
	if err == nil && (!waits || st.headerBytes == 0 || int(st.headerBytes)+size <= mostQueued) {
		return nil, nil
	}
	defer s.mu.Unlock()
	if err == nil {
		err = st.writeDeadline.err()
	}
	if err != nil {
		ringBell(st.room) // the bell may have been consumed by this caller, and other callers wait
		return nil, err
	}
	if st.room == nil {
		st.room = make(chan struct{}, 1)
	}
	return st.room, nil
}

// A headerTurn divides the connection between header blocks and DATA while both wait, so that large
// header blocks do not starve the bodies. Blocks are sent before DATA, but after a large block DATA
// may send as many bytes, and likewise after small blocks of turnQuantum bytes together. Bodies are
// written in pieces, so DATA counts as waiting if this batch or the previous batch has sent any.
// Guarded by Session.mu.
type headerTurn struct {
	large, small int32  // bytes of header frames not yet matched by DATA
	last         uint64 // the latest batch with DATA bytes
}

// turnQuantum is the number of bytes of small header frames that are sent before DATA, and the size
// in bytes up to which a header block is small.
const turnQuantum = maxDataFrame

// busy reports whether bodies are being sent.
func (t *headerTurn) busy(batch uint64) bool { return t.last != 0 && batch-t.last <= 1 }

// leastMatch is the minimum that DATA is considered to match in a batch that makes header blocks
// wait: otherwise a writer of single bytes would delay header blocks for long.
const leastMatch = 4 << 10

// yields reports whether a header block of the given size must wait for DATA.
func (t *headerTurn) yields(size int) bool {
	if size > turnQuantum {
		return t.large > 0
	}
	return t.small >= turnQuantum
}

// sent records a header frame of n bytes with a block of the given size. waiting is true if bodies
// are being sent.
func (t *headerTurn) sent(size, n int, waiting bool) {
	switch {
	case !waiting:
		*t = headerTurn{}
	case size > turnQuantum:
		t.large += int32(n)
	default:
		t.small += int32(n)
	}
}

// matched records n bytes of DATA.
func (t *headerTurn) matched(n int64, batch uint64) {
	if n > 0 {
		t.last = batch
	}
	t.large = int32(max(int64(t.large)-n, 0))
	t.small = int32(max(int64(t.small)-n, 0))
}
