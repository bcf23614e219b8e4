package spdy

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// narrow is a network that holds next to nothing of what the session under attack says.
var narrow = []testconn.Option{testconn.First(testconn.WriteCap(100))}

// waitingControl is how many bytes of control frames wait for the sender, and the room
// that has been made for them.
func (a *attacker) waitingControl() (n, room int) {
	synctest.Wait()
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	return len(a.s.control), cap(a.s.control)
}

// TestAttackA6RepliesNotRead: frames that have to be answered, by a peer that does not
// read the answers (CVE-2019-9512, 9514, 9515). What waits for it is bounded; a session
// that owes too much ends, and so does, with a WriteTimeout, one that owes anything.
func TestAttackA6RepliesNotRead(t *testing.T) {
	conf := Config{ResetBurst: 1 << 20, IdleFrameBurst: 1 << 20}
	some := HeaderBlock{{"name", "value"}}
	for _, way := range []struct {
		name string
		one  func(a *attacker, i int)
	}{
		{"PING", func(a *attacker, i int) { a.frame(&PingFrame{ID: a.peerID() + uint32(2*i)}) }},
		{"DATA for unknown streams", func(a *attacker, i int) {
			a.frame(&DataFrame{StreamID: a.peerID() + uint32(2*i), Data: []byte("x")})
		}},
		{"refused streams", func(a *attacker, i int) {
			a.frame(&SynStreamFrame{StreamID: a.peerID() + uint32(2*i), Headers: HeaderBlock{{"", ""}}})
		}},
		{"SYN_STREAM twice", func(a *attacker, i int) {
			f := &SynStreamFrame{StreamID: a.peerID() + uint32(2*i), Headers: some}
			a.frame(f, f)
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			setup := attackSetup{peerOpts: peerOpts{conf: conf, conn: narrow}, app: newCrowd, deaf: true}
			storm(t, bothRoles, everyVersion, setup, func(a *attacker) {
				heap := heapInUse()
				sent := a.flood(100000, func(i int) { way.one(a, i) })
				require.Less(a.t, sent, 50000, "it was ended long before")
				require.Error(a.t, a.s.Err())
				_, room := a.waitingControl()
				require.Less(a.t, room, 4*defaultMaxOwedReplies)
				require.Less(a.t, heapInUse()-heap, int64(1<<20))
				a.wantFlooded(way.name, BudgetReplies)
				a.wantOtherUsable(way.name)
			})
		})
		t.Run(way.name+" with a WriteTimeout", func(t *testing.T) {
			conf := conf
			conf.WriteTimeout = 10 * time.Second
			setup := attackSetup{peerOpts: peerOpts{conf: conf, conn: narrow}, app: newCrowd, deaf: true}
			storm(t, bothRoles, everyVersion, setup, func(a *attacker) {
				require.Equal(a.t, 100, a.flood(100, func(i int) { way.one(a, i) }), "few enough")
				require.NoError(a.t, a.s.Err())
				a.advance(2 * conf.WriteTimeout)
				require.ErrorIs(a.t, a.s.Err(), ErrWriteTimeout)
				a.served.wait("the session is dead")
			})
		})
	}
	t.Run("WINDOW_UPDATE", func(t *testing.T) { // credit for what has been read is told in one frame
		setup := attackSetup{peerOpts: peerOpts{conf: conf, conn: narrow}, app: newReading, deaf: true}
		storm(t, bothRoles, version3, setup, func(a *attacker) {
			id := a.peerID()
			a.frame(&SynStreamFrame{StreamID: id, Headers: some})
			body := make([]byte, 8<<10)
			for range much(4<<20) / len(body) {
				a.frame(&DataFrame{StreamID: id, Data: body})
				a.push()
				synctest.Wait() // for it to be read
			}
			require.NoError(a.t, a.s.Err(), "the peer has kept to what it was granted")
			n, _ := a.waitingControl()
			require.LessOrEqual(a.t, n, 3*owingReply)
			require.Equal(a.t, int64(much(4<<20)/len(body)*len(body)), a.s.Stats().Received.DataBytes)
			a.wantOtherUsable("unread credit")
		})
	})
	t.Run("WINDOW_UPDATE for streams that are gone", func(t *testing.T) {
		conf := conf
		conf.MaxOwedReplies = 40 * owingReply
		setup := attackSetup{peerOpts: peerOpts{conf: conf, conn: narrow}, app: newReading, deaf: true}
		storm(t, bothRoles, version3, setup, func(a *attacker) {
			sent := 0
			for ; sent < 1000 && a.s.Err() == nil; sent++ {
				id := a.peerID() + uint32(2*sent)
				a.frame(&SynStreamFrame{StreamID: id, Headers: some}, &DataFrame{StreamID: id, Data: make([]byte, 32<<10)})
				a.push()
				synctest.Wait()
				a.frame(&RstStreamFrame{StreamID: id, Status: RstCancel})
				a.push()
				synctest.Wait()
			}
			require.InDelta(a.t, 45, sent, 6)
			a.wantFlooded("credit for streams that are gone", BudgetReplies)
		})
	})
}

