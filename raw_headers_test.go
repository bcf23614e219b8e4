package spdy

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestNewHeaderBlock(t *testing.T) {
	h := http.Header{
		"Streamtype": {"data"}, "X-Many": {"b", "a", "b"}, "Empty": {""}, "None": {},
		"port": {"80"}, ":path": {"/"}, "Tab": {"a\tb"}, "Latin": {"\xe4"},
	}
	b, err := NewHeaderBlock(h)
	require.NoError(t, err)
	require.Equal(t, HeaderBlock{
		{":path", "/"}, {"empty", ""}, {"latin", "\xe4"}, {"streamtype", "data"}, {"tab", "a\tb"},
		{"x-many", "b\x00a\x00b"}, {"port", "80"},
	}, b)
	require.Equal(t, http.Header{
		"Streamtype": {"data"}, "X-Many": {"b", "a", "b"}, "Empty": {""},
		"Port": {"80"}, ":path": {"/"}, "Tab": {"a\tb"}, "Latin": {"\xe4"},
	}, b.HTTPHeader())
	empty, err := NewHeaderBlock(nil)
	require.NoError(t, err)
	require.Empty(t, empty)
	require.NotNil(t, HeaderBlock(nil).HTTPHeader())

	for name, bad := range map[string]http.Header{
		"name":                    {"a b": {"x"}},
		"no name":                 {"": {"x"}},
		"line end":                {"a": {"x\r\ny"}},
		"NUL":                     {"a": {"x\x00y"}},
		"empty value of several":  {"a": {"x", ""}},
		"names that are the same": {"a": {"x"}, "A": {"x"}},
	} {
		_, err := NewHeaderBlock(bad)
		require.ErrorIs(t, err, ErrInvalidHeader, name)
	}
}

// Header blocks that must not be sent fail before anything is.
func TestRawInvalidHeaders(t *testing.T) {
	for name, bad := range map[string]HeaderBlock{
		"upper case":  {{"Name", "x"}},
		"no name":     {{"", "x"}},
		"space":       {{"a b", "x"}},
		"twice":       {{"a", "x"}, {"b", "x"}, {"a", "y"}},
		"line end":    {{"a", "x\ny"}},
		"NUL at end":  {{"a", "x\x00"}},
		"two NULs":    {{"a", "x\x00\x00y"}},
		"secret text": {{"a", "hunter2\x7f"}},
	} {
		story(t, name, func(t *testing.T) {
			p := newRawPeer(t, asServer, Config{})
			st := p.accepted("opened", 0)
			_, err := p.s.OpenStream(context.Background(), bad, StreamOptions{})
			for _, err := range []error{err, st.Reply(bad, false), st.SendHeaders(bad, false)} {
				require.ErrorIs(t, err, ErrInvalidHeader)
				require.NotContains(t, err.Error(), "hunter2", "values may be secret")
			}
			p.wantIdle("nothing was sent")
			require.NoError(t, st.Reply(nil, false), "and it is not replied to")
			p.wantSynReply("this is", 1)
			require.EqualValues(t, 2, p.openRaw("nor is an id lost").ID())
		})
	}
	story(t, "too long for SPDY/2", func(t *testing.T) {
		p := newPeer(t, asClient, peerOpts{version: SPDY2, app: newAcceptQueue(nil)})
		_, err := p.s.OpenStream(context.Background(), HeaderBlock{{"a", strings.Repeat("x", 1<<16)}}, StreamOptions{})
		require.ErrorIs(t, err, ErrInvalidHeader)
		p.wantIdle("nothing was sent")
	})
}

