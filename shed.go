package spdy

import (
	"cmp"
	"slices"
	"time"
)

// This file resets streams whose unread bytes are in the way of others: where no window
// bounds the unread bytes of a session, in SPDY/2 and SPDY/3, when they reach
// Config.SessionWindow; and in SPDY/3.1, if Config.ShedAfter says so, while the session's
// window is short. A session whose peer does no flow control has rules of its own, see
// FlowControlPeerUnaware.

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

// While other streams are open, a receiver waits for readers no longer than keptWaiting of
// each stallPeriod, unless it receives half of the session's limit in it. A reader of one
// in keepUpAmong bytes needs no more. One that has kept up for long and then reads a little
// each second would hold the others up for minutes.
const (
	stallPeriod = keepUpAmong * shedWait
	keptWaiting = stallPeriod - shedWait
)

// A stallShare is the time for which a receiver has waited for readers in the present
// stallPeriod. The receiver alone uses it.
type stallShare struct {
	since    time.Time     // beginning of the period; zero before the first stall
	waited   time.Duration // since then
	received int64         // DATA bytes of the session before the period
}

// add counts a stall. received are the DATA bytes of the session so far.
func (h *stallShare) add(began, ended time.Time, received int64) {
	if began.Sub(h.since) >= stallPeriod {
		*h = stallShare{since: began, received: received}
	}
	h.waited += ended.Sub(began)
}

// starvesLocked reports that readers hold the session up.
func (s *Session) starvesLocked(now time.Time) bool {
	return s.stalls.waited > keptWaiting && now.Sub(s.stalls.since) < 2*stallPeriod &&
		s.stats.dataReceived-s.stalls.received < s.flow.limit/2
}

// A readPace tells how fast the application reads a stream, compared to the peer. Guarded
// by northbound.mu.
type readPace struct {
	born  time.Time // immutable
	read  int64     // bytes that the application has read or discarded
	since int64     // value of read when unread last rose to mark
	mark  int64     // a quarter of the session's limit; 0 if there is none
	swept int64     // value of read at the latest sweep, see shedder
}

// noteLocked looks whether n bytes that have been added take unread to the mark.
func (p *readPace) noteLocked(unread, n int64) {
	if p != nil && p.mark > 0 && unread >= p.mark && unread-n < p.mark {
		p.since = p.read
	}
}

// passLocked counts bytes that the application has read.
func (p *readPace) passLocked(n int64) {
	if p != nil {
		p.read += n
	}
}

// keepsUp reports whether the application has read at least one in part of the bytes that
// have been received since unread rose to a quarter of the session's limit.
func (b *northbound) keepsUp(part int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pace
	if p == nil || b.unread < p.mark {
		return false
	}
	read := p.read - p.since
	return part*read >= read+b.unread-p.mark
}

// sweep reports whether bytes are unread of which the application has read none since the
// sweep before.
func (b *northbound) sweep() (stuck bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pace == nil {
		return false
	}
	stuck = b.unread > 0 && b.pace.swept == b.pace.read
	b.pace.swept = b.pace.read
	return stuck
}

// newReadPace returns what a stream has to count, nil if nothing.
func (s *Session) newReadPace() *readPace {
	if s.unaware != nil || s.flow.limit == 0 && s.shed == nil {
		return nil
	}
	return &readPace{born: time.Now(), mark: s.flow.limit / 4, swept: -1}
}

// awaitRoom makes room for bytes that are coming in while a session in which no window
// bounds the peer has as many unread bytes as its limit. It discards what the
// application can do without, resets the stream with the most unread bytes, or waits
// for its reader: that is the one thing besides the network that a receiver ever waits
// for. coming are the bytes of the present frame that have been charged and have not been
// read from the network.
func (s *Session) awaitRoom(coming int) {
	if s.flow.limit == 0 {
		return
	}
	var wait *time.Timer // of this stall
	stuck := false
	for s.unread()-int64(coming) >= s.flow.limit {
		if s.app.makeRoom() || s.resetFullest(stuck) {
			continue
		}
		if wait == nil {
			s.countStall()
			wait = time.NewTimer(shedWait)
			defer wait.Stop()
		}
		stuck = s.stall(wait.C) || stuck
		if s.ended() {
			return
		}
	}
}

// stall waits for bytes to be read, or for another reason to look again. It reports true
// if the wait has been too long.
func (s *Session) stall(limit <-chan time.Time) (late bool) {
	s.alive.hold(true)
	defer s.alive.hold(false)
	began := time.Now()
	defer func() { s.stalls.add(began, time.Now(), s.stats.dataReceived) }()
	select {
	case <-s.flow.room:
		return false
	case <-limit:
		return true
	case <-s.done:
		return false
	}
}

