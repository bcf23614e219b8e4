package spdy

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// A gateWriter takes one Write at a time, when the test says so.
type gateWriter struct {
	bytes.Buffer
	gate chan struct{} // nil lets everything pass
	err  error         // of Writes from now on
	n    int           // taken by a Write that fails
}

func (w *gateWriter) Write(p []byte) (int, error) {
	if w.gate != nil {
		<-w.gate
	}
	if w.err != nil || w.n > 0 {
		w.Buffer.Write(p[:w.n])
		return w.n, w.err
	}
	return w.Buffer.Write(p)
}

// startNorthbound sends a stream on to w.
func (p *testPeer) startNorthbound(st *Stream, w io.Writer, flush func()) *call {
	return p.async("northbound", func(c *call) {
		n, fromWriter, err := st.northbound(w, flush)
		c.n, c.err = int(n), err
		if fromWriter {
			c.data = []byte("writer")
		}
	})
}

// TestNorthboundSender is about consumers that do not read by themselves.
func TestNorthboundSender(t *testing.T) {
	enter := func(t *testing.T) (p *testPeer, st *Stream) {
		p = newPeer(t, asServer)
		p.sendSynStream(1, 0)
		return p, p.wantAccept("theirs", 1)
	}
	story(t, "bytes as they arrive", func(t *testing.T) {
		p, st := enter(t)
		w, flushes := &gateWriter{}, 0
		c := p.startNorthbound(st, w, func() { flushes++ })
		c.pending("nothing has come")
		require.Equal(t, 1, flushes, "flushed before each wait")
		p.sendData(1, "one", 0)
		c.pending("there may be more")
		require.Equal(t, "one", w.String())
		require.Equal(t, 2, flushes)
		text := p.sendBulk(1, 60000, 0)
		c.pending("there may be more")
		require.Equal(t, "one"+text, w.String())
		granted := map[uint32]uint32{}
		for p.conn.Unread() > 0 {
			u := wantFrame[*WindowUpdateFrame](p, "what the writer has taken is credited")
			granted[u.StreamID] += u.Delta
		}
		require.Greater(t, granted[0], uint32(60003-defaultWindow/4))
		require.Equal(t, granted[0], granted[1])
		p.sendData(1, "", FlagFin)
		c.ok("the end")
		require.Equal(t, 60003, c.n)
		p.wantBalanced("afterwards")
	})
	story(t, "a slow writer closes the window", func(t *testing.T) {
		p, st := enter(t)
		w := &gateWriter{gate: make(chan struct{})}
		c := p.startNorthbound(st, w, nil)
		p.sendBulk(1, 65536, FlagFin)
		p.wantAlive("no credit before the writer has taken it, and nobody waits")
		close(w.gate)
		c.ok("the writer goes on")
		require.Equal(t, testBytes(65536), w.Bytes())
		require.Equal(t, 65536, c.n)
	})
	story(t, "a writer that fails", func(t *testing.T) {
		for n, want := range map[int]error{0: errTest, 2: io.ErrShortWrite} {
			p, st := enter(t)
			w := &gateWriter{n: n}
			if n == 0 {
				w.err = errTest
			}
			c := p.startNorthbound(st, w, nil)
			p.sendData(1, "four", 0)
			c.fails("its error", want)
			require.Equal(t, "writer", string(c.data), "not the stream's")
			require.Equal(t, n, c.n)
			p.wantBalanced("the bytes are gone all the same")
			p.isOpen("what becomes of the stream is the caller's affair", st)
		}
	})
	story(t, "reset under a write", func(t *testing.T) {
		p, st := enter(t)
		w := &gateWriter{gate: make(chan struct{})}
		c := p.startNorthbound(st, w, nil)
		text := p.sendBulk(1, 30000, 0)
		c.pending("the writer has it")
		p.sendRst(1, RstCancel)
		p.wantWindowUpdate("the session gets its credit at once", 0, 30000)
		close(w.gate)
		c.failsReset("the stream's error", RstCancel, true)
		require.Nil(t, c.data, "not the writer's")
		require.True(t, bytes.HasPrefix([]byte(text), w.Bytes()), "what it was lent stayed as it was")
		p.wantUsable("and gets it once", 3)
	})
	story(t, "reader gives up under a write", func(t *testing.T) {
		p, st := enter(t)
		w := &gateWriter{gate: make(chan struct{})}
		c := p.startNorthbound(st, w, nil)
		p.sendBulk(1, 30000, 0)
		c.pending("the writer has it")
		st.stopReading()
		p.wantWindowUpdate("the session gets its credit at once", 0, 30000)
		close(w.gate)
		c.fails("nothing more to come", ErrStreamClosed)
		p.wantUsable("and gets it once", 3)
	})
}

