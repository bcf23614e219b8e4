package spdy

import (
	"cmp"
	"fmt"
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
		if s.app.makeRoom() {
			continue
		}
		reset, fresh := s.resetForRoom(arrived, stuck)
		if reset {
			continue
		}
		if fresh {
			s.stallFor(freshBytes, arrived)
			if s.ended() {
				return
			}
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

// stallFor is a stall that lasts for d at most.
func (s *Session) stallFor(d time.Duration, arrived int64) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	s.stall(timer.C, arrived)
}

// resetForRoom resets the stream that is read the least, or several small ones. If it has reset
// none the receiver has to wait instead: for freshBytes if fresh is set, until readers have had the
// time to read what has just come. arrived are the DATA bytes that the session has received, stuck
// says that it has waited for shedWait, and nothing was read.
func (s *Session) resetForRoom(arrived int64, stuck bool) (done, fresh bool) {
	now := time.Now()
	s.mu.Lock()
	by := lineup{part: keepUpAmong}
	if len(s.streams) <= 1 {
		by.part = keepUpAlone
	}
	starves := s.stalls.starves(now, arrived, by.part)
	by.hurry = stuck || starves
	reset, fresh := s.resettableLocked(by)
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
	return len(reset) > 0, fresh
}

// resettableLocked chooses the streams to reset, none if the receiver has to wait instead. The
// second result is that of resetForRoom.
func (s *Session) resettableLocked(by lineup) (chosen []*Stream, fresh bool) {
	if s.unaware == nil {
		by.over = s.readableLocked
		return s.leastReadLocked(by)
	}
	if !s.conf.ResetOverBudget {
		return nil, false
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
		return nil, false
	}
	return s.leastReadLocked(by)
}

// A lineup is what the streams of a session are compared by.
type lineup struct {
	over   iter.Seq[*Stream] // the streams to compare
	part   int64             // keepUpAmong or keepUpAlone
	newest time.Duration     // when anything of the session was last read, since epoch
	hurry  bool              // a reader that has kept up is given no more time than others to read again
}

// leastReadLocked chooses the streams to reset, none if the receiver has to wait instead. Of
// those that do not keep up it takes those of the most weight, as many as make room for some
// time: there may be very many small ones. Streams that hold next to nothing, alone or
// together, are in nobody's way. Streams whose bytes have all come within freshBytes say nothing of
// their readers: they are waited for where others do not make room, and fresh is set.
func (s *Session) leastReadLocked(by lineup) (chosen []*Stream, fresh bool) {
	slow, keepers, fresh := s.backlogsLocked(&by)
	enough := func(freed int64) bool { return freed >= max(s.flow.limit/roomAtOnce, 1) }
	if all := slow.unread(); enough(all) || len(keepers) == 0 && !fresh {
		chosen, _ = slow.worth(all / int64(max(len(slow), 1))).choose(enough)
		if len(chosen) > 0 && s.sparesLocked(chosen[0], by.hurry) {
			return nil, false
		}
		return chosen, false
	}
	if s.unaware == nil && !by.hurry {
		return nil, fresh // a reader that keeps up is waited for
	}
	chosen, _ = keepers.choose(func(freed int64) bool { return freed > 0 })
	if s.sparesLocked(chosen[0], by.hurry) {
		return nil, false
	}
	return chosen, false
}

// sparesLocked reports that a stream is not reset although no other is read less: the only
// stream of a client, behind which nothing waits; and the only stream, unless there is hurry,
// if the peer opened it so lately that the application may not have begun to read.
func (s *Session) sparesLocked(st *Stream, hurry bool) bool {
	if s.unaware != nil {
		return false
	}
	alone := len(s.streams) == 0 || len(s.streams) == 1 && !st.ended
	if alone && s.waitsForNothingLocked(st) {
		return true
	}
	return alone && !hurry && !st.state.ours && time.Since(epoch)-st.in.pace.born < shedWait
}

// backlogsLocked returns the streams that have unread bytes: those that do not keep up with the
// peer, and those that do. fresh says that there are others, of which nothing can be said yet. It
// completes the lineup.
func (s *Session) backlogsLocked(by *lineup) (slow, keepers backlogs, fresh bool) {
	by.newest = neverRead
	for st := range by.over {
		by.newest = max(by.newest, st.in.lastRead())
	}
	now := time.Since(epoch)
	for st := range by.over {
		switch l := st.in.backlog(st, now); {
		case l.unread == 0:
		case st.in.keepsUp(*by):
			keepers = append(keepers, l)
		case l.waited < freshBytes && s.unaware == nil && !by.hurry:
			fresh = true
		default:
			slow = append(slow, l)
		}
	}
	return slow, keepers, fresh
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

// sweep resets streams whose bytes have waited for long.
func (s *Session) sweep() {
	s.mu.Lock()
	d := s.shed
	if s.end.err != nil || !s.tightLocked() {
		d.armed = false
		s.mu.Unlock()
		return
	}
	late := s.lateLocked()
	s.stats.shed += uint32(len(late))
	d.timer.Reset(d.after)
	s.mu.Unlock()
	for _, st := range late {
		s.resetUnread(st, fmt.Sprintf("the session is short of window, and bytes of this stream have not been read for %v", d.after))
	}
}

// lateLocked chooses the streams to shed, those of the most weight first: of those that have
// ended as many as hold slots for which somebody waits, and open ones until half of the window
// is left. An open stream that holds next to nothing is in nobody's way.
func (s *Session) lateLocked() []*Stream {
	var ended, open backlogs
	now, all, streams := time.Since(epoch), int64(0), int64(0)
	for st := range s.readableLocked {
		l := st.in.backlog(st, now)
		if l.unread > 0 {
			all, streams = all+l.unread, streams+1
		}
		switch {
		case l.unread == 0 || l.waited < s.shed.after:
		case st.ended:
			ended = append(ended, l)
		default:
			open = append(open, l)
		}
	}
	late, freed := ended.choose(s.enoughSlotsLocked)
	if !s.flow.shortLocked() {
		return late
	}
	left := s.flow.in.size - s.flow.unreadLocked() + freed
	more, _ := open.worth(all / max(streams, 1)).choose(func(freed int64) bool { return left+freed >= s.flow.in.size/2 })
	return append(late, more...)
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

// backlogs are those of several streams.
type backlogs []backlog

// unread is how many bytes they hold.
func (u backlogs) unread() (all int64) {
	for _, l := range u {
		all += l.unread
	}
	return all
}

// worthPart is the part of what streams have unread on average that a stream must have: to
// reset one that has less makes next to no room.
const worthPart = 8

// worth returns those that are worth resetting, in the place of all.
func (u backlogs) worth(average int64) backlogs {
	return slices.DeleteFunc(u, func(l backlog) bool { return l.unread < average/worthPart })
}

// choose takes those of the most weight until enough bytes are freed.
func (u backlogs) choose(enough func(freed int64) bool) (chosen []*Stream, freed int64) {
	slices.SortFunc(u, func(a, b backlog) int {
		return cmp.Or(cmp.Compare(b.weight(), a.weight()), cmp.Compare(a.st.id, b.st.id))
	})
	for _, l := range u {
		if enough(freed) {
			break
		}
		chosen, freed = append(chosen, l.st), freed+l.unread
	}
	return chosen, freed
}
