package spdy

// A headerJob is a header block that waits for the sender. The block is encoded
// when it is queued, so the caller's header map is never shared, and compressed
// when its turn has come.
type headerJob struct {
	st    *Stream
	typ   FrameType
	flags frameFlags
	block *[]byte // uncompressed name/value block, from blockPool
}

// A headerQueue holds header blocks in wire order: stream ids are given when the
// SYN_STREAM is queued, so ids rise on the wire (SPEC S2). Guarded by Session.mu.
type headerQueue struct {
	jobs []headerJob
	head int // jobs[:head] have been popped
}

func (q *headerQueue) empty() bool { return q.head == len(q.jobs) }

func (q *headerQueue) push(j headerJob) {
	j.st.headerJobs++
	if q.head > 0 && len(q.jobs) == cap(q.jobs) {
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
	j.st.headerJobs--
	return j
}

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
			continue
		}
		kept = append(kept, j)
	}
	clear(q.jobs[len(kept):])
	q.jobs = kept
	st.headerJobs, st.headerLoss = 0, true
	if q.empty() {
		q.jobs, q.head = q.jobs[:0], 0
	}
}

func (q *headerQueue) clear() {
	for _, j := range q.jobs[q.head:] {
		putBlock(j.block)
		j.st.headerJobs, j.st.headerLoss = 0, true
	}
	q.jobs, q.head = nil, 0
}
