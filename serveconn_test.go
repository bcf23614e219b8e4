package spdy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/netutil"

	"github.com/amahi/spdy/internal/testconn"
)

// A bareConn is a connection of a type that cannot be compared and has nothing but the
// methods of net.Conn.
type bareConn struct {
	net.Conn
	_ []byte
}

// TestServeConn: any connection will do.
func TestServeConn(t *testing.T) {
	for name, pair := range map[string]func() (client, server net.Conn){
		"net.Pipe": func() (net.Conn, net.Conn) { return net.Pipe() },
		"testconn": func() (net.Conn, net.Conn) { a, b := testconn.Pair(); return a, b },
		"bare": func() (net.Conn, net.Conn) {
			a, b := testconn.Pair()
			return bareConn{Conn: a}, bareConn{Conn: b}
		},
		"TLS": func() (net.Conn, net.Conn) {
			a, b := testconn.Pair()
			return tlsPair(t, a, b)
		},
	} {
		story(t, name, func(t *testing.T) {
			mine, theirs := pair()
			srv := &Server{Handler: http.HandlerFunc(echoVersion), ErrorLog: quietLog}
			served := make(chan error, 1)
			go func() { served <- srv.ServeConn(theirs, nil) }()
			c, err := NewClientConn(mine)
			require.NoError(t, err)
			wantEcho(t, c, "http://example.com/", "spdy/3.1")
			c.Close()
			require.NoError(t, <-served)

			require.NoError(t, srv.Close())
			a, b := testconn.Pair()
			require.ErrorIs(t, srv.ServeConn(a, nil), http.ErrServerClosed)
			_, err = b.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF, "it has been closed")
			b.Close()
		})
	}
}

func TestServeConnOptions(t *testing.T) {
	handler := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			hs := r.Context().Value(http.ServerContextKey).(*http.Server)
			fmt.Fprint(w, name, " ", r.Context().Value(connKey{}), " ", hs.Addr)
		})
	}
	ctx := context.WithValue(context.Background(), connKey{}, "mine")
	for name, tt := range map[string]struct {
		opts *ServeConnOpts
		want string
	}{
		"nothing":        {nil, "server <nil> here"},
		"context":        {&ServeConnOpts{Context: ctx}, "server mine here"},
		"handler":        {&ServeConnOpts{Handler: handler("other")}, "other <nil> here"},
		"config":         {&ServeConnOpts{BaseConfig: &http.Server{Addr: "there", Handler: handler("base")}}, "base <nil> there"},
		"config,handler": {&ServeConnOpts{BaseConfig: &http.Server{Addr: "there", Handler: handler("base")}, Handler: handler("other")}, "other <nil> there"},
	} {
		story(t, name, func(t *testing.T) {
			srv := &Server{Addr: "here", Handler: handler("server")}
			states := &stateLog{}
			srv.ConnState = states.tell
			if tt.opts != nil && tt.opts.BaseConfig != nil {
				tt.opts.BaseConfig.ConnState, srv.ConnState = states.tell, nil
			}
			mine, theirs := testconn.Pair()
			served := make(chan error, 1)
			go func() { served <- srv.ServeConn(theirs, tt.opts) }()
			c, err := NewClientConn(mine)
			require.NoError(t, err)
			text, err := fetchURL(c, "http://example.com/")
			require.NoError(t, err)
			require.Equal(t, tt.want, text)
			synctest.Wait() // the connection is idle once the handler's goroutine has ended
			stats := srv.Stats()
			require.EqualValues(t, 1, stats.Sessions)
			require.NoError(t, srv.Shutdown(t.Context()))
			require.NoError(t, <-served)
			require.ErrorIs(t, c.Session().Err(), ErrSessionClosed)
			c.Close()
			states.want(t, "new active idle closed")
		})
	}
}