func TestRawOpen(t *testing.T) {
	storyBoth(t, "what the options say", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		h := HeaderBlock{{"streamtype", "data"}, {"port", "80\x0081"}}
		parent, err := p.s.OpenStream(context.Background(), h, StreamOptions{Priority: 9})
		require.NoError(t, err)
		h[0].Value = "changed"
		f := p.wantSynStream("opened", p.firstID())
		require.EqualValues(t, 7, f.Priority)
		require.EqualValues(t, 7, parent.Priority())
		require.Equal(t, HeaderBlock{{"streamtype", "data"}, {"port", "80\x0081"}}, f.Headers)
		require.Equal(t, f.Headers, parent.Header())
		require.Zero(t, parent.Parent())

		child := p.startOpenRaw("a child", StreamOptions{Parent: parent, Fin: true})
		f = p.wantSynStream("opened", p.firstID()+2)
		require.Equal(t, parent.ID(), f.AssociatedStreamID)
		require.Equal(t, parent.ID(), child.Parent())
		require.Equal(t, FlagFin, f.Flags)
		_, err = child.Write([]byte("x"))
		require.ErrorIs(t, err, ErrStreamClosed)
		p.sendSynReply(child.ID(), 0)
		p.sendData(child.ID(), "answer", FlagFin)
		require.Equal(t, "answer", string(p.rawReadAll(child).ok("the other half is open").data))
		<-child.Done()

		push := p.startOpenRaw("one way", StreamOptions{Unidirectional: true})
		require.Equal(t, FlagUnidirectional, p.wantSynStream("opened", push.ID()).Flags)
		_, err = push.AwaitReply(context.Background())
		require.Error(t, err, "there will be none")
		_, err = push.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		p.rawWrite(push, []byte("text")).wrote("it need not be replied to", 4)
		p.wantData("the text", push.ID(), 4)
		require.NoError(t, push.CloseWrite())
		p.wantData("the end", push.ID(), 0, FlagFin)
		<-push.Done()

		both := p.startOpenRaw("headers only", StreamOptions{Fin: true, Unidirectional: true})
		require.Equal(t, FlagFin|FlagUnidirectional, p.wantSynStream("opened", both.ID()).Flags)
		<-both.Done()
		require.Equal(t, ErrStreamClosed, both.Err())
	})
	story(t, "the parent is of the same session", func(t *testing.T) {
		p, q := newRawPeer(t, asClient, Config{}), newRawPeer(t, asClient, Config{})
		_, err := q.s.OpenStream(context.Background(), nil, StreamOptions{Parent: p.openRaw("opened")})
		require.ErrorIs(t, err, errForeignChild)
		q.wantIdle("nothing was sent")
	})
	story(t, "a context limits the wait for a slot, and nothing else", func(t *testing.T) {
		p := newRawPeer(t, asClient, Config{})
		p.sendSetting(SettingMaxConcurrentStreams, 1)
		p.wantIdle("understood")
		ctx, cancel := context.WithCancelCause(context.Background())
		st, err := p.s.OpenStream(ctx, nil, StreamOptions{})
		require.NoError(t, err)
		p.wantSynStream("opened", 1)
		second := p.async("OpenStream", func(c *call) { _, c.err = p.s.OpenStream(ctx, nil, StreamOptions{}) })
		reply := p.async("AwaitReply", func(c *call) { _, c.err = st.AwaitReply(ctx) })
		second.pending("there is no room")
		reply.pending("there is no reply")
		cancel(errTest)
		second.fails("no more", errTest)
		reply.fails("no more", errTest)
		p.wantIdle("the stream is as it was")
		p.sendSynReply(1, 0, HeaderField{"ok", "yes"})
		for range 2 {
			h, err := st.AwaitReply(context.Background())
			require.NoError(t, err)
			require.Equal(t, HeaderBlock{{"ok", "yes"}}, h)
		}
	})
	storyBoth(t, "a session that is going away opens none", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.openRaw("opened")
		p.sendGoAway(st.ID(), GoAwayOK)
		p.wantIdle("understood")
		_, err := p.s.OpenStream(context.Background(), nil, StreamOptions{})
		var e *StreamError
		require.ErrorAs(t, err, &e)
		require.True(t, e.Retryable())
		p.sendSynReply(st.ID(), FlagFin)
		require.NoError(t, st.CloseWrite())
		p.wantData("what was open ends in peace", st.ID(), 0, FlagFin)
		p.wantGoAway("then the session does", 0, GoAwayOK)
		p.wantOrderlyEnd("at its end")
		_, err = p.s.OpenStream(context.Background(), nil, StreamOptions{})
		require.ErrorIs(t, err, ErrSessionClosed)
	})
	story(t, "beside HTTP", func(t *testing.T) {
		p := newPeer(t, asClient, peerOpts{app: newHTTPClientApp(nil)})
		st := p.openRaw("opened")
		p.sendSynReply(1, 0)
		p.sendHeaders(1, 0, HeaderField{":path", "anything"})
		p.sendData(1, "text", FlagFin)
		require.Equal(t, "text", string(p.rawReadAll(st).ok("bytes").data))
		h, err := st.ReceiveHeaders(context.Background())
		require.NoError(t, err)
		require.Equal(t, HeaderBlock{{":path", "anything"}}, h)
		_, err = p.s.AcceptStream(context.Background())
		require.ErrorIs(t, err, errNotRaw)
	})
}

