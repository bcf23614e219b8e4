package spdy

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A stateLog is a ConnState that remembers what it was told of each connection.
type stateLog struct {
	mu    sync.Mutex
	conns []net.Conn
	said  map[net.Conn][]string
}

func (l *stateLog) tell(conn net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.said == nil {
		l.said = make(map[net.Conn][]string)
	}
	if l.said[conn] == nil {
		l.conns = append(l.conns, conn)
	}
	l.said[conn] = append(l.said[conn], state.String())
}

// want wants the states of each connection, in the order in which they came.
func (l *stateLog) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	got := make([]string, len(l.conns))
	for i, conn := range l.conns {
		got[i] = strings.Join(l.said[conn], " ")
	}
	require.Equal(t, want, got)
}

func TestConnState(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) { <-time.After(time.Second) }
	var states *stateLog
	eachServer(t, handler, func(hs *http.Server) {
		hs.ConnState = func(conn net.Conn, state http.ConnState) { states.tell(conn, state) }
	}, func(s *site) {
		states = &stateLog{}
		gone := s.dial("spdy/3.1")
		gone.Close()
		states.want(s.t, "new closed")
		c := s.client()
		states.want(s.t, "new closed", "new")
		var wg sync.WaitGroup
		for i := range 3 { // they overlap
			wg.Go(func() {
				<-time.After(time.Duration(i+1) * time.Second / 2)
				fetchURL(c, s.url("/"))
			})
		}
		wg.Wait()
		states.want(s.t, "new closed", "new active idle")
		fetchURL(c, s.url("/"))
		states.want(s.t, "new closed", "new active idle active idle")
		wg.Go(func() { fetchURL(c, s.url("/")) })
		states.want(s.t, "new closed", "new active idle active idle active")
		c.Close()
		states.want(s.t, "new closed", "new active idle active idle active closed")
		<-time.After(time.Minute) // the handler ends, of which nobody wants to know
		wg.Wait()
		h := s.http1()
		_, err := fetchURL(h, s.url("/"))
		require.NoError(s.t, err)
		h.CloseIdleConnections()
		states.want(s.t, "new closed", "new active idle active idle active closed", "new active idle closed")
	})
}

// TestConnReporter: what changes while the user is being told is told next, never
// beside it.
func TestConnReporter(t *testing.T) {
	story(t, "a slow listener", func(t *testing.T) {
		var r *connReporter
		said, told := []string{}, make(chan struct{})
		r = newConnReporter(&http.Server{ConnState: func(_ net.Conn, state http.ConnState) {
			said = append(said, state.String()) // a race if there were two
			<-told
		}}, nil)
		var wg sync.WaitGroup
		for _, change := range []func(){r.begin, r.end, r.begin, r.begin, r.end, r.end} {
			wg.Go(change)
			synctest.Wait()
		}
		told <- struct{}{}
		synctest.Wait()
		require.Equal(t, []string{"active", "idle"}, said)
		wg.Go(r.begin)
		wg.Go(r.stop)
		synctest.Wait()
		close(told)
		wg.Wait()
		require.Equal(t, []string{"active", "idle"}, said, "nobody wants to know any more")
	})
}

// TestConnStateMayClose: the user's function may end the server, at any point.
func TestConnStateMayClose(t *testing.T) {
	for _, at := range []http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateClosed} {
		var srv *Server
		srv = &Server{ConnState: func(conn net.Conn, state http.ConnState) {
			if state == at {
				require.NoError(t, srv.Close())
			}
		}}
		siteTest(t, at.String(), srv, false, func(s *site) {
			conn := s.dial()
			_, _ = conn.Write(synFrame(t)) // fails if the connection has been closed already
			if at == http.StateClosed {
				synctest.Wait()
				conn.Close()
			}
			err := <-s.end
			require.ErrorIs(s.t, err, http.ErrServerClosed)
			s.end <- err
			conn.Close()
		})
	}
}

// An exitLog ends the program when something is logged.
type exitLog struct{}

func (exitLog) Write(line []byte) (int, error) {
	fmt.Printf("logged: %s", line)
	os.Exit(0)
	return len(line), nil
}

