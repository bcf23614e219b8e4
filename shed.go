package spdy

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"
)

// This file resets streams whose unread bytes are in the way of others: where no window
// bounds the unread bytes of a session, in SPDY/2 and SPDY/3, when they reach
// Config.SessionWindow; and if Config.ShedAfter says so, while the session's window is
// short in SPDY/3.1, or somebody waits for what ended streams keep. A session whose peer
// does no flow control waits for all readers, or for none, see FlowControlPeerUnaware.

// shedWait is the longest time for which a receiver without windows waits for a reader that
// has kept up with the peer so far, or for the reader of the only stream, before that
// stream is reset. Other streams wait as long.
const shedWait = time.Second

// A reader keeps up if it reads one in keepUpAmong bytes that its peer sends, or one in
// keepUpAlone if no other stream is open.
const (
	keepUpAmong = 4
	keepUpAlone = 32
)

// A receiver that has waited for readers longer than keptWaiting of a stallPeriod resets
// one of them if the session has received less in it than one in keepUpAmong bytes, or
// keepUpAlone, of what the line could have brought: a reader that has kept up for long and
// then becomes slow would hold the others up for good. Behind that the next one has
// nextWaiting of waits left.
const (
	stallPeriod = keepUpAmong * shedWait
	keptWaiting = stallPeriod - shedWait
	nextWaiting = shedWait / 2
)

// roomAtOnce is the part of the limit that is freed at once, if streams that do not keep up
// have as much: going through all of them for each of many small ones would take too long.
const roomAtOnce = 16

// A stallShare is the time for which a receiver has waited for readers in the present
// stallPeriod. The receiver alone uses it.
type stallShare struct {
	since    time.Time     // beginning of the period; zero before the first stall
	waited   time.Duration // since then
	received int64         // DATA bytes of the session before the period
	line     lineRate
}

// add counts a stall. received are the DATA bytes of the session so far.
func (h *stallShare) add(began, ended time.Time, received int64) {
	if began.Sub(h.since) >= stallPeriod {
		h.since, h.waited, h.received = began, 0, received
	}
	h.waited += ended.Sub(began)
	h.line.begin(ended.Add(lineSettles), received)
}

// starves reports that the session has received less than one in part bytes because of
// readers.
func (h *stallShare) starves(now time.Time, received, part int64) bool {
	took := now.Sub(h.since)
	return h.waited > keptWaiting && took < 2*stallPeriod &&
		float64(part)*float64(received-h.received) < h.line.rate*took.Seconds()
}

// forgive begins a short period, because the stream that held the session up is gone.
func (h *stallShare) forgive(now time.Time, received int64) {
	h.since, h.waited, h.received = now, keptWaiting-nextWaiting, received
}

// What a lineRate measures.
const (
	lineStretch = time.Second            // of a stretch, at most
	lineShort   = 100 * time.Millisecond // what a shorter stretch counts as
	lineSettles = 250 * time.Millisecond // behind a stall, while what comes was waiting in the network
)

// A lineRate is the number of bytes that the line brings each second while the receiver
// does not wait for readers. It is the latest in stretches of a second, or more if it was
// more not long ago.
type lineRate struct {
	rate     float64
	from     time.Time // when the present stretch begins; zero before the first
	received int64     // DATA bytes of the session before it
}

func (l *lineRate) begin(from time.Time, received int64) { l.from, l.received = from, received }

// note looks at the bytes that have come. stalls says that the receiver is about to wait,
// which ends the stretch.
func (l *lineRate) note(now time.Time, received int64, stalls bool) {
	took := now.Sub(l.from)
	switch {
	case l.from.IsZero():
		l.begin(now, received)
	case took <= 0:
		l.received = received
	case stalls || took >= lineStretch:
		if took >= lineStretch {
			l.rate *= 7.0 / 8
		}
		l.rate = max(l.rate, float64(received-l.received)/max(took, lineShort).Seconds())
		l.begin(now, received)
	}
}

