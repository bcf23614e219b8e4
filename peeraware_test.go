package spdy

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A session that expects nothing of its peer finds out when the peer does flow control.

func TestAwarePeerIsFoundOut(t *testing.T) {
	signs := map[string]func(p *testPeer, id uint32) (stream, session int64){
		"by an initial window": func(p *testPeer, id uint32) (int64, int64) {
			p.sendSetting(SettingInitialWindowSize, 128<<10)
			return 128 << 10, defaultWindow
		},
		"by credit for a stream": func(p *testPeer, id uint32) (int64, int64) {
			p.sendWindowUpdate(id, 64<<10)
			return 128 << 10, defaultWindow
		},
		"by credit for the session": func(p *testPeer, id uint32) (int64, int64) {
			p.sendWindowUpdate(0, 10<<10)
			return defaultWindow, defaultWindow + 10<<10
		},
	}
	for name, sign := range signs {
		storyBoth(t, name, func(t *testing.T, r role) {
			p := newUnaware(t, r, Config{SessionWindow: 128 << 10})
			st := p.greet("opened")
			const before, after = 100 << 10, 200 << 10
			p.rawWrite(st, testBytes(before)).wrote("blindly", before)
			p.wantSynReply("replied", st.ID())
			p.wantData("all of it", st.ID(), before)
			stream, session := sign(p, st.ID())
			if r == asClient {
				p.wantAnnouncement()
			}
			require.Equal(t, FlowControlStandard, func() FlowControl { synctest.Wait(); return p.s.FlowControl() }())
			write := p.rawWrite(st, testBytes(after))
			p.wantIdle("both windows are used up")

			// What has been sent counts, to the byte.
			const all = before + after
			p.sendWindowUpdate(st.ID(), uint32(all-stream))
			p.sendWindowUpdate(0, uint32(before-session))
			p.wantIdle("the session has exactly nothing left")
			p.sendWindowUpdate(0, 1)
			p.wantData("one byte", st.ID(), 1)
			p.sendWindowUpdate(0, 1<<20)
			p.wantData("the stream's window", st.ID(), after-1)
			write.wrote("all has left", after)
			p.rawWrite(st, []byte("x")).pending("the stream has exactly nothing left")
			p.wantIdle("the end")
		})
	}
	story(t, "a stream that waits for its reply need not any more", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{})
		st := p.openRaw("opened")
		write := p.rawWrite(st, testBytes(70<<10))
		p.wantIdle("the peer may lose it")
		p.sendSetting(SettingInitialWindowSize, 10<<10)
		p.wantAnnouncement()
		p.wantData("this peer does not", 1, 10<<10)
		p.wantIdle("but it has a window")
		write.pending("the rest waits")
	})
	story(t, "and SPDY/3 has windows for streams only", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{}, SPDY3)
		st := p.replied2("opened")
		p.rawWrite(st, testBytes(100<<10)).wrote("blindly", 100<<10)
		p.wantData("all of it", 1, 100<<10)
		p.sendSetting(SettingInitialWindowSize, 128<<10)
		p.wantAnnouncement()
		p.rawWrite(st, testBytes(40<<10)).pending("28 KiB are left")
		p.wantData("they leave", 1, 28<<10)
		p.wantIdle("and no more")
	})
}

// What a client has received before it announces its windows is part of what it
// announces.
func TestAwareCountsWhatCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window, session = 128 << 10, 256 << 10
		p := newUnaware(t, asClient, Config{StreamWindow: window, SessionWindow: session})
		read, half := p.replied2("one is read"), p.replied2("one in part")
		p.sendBulk(read.ID(), 500<<10, 0)
		text := p.sendBulk(half.ID(), 700<<10, 0)
		p.async("read", func(c *call) { _, c.err = io.CopyN(io.Discard, read, 500<<10) }).ok("read")
		p.wantRawRead("half of it", half, text[:350<<10])
		p.wantIdle("no credit for a peer that wants none")

		p.sendWindowUpdate(0, 1)
		p.wantSettings("our windows", Setting{ID: SettingMaxConcurrentStreams, Value: defaultUnawareMaxStreams},
			Setting{ID: SettingInitialWindowSize, Value: window})
		// The peer counts from the protocol's window and what it has sent.
		got := map[uint32]int64{0: defaultWindow - 1200<<10, read.ID(): window - 500<<10, half.ID(): window - 700<<10}
		count := func() {
			for synctest.Wait(); p.conn.Unread() > 0; synctest.Wait() {
				f := wantFrame[*WindowUpdateFrame](p, "credit")
				got[f.StreamID] += int64(f.Delta)
			}
		}
		count()
		require.EqualValues(t, window, got[read.ID()])
		require.EqualValues(t, window-350<<10, got[half.ID()], "it has sent too much")
		_, avail, _, _ := receiveWindow(p.s)
		require.Equal(t, avail, got[0])
		p.wantRawRead("the other half", half, text[350<<10:])
		count()
		require.EqualValues(t, window, got[half.ID()])
		size, avail, owed, _ := receiveWindow(p.s)
		require.Equal(t, avail, got[0])
		require.Equal(t, size, avail+owed)
		requireWindow(t, read, 0)
		requireWindow(t, half, 0)

		p.sendBulk(half.ID(), 2*session, 0)
		p.wantIdle("an overrun is no error even so")
		requireWindow(t, half, 2*session)
		require.NoError(t, half.CloseWrite())
		p.wantData("our half is closed", half.ID(), 0, FlagFin)
		require.NoError(t, half.CloseRead())
		p.wantWindowUpdate("nobody will read it", 0, 2*session)
		p.wantRst("and there is no window left to wait in", half.ID(), RstCancel)
	})
}

