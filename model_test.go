package spdy

import (
	"fmt"
	"slices"
)

// A model is a session as simple as it can be: plain numbers, no goroutine, no buffer. It
// follows the rules of the specification one by one, and says which frames a session has
// to send. TestModel compares it with a real one.
type model struct {
	version Version
	client  bool
	limit   int // streams that the peer may have open

	streams         map[uint32]*modelStream // open ones
	next            uint32                  // id of our next stream
	lastPeer        uint32                  // highest id that the peer has opened
	lastGood        uint32                  // highest one that was accepted
	said, heard     bool                    // GOAWAY
	dead            bool
	failed          bool // by an error of the peer's that we have found
	peerLimit       int64
	peerWindow      int64
	waiting         []modelOpen // calls that wait to open a stream, the first one first
	finished        modelRing   // streams on which no DATA may follow
	answered        modelRing   // streams that were never opened and have been answered
	size, in, owed  int64       // receive window of the session
	out             int64       // send window of the session
	dropped         int         // streams whose unread bytes were dropped in this step
	expected        []string    // frames but for DATA
	ping            uint32
	theirs, ourOpen int
}

type modelOpen struct{ fin, oneWay bool }

// A modelStream is one stream of a model.
type modelStream struct {
	id                            uint32
	ours, oneWay, replied         bool
	inDone, outDone, ended        bool
	gotData, unwanted, cancelRest bool
	names                         map[string]bool // of late headers
	size, in, owed, unread        int64
	out, loan                     int64
	fin                           bool // our FIN follows the loan
}

// noLimit is a window that there is not.
const noLimit = 1 << 62

func newModel(v Version, client bool, limit int) *model {
	m := &model{
		version: v, client: client, limit: limit, streams: make(map[uint32]*modelStream), next: 2,
		peerLimit: 100, peerWindow: 65536, size: noLimit, in: noLimit, out: noLimit, ping: 2,
	}
	if client {
		m.next, m.ping = 1, 1
	}
	if v == SPDY2 {
		m.peerWindow = noLimit
	}
	if v == SPDY31 {
		m.size, m.in, m.out = 65536, 65536, 65536
	}
	return m
}

func (m *model) say(format string, args ...any) {
	m.expected = append(m.expected, fmt.Sprintf(format, args...))
}

func (m *model) mine(id uint32) bool { return (id%2 == 1) == m.client }

// sorted are the open streams by id.
func (m *model) sorted() []*modelStream {
	var all []*modelStream
	for _, st := range m.streams {
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b *modelStream) int { return int(a.id) - int(b.id) })
	return all
}

// die ends the session because of an error of the peer (XE in SPEC).
func (m *model) die(status GoAwayStatus) {
	m.sayGoAway(status)
	m.dead, m.failed = true, true
}

func (m *model) sayGoAway(status GoAwayStatus) {
	if m.version == SPDY2 {
		status = 0
	}
	m.say("GOAWAY %d %v", m.lastGood, status)
}

// drained ends a session that is going away and has nothing left to do (G6).
func (m *model) drained() {
	if m.dead || !m.said && !m.heard || len(m.streams) > 0 {
		return
	}
	if !m.said {
		m.sayGoAway(GoAwayOK) // G1
	}
	m.dead = true
}

// rst says RST_STREAM. SPDY/2 has one status for what it does not know.
func (m *model) rst(id uint32, status RstStatus) {
	if m.version == SPDY2 && status > 7 {
		status = 1
	}
	m.say("RST %d %v", id, status)
	m.finished.remove(id)
}

// A modelRing holds the latest 32 ids.
type modelRing []uint32

func (r *modelRing) add(id uint32) bool {
	if slices.Contains(*r, id) {
		return false
	}
	if *r = append(*r, id); len(*r) > 32 {
		*r = (*r)[1:]
	}
	return true
}

func (r *modelRing) remove(id uint32) bool {
	i := slices.Index(*r, id)
	if i >= 0 {
		*r = slices.Delete(*r, i, i+1)
	}
	return i >= 0
}

