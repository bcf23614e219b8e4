package spdy

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHeaderQueue plays random operations against a plain slice.
func TestHeaderQueue(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		streams := make([]*Stream, 5)
		for i := range streams {
			streams[i] = &Stream{id: uint32(i)}
		}
		var q headerQueue
		var want []headerJob
		for range 300 {
			st := streams[r.IntN(len(streams))]
			switch op := r.IntN(10); {
			case op < 5:
				j := headerJob{st: st, typ: FrameType(r.IntN(10)), flags: frameFlags(r.IntN(256)), block: getBlock()}
				q.push(j)
				want = append(want, j)
			case op < 9 && len(want) > 0:
				require.Equal(t, want[0], q.pop(), "first in, first out")
				want = want[1:]
			case op == 9 && r.IntN(3) == 0:
				q.drop(st)
				var kept []headerJob
				for _, j := range want {
					if j.st != st {
						kept = append(kept, j)
					}
				}
				want = kept
			}
			require.Equal(t, len(want) == 0, q.empty())
			require.Equal(t, len(want), len(q.jobs)-q.head)
			for i, j := range want {
				require.Equal(t, j, q.jobs[q.head+i])
			}
			jobs := make(map[*Stream]int)
			for _, j := range want {
				jobs[j.st]++
			}
			for _, st := range streams {
				require.Equal(t, jobs[st], st.headerJobs, "stream %d", st.id)
			}
		}
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
		if len(q.jobs)-q.head > 3 {
			putBlock(q.pop().block)
		}
	}
	require.LessOrEqual(t, cap(q.jobs), 16, "memory follows what waits")
	q.drop(a)
	for _, j := range q.jobs[:cap(q.jobs)] {
		require.NotSame(t, a, j.st)
	}
	q.clear()
	require.True(t, q.empty())
	require.Zero(t, a.headerJobs+b.headerJobs)
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