// TestServeConnFails: who is not served is told so by the error.
func TestServeConnFails(t *testing.T) {
	serve := func(t *testing.T, hs *http.Server, f func(conn *testconn.Conn)) error {
		mine, theirs := testconn.Pair()
		defer mine.Close()
		served := make(chan error, 1)
		go func() { served <- (&Server{ErrorLog: quietLog}).ServeConn(theirs, &ServeConnOpts{BaseConfig: hs}) }()
		f(mine)
		err := <-served
		_, rerr := io.Copy(io.Discard, mine)
		require.NoError(t, rerr, "it has been closed")
		return err
	}
	story(t, "HTTP/1.1", func(t *testing.T) {
		err := serve(t, nil, func(conn *testconn.Conn) { io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n") })
		require.ErrorContains(t, err, "does not speak SPDY")
	})
	story(t, "gone", func(t *testing.T) {
		require.ErrorIs(t, serve(t, nil, func(conn *testconn.Conn) { conn.CloseWrite() }), io.EOF)
	})
	story(t, "silent", func(t *testing.T) {
		start := time.Now()
		require.ErrorIs(t, serve(t, &http.Server{ReadTimeout: time.Minute}, func(*testconn.Conn) {}), net.ErrClosed)
		require.Equal(t, time.Minute, time.Since(start))
	})
	story(t, "breaks the rules", func(t *testing.T) {
		err := serve(t, nil, func(conn *testconn.Conn) {
			conn.Write([]byte("\x80\x03\x00\x04\x00\x00\x00\x00")) // SETTINGS without a count
		})
		var broken *SessionError
		require.ErrorAs(t, err, &broken)
	})
}

// TestLimitListener: a listener that allows one connection lets the next one in when
// the first has gone, in whichever way that ends.
func TestLimitListener(t *testing.T) {
	limited := func(t *testing.T, name string, secure bool) {
		srv := &Server{Handler: http.HandlerFunc(echoVersion), ErrorLog: quietLog, ReadHeaderTimeout: 20 * time.Second}
		story(t, name, func(t *testing.T) {
			s := &site{t: t, srv: srv}
			serve := func(ln net.Listener) error { return srv.Serve(netutil.LimitListener(ln, 1)) }
			if secure {
				srv.TLSConfig = s.certify()
				serve = func(ln net.Listener) error { return srv.ServeTLS(netutil.LimitListener(ln, 1), "", "") }
			}
			s.run(serve, func(s *site) {
				var wg sync.WaitGroup
				for range 5 {
					wg.Go(func() { // each in its turn
						c, err := NewClientConn(s.dial("spdy/3.1"))
						if err == nil {
							_, err = fetchURL(c, s.url("/"))
							c.Close()
						}
						if err != nil {
							s.t.Error(err)
						}
					})
					wg.Go(func() {
						h := s.http1("http/1.1")
						if _, err := fetchURL(h, s.url("/")); err != nil {
							s.t.Error(err)
						}
						h.CloseIdleConnections()
					})
				}
				wg.Wait()
				silent, err := s.ln.Dial()
				require.NoError(s.t, err)
				start := time.Now()
				patient := &Config{FirstFrameTimeout: -1}
				c, err := patient.NewClientConn(s.dial("spdy/3.1")) // waits for it to be cut
				require.NoError(s.t, err)
				_, err = fetchURL(c, s.url("/"))
				require.NoError(s.t, err)
				require.GreaterOrEqual(s.t, time.Since(start), 10*time.Second)
				c.Close()
				silent.Close()
			})
		})
	}
	limited(t, "plain", false)
	limited(t, "TLS", true)
}

// A proxyListener takes connections of a proxy that says in a first line whose they
// are, as in version 1 of the PROXY protocol.
type proxyListener struct{ net.Listener }

func (l proxyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &proxiedConn{Conn: conn, r: bufio.NewReader(conn)}
	c.announced = sync.OnceValues(c.readLine)
	return c, nil
}

// A proxiedConn reads the line when somebody wants to know an address or reads.
type proxiedConn struct {
	net.Conn
	r         *bufio.Reader
	announced func() (net.Addr, error)
}

func (c *proxiedConn) readLine() (net.Addr, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	words := strings.Fields(line)
	if len(words) != 6 || words[0] != "PROXY" {
		return nil, errors.New("no PROXY line")
	}
	return &net.TCPAddr{IP: net.ParseIP(words[2]), Port: len(words[4])}, nil
}

func (c *proxiedConn) Read(p []byte) (int, error) {
	if _, err := c.announced(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func (c *proxiedConn) RemoteAddr() net.Addr {
	if addr, err := c.announced(); err == nil {
		return addr
	}
	return c.Conn.RemoteAddr()
}

// TestProxyProtocol: a listener may wrap its connections in anything.
func TestProxyProtocol(t *testing.T) {
	remote := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.RemoteAddr, " ", SessionFromContext(r.Context()) != nil, " ", r.TLS != nil)
	})
	for _, secure := range []bool{false, true} {
		story(t, fmt.Sprint("TLS ", secure), func(t *testing.T) {
			srv := &Server{Handler: remote, ErrorLog: quietLog, ReadHeaderTimeout: time.Minute}
			s := &site{t: t, srv: srv}
			serve := func(ln net.Listener) error { return srv.Serve(proxyListener{ln}) }
			conf := s.certify()
			trust := s.tls
			s.tls = nil // the line comes before the handshake
			if secure {
				srv.TLSConfig = conf
				serve = func(ln net.Listener) error { return srv.ServeTLS(proxyListener{ln}, "", "") }
			}
			s.run(serve, func(s *site) {
				fetch := func(protos ...string) string {
					conn := s.dial()
					_, err := io.WriteString(conn, "PROXY TCP4 198.51.100.7 203.0.113.1 56324 443\r\n")
					require.NoError(s.t, err)
					if secure {
						c := trust.Clone()
						c.NextProtos = protos
						conn = tls.Client(conn, c)
					}
					var rt http.RoundTripper
					if protos[0] == "spdy/3.1" {
						rt, err = NewClientConn(conn)
						require.NoError(s.t, err)
					} else {
						dial := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
						rt = &http.Transport{DialContext: dial, DialTLSContext: dial}
					}
					text, err := fetchURL(rt, "http"+map[bool]string{true: "s"}[secure]+"://localhost/")
					require.NoError(s.t, err)
					conn.Close()
					return text
				}
				require.Equal(s.t, fmt.Sprint("198.51.100.7:5 true ", secure), fetch("spdy/3.1"))
				require.Equal(s.t, fmt.Sprint("198.51.100.7:5 false ", secure), fetch("http/1.1"))
				silent := s.dial()
				other := fetch("spdy/3.1")
				require.Equal(s.t, fmt.Sprint("198.51.100.7:5 true ", secure), other, "one that says nothing holds nobody up")
				if secure {
					silent.Close() // net/http asks for the address before it looks at the clock
				} else {
					s.wantCut("not even a line", silent, time.Minute)
				}
			})
		})
	}
}