// resetFullest resets the stream with the most unread bytes. It reports false if the
// receiver has to wait instead. stuck says that it has waited for shedWait, and nothing
// was read.
func (s *Session) resetFullest(stuck bool) bool {
	s.mu.Lock()
	fullest := s.fullestLocked()
	spared := fullest == nil || s.sparesLocked(fullest, stuck)
	if !spared {
		s.stats.shed++
		if s.unaware != nil {
			s.unaware.resets++
		}
	}
	s.mu.Unlock()
	if spared {
		return false
	}
	s.resetUnread(fullest, "the session has too many unread bytes, and this stream most of them")
	return true
}

// sparesLocked reports that a stream is not reset although it has the most unread bytes:
// the only stream of a client, behind which nothing waits; one whose application keeps up
// with the peer; and the only stream, if the peer opened it so lately that the application
// may not have begun to read.
func (s *Session) sparesLocked(st *Stream, stuck bool) bool {
	if s.unaware != nil {
		return !s.conf.ResetOverBudget
	}
	alone := len(s.streams) == 0 || len(s.streams) == 1 && !st.ended
	part := int64(keepUpAmong)
	if alone {
		part = keepUpAlone
	}
	switch {
	case alone && s.waitsForNothingLocked(st):
		return true
	case stuck, !alone && s.starvesLocked(time.Now()):
		return false
	}
	fresh := !st.state.ours && st.in.pace != nil && time.Since(st.in.pace.born) < shedWait
	return alone && fresh || st.in.keepsUp(part)
}

// fullestLocked is the stream with the most unread bytes, nil if no bytes are unread.
func (s *Session) fullestLocked() (fullest *Stream) {
	most := int64(0)
	look := func(st *Stream) {
		if n := st.in.buffered(); n > most {
			fullest, most = st, n
		}
	}
	for _, st := range s.streams {
		look(st)
	}
	for _, st := range s.leftover {
		look(st)
	}
	return fullest
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
}

// leaveUnreadLocked remembers a stream that has ended and whose bytes are unread, where
// they count towards a limit.
func (s *Session) leaveUnreadLocked(st *Stream) {
	if s.flow.limit == 0 || s.unaware != nil || st.in.buffered() == 0 {
		return
	}
	if len(s.leftover) == cap(s.leftover) { // before it grows
		s.leftover = slices.DeleteFunc(s.leftover, func(st *Stream) bool { return st.in.buffered() == 0 })
	}
	s.leftover = append(s.leftover, st)
}

// A shedder resets streams that hold up a session of SPDY/3.1, see Config.ShedAfter. Its
// fields are guarded by Session.mu.
type shedder struct {
	after time.Duration
	timer *time.Timer // calls Session.sweep; ends with the session
	armed bool        // the timer runs, or sweep is about to
}

// newShedder returns nil if the configuration sheds nothing.
func (s *Session) newShedder() *shedder {
	if s.conf.ShedAfter <= 0 || !s.version.sessionFlowControl() || s.isRaw() {
		return nil
	}
	d := &shedder{after: s.conf.ShedAfter}
	d.timer = time.AfterFunc(d.after, s.sweep)
	d.timer.Stop()
	return d
}

// shortLocked reports that less than a quarter of the session's window is left.
func (c *credit) shortLocked() bool { return c.in.size-c.unreadLocked() < c.in.size/4 }

// watchLocked begins to watch for streams to shed when the window becomes short.
func (d *shedder) watchLocked(s *Session) {
	if d != nil && !d.armed && s.err == nil && s.flow.shortLocked() {
		d.armed = true
		for _, st := range s.streams {
			st.in.sweep()
		}
		d.timer.Reset(d.after)
	}
}

// stopLocked ends the watch with the session.
func (d *shedder) stopLocked() {
	if d != nil {
		d.timer.Stop()
	}
}

// sweep resets streams of which nothing has been read since the sweep before, those with
// the most unread bytes first, until half of the window is left.
func (s *Session) sweep() {
	s.mu.Lock()
	d := s.shed
	if s.err != nil || !s.flow.shortLocked() {
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

// stuckLocked chooses the streams to shed.
func (s *Session) stuckLocked() (stuck []*Stream) {
	unread := make(map[*Stream]int64)
	for _, st := range s.streams {
		if st.in.sweep() {
			unread[st] = st.in.buffered()
			stuck = append(stuck, st)
		}
	}
	slices.SortFunc(stuck, func(a, b *Stream) int {
		return cmp.Or(cmp.Compare(unread[b], unread[a]), cmp.Compare(a.id, b.id))
	})
	left := s.flow.in.size - s.flow.unreadLocked()
	for i, st := range stuck {
		if left >= s.flow.in.size/2 {
			return stuck[:i]
		}
		left += unread[st]
	}
	return stuck
}