// credit gives n bytes back to the session's window: a quarter of it at a time.
func (m *model) credit(n int64) {
	if n == 0 {
		return
	}
	m.owed += n
	if m.owed >= m.size/4 {
		m.in += m.owed
		if m.version == SPDY31 && !m.dead {
			m.say("WINDOW_UPDATE 0 %d", m.owed)
		}
		m.owed = 0
	}
}

// end ends a stream whose unread bytes nobody will get.
func (m *model) end(st *modelStream) {
	if st.ended {
		return
	}
	if !st.inDone && st.unread > 0 {
		m.dropped++
		m.credit(st.unread)
		st.owed += st.unread
		st.unread = 0
	}
	m.forget(st)
}

// forget takes an ended stream out, and lets the next one in.
func (m *model) forget(st *modelStream) {
	st.ended, st.loan, st.fin = true, 0, false
	delete(m.streams, st.id)
	if st.ours {
		m.ourOpen--
		m.admit()
	} else {
		m.theirs--
	}
}

func (m *model) retire(st *modelStream) {
	if !st.ended && st.inDone && st.outDone {
		m.finished.add(st.id)
		m.forget(st)
	}
}

// reset is a stream error (SE in SPEC).
func (m *model) reset(st *modelStream, status RstStatus) {
	if !st.ended {
		m.rst(st.id, status)
		m.end(st)
		m.drained()
	}
}

// finIn closes the peer's half, finOut ours.
func (m *model) finIn(st *modelStream) { st.inDone = true; m.retire(st) }

func (m *model) finOut(st *modelStream) {
	st.fin, st.outDone = false, true
	m.retire(st)
	if st.cancelRest {
		m.reset(st, RstCancel)
	}
}

// unknown is the answer to a frame on a stream that is not open, 0 for none.
func (m *model) unknown(id uint32, data bool) RstStatus {
	never := id > m.lastPeer
	if m.mine(id) {
		never = id >= m.next
	}
	switch {
	case m.said && !m.mine(id): // D2, S13
		return 0
	case never && m.answered.add(id): // D1, R4, R8
		return RstInvalidStream
	case !never && data && m.version != SPDY2 && m.finished.remove(id): // D7
		return RstProtocolError
	}
	return 0 // R5, X3, D8
}

// The frames of the peer.

func (m *model) synStream(id uint32, fin, oneWay bool) {
	switch {
	case id == 0, m.mine(id), id < m.lastPeer: // F12, S1, S2
		m.die(GoAwayProtocolError)
		return
	case id == m.lastPeer: // S3
		if st := m.streams[id]; st != nil {
			m.reset(st, RstProtocolError)
		} else {
			m.rst(id, RstProtocolError)
		}
		return
	case m.said: // S13
		return
	}
	m.lastPeer = id
	if m.theirs >= m.limit { // S6
		m.rst(id, RstRefusedStream)
		return
	}
	m.lastGood = id
	m.theirs++
	m.enter(&modelStream{id: id, oneWay: oneWay, replied: oneWay, inDone: fin, outDone: oneWay})
}

// enter opens a stream.
func (m *model) enter(st *modelStream) {
	st.names = make(map[string]bool)
	st.out, st.size, st.in = m.peerWindow, 65536, 65536
	if m.version == SPDY2 {
		st.size, st.in = noLimit, noLimit
	}
	m.streams[st.id] = st
	m.retire(st)
}

func (m *model) synReply(id uint32, fin bool) {
	st := m.streams[id]
	switch {
	case id == 0:
		m.die(GoAwayProtocolError)
	case st == nil:
		m.stray(id, false)
	case !st.ours || st.oneWay: // R6
		m.reset(st, RstProtocolError)
	case st.replied && st.inDone: // R3
		m.reset(st, RstStreamAlreadyClosed)
	case st.replied: // R1, R2
		m.reset(st, RstStreamInUse)
	default:
		st.replied = true
		if fin {
			m.finIn(st)
		}
	}
}