// A readPace tells how fast the application reads a stream, compared to the peer. Guarded
// by northbound.mu.
type readPace struct {
	born  time.Time // immutable
	last  time.Time // when the application last read; born before it has
	read  int64     // bytes that the application has read
	swept int64     // value of read at the latest sweep, see shedder

	// The latest bytes count, between one and two times step of them.
	step       int64    // a quarter of the session's limit; 0 if there is none; immutable
	from, next paceMark // where they begin; where they will, a step later
}

// A paceMark is how far a stream had come.
type paceMark struct {
	received, read int64
}

// noteLocked looks at bytes that have been received.
func (p *readPace) noteLocked(unread int64) {
	if p == nil || p.step == 0 {
		return
	}
	if now := (paceMark{p.read + unread, p.read}); now.received-p.next.received >= p.step {
		p.from, p.next = p.next, now
	}
}

// passLocked counts bytes that the application has read.
func (p *readPace) passLocked(n int64) {
	if p != nil {
		p.read += n
		if p.step != 0 {
			p.last = time.Now()
		}
	}
}

// keepsUpLocked reports whether the application has read one byte while part bytes came.
func (p *readPace) keepsUpLocked(unread, part int64) bool {
	return part*(p.read-p.from.read) >= p.read+unread-p.from.received
}

// A rank says how a stream is read. A stream of a higher rank is reset first, among those
// of one rank the one with the most unread bytes.
type rank int

const (
	keepsUp rank = iota // it reads at least as much as keepUpAmong, or keepUpAlone, says
	lags                // it reads less
	parked              // nothing has been read lately, or of a step of bytes
)

// A lineup is what ranks are taken by.
type lineup struct {
	over   iter.Seq[*Stream] // the streams to compare
	part   int64             // keepUpAmong or keepUpAlone
	newest time.Time         // when anything of the session was last read
	hurry  bool              // a reader that has kept up is given no more time than others to read again
}

// rank returns the rank of a stream and its unread bytes. Lately is compared to the reads
// of other streams, not to the clock: a process that has stood still has read nothing.
func (b *northbound) rank(by lineup) (r rank, unread int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pace
	if p == nil {
		return lags, b.unread
	}
	idle, kept := by.newest.Sub(p.last), p.keepsUpLocked(b.unread, by.part)
	switch {
	case idle >= stallPeriod, idle >= shedWait && (by.hurry || !kept), p.read == 0 && b.unread >= p.step:
		return parked, b.unread
	case !kept:
		return lags, b.unread
	}
	return keepsUp, b.unread
}

// lastRead is when the application last read; zero if it never has.
func (b *northbound) lastRead() (at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.pace; p != nil && p.read > 0 {
		at = p.last
	}
	return at
}

// leastProgress is what an application has to read of a stream between two sweeps, in bytes,
// or all that there is: a stranger may be content with a byte now and then.
const leastProgress = 4 << 10

// sweep reports whether bytes are unread of which the application has read next to none since
// the sweep before.
func (b *northbound) sweep() (stuck bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pace == nil {
		return false
	}
	stuck = b.unread > 0 && b.pace.read-b.pace.swept < leastProgress
	b.pace.swept = b.pace.read
	return stuck
}

// newReadPace returns what a stream has to count, nil if nothing.
func (s *Session) newReadPace() *readPace {
	if s.flow.limit == 0 && s.shed == nil {
		return nil
	}
	now := time.Now()
	return &readPace{born: now, last: now, step: s.flow.limit / 4, swept: -leastProgress}
}

