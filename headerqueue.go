package spdy

import (
	"container/heap"
	"sync"
)

// A headerJob is a header block that waits for the sender. The block is encoded
// when it is queued, so the caller's header map is never shared, and compressed
// when its turn has come.
type headerJob struct {
	st    *Stream
	typ   FrameType
	flags frameFlags
	block *[]byte // uncompressed name/value block, from blockPool

	// parent is the stream that a push accompanies, nil if the job opens no push. DATA of the
	// parent must not overtake the push (SPEC U8).
	parent *Stream
}

// payer is the stream whose share of the connection a block is part of.
func (j *headerJob) payer() *Stream {
	if j.parent != nil {
		return j.parent
	}
	return j.st
}

// leastBlockCost is what a block of a stream that waits counts at least, in bytes: it is in a
// buffer of blockPool, however small it is.
const leastBlockCost = 1 << 10

// kept is what a block counts while it waits.
func (j *headerJob) kept() int32 { return int32(max(len(*j.block), leastBlockCost)) }

// waits adds a job to those that DATA of its streams has to wait for, or with sign -1 takes
// it out again.
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
	begins uint64     // the time at which its stream has had its share of what was sent before
	turn   uint64     // what the queue goes by
	seq    uint32     // and then this
	at     int        // its place in the heap
	next   *queuedJob // the next one of the same stream
}

var queuedJobPool = sync.Pool{New: func() any { return new(queuedJob) }}

// A headerQueue says which header block the sender takes next. It shares the connection among
// the streams whose blocks wait: by bytes, as a weighted fair queue does, since a block cannot
// be cut. The clock counts the bytes that each stream would have been sent if they took turns by
// single bytes: it advances by what is sent, divided among the streams that wait and those that
// are ahead, because a large block of theirs was sent whole. A block's turn comes at the time at which its stream had its share sent, and
// that of a block of more than turnQuantum bytes later, by the rest of them: so large blocks
// of one stream cost another one no more than the block under way. Small ones of streams that
// have sent nothing lately go in the order in which they came.
//
// The turns of a stream's blocks rise, and so do those of all SYN_STREAMs: stream ids are
// given when these are queued, and have to rise on the wire (SPEC S2). A push is part of what
// its parent may send. Guarded by Session.mu.
type headerQueue struct {
	jobs  headerHeap
	ahead *aheadHeap // until when streams are ahead of the clock; nil if none is
	clock uint64
	open  uint64 // the turn of the SYN_STREAM that was queued last
	seq   uint32 // of the last job

	flush flushers // who waits for the network; here because every session has a queue
}

// openLag is how far ahead of the clock the turn of a SYN_STREAM may be: others wait for it
// that are not to blame.
const openLag = 4 * turnQuantum

func (q *headerQueue) empty() bool { return len(q.jobs) == 0 }

func (q *headerQueue) push(j headerJob) {
	job := queuedJobPool.Get().(*queuedJob)
	*job = queuedJob{headerJob: j}
	job.waits(1)
	q.giveTurn(job)
	if q.seq++; q.empty() {
		q.seq = 0 // so that it never comes round
	}
	job.seq = q.seq
	last := &j.st.jobs
	for *last != nil { // one, as a rule: whoever could queue many waits
		last = &(*last).next
	}
	*last = job
	heap.Push(&q.jobs, job)
}

// giveTurn gives a block its turn, and charges the stream for it.
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

// runAhead is the number of streams that are ahead of the clock. Those that were sent small
// blocks only do not count.
func (q *headerQueue) runAhead() int {
	if q.ahead == nil {
		return 0
	}
	for len(*q.ahead) > 0 && (*q.ahead)[0] <= q.clock {
		heap.Pop(q.ahead)
	}
	return len(*q.ahead)
}

// size is the size of the next block in bytes. The queue must not be empty.
func (q *headerQueue) size() int { return len(*q.jobs[0].block) }

// leave takes note of a job that has left the heap.
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

// queueKept is how many places a queue that is empty may keep.
const queueKept = 64

// drop removes what a stream has queued. The blocks have not been compressed, so
// nothing is lost (SPEC §2.5).
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

// A headerHeap has the job at the top whose turn is next.
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

// An aheadHeap has at the top the time of the clock that comes first.
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

// mostQueued is how many bytes of header blocks a stream, with its pushes, may have wait for
// the sender; a single one may be larger. It fills a batch: a stream with less would leave the
// rest of the batch to others whose turn has not come.
const mostQueued = batchSize

// lockForBlock locks Session.mu for a caller that is about to queue a header block of size
// bytes, for the stream or for a push that accompanies it. If waits is set it waits first while
// too many bytes wait already: for the sender, the write deadline or the end of the stream.
// If it fails nothing is locked.
func (st *Stream) lockForBlock(waits bool, size int) (err error) {
	look := func() (bell chan struct{}) {
		bell, err = st.lookForRoom(waits, size)
		return bell
	}
	w := wait{limit: &st.writeDeadline, end: st.done}
	w.until(look(), look)
	return err
}

// lookForRoom is a look of lockForBlock. It returns the bell to wait for, with nothing locked.
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
		ringBell(st.room) // it may have been rung for us, and others wait
		return nil, err
	}
	if st.room == nil {
		st.room = make(chan struct{}, 1)
	}
	return st.room, nil
}

// A headerTurn divides the connection between header blocks and DATA while both wait, so
// that no series of large header blocks starves the bodies. Blocks are sent before
// DATA, but after a large one DATA gets as many bytes, and after small ones of turnQuantum
// bytes together likewise. Bodies are written in pieces, so DATA that has been sent in this
// batch or the one before counts as waiting. Guarded by Session.mu.
type headerTurn struct {
	large, small int32  // bytes of header frames that DATA has not matched
	last         uint64 // the latest batch with bytes of DATA
}

// turnQuantum is how many bytes of small header frames go before DATA, and the size in
// bytes up to which a header block is small.
const turnQuantum = maxDataFrame

// busy reports whether bodies are being sent.
func (t *headerTurn) busy(batch uint64) bool { return t.last != 0 && batch-t.last <= 1 }

// leastMatch is what DATA matches at least in a batch that it makes header blocks wait for:
// a writer of single bytes would hold them up for long.
const leastMatch = 4 << 10

// yields reports whether a header block of the given size has to wait for DATA.
func (t *headerTurn) yields(size int) bool {
	if size > turnQuantum {
		return t.large > 0
	}
	return t.small >= turnQuantum
}

// sent notes a header frame of n bytes with a block of the given size. waiting says that
// bodies are being sent.
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

// matched notes n bytes of DATA.
func (t *headerTurn) matched(n int64, batch uint64) {
	if n > 0 {
		t.last = batch
	}
	t.large = int32(max(int64(t.large)-n, 0))
	t.small = int32(max(int64(t.small)-n, 0))
}
