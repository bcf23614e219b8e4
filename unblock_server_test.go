package spdy

import (
	"context"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// The calls of servers and of those that dial, see unblock_test.go. The peer of these
// scenes is the one that the Server, the Transport or the UpgradeDialer talks to.

// serves runs a Server with one client, whose request goes on until its context ends. It
// returns the end of Serve.
func (w *scene) serves() *call {
	ln := testconn.Listen()
	w.srv = &Server{Config: quietConfig, ErrorLog: quietLog, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})}
	served := w.async("Serve", func(c *call) { c.err = w.srv.Serve(ln) })
	w.t.Cleanup(func() { w.srv.Close() })
	conn, err := ln.Dial()
	require.NoError(w.t, err)
	w.meets(conn)
	w.id = 1
	w.sendSynStream(1, FlagFin, plainGet(w.version)...)
	w.peerFollows()
	synctest.Wait()
	return served
}

// tracks returns an http.Server that a raw session belongs to, which has a stream.
func (w *scene) tracks() *http.Server {
	ours, theirs := testconn.Pair()
	w.meets(theirs)
	hs, s := new(http.Server), quietConfig.RawSession(ours, false)
	require.NoError(w.t, TrackSession(context.WithValue(context.Background(), http.ServerContextKey, hs), s))
	w.async("Serve", func(c *call) { c.err = s.Serve() })
	w.t.Cleanup(func() { CloseServer(hs) })
	w.id = 1
	w.sendSynStream(1, FlagFin)
	w.peerFollows()
	synctest.Wait()
	return hs
}

// servesConn runs ServeConn for one client.
func (w *scene) servesConn() *call {
	w.srv = &Server{Config: quietConfig, ErrorLog: quietLog}
	w.t.Cleanup(func() { w.srv.Close() })
	ours, theirs := testconn.Pair()
	w.meets(theirs)
	return w.async("ServeConn", func(c *call) { c.err = w.srv.ServeConn(ours, nil) })
}

// meets makes the peer of the scene that of another connection.
func (w *scene) meets(conn *testconn.Conn) {
	w.t.Cleanup(func() { conn.Close() })
	w.conn, w.f = conn, NewFramer(conn, conn, w.version)
}

// dials is a DialContext to the peer of the scene.
func (w *scene) dials(context.Context, string, string) (net.Conn, error) {
	ours, theirs := testconn.Pair()
	w.meets(theirs)
	return ours, nil
}