// awaitRoom makes room for bytes that are coming in while a session in which no window
// bounds the peer has as many unread bytes as its limit. It discards what the
// application can do without, resets a stream, or waits for its reader: that is the one
// thing besides the network that a receiver ever waits for. coming are the bytes of the
// present frame that have been charged and have not been read from the network.
func (s *Session) awaitRoom(coming int) {
	if s.flow.limit == 0 {
		return
	}
	arrived := s.stats.dataReceived - int64(coming)
	s.stalls.line.note(time.Now(), arrived, false)
	var wait *time.Timer // of this stall
	stuck := false
	for s.unread()-int64(coming) >= s.flow.limit {
		if s.app.makeRoom() || s.resetForRoom(arrived, stuck) {
			continue
		}
		if wait == nil {
			s.countStall()
			wait = time.NewTimer(shedWait)
			defer wait.Stop()
		}
		stuck = s.stall(wait.C, arrived) || stuck
		if s.ended() {
			return
		}
	}
}

// stall waits for bytes to be read, or for another reason to look again. It reports true
// if the wait has been too long.
func (s *Session) stall(limit <-chan time.Time, arrived int64) (late bool) {
	s.alive.hold(true)
	defer s.alive.hold(false)
	began := time.Now()
	s.stalls.line.note(began, arrived, true)
	defer func() { s.stalls.add(began, time.Now(), arrived) }()
	w := wait{end: s.end.done, clock: limit}
	return w.sleep(s.flow.room) == byClock
}

// resetForRoom resets the stream that is read the least, or several small ones. It reports
// false if the receiver has to wait instead. arrived are the DATA bytes that the session has received, stuck
// says that it has waited for shedWait, and nothing was read.
func (s *Session) resetForRoom(arrived int64, stuck bool) bool {
	now := time.Now()
	s.mu.Lock()
	by := lineup{part: keepUpAmong}
	if len(s.streams) <= 1 {
		by.part = keepUpAlone
	}
	starves := s.stalls.starves(now, arrived, by.part)
	by.hurry = stuck || starves
	reset := s.resettableLocked(by)
	s.stats.shed += uint32(len(reset))
	if s.unaware != nil {
		s.unaware.resets += uint64(len(reset))
	}
	s.mu.Unlock()
	for _, st := range reset {
		s.resetUnread(st, "the session has too many unread bytes, and this stream is read the least")
	}
	if starves && len(reset) > 0 {
		s.stalls.forgive(now, arrived)
	}
	return len(reset) > 0
}

// resettableLocked chooses the streams to reset, none if the receiver has to wait instead.
func (s *Session) resettableLocked(by lineup) []*Stream {
	if s.unaware == nil {
		by.over = s.readableLocked
		return s.leastReadLocked(by)
	}
	if !s.conf.ResetOverBudget {
		return nil
	}
	open := int64(0)
	for _, st := range s.streams {
		open += st.in.buffered()
	}
	switch { // resetting streams that hold next to nothing makes no room
	case open >= s.flow.limit/roomAtOnce:
		by.over = maps.Values(s.streams)
	case by.hurry:
		by.over = slices.Values(s.leftover)
	default: // what ended streams have left unread is complete, as a rule
		return nil
	}
	return s.leastReadLocked(by)
}

// leastReadLocked chooses the streams to reset. Of those that do not keep up it takes as many
// as make room for some time: there may be very many small ones.
func (s *Session) leastReadLocked(by lineup) []*Stream {
	worst, highest := s.worstLocked(&by)
	if worst == nil || s.sparesLocked(worst, highest, by.hurry) {
		return nil
	}
	if highest == keepsUp || worst.in.buffered() >= s.flow.limit/roomAtOnce {
		return []*Stream{worst}
	}
	var all unreadStreams
	for st := range by.over {
		if r, n := st.in.rank(by); n > 0 && r == highest {
			all = append(all, unreadStream{st, n})
		}
	}
	chosen, _ := all.choose(func(freed int64) bool { return freed >= s.flow.limit/roomAtOnce })
	return chosen
}

