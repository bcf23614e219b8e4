package spdy

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// The tests named TestAttackA1 to TestAttackA25 are what a hostile peer does, each to a
// session in every role and version that it concerns. That each of them needs the
// defence that it is about, internal/disarm shows by switching the defence off.

// An attacker is the scripted peer of a session, with a second session beside it that
// nobody attacks. What the first one sends is counted and forgotten, by a goroutine of
// the test's that reads all the time, unless the attack is not to read.
type attacker struct {
	*testPeer
	other *testPeer
	asked uint32 // the id of the last stream that other was asked for

	out bytes.Buffer // frames that have not been sent
	fw  *Framer      // writes to out

	mu    sync.Mutex
	heard hearing

	watched uint32 // a stream whose end listen looks out for; set before it is opened
}

// A hearing is what a session has sent.
type hearing struct {
	frames [FrameWindowUpdate + 2]int // by type; control frames of an unknown one last
	resets [RstFrameTooLarge + 2]int  // by status
	goAway []GoAwayStatus             // as they came; 0 in SPDY/2, which has none

	data       int64 // bytes of DATA
	watchedEnd int64 // how many had come when the stream that is watched had its FIN
}

// An attackSetup is what storm is to set up.
type attackSetup struct {
	peerOpts
	deaf bool                                // the peer does not read
	app  func(v Version, r role) application // nil stands for a rawApp
}

// storm runs an attack in a bubble, in each role and version.
func storm(t *testing.T, roles []role, versions []Version, setup attackSetup, f func(a *attacker)) {
	for _, r := range roles {
		for _, v := range versions {
			story(t, r.String()+"/"+versionElement(v), func(t *testing.T) { f(newAttacker(t, r, v, setup)) })
		}
	}
}

// attackBuffer is what the network between an attacker and a session holds.
const attackBuffer = 64 << 10

func newAttacker(t *testing.T, r role, v Version, setup attackSetup) *attacker {
	o := setup.peerOpts
	o.version, o.announce = v, true
	o.conn = append([]testconn.Option{testconn.WriteCap(attackBuffer)}, o.conn...)
	if setup.app != nil {
		o.app = setup.app(v, r)
	}
	a := &attacker{testPeer: newPeer(t, r, o), asked: 99}
	a.other = newPeer(t, r, peerOpts{version: v})
	a.fw = NewFramer(&a.out, &a.out, v)
	if !setup.deaf {
		go a.listen()
	}
	synctest.Wait()
	return a
}

// listen counts what comes, until the connection ends.
func (a *attacker) listen() {
	in := bufio.NewReaderSize(a.conn, 4<<10)
	head, payload := make([]byte, frameHeaderSize), make([]byte, 16)
	for {
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		h := parseFrameHeader(head)
		n, _ := io.ReadFull(in, payload[:min(h.length, len(payload))])
		if _, err := in.Discard(h.length - n); err != nil {
			return
		}
		a.mu.Lock()
		a.heard.note(a.version, h, payload[:n])
		if !h.control && h.streamID == a.watched && h.flags&FlagFin != 0 {
			a.heard.watchedEnd = a.heard.data
		}
		a.mu.Unlock()
	}
}

func (r *hearing) note(v Version, h frameHeader, p []byte) {
	typ := FrameData
	if !h.control {
		r.data += int64(h.length)
	} else {
		typ = min(h.typ, FrameWindowUpdate+1)
	}
	r.frames[typ]++
	switch {
	case typ == FrameRstStream && len(p) >= 8:
		r.resets[min(binary.BigEndian.Uint32(p[4:]), uint32(len(r.resets)-1))]++
	case typ == FrameGoAway && v == SPDY2:
		r.goAway = append(r.goAway, 0)
	case typ == FrameGoAway && len(p) >= 8:
		r.goAway = append(r.goAway, GoAwayStatus(binary.BigEndian.Uint32(p[4:])))
	}
}

// hear is what has come so far.
func (a *attacker) hear() hearing {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.heard
}

// frame adds frames to those that go out together.
func (a *attacker) frame(frames ...Frame) {
	for _, f := range frames {
		require.NoError(a.t, a.fw.WriteFrame(f))
	}
}

