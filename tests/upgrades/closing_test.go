package upgrades

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A closer is a way to carry bytes from near to far over a line. The tests stall the line, so that
// a Write at the near end is still under way when that is closed.
type closer struct {
	near, far net.Conn
	line      *testconn.Conn // what the near end writes to
	session   *spdy.Session  // under the near end; nil over HTTP/1.1
	drops     bool           // the far end loses what it has not read when it is reset
}

// closers returns ways of a version, by name. The oracle is a connection of HTTP/1.1.
func closers(v spdy.Version) map[string]func(t *testing.T) *closer {
	return map[string]func(t *testing.T) *closer{
		"tunnel of the client": func(t *testing.T) *closer { return tunnelCloser(t, v, false) },
		"tunnel of the home":   func(t *testing.T) *closer { return tunnelCloser(t, v, true) },
		"raw stream":           func(t *testing.T) *closer { return rawCloser(t, v) },
	}
}

// tunnelCloser upgrades a request. The home or the client is near.
func tunnelCloser(t *testing.T, v spdy.Version, homeIsNear bool) *closer {
	ours, theirs := testconn.Pair()
	c := bubble.Quiet(spdy.Config{}, v)
	homes := make(chan net.Conn, 1)
	server := c.ServerSession(theirs, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, _ := hijacked(t, w, r); conn != nil {
			homes <- conn
		}
	})})
	client := c.ClientSession(ours)
	serveBoth(t, client, server)
	near, far := upgradedBody(t, client).(net.Conn), <-homes
	if homeIsNear {
		return &closer{near: far, far: near, line: theirs, session: server}
	}
	return &closer{near: near, far: far, line: ours, session: client}
}

// upgradedBody returns the body of an answer that opens a tunnel.
func upgradedBody(t *testing.T, rt http.RoundTripper) io.ReadWriteCloser {
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://home.example/", nil)
	require.NoError(t, err)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	res, err := rt.RoundTrip(req)
	require.NoError(t, err)
	require.Equal(t, 101, res.StatusCode)
	return res.Body.(io.ReadWriteCloser)
}

// rawCloser opens a raw stream.
func rawCloser(t *testing.T, v spdy.Version) *closer {
	ours, theirs := testconn.Pair()
	c := bubble.Quiet(spdy.Config{}, v)
	client, server := c.RawSession(ours, true), c.RawSession(theirs, false)
	serveBoth(t, client, server)
	near, err := client.OpenStream(t.Context(), nil, spdy.StreamOptions{})
	require.NoError(t, err)
	far, err := server.AcceptStream(t.Context())
	require.NoError(t, err)
	require.NoError(t, far.Reply(nil, false))
	return &closer{near: near, far: far, line: ours, session: client, drops: true}
}

func serveBoth(t *testing.T, sessions ...*spdy.Session) {
	for _, s := range sessions {
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = s.Serve() // the test closes it
		}()
		t.Cleanup(func() {
			s.Close()
			<-served
		})
	}
	synctest.Wait()
}

// plainCloser is the oracle: a connection that a handler of net/http has hijacked. The kernel takes
// what is written.
func plainCloser(t *testing.T) *closer {
	listener := testconn.Listen()
	homes := make(chan net.Conn, 1)
	server := &http.Server{ErrorLog: discardLog, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, _ := hijacked(t, w, r); conn != nil {
			homes <- conn
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	var line *testconn.Conn
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		conn, err := listener.Dial()
		line = conn
		return conn, err
	}}
	near := bodyConn{ReadWriteCloser: upgradedBody(t, transport)}
	return &closer{near: near, far: <-homes, line: line}
}

// A bodyConn is the body of an answer of net/http that opens a tunnel. The tests only read, write and
// close it.
type bodyConn struct {
	net.Conn
	io.ReadWriteCloser
}

func (c bodyConn) Read(p []byte) (int, error)  { return c.ReadWriteCloser.Read(p) }
func (c bodyConn) Write(p []byte) (int, error) { return c.ReadWriteCloser.Write(p) }
func (c bodyConn) Close() error                { return c.ReadWriteCloser.Close() }

// A wrote is how a Write has ended.
type wrote struct {
	n   int
	err error
}

func startWrite(conn net.Conn, p []byte) <-chan wrote {
	over := make(chan wrote, 1)
	go func() {
		n, err := conn.Write(p)
		over <- wrote{n, err}
	}()
	synctest.Wait()
	return over
}

// returned is the result of a Write that has to be over.
func returned(t *testing.T, over <-chan wrote) wrote {
	t.Helper()
	synctest.Wait()
	select {
	case w := <-over:
		return w
	default:
		require.Fail(t, "the Write is still under way")
		return wrote{}
	}
}

// readFar reads to the end.
func (c *closer) readFar(t *testing.T) ([]byte, error) {
	require.NoError(t, c.far.SetReadDeadline(time.Now().Add(time.Hour)))
	return io.ReadAll(c.far)
}

// writeAndClose writes a beginning and a tail to a stalled line, and closes during the Write of the tail.
func (c *closer) writeAndClose(t *testing.T, beginning, tail []byte) (result wrote) {
	c.line.SetHold(true)
	if c.session != nil {
		c.line.SetWriteCap(1) // else it takes as much as the kernel would
	}
	first := startWrite(c.near, beginning)
	second := startWrite(c.near, tail)
	closed := time.Now()
	require.NoError(t, c.near.Close())
	require.Zero(t, time.Since(closed))
	require.Equal(t, wrote{len(beginning), nil}, returned(t, first))
	return returned(t, second)
}

// flow lets the line go.
func (c *closer) flow() {
	c.line.SetWriteCap(0)
	c.line.SetHold(false)
}