// TestAttackA7IdleFrames: frames that bring nothing, as many as come (CVE-2019-9511,
// 9512, 9515, 9517, 9518). The peer reads what it is answered.
func TestAttackA7IdleFrames(t *testing.T) {
	some := HeaderBlock{{"name", "value"}}
	stream := func(a *attacker) { a.frame(&SynStreamFrame{StreamID: a.peerID(), Headers: some}) }
	ways := []struct {
		name     string
		versions []Version
		first    func(a *attacker) // may be nil
		one      func(a *attacker, i int)
	}{
		{"empty DATA", everyVersion, stream, func(a *attacker, _ int) { a.frame(&DataFrame{StreamID: a.peerID()}) }},
		{"empty HEADERS", everyVersion, stream, func(a *attacker, _ int) { a.frame(&HeadersFrame{StreamID: a.peerID()}) }},
		{"WINDOW_UPDATE", version3, stream, func(a *attacker, _ int) { a.frame(&WindowUpdateFrame{StreamID: a.peerID(), Delta: 1}) }},
		{"WINDOW_UPDATE of a stream that is gone", version3, nil, func(a *attacker, _ int) { a.frame(&WindowUpdateFrame{StreamID: a.peerID(), Delta: 1}) }},
		{"WINDOW_UPDATE of the session", onlySPDY31, nil, func(a *attacker, _ int) { a.frame(&WindowUpdateFrame{Delta: 1}) }},
		{"SETTINGS", everyVersion, nil, func(a *attacker, i int) {
			a.frame(&SettingsFrame{Entries: []Setting{{ID: SettingInitialWindowSize, Value: uint32(i)}}})
		}},
		{"PING", everyVersion, nil, func(a *attacker, i int) { a.frame(&PingFrame{ID: a.peerID() + uint32(2*i)}) }},
		{"PING of no id", everyVersion, nil, func(a *attacker, _ int) { a.frame(&PingFrame{}) }},
		{"echoes of no PING", everyVersion, nil, func(a *attacker, i int) { a.frame(&PingFrame{ID: a.firstID() + 1000 + uint32(2*i)}) }},
		{"RST_STREAM of no stream", everyVersion, nil, func(a *attacker, i int) {
			a.frame(&RstStreamFrame{StreamID: a.peerID() + uint32(2*i), Status: RstCancel})
		}},
		{"unknown control frames", everyVersion, nil, func(a *attacker, _ int) { a.raw(99, 0, 1, 2, 3) }},
		{"CREDENTIAL", version3, nil, func(a *attacker, _ int) { a.raw(10, 0, 1, 2, 3) }},
		{"NOOP", onlyVersion2, nil, func(a *attacker, _ int) { a.raw(FrameNoop, 0) }},
		{"frames of another version", everyVersion, nil, func(a *attacker, _ int) {
			a.frame(&UnknownFrame{Version: 4, Type: FramePing, Data: []byte{0, 0, 0, 1}})
		}},
		{"GOAWAY", everyVersion, stream, func(a *attacker, _ int) { a.frame(&GoAwayFrame{}) }},
		{"empty DATA after a reset", everyVersion, func(a *attacker) {
			stream(a)
			a.frame(&SynStreamFrame{StreamID: a.peerID(), Headers: some}) // which resets it
		}, func(a *attacker, _ int) { a.frame(&DataFrame{StreamID: a.peerID()}) }},
	}
	// All that matters here is read, but perhaps not before the next few thousand come.
	setup := attackSetup{app: newCrowd, peerOpts: peerOpts{conf: Config{MaxOwedReplies: 1 << 20}}}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			storm(t, bothRoles, way.versions, setup, func(a *attacker) {
				if way.first != nil {
					way.first(a)
				}
				sent := a.flood(1000000, func(i int) { way.one(a, i) })
				require.Less(a.t, sent, 10*defaultIdleFrameBurst, "it was ended long before")
				require.GreaterOrEqual(a.t, sent, defaultIdleFrameBurst)
				a.wantFlooded(way.name, BudgetIdleFrames)
				require.InDelta(a.t, defaultIdleFrameBurst, a.s.Stats().IdleFrames, 100)
				a.wantOtherUsable(way.name)
			})
		})
	}
	t.Run("within the rate", func(t *testing.T) { // any of them may go on for ever
		for _, way := range ways {
			t.Run(way.name, func(t *testing.T) {
				storm(t, bothRoles, way.versions, attackSetup{app: newCrowd}, func(a *attacker) {
					if way.first != nil {
						way.first(a)
					}
					const a20th = defaultIdleFrameRate / 20
					for i := range 20 * 15 {
						for n := range a20th {
							way.one(a, i*a20th+n)
						}
						require.True(a.t, a.push())
						a.advance(50 * time.Millisecond)
					}
					require.NoError(a.t, a.s.Err())
				})
			})
		}
	})
}

