package spdy

import "testing/synctest"

// check looks at everything that must be true of a session while nothing moves.
func (r *fuzzRun) check() {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	actors := r.actors
	r.mu.Unlock()
	for _, a := range actors {
		if st := a.st.Load(); st != nil {
			r.seen[st] = true
		}
	}
	s := r.s
	s.mu.Lock()
	for _, st := range s.streams {
		r.seen[st] = true
	}
	switch app := s.app.(type) { // what has come and gone, and waits for somebody who wants it
	case *acceptQueue:
		for _, st := range app.streams {
			r.seen[&st.st] = true
		}
	case *httpClientApp:
		for _, p := range app.pushes {
			r.seen[p.st] = true
		}
	}
	s.mu.Unlock()
	r.checkBooks()
	r.checkCounts()
	r.checkWaiters(actors)
}

// slack is by how many bytes the books may be off: those of a DATA frame that is charged
// to the windows when it begins, and has not come to its end.
func (r *fuzzRun) slack() int64 {
	if r.s.flow.limit > 0 { // the session may have stopped reading in the middle of one
		return int64(r.scan.largest)
	}
	return int64(r.scan.partial)
}

// checkBooks: unread + avail + owed == size, of every stream and of the session.
func (r *fuzzRun) checkBooks() {
	r.t.Helper()
	var unread int64
	for st := range r.seen {
		b := &st.in
		b.mu.Lock()
		f, n, all, chunks := b.flow, b.chargedLocked(), b.unread, int64(0)
		for c := b.head; c != nil; c = c.next {
			chunks += int64(c.w - c.r)
		}
		b.mu.Unlock()
		unread += n
		if off := f.size - n - f.avail - f.owed; off < 0 || off > r.slack() {
			r.t.Errorf("stream %d: %d bytes unread, %+v: off by %d, may be by %d", st.id, n, f, off, r.slack())
		}
		if chunks != all {
			r.t.Errorf("stream %d: %d bytes unread, %d in chunks", st.id, all, chunks)
		}
	}
	r.s.mu.Lock()
	size, avail, owed := r.s.flow.in.size, r.s.flow.in.avail, r.s.flow.owed.Load()
	r.s.mu.Unlock()
	if off := size - unread - avail - owed; off < 0 || off > r.slack() {
		r.t.Errorf("session: %d bytes unread, window %d, avail %d, owed %d: off by %d, may be by %d", unread, size, avail, owed, off, r.slack())
	}
}

// checkCounts: no more streams than the limits allow, and the slots are those of streams.
func (r *fuzzRun) checkCounts() {
	r.t.Helper()
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	ours, theirs := 0, 0
	for _, st := range s.streams {
		if st.state.ours {
			ours++
		} else {
			theirs++
		}
		if st.ended {
			r.t.Errorf("stream %d has ended and is still there", st.id)
		}
	}
	limit, slots := s.conf.MaxConcurrentStreams, s.peerStreams
	if q := s.handlers; q != nil {
		slots -= q.running // of streams that are open, too
		if q.running > limit || q.waiting.Len() > theirs || theirs+q.unread.Len() > limit {
			r.t.Errorf("%d handlers, %d streams that wait, %d that keep bytes, the limit is %d", q.running, q.waiting.Len(), q.unread.Len(), limit)
		}
	}
	if theirs > s.peerStreams || theirs != s.peerOpen || theirs > limit || slots > limit {
		r.t.Errorf("%d streams of the peer in %d slots, the limit is %d", theirs, s.peerStreams, limit)
	}
	if ours != s.activeLocked() || s.ourStreams > max(r.ours, s.limitLocked()) {
		r.t.Errorf("%d streams of ours in %d slots, of which %d wait, the limit is %d", ours, s.ourStreams, s.resetSlots.held(), s.limitLocked())
	}
	r.ours = s.ourStreams
}

// checkWaiters: nobody waits for what is there.
func (r *fuzzRun) checkWaiters(actors []*actor) {
	r.t.Helper()
	for _, a := range actors {
		st := a.st.Load()
		if st == nil || !a.reading.Load() {
			continue
		}
		if n, end := st.in.buffered(), st.in.ending(); n > 0 || end != nil {
			r.t.Errorf("somebody waits for stream %d, of which %d bytes are unread and the end is %v", st.id, n, end)
		}
	}
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.err == nil && len(s.openers) > 0 && (s.ourStreams < s.limitLocked() || s.end.saidGoAway || s.end.heardGoAway) {
		r.t.Errorf("%d calls wait to open a stream, with %d of %d open", len(s.openers), s.ourStreams, s.limitLocked())
	}
	if s.end.err != nil || r.deaf || r.peer.Unread() > 0 {
		return // the sender has an excuse
	}
	for _, st := range s.streams {
		if len(st.loan) > 0 && st.out.avail > 0 && s.flow.out.avail > 0 {
			r.t.Errorf("stream %d has %d bytes to send, and windows of %d and %d", st.id, len(st.loan), st.out.avail, s.flow.out.avail)
		}
	}
	if len(s.control) > 0 || !s.headers.empty() || s.sched.fins.head != nil || s.sched.busy() && s.flow.out.avail > 0 {
		r.t.Errorf("the sender sleeps over %d bytes of control frames, streams waiting %t, window %d", len(s.control), s.sched.busy(), s.flow.out.avail)
	}
}

// checkEnd: nothing is left of a session that has ended.
func (r *fuzzRun) checkEnd() {
	r.t.Helper()
	r.check()
	stats := r.s.Stats()
	if n := stats.Streams.Total(); n != 0 || stats.WaitingOpeners+stats.WaitingHandlers != 0 || stats.WaitingPings != 0 || stats.UnsentBytes != 0 {
		r.t.Errorf("left are %d streams, %d openers, %d pings, %d bytes unsent", n, stats.WaitingOpeners, stats.WaitingPings, stats.UnsentBytes)
	}
	if off := stats.UnreadBytes; off < 0 || off > r.slack() {
		r.t.Errorf("%d bytes are left unread", off)
	}
	if n := chunksOut.Load() - r.chunks; n != 0 {
		r.t.Errorf("%d chunks are not in their pools", n)
	}
	for _, a := range r.actors {
		st := a.st.Load()
		if st == nil || !a.ended.Load() || r.s.isOurs(st.id) && (st.oneWay || st.http != nil && !r.s.client) || st.id == 0 {
			continue // nothing comes on streams that we have opened to push
		}
		if !finSent(r.sent, st.id) {
			r.t.Errorf("stream %d came to a clean end without FIN", st.id)
		}
	}
	r.checkWire()
}