// stray answers a frame of a stream that is not open.
func (m *model) stray(id uint32, data bool) {
	if status := m.unknown(id, data); status != 0 {
		m.rst(id, status)
	}
}

func (m *model) headers(id uint32, name string, fin bool) {
	st := m.streams[id]
	switch {
	case id == 0:
		m.die(GoAwayProtocolError)
	case st == nil:
		m.stray(id, false)
	case st.inDone: // R9
		m.reset(st, RstStreamAlreadyClosed)
	case st.ours && !st.replied: // R7
		m.reset(st, RstProtocolError)
	case m.version == SPDY2 && m.client && st.gotData: // R12: they are ignored
		if fin {
			m.finIn(st)
		}
	case st.names[name]: // R11
		m.reset(st, RstProtocolError)
	default:
		st.names[name] = true
		if fin {
			m.finIn(st)
		}
	}
}

func (m *model) data(id uint32, n int64, fin, compressed bool) {
	if id == 0 || n > m.in { // F12, W13
		m.die(GoAwayProtocolError)
		return
	}
	m.in -= n
	st := m.streams[id]
	switch {
	case st == nil:
		m.stray(id, true)
	case m.version == SPDY2 && st.ours && !st.replied: // D4
		m.die(GoAwayProtocolError)
		return
	case compressed: // F11
		m.reset(st, RstProtocolError)
	case st.inDone: // D5, D6, D9
		m.reset(st, RstStreamAlreadyClosed)
	case st.ours && !st.replied: // D3
		m.reset(st, RstProtocolError)
	case n > st.in: // W12
		st.gotData = true
		m.reset(st, RstFlowControlError)
	default:
		m.take(st, n, fin)
		return
	}
	m.credit(n) // D10, W14
}

// take takes DATA that is in order.
func (m *model) take(st *modelStream, n int64, fin bool) {
	st.gotData = true
	st.in -= n
	if st.unwanted {
		st.owed += n
		m.credit(n)
		if !fin && (st.in <= 0 || m.version == SPDY2) {
			m.stopUnwanted(st)
		}
	} else {
		st.unread += n
	}
	if fin && !st.ended {
		m.finIn(st)
	}
}

func (m *model) stopUnwanted(st *modelStream) {
	switch {
	case st.ended:
	case st.outDone:
		m.reset(st, RstCancel)
	default:
		st.cancelRest = true
	}
}

func (m *model) rstStream(id uint32) {
	if id == 0 {
		m.die(GoAwayProtocolError)
	} else if st := m.streams[id]; st != nil { // X1; X2 otherwise
		m.finished.add(id)
		m.end(st)
	}
}

func (m *model) settings(id SettingID, value uint32) {
	switch {
	case id == SettingMaxConcurrentStreams:
		m.peerLimit = int64(value)
		m.admit()
	case id != SettingInitialWindowSize || m.version == SPDY2: // T5, T17
	case value > 1<<31-1: // T13
		m.die(GoAwayProtocolError)
	default: // T12, T14, T15
		delta := int64(value) - m.peerWindow
		m.peerWindow = int64(value)
		for _, st := range m.sorted() {
			if delta != 0 && st.out+delta > 1<<31-1 {
				m.reset(st, RstFlowControlError)
			} else {
				st.out += delta
			}
		}
	}
}

func (m *model) windowUpdate(id uint32, delta int64) {
	st := m.streams[id]
	switch {
	case m.version == SPDY2: // W20
	case id == 0 && m.version == SPDY3: // W9
	case id == 0:
		if delta == 0 || m.out+delta > 1<<31-1 { // W5, W7
			m.die(GoAwayProtocolError)
			return
		}
		m.out += delta
	case st == nil || st.outDone: // W8, W15
	case delta == 0 || st.out+delta > 1<<31-1: // W5, W6
		m.reset(st, RstFlowControlError)
	default:
		st.out += delta
	}
}

