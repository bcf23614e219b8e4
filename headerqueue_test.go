package spdy

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// paddedBlock returns a block of n bytes.
func paddedBlock(n int) *[]byte {
	block := getBlock()
	*block = append(*block, make([]byte, n)...)
	return block
}

// A queueModel is what a headerQueue has to keep to, whatever its order is.
type queueModel struct {
	t    *testing.T
	q    headerQueue
	want []headerJob // in the order in which they came
}

func (m *queueModel) push(j headerJob) {
	m.q.push(j)
	m.want = append(m.want, j)
}

// pop takes a job, before which none may have come that has to go first.
func (m *queueModel) pop() headerJob {
	j := m.q.pop()
	for i, first := range m.want {
		if first == j {
			m.want = append(m.want[:i:i], m.want[i+1:]...)
			return j
		}
		require.NotSame(m.t, first.st, j.st, "blocks of a stream keep their order")
		require.False(m.t, first.typ == FrameSynStream && j.typ == FrameSynStream, "ids rise")
		require.False(m.t, first.parent != nil && first.parent == j.st, "a push goes before what follows it")
	}
	m.t.Fatal("a job that has not been queued")
	return j
}

func (m *queueModel) drop(st *Stream) {
	m.q.drop(st)
	var kept []headerJob
	for _, j := range m.want {
		if j.st != st {
			kept = append(kept, j)
		}
	}
	m.want = kept
}

// check compares what is counted.
func (m *queueModel) check(streams []*Stream) {
	require.Equal(m.t, len(m.want) == 0, m.q.empty())
	require.Len(m.t, m.q.jobs, len(m.want))
	jobs, pushes, bytes := make(map[*Stream]int32), make(map[*Stream]int32), make(map[*Stream]int32)
	for _, j := range m.want {
		jobs[j.st]++
		bytes[j.payer()] += j.kept()
		if j.parent != nil {
			pushes[j.parent]++
		}
	}
	for _, st := range streams {
		require.Equal(m.t, [3]int32{jobs[st], pushes[st], bytes[st]}, [3]int32{st.headerJobs, st.pushJobs, st.headerBytes}, "stream %d", st.id)
		require.Equal(m.t, jobs[st] == 0, st.jobs == nil)
	}
}

// TestHeaderQueue plays random operations against a plain slice.
func TestHeaderQueue(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		m := &queueModel{t: t}
		streams := make([]*Stream, 5)
		for i := range streams {
			streams[i] = &Stream{id: uint32(i)}
			m.push(headerJob{st: streams[i], typ: FrameSynStream, block: paddedBlock(10)})
		}
		for range 300 {
			st := streams[r.IntN(len(streams))]
			switch op := r.IntN(10); {
			case op == 0:
				pushed := &Stream{id: uint32(len(streams))}
				streams = append(streams, pushed)
				m.push(headerJob{st: pushed, typ: FrameSynStream, block: paddedBlock(r.IntN(200 << 10)), parent: st})
			case op < 5:
				m.push(headerJob{st: st, typ: FrameHeaders, flags: frameFlags(r.IntN(256)), block: paddedBlock(r.IntN(1 << r.IntN(20)))})
			case op < 9 && len(m.want) > 0:
				m.pop()
			case op == 9 && r.IntN(3) == 0:
				m.drop(st)
			}
			m.check(streams)
		}
	}
}

// TestHeaderQueueShares has one stream, which queues large blocks all the time, and others that
// queue small ones: each small block waits for no large one that is not under way.
func TestHeaderQueueShares(t *testing.T) {
	var q headerQueue
	hog := &Stream{}
	more := func() { q.push(headerJob{st: hog, typ: FrameHeaders, block: paddedBlock(900 << 10)}) }
	var first headerQueue
	for range 10 { // large answers of as many handlers
		first.push(headerJob{st: &Stream{}, typ: FrameSynReply, block: paddedBlock(900 << 10)})
	}
	small := &Stream{}
	first.push(headerJob{st: small, typ: FrameSynReply, block: paddedBlock(100)})
	require.Same(t, small, first.pop().st)
	more()
	for range 100 {
		more()
		putBlock(q.pop().block)
		other := &Stream{}
		q.push(headerJob{st: other, typ: FrameSynReply, block: paddedBlock(100)})
		require.Same(t, other, q.pop().st)
	}
	sent := make(map[*Stream]int) // by streams that always have something
	streams := []*Stream{hog, {}, {}, {}}
	sizes := []int{900 << 10, 40 << 10, 1 << 10, 100}
	for i, st := range streams[1:] {
		q.push(headerJob{st: st, typ: FrameHeaders, block: paddedBlock(sizes[i+1])})
	}
	for range 400000 {
		j := q.pop()
		sent[j.st] += len(*j.block)
		q.push(j)
	}
	for i, st := range streams {
		require.Less(t, sent[st], 2*sent[streams[1]], "of the stream with blocks of %d bytes", sizes[i])
		require.Greater(t, 2*sent[st], sent[streams[1]], "of the stream with blocks of %d bytes", sizes[i])
	}
}

