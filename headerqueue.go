package spdy

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

// waits adds n to the jobs that DATA of the job's streams has to wait for.
func (j headerJob) waits(n int) {
	j.st.headerJobs += n
	if j.parent != nil {
		j.parent.pushJobs += n
	}
}

// A headerQueue holds header blocks in wire order: stream ids are given when the
// SYN_STREAM is queued, so ids rise on the wire (SPEC S2). Guarded by Session.mu.
type headerQueue struct {
	jobs []headerJob
	head int // jobs[:head] have been popped
}

func (q *headerQueue) empty() bool { return q.head == len(q.jobs) }

func (q *headerQueue) push(j headerJob) {
	j.waits(1)
	if q.head > len(q.jobs)/2 && len(q.jobs) == cap(q.jobs) { // else it grows, so that a move pays
		n := copy(q.jobs, q.jobs[q.head:])
		clear(q.jobs[n:])
		q.jobs, q.head = q.jobs[:n], 0
	}
	q.jobs = append(q.jobs, j)
}

func (q *headerQueue) pop() headerJob {
	j := q.jobs[q.head]
	q.jobs[q.head] = headerJob{}
	q.head++
	if q.empty() {
		q.jobs, q.head = q.jobs[:0], 0
	}
	j.waits(-1)
	return j
}

// size is the size of the oldest block in bytes. The queue must not be empty.
func (q *headerQueue) size() int { return len(*q.jobs[q.head].block) }

// drop removes what a stream has queued. The blocks have not been compressed, so
// nothing is lost (SPEC §2.5).
func (q *headerQueue) drop(st *Stream) {
	if st.headerJobs == 0 {
		return
	}
	kept := q.jobs[:q.head]
	for _, j := range q.jobs[q.head:] {
		if j.st == st {
			putBlock(j.block)
			j.waits(-1)
			continue
		}
		kept = append(kept, j)
	}
	clear(q.jobs[len(kept):])
	q.jobs = kept
	st.headerLoss = true
	if q.empty() {
		q.jobs, q.head = q.jobs[:0], 0
	}
}

func (q *headerQueue) clear() {
	for _, j := range q.jobs[q.head:] {
		putBlock(j.block)
		j.waits(-1)
		j.st.headerLoss = true
	}
	q.jobs, q.head = nil, 0
}

// A headerTurn divides the connection between header blocks and DATA while both wait, so
// that no series of large header blocks starves the bodies. Blocks are sent before
// DATA, but after a large one DATA gets as many bytes, and after small ones of turnQuantum
// bytes together likewise. Bodies are written in pieces, so DATA that has been sent in this
// batch or the one before counts as waiting. Guarded by Session.mu.
type headerTurn struct {
	large, small int    // bytes of header frames that DATA has not matched
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
		t.large += n
	default:
		t.small += n
	}
}

// matched notes n bytes of DATA.
func (t *headerTurn) matched(n int64, batch uint64) {
	if n > 0 {
		t.last = batch
	}
	t.large = int(max(int64(t.large)-n, 0))
	t.small = int(max(int64(t.small)-n, 0))
}
