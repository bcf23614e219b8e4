package spdy

import (
	"strconv"
	"testing"
)

// BenchmarkScheduler picks the stream that sends next, and places it again as the sender
// does, among some that have something to send: the time must not depend on their
// number.
func BenchmarkScheduler(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			sc := schedulerWith(n)
			b.ReportAllocs()
			for b.Loop() {
				takeTurn(sc)
			}
		})
	}
}

// takeTurn has the scheduler's next stream send all it has, and get as much again.
func takeTurn(sc *scheduler) {
	st := sc.pick(true)
	loan := st.loan
	sc.spend(st, maxDataFrame)
	st.loan = nil
	sc.place(st)
	st.loan = loan
	sc.place(st)
}

// schedulerWith has n streams with something to send, at all levels.
func schedulerWith(n int) *scheduler {
	levels := make([]uint8, n)
	for i := range levels {
		levels[i] = uint8(i % priorities)
	}
	return newBusyScheduler(levels...)
}
