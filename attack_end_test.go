package spdy

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// deadPeers are connections at whose other end nobody is at home.
var deadPeers = map[string][]testconn.Option{
	"reads nothing":     {testconn.First(testconn.WriteCap(5))},
	"answers nothing":   {},
	"takes a long time": {testconn.Latency(time.Hour)},
}

// A17, hanging at the end (CVE-2022-27664): whoever closes a session, a client or a
// server is through in a second, whatever the peer does, from wherever he calls.
func TestAttackA17Close(t *testing.T) {
	for name, conn := range deadPeers {
		attackStory(t, name, bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
			p := newPeer(t, r, peerOpts{version: v, announce: true, conn: conn})
			write := p.async("open", func(c *call) {
				c.st = p.s.newLocalStream(0)
				if c.err = p.s.open(context.Background(), c.st, p.block(), 0); c.err == nil {
					_, c.err = c.st.write(testBytes(1<<20), true)
				}
			})
			synctest.Wait()
			start := time.Now()
			first, second := p.startClose(), p.startClose()
			p.advance(linger)
			first.ok("closed")
			second.ok("closed twice")
			if write.wait("nobody waits any more"); v != SPDY2 || write.err != nil { // SPDY/2 has no windows to wait for
				write.fails("what waited fails", ErrSessionClosed)
			}
			p.served.wait("Serve returns")
			require.LessOrEqual(t, time.Since(start), time.Second)
			p.startClose().ok("and again")
			p.startShutdown(context.Background()).wait("nothing is left to shut down")
		})
		attackStory(t, "Shutdown, "+name, bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
			p := newPeer(t, r, peerOpts{version: v, announce: true, conn: conn})
			synctest.Wait()
			st := p.s.newLocalStream(0)
			require.NoError(t, p.s.open(context.Background(), st, p.block(), 0))
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			shutdown := p.startShutdown(ctx)
			p.advance(5*time.Second - 1)
			shutdown.pending("as long as its context allows")
			p.advance(1 + 100*time.Millisecond)
			shutdown.fails("no longer", context.DeadlineExceeded)
		})
	}
	for how, act := range map[string]func(srv *Server, s *Session){
		"Session.Close":    func(_ *Server, s *Session) { s.Close() },
		"Session.Shutdown": func(_ *Server, s *Session) { _ = s.Shutdown(doneContext()) },
		"twice":            func(_ *Server, s *Session) { s.Close(); s.Close() },
	} {
		attackStory(t, "in a handler, "+how, victimServer, everyVersion, func(t *testing.T, _ role, v Version) {
			var p *testPeer
			returned := make(chan struct{})
			p = httpServer(t, v, func(w http.ResponseWriter, r *http.Request) {
				act(nil, p.s)
				close(returned)
			})
			p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v)})
			synctest.Wait()
			p.advance(linger)
			<-returned
			p.served.wait("it is closed")
		})
	}
	attackStory(t, "server, in a handler", victimServer, everyVersion, func(t *testing.T, _ role, v Version) {
		var srv *Server
		returned := make(chan error, 1)
		srv = &Server{ErrorLog: quietLog, Config: &Config{Version: v, Logger: quietConfig.Logger}, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			returned <- srv.Close()
		})}
		ln := testconn.Listen()
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		conn, err := ln.Dial()
		require.NoError(t, err)
		require.NoError(t, NewFramer(conn, nil, v).WriteFrame(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v)}))
		start := time.Now()
		<-returned
		require.ErrorIs(t, <-served, http.ErrServerClosed)
		require.LessOrEqual(t, time.Since(start), time.Second)
		conn.Close()
	})
}

