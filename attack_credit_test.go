package spdy

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAttackA8WindowArithmetic: windows beyond their limits, of nothing, below nothing,
// and DATA beyond a window, each with the reaction on the layer that it breaks.
func TestAttackA8WindowArithmetic(t *testing.T) {
	some := HeaderBlock{{"name", "value"}}
	initial := func(n uint32) Frame {
		return &SettingsFrame{Entries: []Setting{{ID: SettingInitialWindowSize, Value: n}}}
	}
	update := func(id, delta uint32) Frame { return &WindowUpdateFrame{StreamID: id, Delta: delta} }
	const full = maxWindow - defaultWindow
	for _, c := range []struct {
		name     string
		versions []Version
		frames   func(id uint32) []Frame // after the stream was opened
		stream   RstStatus               // what the stream is reset with, 0 if it is not
		session  bool                    // the session ends
	}{
		{"delta of 0", version3, func(id uint32) []Frame { return []Frame{update(id, 0)} }, RstFlowControlError, false},
		{"delta to the limit", version3, func(id uint32) []Frame { return []Frame{update(id, full)} }, 0, false},
		{"delta beyond it", version3, func(id uint32) []Frame { return []Frame{update(id, full+1)} }, RstFlowControlError, false},
		{"deltas beyond it", version3, func(id uint32) []Frame { return []Frame{update(id, full), update(id, 1)} }, RstFlowControlError, false},
		{"largest delta", version3, func(id uint32) []Frame { return []Frame{update(id, maxWindow)} }, RstFlowControlError, false},
		{"session delta of 0", onlySPDY31, func(uint32) []Frame { return []Frame{update(0, 0)} }, 0, true},
		{"session delta to the limit", onlySPDY31, func(uint32) []Frame { return []Frame{update(0, full)} }, 0, false},
		{"session delta beyond it", onlySPDY31, func(uint32) []Frame { return []Frame{update(0, full+1)} }, 0, true},
		{"session deltas beyond it", onlySPDY31, func(uint32) []Frame { return []Frame{update(0, full), update(0, 1)} }, 0, true},
		{"no session window", onlySPDY3, func(uint32) []Frame { return []Frame{update(0, maxWindow), update(0, maxWindow)} }, 0, false},
		{"initial window of 0", version3, func(uint32) []Frame { return []Frame{initial(0)} }, 0, false},
		{"largest initial window", version3, func(uint32) []Frame { return []Frame{initial(maxWindow)} }, 0, false},
		{"initial window beyond it", version3, func(uint32) []Frame { return []Frame{initial(maxWindow + 1)} }, 0, true},
		{"initial window of 2^32-1", version3, func(uint32) []Frame { return []Frame{initial(1<<32 - 1)} }, 0, true},
		{"initial window moves one beyond", version3, func(id uint32) []Frame {
			return []Frame{update(id, full), initial(defaultWindow + 1)}
		}, RstFlowControlError, false},
		{"initial window up and down", version3, func(uint32) []Frame {
			return []Frame{initial(maxWindow), initial(0), initial(maxWindow), initial(1)}
		}, 0, false},
		{"SPDY/2 has none", onlyVersion2, func(uint32) []Frame { return []Frame{initial(1<<32 - 1)} }, 0, false},
		{"DATA to the limit", version3, func(id uint32) []Frame {
			return []Frame{&DataFrame{StreamID: id, Data: make([]byte, defaultWindow)}}
		}, 0, false},
		{"DATA beyond the stream's", onlySPDY3, func(id uint32) []Frame {
			return []Frame{&DataFrame{StreamID: id, Data: make([]byte, defaultWindow+1)}}
		}, RstFlowControlError, false},
		{"DATA beyond the session's", onlySPDY31, func(id uint32) []Frame {
			return []Frame{&DataFrame{StreamID: id, Data: make([]byte, defaultWindow)}, &DataFrame{StreamID: id, Data: []byte("x")}}
		}, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			storm(t, bothRoles, c.versions, attackSetup{}, func(a *attacker) {
				a.frame(&SynStreamFrame{StreamID: a.peerID(), Headers: some})
				require.True(a.t, a.push())
				st := a.wantAccept("a stream", a.peerID())
				a.frame(c.frames(st.id)...)
				a.push()
				synctest.Wait()
				switch {
				case c.session:
					a.wantEnded(c.name)
				case c.stream != 0:
					a.endsReset(c.name, st, c.stream, false)
					require.Equal(a.t, 1, a.hear().resets[c.stream])
					require.NoError(a.t, a.s.Err())
				default:
					a.isOpen(c.name, st)
					require.NoError(a.t, a.s.Err())
				}
				writes := a.ours.Stats().Writes
				a.advance(time.Minute)
				require.LessOrEqual(a.t, a.ours.Stats().Writes, writes+1, "and then there is quiet")
				a.wantOtherUsable(c.name)
			})
		})
	}
	t.Run("shrunk in the middle", func(t *testing.T) { // below nothing is legal, and waits
		storm(t, bothRoles, version3, attackSetup{}, func(a *attacker) {
			a.frame(&SynStreamFrame{StreamID: a.peerID(), Headers: some})
			require.True(a.t, a.push())
			st := a.wantAccept("a stream", a.peerID())
			a.reply(st, 0)
			w := a.startWrite(st, make([]byte, defaultWindow+1000), FlagFin)
			w.pending("the window is used up")
			require.EqualValues(a.t, defaultWindow, a.s.Stats().Sent.DataBytes)
			a.frame(initial(0), update(st.id, 999)) // the window is far below 0
			require.True(a.t, a.push())
			w.pending("the window is below 0")
			a.frame(update(st.id, defaultWindow-999))
			if a.version == SPDY31 {
				a.frame(update(0, defaultWindow))
			}
			require.True(a.t, a.push())
			w.pending("the window is 0")
			a.frame(update(st.id, 1000))
			require.True(a.t, a.push())
			w.wrote("a window again", defaultWindow+1000)
		})
	})
}

