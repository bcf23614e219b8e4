package spdy

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
)

// This file resets streams whose unread bytes block other streams: without a window for unread
// bytes, in SPDY/2 and SPDY/3, when a session's unread bytes reach Config.SessionWindow; with
// Config.ShedAfter, while a SPDY/3.1 session is short of window, or while a caller waits for slots
// held by ended streams. A session whose peer does not implement flow control waits for all
// readers, or for none, see FlowControlPeerUnaware.

// shedWait is the maximum time for which a receiver without windows waits for a reader that has
// kept up with the peer so far, or for the reader of the only stream, before the stream is reset.
// The rest of the session waits as long.
const shedWait = time.Second

// A reader keeps up if it reads one in keepUpAmong bytes that its peer sends, or one in keepUpAlone
// if no other stream is open.
const (
	keepUpAmong = 4
	keepUpAlone = 32
)

// A receiver that has waited for readers longer than keptWaiting of a stallPeriod resets a stream
// if the session has received less than one in keepUpAmong (or keepUpAlone) of the bytes the line
// could have delivered: a reader that kept up for long and then slows down would hold up the rest
// for good. After the reset, nextWaiting of wait time is left before the next.
const (
	stallPeriod = keepUpAmong * shedWait
	keptWaiting = stallPeriod - shedWait
	nextWaiting = shedWait / 2
)

// roomAtOnce is the fraction of the limit that is freed at once, if streams that do not keep up
// hold as much. Scanning all streams to free many small streams one by one would be too slow.
const roomAtOnce = 16

// A stallShare is the time for which a receiver has waited for readers in the current stallPeriod.
// Only the receiver uses it.
type stallShare struct {
	since    time.Time     // start of the period; zero before the first stall
	waited   time.Duration // wait time since then
	received int64         // the session's DATA bytes before the period
	line     lineRate
}

// add counts a stall. received is the number of DATA bytes of the session so far.
func (h *stallShare) add(began, ended time.Time, received int64) {
	if began.Sub(h.since) >= stallPeriod {
		h.since, h.waited, h.received = began, 0, received
	}
	h.waited += ended.Sub(began)
	h.line.begin(ended.Add(lineSettles), received)
}

// starves reports whether waiting for readers has kept the session below one in part of the bytes
// that the line could have delivered.
func (h *stallShare) starves(now time.Time, received, part int64) bool {
	took := now.Sub(h.since)
	return h.waited > keptWaiting && took < 2*stallPeriod &&
		float64(part)*float64(received-h.received) < h.line.rate*took.Seconds()
}

// forgive starts a short period, because the stream that held up the session has been reset.
func (h *stallShare) forgive(now time.Time, received int64) {
	h.since, h.waited, h.received = now, keptWaiting-nextWaiting, received
}

// Constants of a lineRate.
const (
	lineStretch = time.Second            // maximum length of a stretch
	lineShort   = 100 * time.Millisecond // a shorter stretch counts as this long
	lineSettles = 250 * time.Millisecond // delay after a stall, while bytes queued in the network arrive
)

// A lineRate is the number of bytes per second that the line delivers while the receiver does not
// wait for readers. The rate is that of the last stretch, of a second at most, or that of an
// earlier stretch if it was higher, lowered by an eighth for each full stretch since.
type lineRate struct {
	rate     float64
	from     time.Time // start of the current stretch; zero before the first
	received int64     // the session's DATA bytes before the stretch
}

func (l *lineRate) begin(from time.Time, received int64) { l.from, l.received = from, received }

// note records the bytes received so far. stalls means that the receiver is about to wait, which
// ends the stretch.
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

// awaitRoom makes room for incoming bytes while a session that limits the peer by no window has as
// many unread bytes as the limit. It lets the application discard an item, resets a stream, or
// waits for a reader: the only wait of a receiver besides the network. coming is the number of
// bytes of the current frame that have been charged but not yet read from the network.
func (s *Session) awaitRoom(coming int) {
	if s.flow.limit == 0 {
		return
	}
	arrived := s.stats.dataReceived - int64(coming)
	s.stalls.line.note(time.Now(), arrived, false)
	var wait *time.Timer // limit of this stall
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

// stall waits for bytes to be read, or for another reason to check again. It reports true if the
// limit has expired.
func (s *Session) stall(limit <-chan time.Time, arrived int64) (late bool) {
	s.alive.hold(true)
	defer s.alive.hold(false)
	began := time.Now()
	s.stalls.line.note(began, arrived, true)
	defer func() { s.stalls.add(began, time.Now(), arrived) }()
	w := wait{end: s.end.done, clock: limit}
	return w.sleep(s.flow.room) == byClock
}

// stallFor is a stall of at most d.
func (s *Session) stallFor(d time.Duration, arrived int64) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	s.stall(timer.C, arrived)
}

// resetForRoom resets the least-read stream, or several small streams. If it resets none, the
// receiver must wait instead: for freshBytes if fresh is set, until readers have had time to read
// the newest bytes. arrived is the number of DATA bytes that the session has received. stuck means
// that the receiver has waited for shedWait and nothing was read.
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

// resettableLocked chooses the streams to reset, or none if the receiver must wait instead. The
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
	switch { // resetting streams with very few bytes makes no room
	case open >= s.flow.limit/roomAtOnce:
		by.over = maps.Values(s.streams)
	case by.hurry:
		by.over = slices.Values(s.leftover)
	default: // the unread bytes of ended streams are usually complete bodies
		return nil, false
	}
	return s.leastReadLocked(by)
}

// A lineup is the basis on which a session's streams are compared.
type lineup struct {
	over   iter.Seq[*Stream] // the streams to compare
	part   int64             // keepUpAmong or keepUpAlone
	newest time.Duration     // time of the session's latest read, since epoch
	hurry  bool              // a reader that has kept up is granted no more time than others to read again
}