// sparesLocked reports that a stream of this rank is not reset although no other has a
// higher one: the only stream of a client, behind which nothing waits; one whose
// application keeps up with the peer, unless there is hurry; and the only stream, if the
// peer opened it so lately that the application may not have begun to read.
func (s *Session) sparesLocked(st *Stream, r rank, hurry bool) bool {
	if s.unaware != nil {
		return false
	}
	alone := len(s.streams) == 0 || len(s.streams) == 1 && !st.ended
	switch {
	case alone && s.waitsForNothingLocked(st):
		return true
	case hurry:
		return false
	}
	fresh := !st.state.ours && time.Since(st.in.pace.born) < shedWait
	return alone && fresh || r == keepsUp
}

// worstLocked is the stream to reset first, nil if no bytes are unread: of those with the
// highest rank the one with the most unread bytes. It completes the lineup.
func (s *Session) worstLocked(by *lineup) (worst *Stream, highest rank) {
	for st := range by.over {
		if at := st.in.lastRead(); at.After(by.newest) {
			by.newest = at
		}
	}
	most := int64(0)
	for st := range by.over {
		r, n := st.in.rank(*by)
		if n > 0 && (worst == nil || r > highest || r == highest && n > most) {
			worst, highest, most = st, r, n
		}
	}
	return worst, highest
}

// readableLocked goes through the streams that may have unread bytes.
func (s *Session) readableLocked(yield func(*Stream) bool) {
	for _, st := range s.streams {
		if !yield(st) {
			return
		}
	}
	for _, st := range s.leftover {
		if !yield(st) {
			return
		}
	}
}

// waitsForNothingLocked reports that nothing of a client waits behind a stream of its own
// that is the only one: no caller that wants to open another, no PING. A server cannot
// know what waits.
func (s *Session) waitsForNothingLocked(st *Stream) bool {
	return s.client && st.state.ours && len(s.openers) == 0 && len(s.pings) == 0 && !s.isRaw()
}

// resetUnread resets a stream because of its unread bytes. The peer has broken no rule. A
// stream that has ended by FIN does not read to its end any more.
func (s *Session) resetUnread(st *Stream, reason string) {
	e := streamErrorf(st.id, RstFlowControlError, "%s", reason)
	s.log.streamError(s, e)
	s.credit(st.in.spoil(&TruncatedError{Err: e}))
	st.settle()
	s.abortStream(st, e)
	s.mu.Lock()
	s.noteLocked(st, streamShed, e)
	s.mu.Unlock()
	s.ring()
}

// leaveUnreadLocked remembers a stream that has ended and whose bytes are unread, where
// they count towards a limit, until they have been read.
func (s *Session) leaveUnreadLocked(st *Stream) {
	if s.flow.limit == 0 && s.shed == nil || s.unaware != nil && !s.conf.ResetOverBudget {
		return
	}
	st.settles.Store(true) // before looking: a reader that comes between settles again
	if st.in.buffered() > 0 {
		s.leftover = append(s.leftover, st)
		st.left = int32(len(s.leftover))
	}
}

// forgetReadLocked forgets a stream that leaveUnreadLocked has remembered, and that has
// nothing unread any more. What its header blocks take is not kept for longer than the
// application keeps it.
func (s *Session) forgetReadLocked(st *Stream) {
	if st.left == 0 || s.leftover == nil || st.in.buffered() > 0 { // nil after the session's end
		return
	}
	last := len(s.leftover) - 1
	moved := s.leftover[last]
	s.leftover[st.left-1], moved.left = moved, st.left
	s.leftover[last], st.left = nil, 0
	if s.leftover = s.leftover[:last]; last == 0 {
		s.leftover = nil
	}
}

// A shedder resets streams that hold up a session with windows, see Config.ShedAfter. Its
// fields are guarded by Session.mu.
type shedder struct {
	after time.Duration
	timer *time.Timer // calls Session.sweep; nil before the first watch; ends with the session
	armed bool        // the timer runs, or sweep is about to
}

