package spdy

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A slowScheduler does what a scheduler should do, with slices that it searches.
type slowScheduler struct {
	levels        [priorities][]*Stream
	fins, blocked []*Stream
	picks         int
	lastTurn      int // the level that the last turn of the less urgent served
}

func (o *slowScheduler) lists() []*[]*Stream {
	all := []*[]*Stream{&o.fins, &o.blocked}
	for i := range o.levels {
		all = append(all, &o.levels[i])
	}
	return all
}

func (o *slowScheduler) place(st *Stream) {
	var to *[]*Stream
	if len(st.loan) > 0 {
		to = &o.blocked
		if st.out.avail > 0 {
			to = &o.levels[st.priority]
		}
	} else if st.finQueued {
		to = &o.fins
	}
	if to != nil && slices.Contains(*to, st) {
		return // it keeps its turn
	}
	o.remove(st)
	if to != nil {
		*to = append(*to, st)
	}
}

func (o *slowScheduler) remove(st *Stream) {
	for _, l := range o.lists() {
		*l = slices.DeleteFunc(*l, func(x *Stream) bool { return x == st })
	}
}

func (o *slowScheduler) pick(windowOpen bool) *Stream {
	if len(o.fins) > 0 {
		return o.fins[0]
	}
	var busy []int
	for p := range o.levels {
		if len(o.levels[p]) > 0 {
			busy = append(busy, p)
		}
	}
	if !windowOpen || len(busy) == 0 {
		return nil
	}
	o.picks++
	level := busy[0]
	if o.picks%starvationTurn == 0 && len(busy) > 1 {
		others := busy[1:]
		level = others[len(others)-1]
		for _, p := range slices.Backward(others) {
			if p < o.lastTurn {
				level = p
				break
			}
		}
		o.lastTurn = level
	}
	st := o.levels[level][0]
	o.levels[level] = append(o.levels[level][1:], st)
	return st
}

func (o *slowScheduler) alone(st *Stream) bool {
	for p := 0; p <= int(st.priority); p++ {
		for _, other := range o.levels[p] {
			if other != st {
				return false
			}
		}
	}
	return slices.Contains(o.levels[st.priority], st)
}

// TestSchedulerOracle plays random changes and picks against the slow scheduler.
func TestSchedulerOracle(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 3))
		var sc scheduler
		var slow slowScheduler
		streams := make([]*Stream, 1+r.IntN(20))
		for i := range streams {
			streams[i] = &Stream{id: uint32(i), priority: uint8(r.IntN(priorities))}
		}
		for range 500 {
			st := streams[r.IntN(len(streams))]
			switch op := r.IntN(8); {
			case op == 0:
				st.loan = make([]byte, r.IntN(2))
			case op == 1:
				st.finQueued = r.IntN(2) == 0
			case op == 2:
				st.out.avail = int64(r.IntN(3) - 1)
			case op == 3:
				st.loan, st.finQueued = nil, false
				sc.remove(st)
				slow.remove(st)
			default:
				open := r.IntN(10) > 0
				want := slow.pick(open)
				require.Same(t, want, sc.pick(open), "seed %d", seed)
				if want != nil && len(want.loan) > 0 {
					require.Equal(t, slow.alone(want), sc.alone(want), "seed %d", seed)
				}
				continue
			}
			sc.place(st)
			slow.place(st)
			requireSameRings(t, &sc, &slow)
		}
	}
}

func requireSameRings(t *testing.T, sc *scheduler, slow *slowScheduler) {
	t.Helper()
	require.True(t, slices.Equal(slow.fins, ringList(t, &sc.fins)))
	require.True(t, slices.Equal(slow.blocked, ringList(t, &sc.blocked)))
	for p := range slow.levels {
		require.True(t, slices.Equal(slow.levels[p], ringList(t, &sc.ready[p])), "level %d", p)
		require.Equal(t, len(slow.levels[p]) > 0, sc.levels&(1<<p) != 0, "mask of level %d", p)
	}
}

func ringList(t *testing.T, r *ring) []*Stream {
	t.Helper()
	var list []*Stream
	for st := r.head; st != nil; st = st.next {
		if len(list) > 0 && st == r.head {
			break
		}
		require.Same(t, r, st.ring)
		require.Same(t, st, st.next.prev)
		list = append(list, st)
	}
	return list
}

// newBusyScheduler has one stream with endless bytes at each of the levels.
func newBusyScheduler(levels ...uint8) *scheduler {
	sc := new(scheduler)
	for i, p := range levels {
		sc.place(&Stream{id: uint32(i), priority: p, loan: []byte{1}, out: outflow{avail: 1}})
	}
	return sc
}

func TestSchedulerPriority(t *testing.T) {
	sc := newBusyScheduler(5, 2, 2, 7)
	got := []uint32{}
	for range starvationTurn - 1 {
		got = append(got, sc.pick(true).id)
	}
	require.Equal(t, []uint32{1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1}, got, "level 2 in turn, nobody else")
}

// TestSchedulerStarvesNobody: every level moves, however busy all others are
// (SPEC S10), and the most urgent one gets nearly everything.
func TestSchedulerStarvesNobody(t *testing.T) {
	sc := newBusyScheduler(0, 1, 2, 3, 4, 5, 6, 7)
	picks := make(map[uint8]int)
	for range starvationTurn * (priorities - 1) {
		picks[sc.pick(true).priority]++
	}
	require.Len(t, picks, priorities, "picks by level: %v", picks)
	for p := uint8(1); p < priorities; p++ {
		require.Equal(t, 1, picks[p], "level %d", p)
	}

	sc = newBusyScheduler(0, 7)
	least := 0
	for range 10 * starvationTurn {
		if sc.pick(true).priority == 7 {
			least++
		}
	}
	require.Equal(t, 10, least, "one pick in %d", starvationTurn)

	sc = newBusyScheduler(3)
	for range 3 * starvationTurn {
		require.NotNil(t, sc.pick(true), "a turn with nobody to favour is not lost")
	}
}

func TestSchedulerFinsAndBlocked(t *testing.T) {
	var sc scheduler
	require.Nil(t, sc.pick(true))
	busy := &Stream{priority: 0, loan: []byte{1}, out: outflow{avail: 1}}
	fin := &Stream{priority: 7, finQueued: true, out: outflow{avail: -10}}
	stuck := &Stream{priority: 0, loan: []byte{1}, finQueued: true}
	for _, st := range []*Stream{busy, fin, stuck} {
		sc.place(st)
	}
	require.Same(t, fin, sc.pick(false), "a FIN needs no window (SPEC W4)")
	require.Same(t, fin, sc.pick(true), "a FIN goes first")
	fin.finQueued = false
	sc.place(fin)
	require.Nil(t, sc.pick(false), "the session window is used up")
	require.Same(t, busy, sc.pick(true))
	require.Same(t, busy, sc.pick(true), "a stream without a window waits, its FIN too")
	stuck.out.grow(5)
	sc.place(stuck)
	require.Same(t, busy, sc.pick(true))
	require.Same(t, stuck, sc.pick(true), "a window puts it at the end of its level")
	sc.remove(stuck)
	sc.remove(stuck)
	require.Nil(t, stuck.ring)
	sc.remove(busy)
	require.Zero(t, sc.levels)
	require.Nil(t, sc.pick(true))
}