func TestRawReply(t *testing.T) {
	auto := map[string]func(st *RawStream) error{
		"Write":       func(st *RawStream) error { _, err := st.Write([]byte("x")); return err },
		"CloseWrite":  (*RawStream).CloseWrite,
		"SendHeaders": func(st *RawStream) error { return st.SendHeaders(HeaderBlock{{"a", "b"}}, false) },
		"Close":       (*RawStream).Close,
	}
	for name, begin := range auto {
		storyBoth(t, name+" replies", func(t *testing.T, r role) {
			p := newRawPeer(t, r, Config{})
			st := p.accepted("opened", 0)
			p.wantIdle("nothing replies by itself")
			_, err := st.Write(nil)
			require.NoError(t, err)
			p.wantIdle("nor does a Write of nothing")
			require.NoError(t, begin(st))
			require.Empty(t, p.wantSynReply("an empty block", st.ID()).Headers)
			if name != "Close" {
				require.ErrorIs(t, st.Reply(nil, false), ErrReplied)
			}
		})
	}
	storyBoth(t, "with headers, once", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.accepted("opened", 0)
		results := make(chan error, 10)
		for range cap(results) {
			go func() { results <- st.Reply(HeaderBlock{{"ok", "yes"}}, true) }()
		}
		won := 0
		for range cap(results) {
			if err := <-results; err == nil {
				won++
			} else {
				require.ErrorIs(t, err, ErrReplied)
			}
		}
		require.Equal(t, 1, won)
		f := p.wantSynReply("one", st.ID())
		require.Equal(t, SynReplyFrame{StreamID: st.ID(), Flags: FlagFin, Headers: HeaderBlock{{"ok", "yes"}}}, *f)
		_, err := st.Write([]byte("x"))
		require.ErrorIs(t, err, ErrStreamClosed)
		p.wantIdle("that was all")
		_, err = st.AwaitReply(context.Background())
		require.Error(t, err, "it is not the opener")
	})
	storyBoth(t, "not by the opener, and not to what is unidirectional", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		require.ErrorIs(t, p.openRaw("opened").Reply(nil, false), errNoReply)
		st := p.accepted("opened", FlagUnidirectional)
		require.ErrorIs(t, st.Reply(nil, false), errNoReply)
		_, err := st.Write([]byte("x"))
		require.ErrorIs(t, err, ErrStreamClosed)
		require.ErrorIs(t, st.CloseWrite(), ErrStreamClosed)
		p.wantIdle("nothing")
	})
	storyBoth(t, "refused", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.openRaw("opened")
		reply := p.async("AwaitReply", func(c *call) { _, c.err = st.AwaitReply(context.Background()) })
		p.sendRst(st.ID(), RstRefusedStream)
		reply.failsReset("refused", RstRefusedStream, true)
		var e *StreamError
		require.ErrorAs(t, reply.err, &e)
		require.True(t, e.Retryable())
	})
}