func init() {
	programs["ConnStatePanics"] = func() {
		at := os.Getenv("SPDY_TEST_STATE")
		srv := &Server{ErrorLog: log.New(exitLog{}, "", 0), Handler: http.HandlerFunc(echoWay), ConnState: func(conn net.Conn, state http.ConnState) {
			if state.String() == at {
				panic("ConnState does not like " + at)
			}
		}}
		client, server := net.Pipe()
		go func() { fmt.Println("served:", srv.ServeConn(server, nil)) }()
		c, err := NewClientConn(client)
		if err != nil {
			panic(err)
		}
		text, err := fetchURL(c, "http://home.example/")
		fmt.Println("fetched:", text, err)
		select {} // until the panic, or its being logged, ends the program
	}
}

// TestConnStatePanics: a hook's panic ends the program, and is not taken for that of the
// handler which it comes before or after.
func TestConnStatePanics(t *testing.T) {
	for _, at := range []http.ConnState{http.StateNew, http.StateActive, http.StateIdle} {
		cmd, out := runProgram(t, "ConnStatePanics", "SPDY_TEST_STATE="+at.String())
		require.Error(t, cmd.Wait(), at)
		require.Contains(t, out.String(), "panic: ConnState does not like "+at.String())
	}
}

// TestListenerOfTLS: Serve on a listener of TLS serves what was negotiated.
func TestListenerOfTLS(t *testing.T) {
	for _, protocols := range []*http.Protocols{nil, new(http.Protocols)} {
		states := &stateLog{}
		srv := &Server{Handler: http.HandlerFunc(echoVersion), ErrorLog: quietLog, Protocols: protocols, ConnState: states.tell}
		want := "HTTP/1.1"
		if protocols != nil {
			protocols.SetHTTP1(true)
			protocols.SetHTTP2(true)
			want = "HTTP/2.0"
		}
		story(t, want, func(t *testing.T) {
			s := &site{t: t, srv: srv}
			conf := s.certify()
			srv.TLSConfig = conf // or net/http does not know that its listener will speak h2
			conf.NextProtos = []string{"spdy/3.1", "h2", "http/1.1"}
			s.run(func(ln net.Listener) error { return srv.Serve(tls.NewListener(ln, conf)) }, func(s *site) {
				c := s.client()
				wantEcho(s.t, c, s.url("/"), "spdy/3.1")
				require.NoError(s.t, c.Close())
				h := s.http1("http/1.1")
				if protocols != nil {
					h = s.http1("h2")
					h.Protocols.SetHTTP2(true)
				}
				res, err := h.RoundTrip(mustRequest(s.t, s.url("/")))
				require.NoError(s.t, err)
				res.Body.Close()
				require.Equal(s.t, want, res.Proto)
				h.CloseIdleConnections()
				synctest.Wait()
				require.Len(s.t, states.conns, 2)
				require.Regexp(s.t, "^new active (idle )?(active )?idle closed$", strings.Join(states.said[states.conns[1]], " "))
			})
		})
	}
}

// TestUnencryptedHTTP2: Protocols may ask for that too.
func TestUnencryptedHTTP2(t *testing.T) {
	srv := &Server{Handler: http.HandlerFunc(echoVersion), Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	siteTest(t, "h2c", srv, false, func(s *site) {
		h := s.http1()
		h.Protocols.SetHTTP1(false)
		h.Protocols.SetUnencryptedHTTP2(true)
		res, err := h.RoundTrip(mustRequest(s.t, s.url("/")))
		require.NoError(s.t, err)
		res.Body.Close()
		require.Equal(s.t, "HTTP/2.0", res.Proto)
		h.CloseIdleConnections()
		c := s.client()
		wantEcho(s.t, c, s.url("/"), "spdy/3.1")
		require.NoError(s.t, c.Close())
	})
}

// TestServerLogs: what a server's sessions have to say goes where the user looks.
func TestServerLogs(t *testing.T) {
	boom := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { panic("boom\nboom") })
	ask := func(s *site) {
		c := s.client()
		_, err := fetchURL(c, s.url("/"))
		require.Error(s.t, err)
		c.Close()
		h := s.http1("http/1.1")
		_, err = fetchURL(h, s.url("/"))
		require.Error(s.t, err)
		h.CloseIdleConnections()
		synctest.Wait()
	}
	var out lockedBuffer
	errorLog := log.New(&out, "site: ", 0)
	logger := slog.New(slog.NewJSONHandler(&out, nil))
	lines := func(s *site, spdy, http1 string) {
		ask(s)
		require.Regexp(s.t, spdy, out.String())
		require.Regexp(s.t, http1, out.String())
		out.Reset()
	}
	const plain = `(?m)^site: spdy: panic serving peer=192\.0\.2\.1:\d+ stream=1\nboom\nboom\ngoroutine \d+`
	const http1 = `(?m)^site: http: panic serving 192\.0\.2\.1:\d+: boom\nboom\ngoroutine \d+`
	const structured = `(?m)^{.*"msg":"spdy: panic serving","peer":"192\.0\.2\.1:\d+","stream":1,"panic":"boom\\nboom"`
	siteTest(t, "ErrorLog", &Server{Handler: boom, ErrorLog: errorLog}, false, func(s *site) { lines(s, plain, http1) })
	siteTest(t, "Logger", &Server{Handler: boom, Logger: logger}, false, func(s *site) {
		lines(s, structured, `(?m)^{.*"level":"ERROR","msg":"http: panic serving`)
	})
	siteTest(t, "both", &Server{Handler: boom, Logger: logger, ErrorLog: errorLog}, true, func(s *site) { lines(s, structured, http1) })
	siteTest(t, "the sessions' own", &Server{
		Handler: boom, Logger: slog.New(slog.DiscardHandler), ErrorLog: errorLog, Config: &Config{Logger: logger},
	}, true, func(s *site) { lines(s, structured, http1) })
	configuredTest(t, "http.Server", &http.Server{Handler: boom, ErrorLog: errorLog}, nil, func(s *site) { lines(s, plain, http1) })
}

