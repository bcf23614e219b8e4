package spdy

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// This file has the verbs of a testPeer: what it sends, and what it wants to see
// next on the wire. Nothing on the wire is ever skipped: a frame that no test
// line wants fails the line that meets it.

// send sends one frame.
func (p *testPeer) send(frame Frame) {
	p.t.Helper()
	require.NoError(p.t, p.f.WriteFrame(frame))
}

// sendRaw sends bytes that WriteFrame would not.
func (p *testPeer) sendRaw(b []byte) {
	p.t.Helper()
	require.NoError(p.t, p.f.WriteRaw(b))
}

// sendControl sends a control frame with any payload.
func (p *testPeer) sendControl(typ FrameType, flags FrameFlags, payload ...byte) {
	p.t.Helper()
	p.send(&UnknownFrame{Version: p.version.wire(), Type: typ, Flags: flags, Data: payload})
}

func (p *testPeer) sendSynStream(id uint32, flags FrameFlags, headers ...HeaderField) {
	p.t.Helper()
	p.send(&SynStreamFrame{StreamID: id, Flags: flags, Headers: headers})
}

func (p *testPeer) sendSynReply(id uint32, flags FrameFlags, headers ...HeaderField) {
	p.t.Helper()
	p.send(&SynReplyFrame{StreamID: id, Flags: flags, Headers: headers})
}

func (p *testPeer) sendHeaders(id uint32, flags FrameFlags, headers ...HeaderField) {
	p.t.Helper()
	p.send(&HeadersFrame{StreamID: id, Flags: flags, Headers: headers})
}

func (p *testPeer) sendData(id uint32, text string, flags FrameFlags) {
	p.t.Helper()
	p.send(&DataFrame{StreamID: id, Flags: flags, Data: []byte(text)})
}

// sendBulk sends n bytes as one DATA frame and returns them.
func (p *testPeer) sendBulk(id uint32, n int, flags FrameFlags) string {
	p.t.Helper()
	b := testBytes(n)
	p.send(&DataFrame{StreamID: id, Flags: flags, Data: b})
	return string(b)
}

func (p *testPeer) sendRst(id uint32, status RstStatus) {
	p.t.Helper()
	p.send(&RstStreamFrame{StreamID: id, Status: status})
}

func (p *testPeer) sendPing(id uint32) {
	p.t.Helper()
	p.send(&PingFrame{ID: id})
}

func (p *testPeer) sendGoAway(last uint32, status GoAwayStatus) {
	p.t.Helper()
	p.send(&GoAwayFrame{LastGoodStreamID: last, Status: status})
}

func (p *testPeer) sendWindowUpdate(id, delta uint32) {
	p.t.Helper()
	p.send(&WindowUpdateFrame{StreamID: id, Delta: delta})
}

// sendSetting sends SETTINGS with one entry.
func (p *testPeer) sendSetting(id SettingID, value uint32) {
	p.t.Helper()
	p.sendSettings(Setting{ID: id, Value: value})
}

func (p *testPeer) sendSettings(entries ...Setting) {
	p.t.Helper()
	p.send(&SettingsFrame{Entries: entries})
}

// next reads the next frame, which must have been written already.
func (p *testPeer) next(why string) Frame {
	p.t.Helper()
	for {
		synctest.Wait()
		if p.conn.Unread() == 0 {
			p.fatalf(why, "nothing is on the wire")
		}
		frame, err := p.f.ReadFrame()
		require.NoError(p.t, err, why)
		if !p.echo(frame) {
			return frame
		}
	}
}

// echo answers a PING that asks whether resets or our SETTINGS have come, which few tests
// are about. It reports false for other frames, and if the test wants to see that PING.
func (p *testPeer) echo(frame Frame) bool {
	ping, ok := frame.(*PingFrame)
	if !ok || p.resetPings || !asksForResets(p.s, ping) {
		return false
	}
	p.f.WriteFrame(ping) // fails only with the connection
	return true
}

