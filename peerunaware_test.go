package spdy

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Every promise of FlowControlPeerUnaware, with a scripted peer that does no flow control
// unless the story says so.

// newUnaware starts a raw session that expects nothing of its peer.
func newUnaware(t *testing.T, r role, conf Config, version ...Version) *testPeer {
	t.Helper()
	conf.FlowControl = FlowControlPeerUnaware
	opts := peerOpts{conf: conf, app: newAcceptQueue(&conf), announce: true}
	if len(version) > 0 {
		opts.version = version[0]
	}
	return newPeer(t, r, opts)
}

// openRaw opens a stream of our side and wants its SYN_STREAM.
func (p *testPeer) openRaw(why string, o ...StreamOptions) *RawStream {
	p.t.Helper()
	r := p.startOpenRaw(why, o...)
	p.wantSynStream(why, r.ID())
	return r
}

func (p *testPeer) startOpenRaw(why string, o ...StreamOptions) *RawStream {
	p.t.Helper()
	r, err := p.s.OpenStream(context.Background(), HeaderBlock{{"name", "value"}}, append(o, StreamOptions{})[0])
	require.NoError(p.t, err, why)
	return r
}

// acceptRaw accepts a stream of the peer, which must have come.
func (p *testPeer) acceptRaw(why string, id uint32) *RawStream {
	p.t.Helper()
	var r *RawStream
	p.async("AcceptStream", func(c *call) { r, c.err = p.s.AcceptStream(context.Background()) }).ok(why)
	require.Equal(p.t, id, r.ID(), why)
	return r
}

// greet makes the peer open a stream, and wants what a server says to its first frame.
func (p *testPeer) greet(why string) *RawStream {
	p.t.Helper()
	p.sendSynStream(p.peerID(), 0, HeaderField{"hello", "there"})
	p.wantHello(why)
	return p.acceptRaw(why, p.peerID())
}

// wantHello wants what a server says to the peer's first frame, and answers its PING as
// peers do that do no flow control.
func (p *testPeer) wantHello(why string) {
	p.t.Helper()
	if p.role == asClient {
		return
	}
	p.wantAnnouncement()
	if p.version.streamFlowControl() {
		p.sendPing(wantFrame[*PingFrame](p, why).ID)
		synctest.Wait()
	}
}

func (p *testPeer) rawWrite(r *RawStream, data []byte) *call {
	return p.async("Write", func(c *call) { c.n, c.err = r.Write(data) })
}

func (p *testPeer) rawReadAll(r *RawStream) *call {
	return p.async("ReadAll", func(c *call) { c.data, c.err = io.ReadAll(r) })
}

// wantRawRead wants exactly text to be readable at once.
func (p *testPeer) wantRawRead(why string, r *RawStream, text string) {
	p.t.Helper()
	b := make([]byte, len(text))
	p.async("ReadFull", func(c *call) { _, c.err = io.ReadFull(r, b) }).ok(why)
	require.True(p.t, text == string(b), why)
}