func (p *testPeer) receiveHeaders(st *RawStream) *call {
	return p.async("ReceiveHeaders", func(c *call) { c.hb, c.err = st.ReceiveHeaders(context.Background()) })
}

func TestRawLateHeaders(t *testing.T) {
	storyBoth(t, "are delivered in order, and names may come again", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.accepted("opened", 0)
		first := p.receiveHeaders(st)
		first.pending("there are none")
		blocks := []HeaderBlock{{{"a", "1"}}, {{"a", "2"}, {"b", ""}}, {}, {{"a", "4"}}}
		for i, h := range blocks {
			flags := FrameFlags(0)
			if i == len(blocks)-1 {
				flags = FlagFin
			}
			p.sendHeaders(st.ID(), flags, h...)
		}
		require.Equal(t, blocks[0], first.ok("the first").hb)
		for _, h := range blocks[1:] {
			require.Equal(t, h, p.receiveHeaders(st).ok("the next").hb)
		}
		require.Equal(t, io.EOF, p.receiveHeaders(st).wait("the end").err)
		require.Empty(t, p.rawReadAll(st).ok("of the bytes too").data)
	})
	storyBoth(t, "are sent in order, before bytes that follow", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.openRaw("opened")
		require.NoError(t, st.SendHeaders(HeaderBlock{{"a", "1"}}, false))
		require.NoError(t, st.SendHeaders(HeaderBlock{{"a", "2"}}, false))
		p.rawWrite(st, []byte("x")).wrote("written", 1)
		require.NoError(t, st.SendHeaders(nil, true))
		require.Equal(t, HeaderBlock{{"a", "1"}}, p.wantHeaders("first", st.ID()).Headers)
		require.Equal(t, HeaderBlock{{"a", "2"}}, p.wantHeaders("second", st.ID()).Headers)
		p.wantData("then bytes", st.ID(), 1)
		f := p.wantHeaders("then the end", st.ID())
		require.Equal(t, FlagFin, f.Flags)
		require.ErrorIs(t, st.SendHeaders(nil, false), ErrStreamClosed)
		_, err := st.Write([]byte("x"))
		require.ErrorIs(t, err, ErrStreamClosed)
	})
	storyBoth(t, "do not pile up", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{MaxHeaderBytes: 4 << 10})
		st, other := p.accepted("opened", 0), p.openRaw("another one")
		p.sendSynReply(other.ID(), 0)
		block := HeaderField{"a", strings.Repeat("x", 1000)}
		for range 10 {
			p.sendHeaders(st.ID(), 0, block)
			require.Len(t, p.receiveHeaders(st).ok("received").hb, 1)
		}
		for range 4 {
			p.sendHeaders(st.ID(), 0, block)
		}
		p.wantIdle("they fit")
		p.sendHeaders(st.ID(), 0, block)
		p.wantRst("one too many", st.ID(), RstFrameTooLarge)
		p.wantAlive("nobody else has anything to fear")
		p.isOpen("the other stream", &other.st)
		require.Equal(t, HeaderBlock{block}, p.receiveHeaders(st).ok("what came is there").hb)
	})
	storyBoth(t, "whoever waits for them is let go", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.accepted("opened", 0)
		ctx, cancel := context.WithCancelCause(context.Background())
		impatient := p.async("ReceiveHeaders", func(c *call) { _, c.err = st.ReceiveHeaders(ctx) })
		patient := []*call{p.receiveHeaders(st), p.receiveHeaders(st)}
		cancel(errTest)
		impatient.fails("cancelled", errTest)
		p.sendRst(st.ID(), RstInternalError)
		for _, c := range patient {
			c.failsReset("reset", RstInternalError, true)
			require.ErrorIs(t, c.err, io.ErrUnexpectedEOF)
		}
		st = p.openRaw("another one")
		patient = []*call{p.receiveHeaders(st), p.receiveHeaders(st), p.receiveHeaders(st)}
		patient[0].pending("there are none")
		p.sendSynReply(st.ID(), FlagFin)
		for _, c := range patient {
			c.fails("the end", io.EOF)
		}
		st = p.openRaw("and another one")
		patient = []*call{p.receiveHeaders(st), p.receiveHeaders(st)}
		patient[0].pending("there are none")
		require.NoError(t, st.CloseRead())
		for _, c := range patient {
			c.fails("closed", ErrStreamClosed)
		}
	})
}