// raw adds a control frame that WriteFrame would not write.
func (a *attacker) raw(typ FrameType, flags FrameFlags, payload ...byte) {
	a.frame(&UnknownFrame{Version: a.version.wire(), Type: typ, Flags: flags, Data: payload})
}

// push sends what frame has added. It reports false if the session takes no more.
func (a *attacker) push() bool {
	_, err := a.conn.Write(a.out.Bytes())
	a.out.Reset()
	return err == nil && a.s.Err() == nil
}

// flood sends what one adds, n times or until the session has ended, and returns how
// many times that was.
func (a *attacker) flood(n int, one func(i int)) (sent int) {
	for i := range n {
		one(i)
		if a.out.Len() >= attackBuffer/4 || i == n-1 {
			if !a.push() {
				return i + 1
			}
		}
	}
	synctest.Wait()
	return n
}

// wantFlooded wants the session to have ended because a budget was used up: by a GOAWAY
// that says so, and a connection that is closed although the peer has not closed it.
func (a *attacker) wantFlooded(why string, b Budget) {
	a.t.Helper()
	a.wantEnded(why)
	err := a.served.err
	require.ErrorIs(a.t, err, ErrFlood, why)
	var flood *FloodError
	require.ErrorAs(a.t, err, &flood, why)
	require.Equal(a.t, b.String(), flood.Budget.String(), why)
	require.Positive(a.t, flood.Limit, why)
	require.Contains(a.t, err.Error(), b.String(), why)
	require.True(a.t, a.s.Stats().Flooded, why)
}

// wantEnded wants the session to have ended for a breach of the peer's, and to have said
// so if the peer reads.
func (a *attacker) wantEnded(why string) {
	a.t.Helper()
	require.Error(a.t, a.s.Err(), why)
	a.advance(linger)
	var breach *SessionError
	require.ErrorAs(a.t, a.served.wait(why).err, &breach, why)
	require.Equal(a.t, GoAwayProtocolError, breach.Status, why)
	require.False(a.t, breach.Remote, why)
	if heard := a.hear(); heard.frames[FrameSettings] > 0 {
		status := GoAwayProtocolError
		if a.version == SPDY2 {
			status = 0
		}
		require.Equal(a.t, []GoAwayStatus{status}, heard.goAway, why)
	}
	_, err := a.conn.Write([]byte{0})
	require.Error(a.t, err, "%s: the connection is closed", why)
}

// wantOtherUsable wants the session beside to work as ever.
func (a *attacker) wantOtherUsable(why string) {
	a.t.Helper()
	a.asked += 2
	if a.asked&1 != a.peerID()&1 {
		a.asked++
	}
	a.other.wantUsable(why+": another session", a.asked)
}

// heapInUse is what is reachable. It takes a whole collection to find out.
func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools keep what they have for a second one
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// much is n, or less of it with the race detector, which makes everything slow.
func much(n int) int {
	if raceEnabled {
		return n / 10
	}
	return n
}

// reading is an application that reads all that comes on each stream.
type reading struct{}

func (reading) accept(st *Stream, _ HeaderBlock) *StreamError {
	go func() {
		_, _ = io.Copy(io.Discard, readerFunc(st.read))
		st.release()
	}()
	return nil
}

func (reading) headers(*Stream, HeaderBlock) {}
func (reading) goingAway()                   {}
func (reading) makeRoom() bool               { return false }

func newReading(Version, role) application { return reading{} }

// A crowd is an application with a goroutine for each stream, which ends when its
// stream does, or, if it is stubborn, only when it is told to.
type crowd struct {
	told chan struct{} // nil unless the crowd is stubborn

	mu              sync.Mutex
	now, most, came int
}

func (c *crowd) accept(st *Stream, _ HeaderBlock) *StreamError {
	c.mu.Lock()
	c.came++
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	go func() {
		if c.told != nil {
			<-c.told
		}
		<-st.done
		c.mu.Lock()
		c.now--
		c.mu.Unlock()
		st.release()
	}()
	return nil
}

func (c *crowd) headers(*Stream, HeaderBlock) {}
func (c *crowd) goingAway()                   {}
func (c *crowd) makeRoom() bool               { return false }

// count returns how many of the goroutines run, the most that there ever were at once,
// and how many there have been.
func (c *crowd) count() (now, most, came int) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now, c.most, c.came
}