// TestErrorLogHandler: records come out in one line each, whatever is in them.
func TestErrorLogHandler(t *testing.T) {
	var out bytes.Buffer
	l := newErrorLogger(log.New(&out, "", 0))
	for want, say := range map[string]func(){
		"spdy: what peer=a n=1\n":          func() { l.Info("spdy: what", "peer", "a", "n", 1) },
		"w a=1 g.b=2 g.h.c=3 g.h.d=4\n":    func() { l.With("a", 1).WithGroup("g").With("b", 2).WithGroup("h").Warn("w", "c", 3, "d", 4) },
		"e g.x=1\none\ntwo\n":              func() { l.Error("e", slog.Group("g", "x", 1), "text", "one\ntwo\n") },
		"e x=1\n":                          func() { l.WithGroup("").Error("e", slog.Group("", "x", 1), slog.Attr{}) },
		"":                                 func() { l.Debug("not for operators") },
		"e err=spdy: session closed x=v\n": func() { l.Error("e", "err", ErrSessionClosed, "x", resolved{}) },
	} {
		out.Reset()
		say()
		require.Equal(t, want, out.String())
	}
}

type resolved struct{}

func (resolved) LogValue() slog.Value { return slog.StringValue("v") }

// TestRegisterOnShutdown: functions registered before and after the server begins are
// called by Shutdown, also of a server that never served, and not by Close.
func TestRegisterOnShutdown(t *testing.T) {
	story(t, "never served", func(t *testing.T) {
		srv, called := &Server{}, make(chan string, 9)
		srv.RegisterOnShutdown(func() { called <- "a" })
		require.NoError(t, srv.Shutdown(t.Context()))
		require.Equal(t, "a", <-called)
	})
	srv := &Server{}
	siteTest(t, "serving", srv, false, func(s *site) {
		called := make(chan string, 9)
		srv.RegisterOnShutdown(func() { called <- "later" })
		require.NoError(s.t, srv.Shutdown(s.t.Context()))
		require.Equal(s.t, "later", <-called)
	})
	closed := &Server{}
	siteTest(t, "Close", closed, false, func(s *site) {
		closed.RegisterOnShutdown(func() { s.t.Error("called") })
	})
}