// leastReadLocked chooses the streams to reset, or none if the receiver must wait instead. Of the
// streams that do not keep up, it chooses the heaviest, enough to make room for some time, since
// there may be very many small streams. Streams with very few bytes, alone or together, do no harm.
// Streams whose bytes have all arrived within freshBytes show nothing about the readers: if resets
// of the rest do not make room, fresh is set and the receiver waits.
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
		return nil, fresh // the receiver waits for a reader that keeps up
	}
	chosen, _ = keepers.choose(func(freed int64) bool { return freed > 0 })
	if s.sparesLocked(chosen[0], by.hurry) {
		return nil, false
	}
	return chosen, false
}

// sparesLocked reports whether the least-read stream is not reset: a client's only stream, if
// nothing waits behind it; or, unless hurry is set, the only stream, if the peer opened it so
// recently that the application may not have started to read.
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

// backlogsLocked returns the streams with unread bytes, split into those that do not keep up with
// the peer and those that do. fresh is set if there are others, too recent to judge. It completes
// the lineup.
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

// readableLocked iterates over the streams that may have unread bytes.
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

// waitsForNothingLocked reports whether nothing waits behind a client's own and only stream: no
// caller that wants to open another stream, no PING. A server cannot know.
func (s *Session) waitsForNothingLocked(st *Stream) bool {
	return s.client && st.state.ours && len(s.openers) == 0 && len(s.pings) == 0 && !s.isRaw()
}

// resetUnread resets a stream because of unread bytes. The peer has broken no rule. If the stream
// has already ended by FIN, the rest can no longer be read.
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

// leaveUnreadLocked remembers an ended stream whose unread bytes count towards a limit, or towards a
// pool with a limit, until they have been read.
func (s *Session) leaveUnreadLocked(st *Stream) {
	if s.flow.limit == 0 && s.shed == nil && !s.ledger.boundsUnread() || s.unaware != nil && !s.conf.ResetOverBudget {
		return
	}
	st.settles.Store(true) // before the check: a reader that reads in between settles again
	if st.in.buffered() > 0 {
		s.leftover = append(s.leftover, st)
		st.left = int32(len(s.leftover))
	}
}

// leftoverKept is the capacity of Session.leftover, in streams, that is kept for the next stream.
const leftoverKept = 8

// forgetReadLocked forgets a stream recorded by leaveUnreadLocked that has no more unread bytes.
// The session then keeps the memory of header blocks no longer than the application does.
func (s *Session) forgetReadLocked(st *Stream) {
	if st.left == 0 || s.leftover == nil || st.in.buffered() > 0 { // nil after the end of the session
		return
	}
	last := len(s.leftover) - 1
	moved := s.leftover[last]
	s.leftover[st.left-1], moved.left = moved, st.left
	s.leftover[last], st.left = nil, 0
	if s.leftover = s.leftover[:last]; last == 0 && cap(s.leftover) > leftoverKept {
		s.leftover = nil
	}
}

// A shedder resets streams that hold up a session with windows, see Config.ShedAfter. The fields
// are guarded by Session.mu.
type shedder struct {
	after time.Duration
	timer *time.Timer // calls Session.sweep; nil before the first watch; stops with the session
	armed bool        // the timer is running, or sweep is about to run
}

// newShedder returns nil if the configuration does not enable shedding.
func (s *Session) newShedder() *shedder {
	if s.conf.ShedAfter <= 0 || !s.version.streamFlowControl() || s.isRaw() {
		return nil
	}
	return &shedder{after: s.conf.ShedAfter}
}

// shortLocked reports whether less than a quarter of the session's window is left.
func (c *credit) shortLocked() bool { return c.in.size-c.unreadLocked() < c.in.size/4 }

// tightLocked reports whether streams may need to be shed: the session is short of window, or ended
// streams with unread bytes hold slots.
func (s *Session) tightLocked() bool {
	return s.flow.shortLocked() || s.heldLocked(s.flow.keptOurs) > 0
}

// watchLocked starts the timer if streams may need to be shed.
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

// stopLocked stops the timer at the end of the session.
func (d *shedder) stopLocked() {
	if d != nil && d.timer != nil {
		d.timer.Stop()
	}
}

// sweep resets streams whose bytes have been unread for too long.
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

// lateLocked chooses the streams to shed, those of the greatest weight first: as many ended streams
// as hold slots for which callers wait, and open streams until half of the window is left. An open
// stream with very few bytes blocks no others.
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

// enoughSlotsLocked reports whether no caller needs the slots of ended streams once freed bytes of
// those streams are freed. Half of the slots are kept free for the next callers.
func (s *Session) enoughSlotsLocked(freed int64) bool {
	waiting := len(s.openers) + s.pooled.waiting()
	held := s.heldBesideLocked(s.flow.keptOurs, freed)
	if waiting == 0 || held == 0 {
		return true
	}
	limit, most := s.limitBesideLocked(held), s.limitBesideLocked(0)
	return limit == most || limit-s.ourStreams >= waiting && held <= most/2
}

// backlogs are the backlogs of several streams.
type backlogs []backlog

// unread returns the total of unread bytes.
func (u backlogs) unread() (all int64) {
	for _, l := range u {
		all += l.unread
	}
	return all
}

// worthPart divides the streams' average of unread bytes. A stream with less than that fraction of
// the average is not reset, since it would free very little.
const worthPart = 8

// worth returns the backlogs worth resetting. It overwrites u.
func (u backlogs) worth(average int64) backlogs {
	return slices.DeleteFunc(u, func(l backlog) bool { return l.unread < average/worthPart })
}

// choose returns the streams of the greatest weight until enough bytes are freed.
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
