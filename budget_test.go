package spdy

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Bytes on their way allocate nothing, at either end: not one allocation in 1 MiB.
func TestDataAllocs(t *testing.T) {
	if raceEnabled { // the race detector allocates
		return
	}
	cc, sc := loopbackPair(t)
	move, end := dataPath(t, cc, sc)
	defer end()
	for range 200 { // until windows and pools are as they stay
		move()
	}
	require.Zero(t, testing.AllocsPerRun(50, func() {
		for range 32 {
			move()
		}
	}))
}

// Picking a stream to send from allocates nothing, however many there are.
func TestSchedulerAllocs(t *testing.T) {
	sc := schedulerWith(10_000)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		st := sc.pick(true)
		loan := st.loan
		st.loan = nil
		sc.place(st)
		st.loan = loan
		sc.place(st)
	}))
}

// idleAnswerBytes is what an answer may cost that has begun and does not go on, heap and
// stacks of both ends with the handler's goroutine, on a connection in memory. The goal is
// 9 KiB, which bench/suite measures; x/net/http2 takes 18 KiB.
const idleAnswerBytes = 10 << 10

func TestIdleAnswerMemory(t *testing.T) {
	if raceEnabled {
		return
	}
	open, end := idleAnswers(t)
	defer end()
	for range 50 {
		open()
	}
	const n = 500
	before := memoryInUse()
	for range n {
		open()
	}
	each := (memoryInUse() - before) / n
	t.Logf("%d bytes", each)
	require.LessOrEqual(t, each, int64(idleAnswerBytes))
}