// TestHeaderQueueBurst has many streams queue a large block each. A stream that comes in between
// and sends little waits for the block under way, and not for the last of them either: the
// streams whose block has been sent are ahead of it. It has had its share only near the end.
func TestHeaderQueueBurst(t *testing.T) {
	for _, many := range []int{2, 36, 100} {
		var q headerQueue
		for range many {
			q.push(headerJob{st: &Stream{}, typ: FrameSynReply, block: paddedBlock(64 << 10)})
		}
		for left := many - 1; left > 0; left-- {
			putBlock(q.pop().block)
			if 10*left < 3*many {
				continue // it has had its share, but for what makes a block small
			}
			small := &Stream{}
			q.push(headerJob{st: small, typ: FrameSynReply, block: paddedBlock(100)})
			require.Same(t, small, q.pop().st, "%d of %d large ones are left", left, many)
		}
		putBlock(q.pop().block)
		require.True(t, q.empty())
		require.Nil(t, q.ahead, "nobody is ahead of nobody")
	}
}

// TestHeaderQueueNeverStarves has streams come one after the other, each with one small block,
// and wants the large one that waits to be sent when they have had as much.
func TestHeaderQueueNeverStarves(t *testing.T) {
	var q headerQueue
	hog := &Stream{}
	for range 2 {
		q.push(headerJob{st: hog, typ: FrameHeaders, block: paddedBlock(900 << 10)})
	}
	for range 10 {
		q.push(headerJob{st: &Stream{}, typ: FrameSynReply, block: paddedBlock(1 << 10)})
	}
	large, small := 0, 0
	for large < 2 {
		if j := q.pop(); j.st == hog {
			large++
			continue
		}
		small++
		require.Less(t, small, 2*11*900)
		q.push(headerJob{st: &Stream{}, typ: FrameSynReply, block: paddedBlock(1 << 10)})
	}
}

// TestHeaderQueueKeepsNothing checks that popped and dropped jobs do not keep
// their streams in memory, and that the queue does not creep through memory.
func TestHeaderQueueKeepsNothing(t *testing.T) {
	var q headerQueue
	a, b := &Stream{}, &Stream{}
	for range 10000 {
		q.push(headerJob{st: a, block: getBlock()})
		q.push(headerJob{st: b, block: getBlock()})
		putBlock(q.pop().block)
		if len(q.jobs) > 3 {
			putBlock(q.pop().block)
		}
	}
	require.LessOrEqual(t, cap(q.jobs), 16, "memory follows what waits")
	q.drop(a)
	q.drop(b)
	for _, job := range q.jobs[:cap(q.jobs)] {
		require.Nil(t, job)
	}
	for range 1000 {
		q.push(headerJob{st: a, block: getBlock()})
	}
	q.clear()
	require.True(t, q.empty())
	require.Zero(t, cap(q.jobs))
	require.Zero(t, a.headerJobs+b.headerJobs+a.headerBytes)
}

// TestHeaderQueueReturnsBlocks checks that dropped blocks go back to their pool
// once, empty.
func TestHeaderQueueReturnsBlocks(t *testing.T) {
	for _, how := range []string{"drop", "clear"} {
		var q headerQueue
		st := &Stream{}
		block := getBlock()
		*block = append(*block, "secret"...)
		q.push(headerJob{st: st, block: block})
		if how == "drop" {
			q.drop(st)
		} else {
			q.clear()
		}
		require.Empty(t, *block, how)
	}
}

// TestSizes holds what a stream and a session take, by the size classes of the runtime, of
// which an object of more than 512 bytes leaves 8 for a header.
func TestSizes(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Stream{}), uintptr(576-8))
	require.LessOrEqual(t, unsafe.Sizeof(servedStream{}), uintptr(704-8))
	require.LessOrEqual(t, unsafe.Sizeof(Session{}), uintptr(2304))
}
