package spdy

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func (p *testPeer) startAccept(ctx context.Context) *call {
	return p.async("AcceptStream", func(c *call) {
		r, err := p.s.AcceptStream(ctx)
		if c.err = err; err == nil {
			c.st = &r.st
		}
	})
}

func TestRawAccept(t *testing.T) {
	storyBoth(t, "in the order of the peer, by any number of goroutines", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		var mu sync.Mutex
		seen := map[uint32]bool{}
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		for range 5 {
			wg.Go(func() {
				for last := uint32(0); ; {
					st, err := p.s.AcceptStream(ctx)
					if err != nil {
						return
					}
					require.Greater(t, st.ID(), last)
					last = st.ID()
					mu.Lock()
					seen[last] = true
					mu.Unlock()
				}
			})
		}
		for i := range uint32(100) {
			p.sendSynStream(p.peerID()+2*i, 0)
			if i%7 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		require.Len(t, seen, 100)
		cancel()
		wg.Wait()
	})
	storyBoth(t, "a context ends it", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		ctx, cancel := context.WithCancelCause(context.Background())
		accept := p.startAccept(ctx)
		accept.pending("there is nothing")
		cancel(errTest)
		accept.fails("no more", errTest)
		p.accepted("it harms nobody", 0)
	})
	storyBoth(t, "the session's end ends it", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		accepts := []*call{p.startAccept(context.Background()), p.startAccept(context.Background())}
		p.async("Close", func(*call) { p.s.Close() })
		for _, c := range accepts {
			c.fails("closed", ErrSessionClosed)
		}
		p.startAccept(context.Background()).fails("and then", ErrSessionClosed)
		p.wantGoAway("told", 0, GoAwayOK)
		p.wantOrderlyEnd("closed")
	})
	storyBoth(t, "and so does the loss of the connection", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		p.sendSynStream(p.peerID(), 0)
		p.acceptRaw("one is open", p.peerID())
		accept := p.startAccept(context.Background())
		p.conn.Close()
		accept.fails("lost", io.ErrUnexpectedEOF)
	})
	storyBoth(t, "not on a session of HTTP", func(t *testing.T, r role) {
		p := newPeer(t, r)
		p.startAccept(context.Background()).fails("there is a handler", errNotRaw)
	})
}