func TestUnawareSilence(t *testing.T) {
	story(t, "a server says nothing before the peer's first frame", func(t *testing.T) {
		p := newUnaware(t, asServer, Config{SessionWindow: 128 << 10})
		ping := p.startPing(context.Background())
		st := p.startOpenRaw("it may be opened")
		write := p.rawWrite(st, []byte("early"))
		p.wantIdle("nothing of it leaves")
		p.sendSynStream(1, 0)
		p.wantSettings("then it announces itself, ahead of everything",
			Setting{ID: SettingMaxConcurrentStreams, Value: defaultUnawareMaxStreams},
			Setting{ID: SettingInitialWindowSize, Value: defaultWindow})
		p.wantWindowUpdate("and the session window", 0, 64<<10)
		p.wantPing("the PING was kept", 2)
		p.wantPing("and here is one of the session", 4)
		p.wantSynStream("so was the stream", 2)
		p.wantIdle("but not the DATA")
		p.sendPing(2)
		ping.ok("the PING came back")
		p.sendSynReply(2, 0)
		write.wrote("the peer has replied", 5)
		p.wantData("the DATA leaves", 2, 5)
		require.NoError(t, p.acceptRaw("the peer's stream", 1).Reply(nil, false))
		p.wantSynReply("accepted", 1)
	})
	story(t, "the first frame may be one byte long as yet", func(t *testing.T) {
		p := newUnaware(t, asServer, Config{})
		p.sendRaw([]byte{0x80})
		p.startOpenRaw("waits")
		p.wantIdle("it is not here")
		p.sendRaw([]byte{3, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0}) // the rest of an empty SETTINGS
		p.wantHello("now it is")
		p.wantSynStream("the stream", 2)
	})
	story(t, "a server that closes first says nothing at all", func(t *testing.T) {
		p := newUnaware(t, asServer, Config{})
		p.startOpenRaw("in vain")
		p.async("Close", func(*call) { p.s.Close() })
		p.wantOrderlyEnd("no GOAWAY")
	})
	story(t, "a client opens streams and says nothing else", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{SessionWindow: 1 << 20})
		p.wantIdle("no SETTINGS")
		ctx, cancel := context.WithCancel(context.Background())
		p.startPing(ctx)
		synctest.Wait() // so that this is the first one
		ping := p.startPing(context.Background())
		st := p.openRaw("it opens a stream")
		p.wantIdle("no PING")
		cancel()
		synctest.Wait()
		p.sendSynReply(1, 0)
		p.wantPing("the PING that somebody waits for leaves", 3)
		p.sendPing(3)
		ping.ok("answered")
		p.wantIdle("no SETTINGS, no WINDOW_UPDATE")
		p.sendBulk(1, 300<<10, FlagFin)
		require.Len(t, p.rawReadAll(st).ok("read").data, 300<<10)
		p.wantIdle("not even for what has been read")
	})
	story(t, "a client that gives up a stream says so", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{})
		st := p.openRaw("opened")
		require.NoError(t, st.Reset(RstCancel))
		p.wantRst("no need to wait for the peer", 1, RstCancel)
	})
}

func TestUnawareWaitsForTheReply(t *testing.T) {
	storyBoth(t, "bytes, HEADERS and FIN wait for the reply", func(t *testing.T, r role) {
		p := newUnaware(t, r, Config{})
		p.sendPing(p.peerID())
		p.wantHello("awake")
		p.wantPing("answered", p.peerID())
		st := p.openRaw("opened")
		require.NoError(t, st.SendHeaders(HeaderBlock{{"late", "header"}}, false))
		write := p.rawWrite(st, testBytes(100<<10))
		p.wantIdle("nothing before the reply")
		write.pending("it waits")
		other := p.replied2("another stream does not")
		p.rawWrite(other, []byte("x")).wrote("written", 1)
		p.wantData("alone", other.ID(), 1)
		p.sendSynReply(st.ID(), 0, HeaderField{"ok", "yes"})
		write.wrote("the reply is there", 100<<10)
		p.wantHeaders("headers first", st.ID())
		p.wantData("all of it", st.ID(), 100<<10)
		require.NoError(t, st.CloseWrite())
		p.wantData("and the end", st.ID(), 0, FlagFin)
	})
	story(t, "a FIN alone waits too", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{})
		st := p.openRaw("opened")
		require.NoError(t, st.CloseWrite())
		require.ErrorIs(t, st.CloseWrite(), ErrStreamClosed)
		p.wantIdle("the peer would lose it")
		p.sendSynReply(1, FlagFin)
		p.wantData("now it leaves", 1, 0, FlagFin)
		<-st.Done()
		require.ErrorIs(t, st.Err(), ErrStreamClosed)
	})
	story(t, "a FIN in the SYN_STREAM does not", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{})
		p.startOpenRaw("opened", StreamOptions{Fin: true})
		require.Equal(t, FlagFin, p.wantSynStream("it is part of it", 1).Flags)
	})
	story(t, "a deadline, a reset and Close end the wait", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{})
		st := p.openRaw("opened")
		require.NoError(t, st.SetWriteDeadline(time.Now().Add(time.Second)))
		write := p.rawWrite(st, []byte("text"))
		p.advance(2 * time.Second)
		write.fails("too late", os.ErrDeadlineExceeded)
		require.NoError(t, st.SetWriteDeadline(time.Time{}))
		write = p.rawWrite(st, []byte("text"))
		p.sendRst(1, RstRefusedStream)
		write.failsReset("refused", RstRefusedStream, true)

		st = p.openRaw("once more")
		write = p.rawWrite(st, []byte("text"))
		synctest.Wait()
		require.NoError(t, st.Close())
		write.fails("closed", net.ErrClosed)
		p.wantRst("there is nothing that the peer could have read", 3, RstCancel)

		st = p.openRaw("and once more")
		require.NoError(t, st.CloseWrite())
		require.NoError(t, st.Close())
		p.wantRst("closed in two steps", 5, RstCancel)
		p.sendSynReply(5, 0)
		p.wantIdle("and nothing more")
	})
	story(t, "the peer may reply to a stream that is unidirectional", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{})
		st := p.openRaw("opened", StreamOptions{Unidirectional: true})
		write := p.rawWrite(st, []byte("text"))
		p.wantIdle("it waits")
		p.sendSynReply(1, 0)
		write.wrote("as it does", 4)
		p.wantData("the text", 1, 4)
		p.sendSynReply(1, 0)
		p.wantIdle("or twice")
		require.NoError(t, p.s.Err())
	})
}