// doneContext has ended.
func doneContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A18, truncation: nobody takes the part of a body that came before a cut for all of it,
// wherever the cut is and however it was made.
func TestAttackA18Truncation(t *testing.T) {
	ways := map[string]func(peer *testconn.Conn){
		"closed": func(peer *testconn.Conn) { peer.Close() },
		"reset":  func(peer *testconn.Conn) { peer.Reset() },
	}
	for _, r := range bothRoles {
		for _, v := range everyVersion {
			t.Run(r.String()+"/"+versionElement(v)+"/connection", func(t *testing.T) {
				rec := record(t)
				sent, read := rec.down, readDown
				if r == asServer {
					sent, read = rec.up, readUp
				}
				stride := 1
				if raceEnabled {
					stride = 41
				}
				for name, cut := range ways {
					for n := 0; n < len(sent) && !t.Failed(); n += stride {
						synctest.Test(t, func(t *testing.T) {
							got, _ := read(t, func(_ *Session, peer *testconn.Conn) {
								peer.Write(sent[:n])
								synctest.Wait()
								cut(peer)
							})
							for i, b := range got {
								b.check(t, sent[:n], i, r == asClient)
							}
						})
						if t.Failed() {
							t.Logf("%s at byte %d of %d", name, n, len(sent))
						}
					}
				}
			})
		}
	}
	for name, end := range map[string]func(p *testPeer, id uint32){
		"RST_STREAM": func(p *testPeer, id uint32) { p.sendRst(id, RstCancel) },
		"GOAWAY":     func(p *testPeer, id uint32) { p.sendGoAway(id, GoAwayOK); p.conn.Close() },
		"FIN":        func(p *testPeer, id uint32) { p.sendData(id, "", FlagFin) },
	} {
		attackStory(t, "an answer through a proxy, "+name, victimClient, everyVersion, func(t *testing.T, _ role, v Version) {
			p := httpClient(t, v)
			rec := newCutRecorder()
			c := p.async("proxy", func(c *call) {
				defer func() { rec.aborted = recover() == http.ErrAbortHandler }()
				req := newTestRequest(t, "GET", nil)
				c.err = p.s.NewStreamProxy(req.WithContext(context.WithValue(t.Context(), http.ServerContextKey, &http.Server{})), rec)
			})
			p.wantSynStream("a request", 1)
			p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(v)})
			p.sendData(1, "a part", 0)
			synctest.Wait()
			end(p, 1)
			c.wait("it is over")
			require.Equal(t, "a part", rec.text)
			require.Equal(t, name != "FIN", rec.aborted, "a cut answer is not ended as if it were whole")
			p.drainOrEnd()
		})
	}
}

// A cutRecorder is an http.ResponseWriter without a connection.
type cutRecorder struct {
	header  http.Header
	text    string
	aborted bool
}

func newCutRecorder() *cutRecorder         { return &cutRecorder{header: make(http.Header)} }
func (c *cutRecorder) Header() http.Header { return c.header }
func (c *cutRecorder) WriteHeader(int)     {}
func (c *cutRecorder) Write(b []byte) (int, error) {
	c.text += string(b)
	return len(b), nil
}

// drainOrEnd reads what a session has said, which may have ended.
func (p *testPeer) drainOrEnd() {
	for synctest.Wait(); p.conn.Unread() > 0; synctest.Wait() {
		if _, err := p.f.ReadFrame(); err != nil {
			return
		}
	}
}

// A19, GOAWAY games: what a peer has said that it will not do it cannot take back, and
// what it says again costs little.
func TestAttackA19GoAway(t *testing.T) {
	attackStory(t, "the last id rises", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		p := newPeer(t, r, peerOpts{version: v})
		first, second, third := p.ours1("kept", 0), p.ours1("given up", 0), p.ours1("given up too", 0)
		p.sendGoAway(first.id, GoAwayOK)
		for _, st := range []*Stream{second, third} {
			p.endsReset("the peer has not looked at it", st, RstRefusedStream, true)
			var failed *StreamError
			require.ErrorAs(t, st.endReason(), &failed)
			require.True(t, failed.Retryable())
		}
		p.sendGoAway(third.id, GoAwayOK)
		synctest.Wait()
		p.isOpen("the first GOAWAY had it", first)
		p.endsReset("what was given up stays so", third, RstRefusedStream, true)
		c := p.startOpen(t.Context(), "a new one", 0)
		c.failsReset("nothing new goes to a peer that leaves", RstRefusedStream, true)
		p.sendGoAway(0, GoAwayOK)
		p.endsReset("the id may fall", first, RstRefusedStream, true)
		p.drainOrEnd()
	})
	attackStory(t, "a stream after it", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		p := newPeer(t, r, peerOpts{version: v})
		ours := p.ours1("a stream that keeps the session", 0)
		shutdown := p.startShutdown(t.Context())
		p.wantGoAway("we leave", 0, GoAwayOK)
		for i := range uint32(100) {
			p.sendSynStream(p.peerID()+2*i, FlagFin)
		}
		p.drainOrEnd()
		p.wantNoAccept("we have said that we leave")
		p.sendSynReply(ours.id, FlagFin)
		p.startWrite(ours, nil, FlagFin)
		p.drainOrEnd()
		p.conn.Close()
		shutdown.wait("and we did")
	})
	attackStory(t, "flood", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		p := newPeer(t, r, peerOpts{version: v})
		p.ours1("a stream that keeps the session", 0)
		before := liveHeap()
		sent := 0
		for ; sent < 20_000 && !p.s.ended(); sent++ {
			p.sendGoAway(maxStreamID, GoAwayOK)
			if sent%100 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait() // or what the session just writes counts too
		require.Less(t, liveHeap()-before, int64(64<<10))
		if p.s.ended() {
			require.ErrorIs(t, p.s.Err(), ErrFlood)
		}
		p.drainOrEnd()
	})
}