// TestKeepAlives: a server without keep-alives ends each connection with its answer.
func TestKeepAlives(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-time.After(time.Second)
		if r.URL.Path == "/close" {
			w.Header().Set("Connection", "close")
		}
		io.WriteString(w, "done")
	})
	// endsAfter wants the answer, and the session gone with it.
	endsAfter := func(s *site, c *Client, path string) {
		s.t.Helper()
		start := time.Now()
		text, err := fetchURL(c, s.url(path))
		require.NoError(s.t, err)
		require.Equal(s.t, "done", text)
		<-c.Session().Done()
		require.Equal(s.t, time.Second, time.Since(start))
		require.ErrorIs(s.t, c.Session().Err(), ErrSessionClosed)
		c.Close()
	}
	srv := &Server{Handler: handler}
	siteTest(t, "switched off", srv, false, func(s *site) {
		idle, busy := s.client(), s.client()
		require.True(s.t, idle.Session().Ping(time.Second) && busy.Session().Ping(time.Second))
		result := make(chan error, 1)
		go func() {
			_, err := fetchURL(busy, s.url("/"))
			result <- err
		}()
		synctest.Wait()
		srv.SetKeepAlivesEnabled(false)
		synctest.Wait()
		require.ErrorIs(s.t, idle.Session().Err(), ErrSessionClosed)
		require.NoError(s.t, <-result)
		<-busy.Session().Done()
		idle.Close()
		busy.Close()
		endsAfter(s, s.client(), "/")
		h := s.http1()
		res, err := h.RoundTrip(mustRequest(s.t, s.url("/")))
		require.NoError(s.t, err)
		require.True(s.t, res.Close, "HTTP/1.1 too")
		res.Body.Close()
		srv.SetKeepAlivesEnabled(true)
		c := s.client()
		for range 2 {
			_, err := fetchURL(c, s.url("/"))
			require.NoError(s.t, err)
		}
		c.Close()
	})
	early := &Server{Handler: handler}
	early.SetKeepAlivesEnabled(false)
	siteTest(t, "from the beginning", early, true, func(s *site) {
		endsAfter(s, s.client(), "/")
		res, err := s.http1("http/1.1").RoundTrip(mustRequest(s.t, s.url("/")))
		require.NoError(s.t, err)
		require.True(s.t, res.Close)
		res.Body.Close()
	})
	closing := func(s *site) { // the streams of other users have no part in it
		c := s.client()
		defer c.Close()
		slow := make(chan string, 1)
		go func() {
			<-time.After(500 * time.Millisecond) // ends after the other
			text, err := fetchURL(c, s.url("/"))
			slow <- fmt.Sprint(text, err)
		}()
		res, err := c.Do(mustRequest(s.t, s.url("/close")))
		require.NoError(s.t, err)
		require.Empty(s.t, res.Header["Connection"])
		res.Body.Close()
		require.Equal(s.t, "done<nil>", <-slow)
		<-c.Session().Done()
		require.ErrorIs(s.t, c.Session().Err(), ErrSessionClosed)
	}
	siteTest(t, "Connection: close", &Server{Handler: handler}, false, closing)
	configuredTest(t, "Connection: close, configured", &http.Server{Handler: handler}, nil, closing)
}

// TestServerContext: what a request's context knows, with every way to serve.
func TestServerContext(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		s := SessionFromContext(context.WithValue(r.Context(), connKey{}, 1))
		_, server := r.Context().Value(http.ServerContextKey).(*http.Server)
		if r.URL.Path == "/whole" {
			fmt.Fprint(w, r.Context())
			return
		}
		fmt.Fprint(w, s != nil && s == StreamOf(w).session, server, r.Context().Value(http.LocalAddrContextKey))
	}
	eachServer(t, handler, func(*http.Server) {}, func(s *site) {
		c := s.client()
		text, err := fetchURL(c, s.url("/"))
		require.NoError(s.t, err)
		require.Equal(s.t, "true true 192.0.2.2:443", text)
		c.Close()
	})
	rigTest(t, handler, rigSetup{}, func(t *testing.T, r *rig) {
		_, text := r.get("/")
		require.Equal(t, "true true 192.0.2.2:443", text)
		_, first := r.get("/whole")
		_, second := r.get("/whole")
		require.Equal(t, first, second, "it does not grow from request to request")
	})
	require.Nil(t, SessionFromContext(context.Background()))
	require.Nil(t, StreamOf(nil))
}

// A shyConn does not know its addresses before something has come, as those behind
// a proxy that announces them.
type shyConn struct {
	net.Conn
	heard chan struct{}
	once  sync.Once
}

func (c *shyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.once.Do(func() { close(c.heard) })
	return n, err
}

func (c *shyConn) LocalAddr() net.Addr {
	<-c.heard
	return c.Conn.LocalAddr()
}

// TestAddressesAreAskedLate: making a session waits for nothing.
func TestAddressesAreAskedLate(t *testing.T) {
	story(t, "NewServerSession", func(t *testing.T) {
		mine, theirs := testconn.Pair()
		s := NewServerSession(&shyConn{Conn: mine, heard: make(chan struct{})}, nil)
		s.Close()
		theirs.Close()
	})
}