// replied2 is replied for a session that is awake.
func (p *testPeer) replied2(why string) *RawStream {
	p.t.Helper()
	r := p.openRaw(why)
	p.sendSynReply(r.ID(), 0)
	return r
}

func TestUnawareSends(t *testing.T) {
	for _, v := range everyVersion {
		t.Run(v.String(), func(t *testing.T) {
			storyBoth(t, "any number of bytes without credit", func(t *testing.T, r role) {
				p := newUnaware(t, r, Config{}, v)
				for range 3 {
					st := p.greetOrNext()
					const size = 400 << 10
					write := p.rawWrite(st, testBytes(size))
					p.wantSynReply("replied", st.ID())
					got := p.wantData("all of them", st.ID(), size)
					require.True(t, bytes.Equal(got, testBytes(size)))
					write.wrote("written", size)
				}
				require.Equal(t, FlowControlPeerUnaware, p.s.FlowControl())
			})
		})
	}
	story(t, "as many streams as are wanted, or the peer takes", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{})
		for range 3 * assumedMaxStreams {
			p.openRaw("at once")
		}
		p.sendSetting(SettingMaxConcurrentStreams, 3*assumedMaxStreams)
		synctest.Wait()
		open := p.async("OpenStream", func(c *call) {
			_, c.err = p.s.OpenStream(context.Background(), nil, StreamOptions{})
		})
		open.pending("the peer has set a limit")
		p.sendRst(1, RstCancel)
		open.ok("there is room")
		require.Equal(t, FlowControlPeerUnaware, p.s.FlowControl(), "a limit of streams is no credit")
	})
	story(t, "a socket that is full is the bound", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{})
		p.ours.SetWriteCap(32 << 10)
		st := p.openRaw("opened")
		p.sendSynReply(1, 0)
		require.NoError(t, st.SetWriteDeadline(time.Now().Add(time.Second)))
		write := p.rawWrite(st, testBytes(1<<20))
		write.pending("the network is slow")
		p.advance(2 * time.Second)
		write.fails("the deadline is the stream's", os.ErrDeadlineExceeded)
		require.Less(t, write.n, 200<<10)
		p.wantData("what was written leaves", 1, write.n)
		require.NoError(t, st.SetWriteDeadline(time.Time{}))
		p.rawWrite(st, []byte("more")).wrote("the stream is usable", 4)
		p.wantData("more", 1, 4)
	})
}

// greetOrNext has the peer open its next stream.
func (p *testPeer) greetOrNext() *RawStream {
	p.t.Helper()
	p.s.mu.Lock()
	last := p.s.lastPeerID
	p.s.mu.Unlock()
	if last == 0 {
		return p.greet("the first stream")
	}
	p.sendSynStream(last+2, 0)
	return p.acceptRaw("the next stream", last+2)
}