func (m *model) pinged(id uint32) {
	if id != 0 && !m.mine(id) { // P1; P2, P4 otherwise
		m.say("PING %d", id)
	}
}

func (m *model) goAway(last uint32) {
	m.heard = true
	m.waiting = nil // S14
	for _, st := range m.sorted() {
		if st.ours && st.id > last { // G5
			m.end(st)
		}
	}
}

// What the application does.

// open opens a stream, or waits for that.
func (m *model) open(o modelOpen) (ok bool) {
	if m.said || m.heard { // S14, G4
		return false
	}
	m.waiting = append(m.waiting, o)
	m.admit()
	return true
}

// admit opens streams while the peer's limit allows it (S7).
func (m *model) admit() {
	for len(m.waiting) > 0 && int64(m.ourOpen) < m.peerLimit && !m.dead {
		o := m.waiting[0]
		m.waiting = m.waiting[1:]
		m.ourOpen++
		st := &modelStream{id: m.next, ours: true, oneWay: o.oneWay, replied: o.oneWay, inDone: o.oneWay}
		m.next += 2
		m.say("SYN_STREAM %d fin %t oneWay %t", st.id, o.fin, o.oneWay)
		m.enter(st)
		if o.fin {
			m.finOut(st)
		}
	}
}

func (m *model) sendHeaders(st *modelStream, reply, fin bool) {
	kind := "HEADERS"
	if reply {
		kind, st.replied = "SYN_REPLY", true
	}
	m.say("%s %d fin %t", kind, st.id, fin)
	if fin {
		m.finOut(st)
	}
}

// read takes n of a stream's unread bytes.
func (m *model) read(st *modelStream, n int64) {
	st.unread -= n
	st.owed += n
	if st.owed >= st.size/4 {
		st.in += st.owed
		if m.version != SPDY2 && !st.ended && !st.inDone { // W15
			m.say("WINDOW_UPDATE %d %d", st.id, st.owed)
		}
		st.owed = 0
	}
	m.credit(n)
}

// stopReading throws away what is unread, and all that comes.
func (m *model) stopReading(st *modelStream) {
	n := st.unread
	st.owed += n
	st.unread, st.unwanted = 0, true
	m.credit(n)
	if st.in <= 0 {
		m.stopUnwanted(st)
	}
}

func (m *model) sayGoodbye() {
	if !m.said {
		m.sayGoAway(GoAwayOK)
	}
	m.said, m.waiting = true, nil
}

// flow lets the bytes go that the windows allow. Which stream gets how much of the
// session's window is the scheduler's choice, so the model is told what went out, and
// says what is wrong with that.
func (m *model) flow(sent map[uint32]int64, fins map[uint32]bool) (wrong string) {
	var able, total int64
	for _, st := range m.sorted() {
		may := max(0, min(st.loan, st.out))
		able += may
		if sent[st.id] > may {
			return fmt.Sprintf("stream %d has sent %d bytes, and may send %d", st.id, sent[st.id], may)
		}
	}
	for id, n := range sent {
		if n > 0 && m.streams[id] == nil {
			return fmt.Sprintf("%d bytes of stream %d, which is not open", n, id)
		}
		total += n
	}
	if able = max(0, min(able, m.out)); total != able { // W3
		return fmt.Sprintf("%d bytes of DATA went out, the windows allow %d", total, able)
	}
	m.out -= total
	for _, st := range m.sorted() {
		st.loan -= sent[st.id]
		st.out -= sent[st.id]
		done := st.fin && st.loan == 0 // W4
		if done != fins[st.id] {
			return fmt.Sprintf("stream %d: FIN %t, want %t", st.id, fins[st.id], done)
		}
		delete(fins, st.id)
		if done {
			m.finOut(st)
		}
	}
	if len(fins) > 0 {
		return fmt.Sprintf("FIN on %v", fins)
	}
	return ""
}