// TestAttackA7Crumbs: a peer whose window lets one byte go at a time (CVE-2019-9511,
// 9517) gets at most one frame for each that it sends, of the rate that it may send
// nothing at, and nothing is done while it sends none.
func TestAttackA7Crumbs(t *testing.T) {
	open := func(a *attacker, body []byte) *call {
		a.frame(&SettingsFrame{Entries: []Setting{{ID: SettingInitialWindowSize, Value: 0}}},
			&SynStreamFrame{StreamID: a.peerID(), Flags: FlagFin, Headers: HeaderBlock{{"name", "value"}}})
		require.True(a.t, a.push())
		st := a.wantAccept("a stream", a.peerID())
		a.reply(st, 0)
		return a.startWrite(st, body, FlagFin)
	}
	t.Run("flood", func(t *testing.T) {
		storm(t, bothRoles, version3, attackSetup{}, func(a *attacker) {
			w := open(a, make([]byte, 1<<20))
			sent := a.flood(100000, func(int) { a.frame(&WindowUpdateFrame{StreamID: a.peerID(), Delta: 1}) })
			require.Less(a.t, sent, 10*defaultIdleFrameBurst)
			a.wantFlooded("crumbs", BudgetIdleFrames)
			require.LessOrEqual(a.t, a.hear().frames[FrameData], sent, "one frame for each update at most")
			w.fails("the writer is told", ErrFlood)
			a.wantOtherUsable("crumbs")
		})
	})
	t.Run("one after the other", func(t *testing.T) { // so that each update makes a frame, which is no progress
		const burst = 500
		setup := attackSetup{peerOpts: peerOpts{conf: Config{IdleFrameBurst: burst}}}
		storm(t, bothRoles, version3, setup, func(a *attacker) {
			w := open(a, make([]byte, 1<<20))
			sent := 0
			for ; sent < 4*burst && a.s.Err() == nil; sent++ {
				a.frame(&WindowUpdateFrame{StreamID: a.peerID(), Delta: 1})
				a.push()
				synctest.Wait()
			}
			require.InDelta(a.t, burst, sent, 20)
			a.wantFlooded("crumbs", BudgetIdleFrames)
			w.fails("the writer is told", ErrFlood)
		})
	})
	t.Run("slowly", func(t *testing.T) {
		storm(t, bothRoles, version3, attackSetup{}, func(a *attacker) {
			w := open(a, make([]byte, 3000))
			for i := range 3000 {
				require.Equal(a.t, i, a.hear().frames[FrameData], "one frame for each update")
				w.pending("the window is used up")
				a.frame(&WindowUpdateFrame{StreamID: a.peerID(), Delta: 1})
				require.True(a.t, a.push())
				a.advance(time.Second)
			}
			w.wrote("it has got all of it", 3000)
		})
	})
	t.Run("never", func(t *testing.T) { // a deadline ends the wait for a window that does not open
		storm(t, bothRoles, version3, attackSetup{}, func(a *attacker) {
			w := open(a, make([]byte, 3000))
			w.pending("no window")
			writes := a.ours.Stats().Writes
			a.advance(time.Hour)
			require.Equal(a.t, writes, a.ours.Stats().Writes, "it is not tried again and again")
			a.s.mu.Lock()
			st := a.s.streams[a.peerID()]
			a.s.mu.Unlock()
			require.NoError(a.t, st.SetWriteDeadline(time.Now().Add(time.Second)))
			a.advance(2 * time.Second)
			w.wait("the deadline has passed")
			require.Error(a.t, w.err)
		})
	})
}