// requireWindow checks that every byte of a stream's receive window is accounted for.
func requireWindow(t testing.TB, r *RawStream, unread int64) {
	t.Helper()
	in := &r.st.in
	in.mu.Lock()
	defer in.mu.Unlock()
	require.Equal(t, unread, in.unread)
	require.Equal(t, in.flow.size, in.unread+in.flow.avail+in.flow.owed, "%+v", in.flow)
}

// Two of ours have full flow control, whichever of them expects nothing of the other.
func TestAwareBothEnds(t *testing.T) {
	unaware := &Config{FlowControl: FlowControlPeerUnaware, SessionWindow: 1 << 20}
	standard := &Config{StreamWindow: defaultStreamWindow, SessionWindow: 4 << 20}
	for _, setup := range []rigSetup{
		{client: unaware, server: unaware},
		{client: unaware, server: standard},
		{client: standard, server: unaware},
	} {
		name := fmt.Sprintf("client %d, server %d", setup.client.FlowControl, setup.server.FlowControl)
		t.Run(name, func(t *testing.T) {
			rawTest(t, setup, func(t *testing.T, r *rawRig) {
				up, unreadUp := r.pair()
				var wg sync.WaitGroup
				wg.Go(func() { // nothing is read at the other end
					_, err := io.Copy(up, newPattern(1, 1<<40))
					assert.Error(t, err)
				})
				wg.Go(func() {
					_, err := io.Copy(unreadUp, newPattern(1, 1<<40))
					assert.Error(t, err)
				})
				synctest.Wait()
				for _, s := range []*Session{r.client, r.server} {
					require.Equal(t, FlowControlStandard, s.FlowControl())
					require.EqualValues(t, defaultStreamWindow, unreadBytes(s), "an unread stream holds up itself")
				}
				var busy sync.WaitGroup
				for i := range int64(4) {
					opened, accepted := r.pair()
					for end, st := range []*RawStream{opened, accepted} {
						busy.Go(func() { writePattern(t, st, i+10*int64(end), 2<<20) })
						busy.Go(func() { assert.NoError(t, readPattern(st, i+10*int64(1-end), 2<<20)) })
					}
				}
				busy.Wait()
				require.NoError(t, up.Reset(RstCancel))
				wg.Wait()
				require.NoError(t, unreadUp.Close(), "what came before the reset would stay readable")
				r.requireBalanced()
				for _, s := range []*Session{r.client, r.server} {
					require.Zero(t, s.unawareStats().stalls)
				}
				require.NoError(t, r.client.Shutdown(context.Background()))
			})
		})
	}
}

// writePattern writes a pattern and the end.
func writePattern(t testing.TB, st *RawStream, seed, size int64) {
	_, err := io.Copy(st, newPattern(seed, size))
	assert.NoError(t, err)
	assert.NoError(t, st.CloseWrite())
}

// readPattern reads all of a stream, which must be a pattern.
func readPattern(r io.Reader, seed, size int64) error {
	check := newPatternCheck(seed, size)
	if _, err := io.Copy(check, r); err != nil {
		return err
	}
	return check.whole()
}

// A server that has just announced its windows does not flood a client whose own are on
// their way.
func TestAwareTrial(t *testing.T) {
	const size = 200 << 10
	begin := func(t *testing.T, v Version) (p *testPeer, st *RawStream, write *call) {
		p = newUnaware(t, asServer, Config{}, v)
		p.sendSynStream(1, 0)
		st = p.acceptRaw("opened", 1)
		write = p.rawWrite(st, testBytes(size))
		p.wantAnnouncement()
		p.wantPing("with a question", 2)
		p.wantSynReply("replied", 1)
		p.wantData("what the protocol grants", 1, defaultWindow)
		p.wantIdle("and no more")
		return p, st, write
	}
	for _, v := range []Version{SPDY3, SPDY31} {
		story(t, v.String()+", the PING is answered and nothing granted", func(t *testing.T) {
			p, _, write := begin(t, v)
			p.sendPing(4)
			p.wantIdle("another PING says nothing")
			p.sendPing(2)
			p.wantData("the rest", 1, size-defaultWindow)
			write.wrote("all of it", size)
			require.Equal(t, FlowControlPeerUnaware, p.s.FlowControl())
		})
		story(t, v.String()+", the PING is never answered", func(t *testing.T) {
			p, _, write := begin(t, v)
			p.advance(trialTime - 1)
			p.wantIdle("there is time")
			p.advance(1)
			p.wantData("the rest", 1, size-defaultWindow)
			write.wrote("all of it", size)
			p.sendPing(2)
			require.Equal(t, FlowControlPeerUnaware, p.s.FlowControl())
		})
		story(t, v.String()+", something is granted first", func(t *testing.T) {
			p, _, write := begin(t, v)
			p.sendSetting(SettingInitialWindowSize, 100<<10)
			if v == SPDY31 {
				p.wantIdle("the session has nothing left")
				p.sendWindowUpdate(0, 1<<20)
			}
			p.wantData("what is granted", 1, 100<<10-defaultWindow)
			p.sendPing(2)
			p.advance(2 * trialTime)
			p.wantIdle("and no more")
			write.pending("the rest waits")
			require.Equal(t, FlowControlStandard, p.s.FlowControl())
		})
	}
}