// asksForResets reports whether a session waits for the echo of a PING behind resets, or
// behind the SETTINGS, see limitProof, or whether it speaks SPDY, see probe. A session that the test does not know, nil, sends no other PING.
func asksForResets(s *Session, ping *PingFrame) bool {
	if s == nil {
		return ping.ID%2 == 1
	}
	if ping.ID == probePing {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resetSlots.ping == ping.ID || s.limitProof.ping == ping.ID || s.end.delivery != nil && s.end.delivery.ping == ping.ID
}

// wantFrame reads the next frame, which must be of type F.
func wantFrame[F Frame](p *testPeer, why string) F {
	p.t.Helper()
	frame := p.next(why)
	f, ok := frame.(F)
	if !ok {
		p.fatalf(why, "got %v", show(frame))
	}
	return f
}

// show puts a frame into a few words.
func show(frame Frame) string {
	if d, ok := frame.(*DataFrame); ok {
		return fmt.Sprintf("DATA stream %d flags %#x, %d bytes", d.StreamID, d.Flags, len(d.Data))
	}
	return fmt.Sprintf("%v %+v", frame.FrameType(), frame)
}

func (p *testPeer) wantSynStream(why string, id uint32) *SynStreamFrame {
	p.t.Helper()
	f := wantFrame[*SynStreamFrame](p, why)
	require.Equal(p.t, id, f.StreamID, why)
	return f
}

func (p *testPeer) wantSynReply(why string, id uint32) *SynReplyFrame {
	p.t.Helper()
	f := wantFrame[*SynReplyFrame](p, why)
	require.Equal(p.t, id, f.StreamID, why)
	return f
}

func (p *testPeer) wantHeaders(why string, id uint32) *HeadersFrame {
	p.t.Helper()
	f := wantFrame[*HeadersFrame](p, why)
	require.Equal(p.t, id, f.StreamID, why)
	return f
}

// wantData wants DATA frames of one stream with n bytes together, the last one
// with exactly the given flags and the others with none. It returns the bytes.
func (p *testPeer) wantData(why string, id uint32, n int, flags ...FrameFlags) []byte {
	p.t.Helper()
	var last FrameFlags
	if len(flags) > 0 {
		last = flags[0]
	}
	var got []byte
	for first := true; first || len(got) < n; first = false {
		f := wantFrame[*DataFrame](p, fmt.Sprintf("%s (after %d of %d bytes)", why, len(got), n))
		got = append(got, f.Data...)
		if f.StreamID != id || len(got) > n {
			p.fatalf(why, "got %v after %d of %d bytes of stream %d", show(f), len(got)-len(f.Data), n, id)
		}
		want := FrameFlags(0)
		if len(got) == n {
			want = last
		}
		require.Equal(p.t, want, f.Flags, "%s: flags after %d of %d bytes", why, len(got), n)
	}
	return got
}

func (p *testPeer) wantRst(why string, id uint32, status RstStatus) {
	p.t.Helper()
	f := wantFrame[*RstStreamFrame](p, why)
	require.Equal(p.t, RstStreamFrame{StreamID: id, Status: status}, *f, why)
}

func (p *testPeer) wantPing(why string, id uint32) {
	p.t.Helper()
	f := wantFrame[*PingFrame](p, why)
	require.Equal(p.t, PingFrame{ID: id}, *f, why)
}

func (p *testPeer) wantSettings(why string, entries ...Setting) {
	p.t.Helper()
	f := wantFrame[*SettingsFrame](p, why)
	require.Equal(p.t, SettingsFrame{Entries: entries}, *f, why)
}

func (p *testPeer) wantGoAway(why string, last uint32, status GoAwayStatus) {
	p.t.Helper()
	f := wantFrame[*GoAwayFrame](p, why)
	if p.version == SPDY2 {
		status = 0
	}
	require.Equal(p.t, GoAwayFrame{LastGoodStreamID: last, Status: status}, *f, why)
}

func (p *testPeer) wantWindowUpdate(why string, id, delta uint32) {
	p.t.Helper()
	f := wantFrame[*WindowUpdateFrame](p, why)
	require.Equal(p.t, WindowUpdateFrame{StreamID: id, Delta: delta}, *f, why)
}

// wantIdle wants nothing on the wire, and a connection that is open.
func (p *testPeer) wantIdle(why string) {
	p.t.Helper()
	for synctest.Wait(); p.conn.Unread() > 0; synctest.Wait() {
		frame, err := p.f.ReadFrame()
		if err != nil {
			p.fatalf(why, "on the wire is %v", err)
		}
		if !p.echo(frame) {
			p.fatalf(why, "on the wire is %v", show(frame))
		}
	}
	require.NoError(p.t, p.s.Err(), "%s: the session has ended", why)
}

// wantClosed wants the connection to end here. It returns what Serve returned,
// after the peer has closed its side too.
func (p *testPeer) wantClosed(why string) error {
	p.t.Helper()
	synctest.Wait()
	require.NoError(p.t, p.conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
	frame, err := p.f.ReadFrame()
	for err == nil && p.echo(frame) {
		frame, err = p.f.ReadFrame()
	}
	if err == nil {
		p.fatalf(why, "got %v, want the end of the connection", show(frame))
	}
	require.ErrorIs(p.t, err, io.EOF, why)
	p.conn.Close()
	return p.served.wait(why).err
}

// wantSessionError wants a GOAWAY with the given last good id and status, and
// then the end of everything.
func (p *testPeer) wantSessionError(why string, last uint32, status GoAwayStatus) {
	p.t.Helper()
	p.wantGoAway(why, last, status)
	err := p.wantClosed(why)
	var e *SessionError
	require.ErrorAs(p.t, err, &e, why)
	require.Equal(p.t, status, e.Status, why)
	require.False(p.t, e.Remote, why)
	require.Equal(p.t, err, p.s.Err(), why)
}

// wantOrderlyEnd wants the end of a session that nobody found fault with.
func (p *testPeer) wantOrderlyEnd(why string) {
	p.t.Helper()
	require.NoError(p.t, p.wantClosed(why), why)
	require.ErrorIs(p.t, p.s.Err(), ErrSessionClosed, why)
}

// wantAlive wants the session to answer a PING, and nothing before it.
func (p *testPeer) wantAlive(why string) {
	p.t.Helper()
	p.pings += 2
	id := 0x10000 + p.pings + p.peerID()
	p.sendPing(id)
	p.wantPing(why, id)
	p.wantIdle(why)
}

// wantUsable wants the session to answer a PING, to serve the peer's stream id,
// of which it has not heard yet, to its end, and to have its credit in order.
func (p *testPeer) wantUsable(why string, id uint32) {
	p.t.Helper()
	p.wantAlive(why)
	p.sendSynStream(id, 0, HeaderField{"another", "stream"})
	st := p.wantAccept(why, id)
	p.sendData(id, "question", FlagFin)
	p.wantRead(why, st, "question")
	p.wantEOF(why, st)
	p.reply(st, 0)
	p.wantSynReply(why, id)
	p.startWrite(st, []byte("answer"), FlagFin).wrote(why, 6)
	require.Equal(p.t, "answer", string(p.wantData(why, id, 6, FlagFin)), why)
	p.wantIdle(why)
	p.wantBalanced(why)
}

// wantBalanced wants the books of both kinds of receive windows to balance:
// unread + avail + owed == size.
func (p *testPeer) wantBalanced(why string) {
	p.t.Helper()
	synctest.Wait()
	streams := slices.Clone(p.opened)
	if p.app != nil {
		p.app.mu.Lock()
		streams = slices.AppendSeq(streams, maps.Keys(p.app.all))
		p.app.mu.Unlock()
	}
	unread := int64(0)
	for _, st := range streams {
		st.in.mu.Lock()
		f, n := st.in.flow, st.in.chargedLocked()
		st.in.mu.Unlock()
		unread += n
		require.Equal(p.t, f.size, n+f.avail+f.owed, "%s: stream %d: unread %d, %+v", why, st.id, n, f)
	}
	p.s.mu.Lock()
	size, avail := p.s.flow.in.size, p.s.flow.in.avail
	p.s.mu.Unlock()
	owed := p.s.flow.owed.Load()
	require.Equal(p.t, size, unread+avail+owed, "%s: session: unread %d, avail %d, owed %d", why, unread, avail, owed)
	require.Less(p.t, owed, max(size/4, 1), "%s: the session owes credit", why)
}

// endsWith wants a stream to have ended with an error that matches.
func (p *testPeer) endsWith(why string, st *Stream, target error) {
	p.t.Helper()
	p.hasEnded(why, st)
	require.ErrorIs(p.t, st.endReason(), target, why)
}

func (p *testPeer) hasEnded(why string, st *Stream) {
	p.t.Helper()
	synctest.Wait()
	select {
	case <-st.done:
	default:
		p.fatalf(why, "stream %d is open", st.id)
	}
}

// endsReset wants a stream to have been reset.
func (p *testPeer) endsReset(why string, st *Stream, status RstStatus, remote bool) {
	p.t.Helper()
	p.hasEnded(why, st)
	var e *StreamError
	require.ErrorAs(p.t, st.endReason(), &e, why)
	require.Equal(p.t, status, e.Status.forVersion(p.version), why)
	require.Equal(p.t, remote, e.Remote, why)
}

// isOpen wants a stream to be open still.
func (p *testPeer) isOpen(why string, st *Stream) {
	p.t.Helper()
	synctest.Wait()
	select {
	case <-st.done:
		p.fatalf(why, "stream %d has ended: %v", st.id, st.endReason())
	default:
	}
}

var errTest = errors.New("the test's own reason")