// TestWriteOwned is about the last bytes of a stream, which nobody waits for.
func TestWriteOwned(t *testing.T) {
	owned := func(text string) *[]byte {
		b := getAnswerBuffer()
		*b = append(*b, text...)
		return b
	}
	enter := func(t *testing.T) (p *testPeer, st *Stream) {
		p = newPeer(t, asServer)
		p.sendSynStream(1, FlagFin)
		st = p.wantAccept("theirs", 1)
		p.reply(st, 0)
		p.wantSynReply("theirs", 1)
		return p, st
	}
	story(t, "sent with the FIN", func(t *testing.T) {
		p, st := enter(t)
		release := p.holdSender()
		require.NoError(t, st.writeOwned(owned("the end")), "at once")
		require.ErrorIs(t, st.writeOwned(owned("another")), ErrStreamClosed)
		p.startWrite(st, []byte("x"), 0).fails("R13", ErrStreamClosed)
		release()
		require.Equal(t, "the end", string(p.wantData("the end", 1, 7, FlagFin)))
		p.endsWith("closed", st, ErrStreamClosed)
	})
	story(t, "through a small window", func(t *testing.T) {
		p, st := enter(t)
		p.sendSetting(SettingInitialWindowSize, 3)
		p.wantUnread("the window is 3")
		require.NoError(t, st.writeOwned(owned("the end")))
		require.Equal(t, "the", string(p.wantData("three bytes", 1, 3)))
		p.sendWindowUpdate(1, 100)
		require.Equal(t, " end", string(p.wantData("the rest", 1, 4, FlagFin)))
	})
	story(t, "reset before it has left", func(t *testing.T) {
		p, st := enter(t)
		p.sendSetting(SettingInitialWindowSize, 0)
		p.wantUnread("no window")
		buf := owned("the end")
		require.NoError(t, st.writeOwned(buf))
		p.sendRst(1, RstCancel)
		p.endsReset("gone", st, RstCancel, true)
		require.Empty(t, *buf, "the buffer went back to its pool")
		require.ErrorIs(t, st.writeOwned(owned("more")), st.endReason())
		p.sendWindowUpdate(1, 100)
		p.sendSetting(SettingInitialWindowSize, 100)
		p.wantUsable("nothing is sent", 3)
	})
}

// TestStreamContext is about the context of a stream: it ends with a stream that
// does not end well.
func TestStreamContext(t *testing.T) {
	ends := map[string]struct {
		end  func(p *testPeer, st *Stream)
		good bool
	}{
		"reset by the peer": {func(p *testPeer, st *Stream) { p.sendRst(st.id, RstCancel) }, false},
		"reset by us":       {func(p *testPeer, st *Stream) { st.reset(RstCancel, "", errTest) }, false},
		"stream error":      {func(p *testPeer, st *Stream) { p.sendData(st.id, "early", 0) }, false},
		"GOAWAY":            {func(p *testPeer, st *Stream) { p.sendGoAway(0, GoAwayOK) }, false},
		"session error":     {func(p *testPeer, st *Stream) { p.sendWindowUpdate(0, 0) }, false},
		"session closed":    {func(p *testPeer, st *Stream) { p.s.shutdown(ErrSessionClosed) }, false},
		"connection lost":   {func(p *testPeer, st *Stream) { p.conn.Reset() }, false},
		"well": {func(p *testPeer, st *Stream) {
			p.sendSynReply(st.id, FlagFin)
			p.startWrite(st, nil, FlagFin).ok("FIN")
		}, true},
	}
	for name, how := range ends {
		for _, late := range []bool{false, true} {
			story(t, name, func(t *testing.T) {
				p := newPeer(t, asClient)
				st := p.open("ours", 0)
				p.wantSynStream("ours", 1)
				ctx, cancel := context.WithCancelCause(context.Background())
				defer cancel(nil)
				if !late {
					st.setContext(cancel)
				}
				how.end(p, st)
				synctest.Wait()
				if late {
					st.setContext(cancel)
				}
				if how.good {
					require.NoError(t, ctx.Err())
					return
				}
				require.Error(t, ctx.Err())
				require.NotEqual(t, context.Canceled, context.Cause(ctx), "the cause says why")
			})
		}
	}
}