// newShedder returns nil if the configuration sheds nothing.
func (s *Session) newShedder() *shedder {
	if s.conf.ShedAfter <= 0 || !s.version.streamFlowControl() || s.isRaw() {
		return nil
	}
	return &shedder{after: s.conf.ShedAfter}
}

// shortLocked reports that less than a quarter of the session's window is left.
func (c *credit) shortLocked() bool { return c.in.size-c.unreadLocked() < c.in.size/4 }

// tightLocked reports that there may be a reason to shed streams: the session's window is
// short, or what ended streams have left unread holds slots.
func (s *Session) tightLocked() bool {
	return s.flow.shortLocked() || s.heldLocked(s.flow.keptOurs) > 0
}

// watchLocked begins to watch for streams to shed when there may be a reason.
func (d *shedder) watchLocked(s *Session) {
	if d != nil && !d.armed && s.end.err == nil && s.tightLocked() {
		d.armed = true
		for st := range s.readableLocked {
			st.in.sweep()
		}
		if d.timer == nil {
			d.timer = time.AfterFunc(d.after, s.sweep)
		} else {
			d.timer.Reset(d.after)
		}
	}
}

// stopLocked ends the watch with the session.
func (d *shedder) stopLocked() {
	if d != nil && d.timer != nil {
		d.timer.Stop()
	}
}

// sweep resets streams of which nothing has been read since the sweep before.
func (s *Session) sweep() {
	s.mu.Lock()
	d := s.shed
	if s.end.err != nil || !s.tightLocked() {
		d.armed = false
		s.mu.Unlock()
		return
	}
	stuck := s.stuckLocked()
	s.stats.shed += uint32(len(stuck))
	d.timer.Reset(d.after)
	s.mu.Unlock()
	for _, st := range stuck {
		s.resetUnread(st, "the session is short of window, and nothing of this stream is read")
	}
}

// stuckLocked chooses the streams to shed: of those that have ended as many as hold slots
// for which somebody waits, and open ones until half of the window is left.
func (s *Session) stuckLocked() []*Stream {
	var ended, open unreadStreams
	for st := range s.readableLocked {
		switch {
		case !st.in.sweep():
		case st.ended:
			ended.add(st)
		default:
			open.add(st)
		}
	}
	stuck, freed := ended.choose(s.enoughSlotsLocked)
	if !s.flow.shortLocked() {
		return stuck
	}
	left := s.flow.in.size - s.flow.unreadLocked() + freed
	more, _ := open.choose(func(freed int64) bool { return left+freed >= s.flow.in.size/2 })
	return append(stuck, more...)
}

// enoughSlotsLocked reports that nobody waits for slots which ended streams hold if
// freed bytes of theirs are freed. Half of the slots are kept ready for those who come
// next.
func (s *Session) enoughSlotsLocked(freed int64) bool {
	waiting := len(s.openers) + s.pooled.waiting()
	held := s.heldBesideLocked(s.flow.keptOurs, freed)
	if waiting == 0 || held == 0 {
		return true
	}
	limit, most := s.limitBesideLocked(held), s.limitBesideLocked(0)
	return limit == most || limit-s.ourStreams >= waiting && held <= most/2
}

// unreadStreams are streams, and their unread bytes.
type unreadStreams []unreadStream

type unreadStream struct {
	st     *Stream
	unread int64
}

func (u *unreadStreams) add(st *Stream) { *u = append(*u, unreadStream{st, st.in.buffered()}) }

// choose takes the fullest until enough bytes are freed.
func (u unreadStreams) choose(enough func(freed int64) bool) (chosen []*Stream, freed int64) {
	slices.SortFunc(u, func(a, b unreadStream) int {
		return cmp.Or(cmp.Compare(b.unread, a.unread), cmp.Compare(a.st.id, b.st.id))
	})
	for _, st := range u {
		if enough(freed) {
			break
		}
		chosen, freed = append(chosen, st.st), freed+st.unread
	}
	return chosen, freed
}