// TestAttackA9PriorityFlood: streams of the highest priority that want all there is. One
// of the lowest gets its part, whatever the others do, and there is nothing that grows
// with what priorities the peer chooses.
func TestAttackA9PriorityFlood(t *testing.T) {
	some := HeaderBlock{{"name", "value"}}
	storm(t, bothRoles, everyVersion, attackSetup{}, func(a *attacker) {
		const urgent, size, low = 20, 1 << 20, 128 << 10
		lowest := uint8(7)
		if a.version == SPDY2 {
			lowest = 3
		}
		if a.version != SPDY2 {
			a.frame(&SettingsFrame{Entries: []Setting{{ID: SettingInitialWindowSize, Value: maxWindow}}})
		}
		if a.version == SPDY31 {
			a.frame(&WindowUpdateFrame{Delta: maxWindow - defaultWindow})
		}
		var writers []*call
		a.mu.Lock()
		a.watched = a.peerID() + 2*urgent
		a.mu.Unlock()
		synctest.Wait()
		a.ours.SetHold(true) // so that all of them wait for the network
		for i := range urgent + 1 {
			id := a.peerID() + uint32(2*i)
			f := &SynStreamFrame{StreamID: id, Headers: some}
			if i == urgent {
				f.Priority = lowest
			}
			a.frame(f)
			require.True(a.t, a.push())
			st := a.wantAccept("a stream", id)
			a.reply(st, 0)
			n := size
			if i == urgent {
				n = low
			}
			w := a.startWrite(st, make([]byte, n), FlagFin)
			writers = append(writers, w)
		}
		a.ours.SetHold(false)
		for _, w := range writers {
			w.ok("all of them are sent")
		}
		require.EqualValues(a.t, urgent*size+low, a.s.Stats().Sent.DataBytes)
		require.Positive(a.t, a.hear().watchedEnd)
		require.Less(a.t, a.hear().watchedEnd, int64(urgent*size/2), "it has not waited for the others")
	})
}