func TestUnawareReceives(t *testing.T) {
	for _, v := range everyVersion {
		t.Run(v.String(), func(t *testing.T) {
			storyBoth(t, "more than any window", func(t *testing.T, r role) {
				p := newUnaware(t, r, Config{}, v)
				st := p.greet("opened")
				text := p.sendBulk(st.ID(), 500<<10, 0)
				p.wantIdle("an overrun is no error")
				require.EqualValues(t, 500<<10, p.s.unawareStats().unread)
				p.wantRawRead("all of it", st, text)
				require.Zero(t, p.s.unawareStats().unread)
				p.sendBulk(st.ID(), 500<<10, FlagFin)
				require.Len(t, p.rawReadAll(st).ok("and the end").data, 500<<10)
			})
		})
	}
	storyBoth(t, "DATA that came after FIN is dropped", func(t *testing.T, r role) {
		p := newUnaware(t, r, Config{})
		st := p.greet("opened")
		p.sendData(st.ID(), "text", FlagFin)
		p.sendData(st.ID(), "more", 0)
		p.sendHeaders(st.ID(), 0, HeaderField{"late", "header"})
		p.sendData(st.ID(), "even more", FlagFin)
		p.wantIdle("no RST_STREAM")
		require.Equal(t, "text", string(p.rawReadAll(st).ok("up to the FIN").data))
		p.rawWrite(st, []byte("answer")).wrote("our half is open", 6)
		p.wantSynReply("replied", st.ID())
		p.wantData("the answer", st.ID(), 6)
		require.NoError(t, st.Close())
		p.wantData("the end", st.ID(), 0, FlagFin)
		p.sendData(st.ID(), "still more", 0)
		p.wantIdle("nor to a stream that is gone")
		stats := p.s.unawareStats()
		require.EqualValues(t, 4, stats.strayFrames)
		require.EqualValues(t, len("more")+len("even more")+len("still more"), stats.strayBytes)
		require.Zero(t, stats.unread, "its bytes are given back")
	})
	story(t, "DATA for a stream that never was is told once", func(t *testing.T) {
		p := newUnaware(t, asServer, Config{})
		p.greet("opened")
		for range 5 {
			p.sendData(99, "text", 0)
		}
		p.wantRst("once", 99, RstInvalidStream)
		p.wantIdle("and no more")
		require.EqualValues(t, 4, p.s.unawareStats().strayFrames)
	})
	story(t, "a stream that nobody reads any more is reset at the next byte", func(t *testing.T) {
		p := newUnaware(t, asServer, Config{})
		st := p.greet("opened")
		require.NoError(t, st.CloseRead())
		p.sendData(1, "text", 0)
		p.wantIdle("our half is open")
		require.NoError(t, st.CloseWrite())
		p.wantSynReply("our half is closed", 1)
		p.wantRst("now the peer is told", 1, RstCancel)
		p.sendData(1, "text", 0)
		p.wantIdle("once")
	})
	story(t, "a broken rule that costs bytes is still one", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{})
		p.openRaw("opened")
		p.sendData(1, "before the reply", 0)
		p.wantRst("an error", 1, RstProtocolError)
	})
}

func TestUnawareBudget(t *testing.T) {
	const budget = 256 << 10
	storyBoth(t, "at the budget reading stops, and goes on when there is room", func(t *testing.T, r role) {
		var log strings.Builder
		p := newUnaware(t, r, Config{UnreadBudget: budget, Logger: textLogger(&log)})
		st := p.greet("opened")
		text := p.sendBulk(st.ID(), 300<<10, 0)
		p.sendPing(p.peerID())
		p.wantIdle("the PING is not read")
		stats := p.s.unawareStats()
		require.EqualValues(t, 1, stats.stalls)
		require.EqualValues(t, budget, stats.budget)
		require.Equal(t, 1, strings.Count(log.String(), "too much is unread"))
		require.GreaterOrEqual(t, st.st.in.buffered(), int64(budget))
		require.Less(t, st.st.in.buffered(), int64(budget+readBufferSize), "no more than one read above")
		p.wantRawRead("all of it", st, text)
		p.wantPing("there is room", p.peerID())
		p.wantIdle("and no credit for a peer that has overrun its window")
		p.sendBulk(st.ID(), 300<<10, 0)
		synctest.Wait()
		require.EqualValues(t, 2, p.s.unawareStats().stalls)
		require.Equal(t, 1, strings.Count(log.String(), "too much is unread"), "once a session")
		require.NoError(t, st.Reset(RstCancel))
		synctest.Wait()
		require.Zero(t, p.s.unawareStats().unread, "a reset gives room too")
	})
	story(t, "many unread streams share the budget", func(t *testing.T) {
		p := newUnaware(t, asServer, Config{UnreadBudget: budget})
		p.greet("opened")
		for id := uint32(1); id < 40; id += 2 {
			if id > 1 {
				p.sendSynStream(id, 0)
			}
			p.sendBulk(id, 32<<10, 0)
			synctest.Wait()
			require.LessOrEqual(t, unreadBytes(p.s), int64(budget+readBufferSize))
		}
		require.EqualValues(t, 1, p.s.unawareStats().stalls)
	})
	story(t, "Close does not wait for room", func(t *testing.T) {
		p := newUnaware(t, asServer, Config{UnreadBudget: budget})
		st := p.greet("opened")
		p.sendBulk(1, 300<<10, 0)
		closing := p.async("Close", func(*call) { p.s.Close() })
		p.conn.Close()
		closing.ok("the receiver is let go")
		_, err := io.ReadAll(st)
		require.ErrorIs(t, err, ErrSessionClosed)
		requireTruncated(t, err)
	})
	story(t, "or the fullest stream is reset", func(t *testing.T) {
		p := newUnaware(t, asServer, Config{UnreadBudget: budget, ResetOverBudget: true})
		small := p.greet("opened")
		text := p.sendBulk(1, 60<<10, 0)
		p.sendSynStream(3, 0)
		large := p.acceptRaw("another one", 3)
		p.sendBulk(3, 250<<10, 0)
		p.wantRst("the one with the most", 3, RstFlowControlError)
		p.sendBulk(3, 100<<10, FlagFin)
		p.wantIdle("what it had is given back, without a word")
		_, err := io.ReadAll(large)
		requireReset(t, "its reader hears of it", err, RstFlowControlError, false)
		requireTruncated(t, err)
		p.sendData(1, "end", FlagFin)
		require.Equal(t, text+"end", string(p.rawReadAll(small).ok("the other one goes on").data))
		stats := p.s.unawareStats()
		require.EqualValues(t, 1, stats.resets)
		require.Zero(t, stats.stalls)
		require.Zero(t, stats.unread)
	})
	story(t, "complete streams are not given up for room", func(t *testing.T) {
		p := newUnaware(t, asServer, Config{UnreadBudget: budget, ResetOverBudget: true})
		st := p.greet("opened")
		require.NoError(t, st.CloseWrite())
		p.wantSynReply("our half is closed", 1)
		text := p.sendBulk(1, budget, FlagFin)
		p.sendSynStream(3, 0)
		p.sendData(3, "text", FlagFin)
		synctest.Wait()
		require.EqualValues(t, 1, p.s.unawareStats().stalls, "nothing is open that has any")
		require.Equal(t, text, string(p.rawReadAll(st).ok("it was whole").data))
		require.Equal(t, "text", string(p.rawReadAll(p.acceptRaw("the next", 3)).ok("and there was room").data))
	})
}

