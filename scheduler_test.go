package spdy

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A slowScheduler does what a scheduler should do, with slices that it searches.
type slowScheduler struct {
	fresh, now, next [priorities][]*Stream
	fins, blocked    []*Stream
	round            int
	overtakes        int
	parts            map[*Stream]slowPart
}

// A slowPart is what a stream has done in the last round in which it took part.
type slowPart struct {
	round, sent int
	fresh       bool
}

func (o *slowScheduler) lists() []*[]*Stream {
	all := []*[]*Stream{&o.fins, &o.blocked}
	for p := range priorities {
		all = append(all, &o.fresh[p], &o.now[p], &o.next[p])
	}
	return all
}

func (o *slowScheduler) place(st *Stream) {
	var to *[]*Stream
	if len(st.loan) > 0 {
		to = &o.blocked
		if st.out.avail > 0 {
			to = o.among(st)
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

// slowQuantum is 32 KiB at level 0, and 16 KiB at level 7.
func slowQuantum(p uint8) int { return 32<<10 - (16<<10)*int(p)/7 }

// among finds the list for a stream with bytes to send.
func (o *slowScheduler) among(st *Stream) *[]*Stream {
	p := st.priority
	now := slices.Contains(o.now[p], st)
	if slices.Contains(o.next[p], st) {
		return &o.next[p]
	}
	if part, known := o.parts[st]; !now && (!known || part.round < o.round-1) && o.overtakes <= 0 {
		return &o.next[p]
	}
	part := o.takePart(st)
	switch {
	case slowQuantum(p)-part.sent < 8<<10:
		return &o.next[p]
	case part.fresh && !now:
		return &o.fresh[p]
	}
	return &o.now[p]
}

func (o *slowScheduler) takePart(st *Stream) slowPart {
	part, known := o.parts[st]
	if known && part.round == o.round {
		return part
	}
	part.fresh = !known || part.round < o.round-1
	quantum := slowQuantum(st.priority)
	part.sent = min(max(part.sent-quantum, -(8<<10)), quantum-(8<<10))
	if part.fresh {
		part.sent = 0
	}
	part.round = o.round
	o.parts[st] = part
	return part
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
	if !windowOpen {
		return nil
	}
	for range 2 {
		for p := range priorities {
			for _, tier := range []*[priorities][]*Stream{&o.fresh, &o.now} {
				if l := tier[p]; len(l) > 0 {
					tier[p] = append(l[1:], l[0])
					o.takePart(l[0])
					return l[0]
				}
			}
		}
		if !o.anyNext() {
			return nil
		}
		o.round++
		o.now, o.next = o.next, [priorities][]*Stream{}
		o.overtakes = min(o.overtakes+(32<<10), 32<<10)
	}
	return nil
}

func (o *slowScheduler) anyNext() bool {
	return slices.ContainsFunc(o.next[:], func(l []*Stream) bool { return len(l) > 0 })
}

func (o *slowScheduler) spend(st *Stream, n int) {
	part := o.parts[st]
	part.sent += n
	o.parts[st] = part
	if part.fresh {
		o.overtakes = max(o.overtakes-n, -(32 << 10))
	}
}

func (o *slowScheduler) alone(st *Stream) bool {
	found := false
	for _, l := range o.lists()[2:] {
		for _, other := range *l {
			if other != st {
				return false
			}
			found = true
		}
	}
	return found
}

// TestSchedulerOracle plays random changes and picks against the slow scheduler.
func TestSchedulerOracle(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 3))
		sc := newScheduler()
		slow := slowScheduler{parts: map[*Stream]slowPart{}, overtakes: 32 << 10}
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
				if want == nil || len(want.loan) == 0 {
					continue
				}
				require.Equal(t, slow.alone(want), sc.alone(want), "seed %d", seed)
				n := r.IntN(64 << 10)
				sc.spend(want, n)
				slow.spend(want, n)
				st = want
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
	requireSameTier(t, &slow.fresh, &sc.fresh)
	requireSameTier(t, &slow.now, &sc.waits[sc.now])
	requireSameTier(t, &slow.next, &sc.waits[sc.now^1])
}

func requireSameTier(t *testing.T, slow *[priorities][]*Stream, tier *tier) {
	t.Helper()
	for p := range slow {
		require.True(t, slices.Equal(slow[p], ringList(t, &tier.rings[p])), "level %d", p)
		require.Equal(t, len(slow[p]) > 0, tier.levels&(1<<p) != 0, "mask of level %d", p)
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

// newBusyScheduler has one stream with endless bytes at each of the levels, and has begun
// the first round with them.
func newBusyScheduler(levels ...uint8) *scheduler {
	sc := newScheduler()
	for i, p := range levels {
		sc.place(&Stream{id: uint32(i), priority: p, loan: []byte{1}, out: outflow{avail: 1}})
	}
	return &sc
}

// send has the scheduler's next stream send n bytes.
func (sc *scheduler) send(n int) *Stream {
	st := sc.pick(true)
	sc.spend(st, n)
	sc.place(st)
	return st
}

func TestSchedulerPriority(t *testing.T) {
	sc := newBusyScheduler(5, 2, 2, 7)
	got := []uint32{}
	for range 14 {
		got = append(got, sc.send(maxDataFrame).id)
	}
	require.Equal(t, []uint32{1, 2, 1, 2, 0, 3, 1, 2, 0, 0, 3, 1, 2, 1}, got,
		"level 2 first and in turn; what a stream had beyond its quantum, or less, counts in the next round")
}

// TestSchedulerStarvesNobody: no stream gets more than twice what another one gets, whatever
// their levels and the sizes of their frames (SPEC S10).
func TestSchedulerStarvesNobody(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		levels := make([]uint8, 2+r.IntN(20))
		for i := range levels {
			levels[i] = uint8(r.IntN(priorities))
		}
		levels[0], levels[1] = 0, 7
		sc := newBusyScheduler(levels...)
		sent := make([]int, len(levels))
		for range 200 * len(levels) {
			n := 1 + r.IntN(maxDataFrame)
			sent[sc.send(n).id] += n
		}
		require.LessOrEqual(t, slices.Max(sent), 2*slices.Min(sent)+4*maxDataFrame, "%v", sent)
		require.Greater(t, sent[0], sent[1]*3/2, "but the urgent one gets more")
		for i, p := range levels {
			require.InEpsilon(t, float64(sent[0])*(32-16*float64(p)/7)/32, sent[i], 0.1, "level %d", p)
		}
	}
}

// TestSchedulerNewcomers: a stream that begins goes before the others of its level, but a
// series of them takes no more than one stream does that is there all the time.
func TestSchedulerNewcomers(t *testing.T) {
	const waiting = 8
	for _, size := range []int{1000, maxDataFrame, 2 * maxDataFrame, 100_000} {
		sc := newBusyScheduler(slices.Repeat([]uint8{4}, waiting)...)
		for range 10 * waiting {
			sc.send(maxDataFrame)
		}
		begin := func() *Stream {
			st := &Stream{id: waiting, priority: 4, loan: []byte{1}, out: outflow{avail: 1}}
			sc.place(st)
			return st
		}
		next, left, series, all := begin(), size, 0, 0
		require.Same(t, next, sc.pick(true), "the first one overtakes")
		for range 1000 {
			n := min(maxDataFrame, left)
			st := sc.pick(true)
			if st != next {
				n = maxDataFrame
			}
			sc.spend(st, n)
			all += n
			if st == next {
				series += n
				left -= n
			}
			if left == 0 {
				sc.remove(st)
				next, left = begin(), size
				continue
			}
			sc.place(st)
		}
		require.LessOrEqual(t, float64(series)/float64(all), 2.0/(waiting+1), "answers of %d bytes", size)
	}
}

func TestSchedulerFinsAndBlocked(t *testing.T) {
	sc := newScheduler()
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
	require.False(t, sc.busy())
	require.Nil(t, sc.pick(true))
}