// TestUsefulFramesAreNoFlood: what looks like an attack and is of use, for as long as it
// goes on, at any rate.
func TestUsefulFramesAreNoFlood(t *testing.T) {
	const many = 3 * defaultIdleFrameBurst
	some := HeaderBlock{{"name", "value"}}
	t.Run("DATA of one byte", func(t *testing.T) { // somebody types, or a program writes
		storm(t, bothRoles, everyVersion, attackSetup{app: newReading}, func(a *attacker) {
			a.frame(&SynStreamFrame{StreamID: a.peerID(), Headers: some})
			require.Equal(a.t, much(many), a.flood(much(many), func(int) { a.frame(&DataFrame{StreamID: a.peerID(), Data: []byte("x")}) }))
			require.NoError(a.t, a.s.Err())
			require.Less(a.t, a.s.Stats().IdleFrames, uint64(10))
		})
	})
	t.Run("an empty frame after each", func(t *testing.T) { // as a flush
		storm(t, bothRoles, everyVersion, attackSetup{app: newReading}, func(a *attacker) {
			a.frame(&SynStreamFrame{StreamID: a.peerID(), Headers: some})
			a.flood(much(many), func(int) {
				a.frame(&DataFrame{StreamID: a.peerID(), Data: []byte("x")}, &DataFrame{StreamID: a.peerID()})
			})
			require.NoError(a.t, a.s.Err())
		})
	})
	t.Run("credit for each byte", func(t *testing.T) { // that we send, one at a time, on both windows
		storm(t, bothRoles, version3, attackSetup{}, func(a *attacker) {
			a.frame(&SynStreamFrame{StreamID: a.peerID(), Headers: some})
			require.True(a.t, a.push())
			st := a.wantAccept("a stream", a.peerID())
			a.reply(st, 0)
			for i := range 3 * defaultIdleFrameBurst / 2 {
				w := a.startWrite(st, []byte("x"), 0)
				w.wrote("a byte", 1)
				a.frame(&WindowUpdateFrame{StreamID: st.id, Delta: 1})
				if a.version == SPDY31 {
					a.frame(&WindowUpdateFrame{Delta: 1})
				}
				if i%100 == 0 {
					require.True(a.t, a.push())
				}
			}
			require.NoError(a.t, a.s.Err())
		})
	})
	t.Run("short streams", func(t *testing.T) { // with two idle frames for each
		storm(t, bothRoles, version3, attackSetup{app: newReading}, func(a *attacker) {
			a.flood(much(many), func(i int) {
				id := a.peerID() + uint32(2*i)
				a.frame(&SynStreamFrame{StreamID: id, Flags: FlagFin | FlagUnidirectional, Headers: some},
					&WindowUpdateFrame{StreamID: id, Delta: 1}, &RstStreamFrame{StreamID: id, Status: RstCancel})
				if i%100 == 0 { // fewer than may be open
					a.push()
					synctest.Wait()
				}
			})
			require.NoError(a.t, a.s.Err())
		})
	})
}