func TestUnawareShutdown(t *testing.T) {
	storyBoth(t, "new streams are refused one by one and GOAWAY comes last", func(t *testing.T, r role) {
		p := newUnaware(t, r, Config{})
		st := p.greet("opened")
		shutdown := p.async("Shutdown", func(c *call) { c.err = p.s.Shutdown(context.Background()) })
		p.wantIdle("no GOAWAY while a stream is open")
		p.sendSynStream(st.ID()+2, 0)
		p.wantRst("refused", st.ID()+2, RstRefusedStream)
		_, err := p.s.OpenStream(context.Background(), nil, StreamOptions{})
		var refused *StreamError
		require.ErrorAs(t, err, &refused)
		require.True(t, refused.Retryable())
		p.sendData(st.ID(), "all of it", FlagFin)
		require.Equal(t, "all of it", string(p.rawReadAll(st).ok("it goes on").data))
		p.rawWrite(st, []byte("answer")).wrote("both ways", 6)
		require.NoError(t, st.Close())
		p.wantSynReply("replied", st.ID())
		p.wantData("answered", st.ID(), 6)
		p.wantData("and closed", st.ID(), 0, FlagFin)
		p.wantGoAway("at the very end", st.ID(), GoAwayOK)
		p.wantOrderlyEnd("and no more")
		shutdown.ok("all is done")
	})
	story(t, "Close with streams open resets them and says GOAWAY last", func(t *testing.T) {
		p := newUnaware(t, asServer, Config{})
		st := p.greet("opened")
		p.rawWrite(st, []byte("text")).wrote("written", 4)
		p.s.SendGoaway(0, make([]byte, 8))
		p.wantSynReply("replied", 1)
		p.wantData("the last that the peer reads", 1, 4)
		p.wantIdle("SendGoaway says nothing either")
		p.async("Close", func(*call) { p.s.Close() })
		p.wantRst("or the peer would wait for the rest", 1, RstInternalError)
		p.wantGoAway("or it would never close its connection", 1, GoAwayOK)
		p.wantOrderlyEnd("a plain end")
	})
	story(t, "a broken protocol is told", func(t *testing.T) {
		p := newUnaware(t, asServer, Config{})
		p.greet("opened")
		p.sendSynStream(4, 0)
		p.wantSessionError("a wrong id", 1, GoAwayProtocolError)
	})
}