// keptRaw is how many bytes of header blocks wait for the application.
func (s *Session) keptRaw() int64 {
	if s.rawKept == nil {
		return 0
	}
	return s.rawKept.bytes
}

// All header blocks that a peer makes a session keep for its application are bounded together.
func TestRawHeadersOfAllStreams(t *testing.T) {
	const limit, streams = 16 << 10, 20
	conf := Config{MaxHeaderBytes: limit, MaxConcurrentStreams: streams, AcceptBacklog: 2 * streams}
	large := HeaderField{"a", strings.Repeat("x", limit-200)}
	fill := func(p *testPeer, first uint32) (id uint32) {
		for id = first; id < 100; id += 2 {
			p.sendSynStream(id, 0, large)
			synctest.Wait()
			if p.conn.Unread() > 0 {
				p.wantRst("too much", id, RstRefusedStream)
				return id
			}
		}
		p.fatalf("all is taken", "%d streams", id/2)
		return 0
	}
	story(t, "of streams that are open", func(t *testing.T) {
		p := newRawPeer(t, asServer, conf)
		id := fill(p, 1)
		require.InDelta(t, rawHeaderFactor, id/2, 2)
		p.sendSynStream(id+2, 0, large)
		p.wantRst("and they are as large", id+2, RstRefusedStream)
		p.sendHeaders(1, 0, large)
		p.wantRst("late ones too", 1, RstFrameTooLarge)
		p.sendSynStream(id+4, 0, large)
		p.wantIdle("there is room again")
		p.sendRst(3, RstCancel)
		p.sendSynStream(id+6, 0, large)
		p.wantIdle("and again")
		for i := uint32(5); i <= id+6; i += 2 {
			if i != id && i != id+2 {
				p.acceptRaw("nobody else", i)
			}
		}
		p.wantAlive("nothing is wrong")
	})
	story(t, "until the application takes them", func(t *testing.T) {
		p := newRawPeer(t, asServer, conf)
		for id := uint32(1); id < 2*streams; id += 2 {
			p.sendSynStream(id, 0, large)
			st := p.acceptRaw("all that may be open", id)
			for range 3 {
				p.sendHeaders(id, 0, large)
				require.Len(t, p.receiveHeaders(st).ok("received").hb, 1)
			}
		}
		p.wantIdle("none has to pay")
		for id := uint32(1); id < 2*streams; id += 2 {
			p.sendHeaders(id, 0, large)
			synctest.Wait()
			if p.conn.Unread() > 0 {
				require.InDelta(t, rawHeaderFactor, id/2, 2)
				p.wantRst("late blocks that wait count", id, RstFrameTooLarge)
				return
			}
		}
		p.fatalf("all is taken", "late blocks")
	})
	story(t, "and whoever holds most of them pays", func(t *testing.T) {
		p := newRawPeer(t, asServer, conf)
		before := p.accepted("of another user", 0)
		id := fill(p, 3)
		half := HeaderField{"half", strings.Repeat("z", limit/2)}
		p.sendSynStream(id+2, 0, half)
		first := wantFrame[*RstStreamFrame](p, "one of the largest")
		require.Equal(t, RstFrameTooLarge, first.Status)
		p.sendHeaders(before.ID(), 0, HeaderField{"small", "two"})
		require.Len(t, p.receiveHeaders(before).ok("another user's headers").hb, 1)
		p.sendHeaders(before.ID(), 0, half)
		p.sendSynStream(id+4, 0, half)
		second := wantFrame[*RstStreamFrame](p, "the next of the largest")
		require.Equal(t, RstFrameTooLarge, second.Status)
		p.wantIdle("nobody else")
		p.isOpen("the other user's stream", &before.st)
		for i := uint32(3); i <= id+4; i += 2 {
			if i != first.StreamID && i != second.StreamID && i != id {
				p.acceptRaw("who did not pay", i)
			}
		}
		require.Zero(t, p.s.Stats().ChargedResets)
	})
	story(t, "and a newcomer that holds more does", func(t *testing.T) {
		p := newRawPeer(t, asServer, conf)
		id := fill(p, 1)
		p.sendHeaders(1, 0, large)
		p.wantRst("it holds the most", 1, RstFrameTooLarge)
		p.isOpen("others are spared", p.s.streams[3])
		require.Less(t, id, uint32(100))
		require.Zero(t, p.s.Stats().ChargedResets)
	})
	story(t, "of streams that have ended in the queue", func(t *testing.T) {
		p := newRawPeer(t, asServer, conf)
		before := p.accepted("of another user", 0)
		last := uint32(1)
		send := func(h HeaderField) { // a peer is not told that one that has ended is refused
			last += 2
			p.sendSynStream(last, FlagFin|FlagUnidirectional, h)
		}
		for range 20 {
			send(large)
		}
		for n := limit / 2; n > 0; n /= 2 { // until nothing fits
			send(HeaderField{"a", strings.Repeat("x", n)})
		}
		small := HeaderField{"small", "two"}
		for range 3 {
			p.sendHeaders(before.ID(), 0, small)
			require.Len(t, p.receiveHeaders(before).ok("another user's headers").hb, 1)
		}
		p.sendSynStream(last+2, 0, small)
		p.wantIdle("nobody is reset or refused")
		for r := (*RawStream)(nil); r == nil || r.ID() != last+2; {
			p.async("AcceptStream", func(c *call) { r, c.err = p.s.AcceptStream(context.Background()) }).ok("those that did not pay")
			require.NotEmpty(t, r.Header())
		}
	})
	story(t, "of which those that broke off hold nothing", func(t *testing.T) {
		p := newRawPeer(t, asServer, conf)
		for id := uint32(1); id < 100; id += 2 {
			p.sendSynStream(id, 0, large)
			if id%4 == 1 {
				p.sendHeaders(id, 0, HeaderField{"late", "too"})
			}
			p.sendRst(id, RstCancel)
		}
		p.wantIdle("none is refused")
		p.s.mu.Lock()
		require.Zero(t, p.s.keptRaw())
		require.Empty(t, p.s.rawKept.holders)
		p.s.mu.Unlock()
		p.sendSynStream(101, 0, large)
		p.acceptRaw("the only one that is left", 101)
	})
	story(t, "and modest ones of all streams fit", func(t *testing.T) {
		conf := Config{MaxHeaderBytes: 16 << 10, MaxConcurrentStreams: 50, AcceptBacklog: 200}
		p := newRawPeer(t, asServer, conf)
		modest := HeaderField{"a", strings.Repeat("x", modestHeader-200)}
		for id := uint32(1); id < 2*200; id += 2 {
			flags := FlagFin | FlagUnidirectional
			if id > 2*150 {
				flags = 0
			}
			p.sendSynStream(id, flags, modest)
		}
		p.wantIdle("none is refused")
	})
	storyBoth(t, "nothing stays counted", func(t *testing.T, r role) {
		p := newRawPeer(t, r, conf)
		for i := range uint32(50) {
			id := p.peerID() + 2*i
			p.sendSynStream(id, 0, large)
			st := p.acceptRaw("taken", id)
			p.sendHeaders(id, 0, HeaderField{"a", "b"})
			if i%2 == 0 {
				p.receiveHeaders(st).ok("received")
			}
			if i%3 == 0 {
				p.sendRst(id, RstCancel)
				synctest.Wait()
			} else {
				require.NoError(t, st.Reset(RstCancel))
				p.wantRst("given up", id, RstCancel)
			}
		}
		p.s.mu.Lock()
		defer p.s.mu.Unlock()
		require.Zero(t, p.s.keptRaw())
	})
}