// dialsInVain is a DialContext that never gets through.
func dialsInVain(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// transport starts a request of a Transport.
func (w *scene) transport(tr *Transport) *call {
	patient := *quietConfig
	patient.FirstFrameTimeout = -1 // the limit of a silent server is less than callerTime
	tr.Config = &patient
	w.t.Cleanup(tr.CloseIdleConnections)
	return w.do(tr.RoundTrip)
}

func (w *scene) upgrade(dial func(context.Context, string, string) (net.Conn, error)) *call {
	return w.async("Dial", func(c *call) {
		_, _, c.err = (&UpgradeDialer{DialContext: dial}).Dial(w.ctx, "GET", "http://example.com/")
	})
}

var waitingServers = []waitingCall{
	{"Server.Shutdown", "for a handler", asClient, nil,
		func(w *scene) *call {
			w.serves()
			return w.async("Shutdown", func(c *call) { c.err = w.srv.Shutdown(w.ctx) })
		},
		join(byContext, ends{"Server.Close": fine, "RST_STREAM": fine, "peer hangs up": fine, "connection breaks": fine})},
	{"ShutdownServer", "for a stream of an upgraded session", asClient, nil,
		func(w *scene) *call {
			hs := w.tracks()
			return w.async("ShutdownServer", func(c *call) { c.err = ShutdownServer(w.ctx, hs) })
		},
		join(byContext, ends{"RST_STREAM": fine, "peer hangs up": fine, "connection breaks": fine})},
	{"Server.Serve", "for connections", asClient, nil, func(w *scene) *call { return w.serves() },
		ends{"Server.Close": is(http.ErrServerClosed), "Server.Shutdown": is(http.ErrServerClosed)}},
	{"Server.ServeConn", "for the session to end", asClient, nil,
		func(w *scene) *call {
			c := w.servesConn()
			w.sendPing(1)
			w.peerFollows()
			return c
		},
		ends{"Server.Close": fine, "GOAWAY": fine, "peer hangs up": fine, "connection breaks": is(syscall.ECONNRESET)}},
	{"Server.ServeConn", "for the client's first bytes", asClient, nil, (*scene).servesConn,
		ends{"Server.Close": is(net.ErrClosed), "Server.Shutdown": is(net.ErrClosed),
			"peer hangs up": is(io.EOF), "connection breaks": is(syscall.ECONNRESET)}},
	{"Transport.RoundTrip", "for a connection", asClient, nil,
		func(w *scene) *call {
			return w.transport(&Transport{DialContext: dialsInVain, DialTimeout: 2 * callerTime})
		}, byContext},
	{"Transport.RoundTrip", "for the answer", asClient, nil,
		func(w *scene) *call {
			return w.transport(&Transport{DialContext: w.dials, Config: &Config{FirstFrameTimeout: -1}})
		},
		join(byContext, ends{"RST_STREAM": wasReset, "peer hangs up": is(io.ErrUnexpectedEOF), "connection breaks": is(syscall.ECONNRESET)})},
	{"Transport.RoundTrip", "for a stream", asClient, nil,
		func(w *scene) *call {
			tr := &Transport{DialContext: w.dials, StrictMaxConcurrentStreams: true}
			first, cancel := context.WithCancel(context.Background())
			w.t.Cleanup(cancel)
			w.async("the first request", func(c *call) { _, c.err = tr.RoundTrip(w.request(nil).WithContext(first)) })
			synctest.Wait()
			w.sendSetting(SettingMaxConcurrentStreams, 1)
			synctest.Wait()
			return w.transport(tr)
		}, byContext},
	{"Response.Body.Read", "for bytes, of a Transport", asClient, nil,
		func(w *scene) *call {
			var res *http.Response
			tr := &Transport{DialContext: w.dials, Config: quietConfig}
			c := w.async("a request", func(c *call) { res, c.err = tr.RoundTrip(w.request(nil)) })
			synctest.Wait()
			w.id = 1
			w.sendSynReply(1, 0, plainOK(w.version)...)
			c.ok("the answer")
			w.t.Cleanup(func() { res.Body.Close() })
			w.giveUp = func() { res.Body.Close() }
			return w.async("Read", func(c *call) { _, c.err = res.Body.Read(make([]byte, 10)) })
		},
		join(byContext, byPeer, ends{"closed by our side": is(http.ErrBodyReadAfterClose), "peer hangs up": is(io.ErrUnexpectedEOF),
			"connection breaks": is(syscall.ECONNRESET)})},
	{"UpgradeDialer.Dial", "for a connection", asClient, nil,
		func(w *scene) *call { return w.upgrade(dialsInVain) }, byContext},
	{"UpgradeDialer.Dial", "for the answer", asClient, nil,
		func(w *scene) *call { return w.upgrade(w.dials) },
		join(byContext, ends{"peer hangs up": is(io.ErrUnexpectedEOF), "connection breaks": is(syscall.ECONNRESET)})},
}

// TestShutdownWithoutPatience: a peer that does not hang up, or takes nothing, keeps nobody
// from ending a session in time.
func TestShutdownWithoutPatience(t *testing.T) {
	story(t, "a session", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		p.wantAccept("a stream", 1)
		ctx, cancel := context.WithCancel(context.Background())
		shutdown := p.startShutdown(ctx)
		p.wantGoAway("it begins", 1, GoAwayOK)
		cancel()
		p.advance(haste)
		shutdown.fails("in time", context.Canceled)
		_, err := p.ours.Write([]byte{0})
		require.ErrorIs(t, err, net.ErrClosed, "and all is closed")
	})
	story(t, "one that has ended but for the peer", func(t *testing.T) {
		p := newPeer(t, asServer)
		ctx, cancel := context.WithCancel(context.Background())
		shutdown := p.startShutdown(ctx)
		p.wantGoAway("there are no streams", 0, GoAwayOK)
		p.advance(linger / 2)
		shutdown.pending("the peer may have more to say")
		cancel()
		p.advance(haste)
		shutdown.ok("there is no time for it, and nothing was to be delivered")
	})
	story(t, "one that ended before its context did", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.conn.Close()
		p.served.wait("it has ended")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for range 10 { // both are true, and what counts is that it has ended
			require.NoError(t, p.s.Shutdown(ctx))
		}
	})
	story(t, "a connection that will not close", func(t *testing.T) {
		inner, theirs := testconn.Pair()
		stuck := &slowCloser{Conn: inner, closing: make(chan struct{})}
		s := NewClientSession(stuck)
		served := make(chan error, 1)
		go func() { served <- s.Serve() }()
		synctest.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		start := time.Now()
		require.NoError(t, s.Shutdown(ctx), "nothing was to be delivered")
		require.LessOrEqual(t, time.Since(start), unblockTime)
		close(stuck.closing)
		theirs.Close()
		<-served
	})
	story(t, "a server with many of them", func(t *testing.T) {
		ln := testconn.Listen()
		srv := &Server{Config: quietConfig, Handler: http.NotFoundHandler()}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		var peers []*testconn.Conn
		for range 20 {
			conn, err := ln.Dial()
			require.NoError(t, err)
			require.NoError(t, NewFramer(conn, nil, SPDY31).WriteFrame(&PingFrame{ID: 1}))
			conn.SetWriteCap(1)
			peers = append(peers, conn)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		start := time.Now()
		require.NoError(t, srv.Shutdown(ctx), "nothing was to be delivered")
		require.LessOrEqual(t, time.Since(start), unblockTime)
		require.Zero(t, srv.Stats().Sessions, "and all is closed")
		<-served
		for _, conn := range peers {
			conn.Close()
		}
	})
}

// A slowCloser is a connection whose Close and CloseWrite take their time, as those of TLS
// do when the peer takes nothing.
type slowCloser struct {
	*testconn.Conn
	closing chan struct{}
}

func (c *slowCloser) CloseWrite() error {
	<-c.closing
	return c.Conn.CloseWrite()
}

func (c *slowCloser) Close() error {
	<-c.closing
	return c.Conn.Close()
}