// TestAttackA10UnreadAndReset: streams full of bytes that nobody reads, and that are
// reset, by either side. What they held is free, and the session has its window back.
func TestAttackA10UnreadAndReset(t *testing.T) {
	const conns, window = 10000, 64 << 10
	some := HeaderBlock{{"name", "value"}}
	settled := func(a *attacker, heap int64, n int) {
		synctest.Wait()
		require.NoError(a.t, a.s.Err())
		size, avail, owed, streams := receiveWindow(a.s)
		require.Zero(a.t, streams)
		require.Equal(a.t, size, avail+owed, "the session's window is whole again")
		require.Less(a.t, owed, size/4)
		require.Zero(a.t, a.s.Stats().UnreadBytes)
		require.Less(a.t, heapInUse()-heap, int64(1<<20))
		require.EqualValues(a.t, n, a.s.Stats().StreamsAccepted)
		a.wantOtherUsable("a storm of resets")
	}
	for _, who := range []string{"the peer resets", "we reset"} {
		t.Run(who, func(t *testing.T) {
			conf := Config{ResetBurst: 2 * conns, IdleFrameBurst: 10 * conns, SessionWindow: window}
			storm(t, bothRoles, everyVersion, attackSetup{peerOpts: peerOpts{conf: conf}, app: newCrowd}, func(a *attacker) {
				heap := heapInUse()
				n := much(conns)
				for i := range n {
					id := a.peerID() + uint32(2*i)
					a.frame(&SynStreamFrame{StreamID: id, Headers: some}, &DataFrame{StreamID: id, Data: make([]byte, window/2)}, &DataFrame{StreamID: id, Data: make([]byte, window/4)})
					if who == "we reset" { // a flag that must not be there
						a.frame(&DataFrame{StreamID: id, Flags: flagDataCompressed, Data: []byte("x")})
					} else {
						a.frame(&RstStreamFrame{StreamID: id, Status: RstCancel})
					}
					require.True(a.t, a.push())
					synctest.Wait() // for the window, which is as large as one stream
				}
				settled(a, heap, n)
			})
		})
	}
	t.Run("unknown streams", func(t *testing.T) { // bytes that belong to nobody
		storm(t, bothRoles, everyVersion, attackSetup{peerOpts: peerOpts{conf: Config{ResetBurst: 2 * conns}}, app: newCrowd}, func(a *attacker) {
			heap := heapInUse()
			for i := range much(conns) {
				a.frame(&DataFrame{StreamID: a.peerID() + uint32(2*i), Data: make([]byte, window/2)})
				require.True(a.t, a.push())
				synctest.Wait()
			}
			settled(a, heap, 0)
		})
	})
	t.Run("never read", func(t *testing.T) { // as many streams as there may be, all full
		const streams = 100
		conf := Config{MaxConcurrentStreams: streams, SessionWindow: 1 << 20}
		storm(t, bothRoles, everyVersion, attackSetup{peerOpts: peerOpts{conf: conf}, app: newCrowd}, func(a *attacker) {
			bound := int64(conf.SessionWindow)
			if a.version == SPDY3 { // which has no window for the session
				bound = streams * window
			}
			for i := range streams {
				a.frame(&SynStreamFrame{StreamID: a.peerID() + uint32(2*i), Headers: some})
			}
			require.True(a.t, a.push())
			synctest.Wait()
			heap := heapInUse()
			for i := range 2 * streams {
				a.frame(&DataFrame{StreamID: a.peerID() + uint32(i/2*2), Data: make([]byte, window/2)})
			}
			all := a.out.Bytes()
			heap += int64(cap(all))
			done := make(chan struct{})
			go func() { // in SPDY/2 the session stops reading, and this with it
				defer close(done)
				_, _ = a.conn.Write(all)
			}()
			synctest.Wait()
			require.LessOrEqual(a.t, a.s.Stats().UnreadBytes, bound+window/2, "with a frame that is coming in")
			require.Less(a.t, heapInUse()-heap, bound+bound/4+(1<<20))
			if a.version == SPDY31 {
				a.wantEnded("it sent more than the session's window")
			}
			a.wantOtherUsable("unread streams")
			a.s.shutdown(ErrSessionClosed)
			<-done
		})
	})
}