// TestCloseDuringWrite: Close lets a Write return that is under way. What of it fits the windows of
// the peer arrives, and the end behind it if that is all, as from a connection of TCP.
func TestCloseDuringWrite(t *testing.T) {
	beginning := content(1000)
	for _, size := range []int{1, 1000, 32 << 10, 200 << 10} {
		tail := bytes.Repeat([]byte("tail"), size/4+1)[:size]
		for _, held := range []time.Duration{0, 10 * time.Second} { // a slow line is no reason to lose it
			show := func(t *testing.T, c *closer) {
				require.Equal(t, wrote{len(tail), nil}, c.writeAndClose(t, beginning, tail))
				bubble.Pass(held)
				c.flow()
				got, err := c.readFar(t)
				require.NoError(t, err)
				require.Equal(t, len(beginning)+len(tail), len(got))
				require.True(t, bytes.Equal(append(bytes.Clone(beginning), tail...), got))
				require.NoError(t, c.far.Close())
				synctest.Wait()
				if c.session != nil {
					require.Zero(t, c.session.Stats().Streams.Total())
				}
			}
			bubble.Run(t, "HTTP 1.1", func(t *testing.T) { show(t, plainCloser(t)) })
			for _, v := range bubble.Versions {
				for name, open := range closers(v) {
					bubble.Run(t, v.String()+" "+name, func(t *testing.T) { show(t, open(t)) })
				}
			}
		}
	}
}

// TestCloseDuringLongWrite: what does not fit is not sent, and the end is no end: the peer must not
// take the part for the whole. The Write says how much was sent.
func TestCloseDuringLongWrite(t *testing.T) {
	beginning, tail := content(1000), bytes.Repeat([]byte("tail"), 100<<10)
	for _, v := range bubble.Versions {
		for name, open := range closers(v) {
			bubble.Run(t, v.String()+" "+name, func(t *testing.T) {
				c := open(t)
				w := c.writeAndClose(t, beginning, tail)
				require.ErrorIs(t, w.err, net.ErrClosed)
				require.Greater(t, w.n, 200<<10)
				require.LessOrEqual(t, w.n, 256<<10)
				c.flow()
				got, err := c.readFar(t)
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				if !c.drops {
					require.Equal(t, len(beginning)+w.n, len(got))
				}
				require.NoError(t, c.far.Close())
				synctest.Wait()
				require.Zero(t, c.session.Stats().Streams.Total())
			})
		}
	}
}

// TestClientResets: a client says something and resets its connection. Its last words are on their
// way through a httputil.ReverseProxy, whose write to the session has not returned, when the home's next
// bytes fail and the proxy closes both connections. The home reads what the proxy has read.
func TestClientResets(t *testing.T) {
	words := content(2000)
	bubble.Run(t, "HTTP 1.1", func(t *testing.T) {
		listener := testconn.Listen()
		c := &reversed{home: listener}
		c.transport = &http.Transport{DialContext: c.dial}
		server := &http.Server{ErrorLog: discardLog, Handler: c.handler(t)}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { server.Close() })
		c.show(t, words)
	})
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		listener := testconn.Listen()
		conf := bubble.Quiet(spdy.Config{}, v)
		c := &reversed{home: listener, stalls: true}
		transport := &spdy.Transport{Config: conf, DialContext: c.dial}
		c.transport = transport
		server := &spdy.Server{Config: conf, ErrorLog: discardLog, Handler: c.handler(t)}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(listener)
		}()
		t.Cleanup(func() {
			transport.CloseIdleConnections()
			server.Close()
			<-served
		})
		c.show(t, words)
	})
}

// A reversed is a home behind a ReverseProxy.
type reversed struct {
	transport http.RoundTripper
	home      *testconn.Listener
	stalls    bool           // the line takes no more bytes than those under way
	line      *testconn.Conn // from the proxy to the home
	heard     []byte         // by the home
	talk      chan struct{}  // has the home say something
	over      chan struct{}  // closed when the home has heard the end
}

func (c *reversed) dial(context.Context, string, string) (net.Conn, error) {
	conn, err := c.home.Dial()
	c.line = conn
	return conn, err
}

func (c *reversed) handler(t *testing.T) http.Handler {
	c.talk, c.over = make(chan struct{}), make(chan struct{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, read := hijacked(t, w, r)
		go func() {
			defer close(c.over)
			defer conn.Close()
			c.heard, _ = io.ReadAll(read)
		}()
		go func() {
			<-c.talk
			_, _ = conn.Write(make([]byte, 100))
		}()
	})
}

func (c *reversed) show(t *testing.T, words []byte) {
	fronts := testconn.Listen()
	front := &http.Server{ErrorLog: discardLog, Handler: reverseTo("http://home.example", c.transport)}
	go func() { _ = front.Serve(fronts) }()
	t.Cleanup(func() { front.Close() })
	client, err := fronts.Dial()
	require.NoError(t, err)
	res, _ := ask(t, client, "GET", upgradeText("GET", "echo"))
	require.Equal(t, 101, res.StatusCode)
	synctest.Wait()
	c.line.SetHold(true)
	if c.stalls {
		c.line.SetWriteCap(1)
	}
	for _, part := range [][]byte{words[:1000], words[1000:]} {
		_, err := client.Write(part)
		require.NoError(t, err)
		synctest.Wait()
	}
	client.Reset()
	close(c.talk)
	synctest.Wait()
	c.line.SetWriteCap(0)
	c.line.SetHold(false)
	<-c.over
	require.Equal(t, len(words), len(c.heard))
	require.True(t, bytes.Equal(words, c.heard))
}