func TestRawBacklog(t *testing.T) {
	storyBoth(t, "what nobody accepts is refused beyond the backlog", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{AcceptBacklog: 3})
		id := p.peerID()
		for range 3 {
			p.sendSynStream(id, 0)
			id += 2
		}
		p.wantIdle("they wait")
		p.sendSynStream(id, 0)
		p.wantRst("one too many", id, RstRefusedStream)
		require.Equal(t, 3, openStreams(p.s))
		p.acceptRaw("the first", p.peerID())
		p.sendSynStream(id+2, 0)
		p.wantIdle("there is room for one")
		p.sendSynStream(id+4, 0)
		p.wantRst("and for no more", id+4, RstRefusedStream)
		for _, want := range []uint32{p.peerID() + 2, p.peerID() + 4, id + 2} {
			p.acceptRaw("the others", want)
		}
	})
	storyBoth(t, "streams that were reset make room, and nobody gets them", func(t *testing.T, r role) {
		const limit = 5
		p := newRawPeer(t, r, Config{AcceptBacklog: limit})
		id := p.peerID()
		p.sendSynStream(id, 0)
		for range 1000 {
			id += 2
			p.sendSynStream(id, 0)
			p.sendBulk(id, 10, 0)
			p.sendRst(id, RstCancel)
		}
		synctest.Wait()
		p.s.mu.Lock()
		require.LessOrEqual(t, len(p.s.app.(*acceptQueue).streams), limit)
		require.Equal(t, 1, p.s.peerStreams)
		p.s.mu.Unlock()
		p.acceptRaw("the one that lives", p.peerID())
		p.sendSynStream(id+2, 0)
		p.acceptRaw("and the next", id+2)
		p.wantIdle("nothing was refused")
		p.wantBalanced("their bytes are given back")
	})
	storyBoth(t, "all streams that the peer may have open can wait", func(t *testing.T, r role) {
		const most = 1500
		p := newUnaware(t, r, Config{MaxConcurrentStreams: most})
		p.greet("the first")
		for i := range most - 1 {
			p.sendSynStream(p.peerID()+2*uint32(i+1), 0)
		}
		p.wantIdle("the others wait")
	})
	storyBoth(t, "complete ones stay", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{AcceptBacklog: 2, MaxConcurrentStreams: 1})
		id := p.peerID()
		p.sendSynStream(id, FlagUnidirectional)
		p.sendData(id, "the whole", FlagFin)
		p.sendSynStream(id+2, 0)
		p.sendData(id+2, "and another one", FlagFin)
		p.sendRst(id+2, RstCancel) // as Close does
		p.wantIdle("their slots are free")
		p.sendSynStream(id+4, 0)
		p.wantRst("but not their places", id+4, RstRefusedStream)
		for i, text := range []string{"the whole", "and another one"} {
			st := p.acceptRaw("there it is", id+2*uint32(i))
			require.Equal(t, text, string(p.rawReadAll(st).ok("all of it").data))
			<-st.Done()
		}
	})
	storyBoth(t, "what has come before the end is still to be had", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		id := p.peerID()
		p.sendSynStream(id, FlagUnidirectional)
		p.sendData(id, "the whole", FlagFin)
		p.sendSynStream(id+2, 0)
		p.sendSynStream(id+4, 0)
		p.sendData(id+4, "a part", 0)
		p.sendSynStream(id+6, FlagFin)
		synctest.Wait()
		p.conn.Close()
		<-p.s.Done()
		st := p.acceptRaw("a complete one", id)
		require.Equal(t, "the whole", string(p.rawReadAll(st).ok("all of it").data))
		st = p.acceptRaw("one with nothing but its header", id+2)
		requireTruncated(t, p.rawReadAll(st).wait("it has no end").err)
		st = p.acceptRaw("one with a part", id+4)
		read := p.rawReadAll(st).wait("a part of one")
		require.Equal(t, "a part", string(read.data))
		requireTruncated(t, read.err)
		st = p.acceptRaw("one that was only headers", id+6)
		require.Empty(t, p.rawReadAll(st).ok("and the end").data)
		p.startAccept(context.Background()).fails("that was all", io.ErrUnexpectedEOF)
	})
	storyBoth(t, "the slots of a session are counted too", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{MaxConcurrentStreams: 2})
		id := p.peerID()
		p.sendSynStream(id, 0)
		p.sendSynStream(id+2, 0)
		p.sendSynStream(id+4, 0)
		p.wantRst("the third", id+4, RstRefusedStream)
		require.NoError(t, p.acceptRaw("the first", id).Reset(RstCancel))
		p.wantRst("given up", id, RstCancel)
		p.sendSynStream(id+6, 0)
		p.wantIdle("there is room")
	})
	storyBoth(t, "Shutdown lets those be accepted that have come", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		id := p.peerID()
		p.sendSynStream(id, FlagFin)
		synctest.Wait()
		shutdown := p.async("Shutdown", func(c *call) { c.err = p.s.Shutdown(context.Background()) })
		p.wantGoAway("told", id, GoAwayOK)
		p.sendSynStream(id+2, 0)
		p.wantIdle("ignored")
		st := p.acceptRaw("the one before", id)
		p.rawWrite(st, []byte("answer")).wrote("it is served", 6)
		shutdown.pending("it is not over")
		require.NoError(t, st.Close())
		p.wantSynReply("replied", id)
		p.wantData("answered", id, 6)
		p.wantData("and closed", id, 0, FlagFin)
		p.wantOrderlyEnd("that was all")
		shutdown.ok("done")
	})
}
