package spdy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
)

// Servers on real sockets.

// A served is a Server that listens on a port of this machine.
type served struct {
	*Server
	addr string
	pool *x509.CertPool
	end  chan error
}

// serveOn starts srv: "plain", "tls" with negotiation or "tls only".
func serveOn(t *testing.T, srv *Server, kind string) *served {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &served{Server: srv, addr: ln.Addr().String(), end: make(chan error, 1)}
	if kind == "plain" {
		go func() { s.end <- srv.Serve(ln) }()
		return s
	}
	cert, pool, err := localcert.New()
	require.NoError(t, err)
	s.pool = pool
	conf := &tls.Config{Certificates: []tls.Certificate{cert}}
	if kind == "tls only" {
		go func() { s.end <- srv.Serve(tls.NewListener(ln, conf)) }()
		return s
	}
	srv.TLSConfig = conf
	go func() { s.end <- srv.ServeTLS(ln, "", "") }()
	return s
}

// dial makes a client. protos are offered by ALPN.
func (s *served) dial(t *testing.T, protos ...string) *Client {
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	if s.pool != nil {
		conn = tls.Client(conn, &tls.Config{RootCAs: s.pool, ServerName: "localhost", NextProtos: protos})
	}
	c, err := NewClientConn(conn)
	require.NoError(t, err)
	return c
}

// https makes a client of net/http.
func (s *served) https() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.pool, ServerName: "localhost"}, ForceAttemptHTTP2: true,
	}}
}

func (s *served) url(path string) string {
	if s.pool != nil {
		return "https://" + s.addr + path
	}
	return "http://" + s.addr + path
}

func fetchURL(rt http.RoundTripper, url string) (string, error) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return "", err
	}
	res, err := rt.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

type connKey struct{}

// describeRequest is a handler that says what it sees of its connection.
func describeRequest(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	_, hasServer := ctx.Value(http.ServerContextKey).(*http.Server)
	local, _ := ctx.Value(http.LocalAddrContextKey).(net.Addr)
	proto := ""
	if r.TLS != nil {
		proto = fmt.Sprintf("%s %v %v", r.TLS.NegotiatedProtocol, r.TLS.HandshakeComplete, r.TLS.Version >= tls.VersionTLS12)
	}
	_, spdy := w.(*Stream)
	fmt.Fprintf(w, "spdy=%v server=%v local=%v conn=%v tls=%q host=%s proto=%s remote=%v", spdy, hasServer, local,
		ctx.Value(connKey{}), proto, r.Host, r.Proto, strings.HasPrefix(r.RemoteAddr, "127.0.0.1:"))
}

func connServer() *Server {
	return &Server{
		Handler:     http.HandlerFunc(describeRequest),
		BaseContext: func(net.Listener) context.Context { return context.WithValue(context.Background(), connKey{}, "base") },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, ctx.Value(connKey{}).(string)+"+conn")
		},
		ErrorLog: quietLog,
	}
}

func TestServers(t *testing.T) {
	for kind, want := range map[string]string{
		"plain":    `spdy=true server=true local=%s conn=base+conn tls="" host=%[1]s proto=HTTP/1.1 remote=true`,
		"tls":      `spdy=true server=true local=%s conn=base+conn tls="spdy/3.1 true true" host=%[1]s proto=HTTP/1.1 remote=true`,
		"tls only": `spdy=true server=true local=%s conn=base+conn tls=" true true" host=%[1]s proto=HTTP/1.1 remote=true`,
	} {
		t.Run(kind, func(t *testing.T) {
			s := serveOn(t, connServer(), kind)
			c := s.dial(t, "spdy/3.1", "http/1.1")
			text, err := fetchURL(c, s.url("/"))
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf(want, s.addr), text)
			if kind == "tls" {
				h := s.https()
				text, err := fetchURL(h.Transport, s.url("/"))
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf(`spdy=false server=true local=%s conn=base+conn tls="http/1.1 true true" host=%[1]s proto=HTTP/1.1 remote=true`, s.addr), text)
				h.CloseIdleConnections()
				res, err := c.Do(mustRequest(t, s.url("/")))
				require.NoError(t, err)
				require.Equal(t, "spdy/3.1", res.TLS.NegotiatedProtocol)
			}
			require.NoError(t, s.Close())
			require.ErrorIs(t, <-s.end, http.ErrServerClosed)
			<-c.Session().Done()
			_, err = fetchURL(c, s.url("/"))
			require.Error(t, err)
			c.Close()

			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			require.ErrorIs(t, s.Serve(ln), http.ErrServerClosed, "a closed server stays closed")
			_, err = ln.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
			require.ErrorIs(t, s.ListenAndServe(), http.ErrServerClosed)
			require.NoError(t, s.Close())
			require.NoError(t, s.Shutdown(context.Background()))
		})
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	req, err := http.NewRequest("GET", url, nil)
	require.NoError(t, err)
	return req
}

// TestServerCloseSaysGoodbye: also a Close in the middle of exchanges sends GOAWAY first
// (SPEC G1), and ends the contexts of handlers with the same error.
func TestServerCloseSaysGoodbye(t *testing.T) {
	for _, kind := range []string{"plain", "tls", "tls only"} {
		t.Run(kind, func(t *testing.T) {
			running, causes := make(chan struct{}), make(chan error, 1)
			s := serveOn(t, &Server{ErrorLog: quietLog, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(running)
				<-r.Context().Done()
				causes <- context.Cause(r.Context())
			})}, kind)
			conn, err := net.Dial("tcp", s.addr)
			require.NoError(t, err)
			defer conn.Close()
			if s.pool != nil {
				conn = tls.Client(conn, &tls.Config{RootCAs: s.pool, ServerName: "localhost", NextProtos: []string{"spdy/3.1"}})
			}
			peer := NewFramer(conn, conn, SPDY31)
			require.NoError(t, peer.WriteFrame(&SynStreamFrame{StreamID: 1, Headers: plainGet(SPDY31)}))
			<-running
			closed := make(chan error, 1)
			go func() { closed <- s.Close() }()
			require.Equal(t, GoAwayFrame{LastGoodStreamID: 1}, *lastGoAway(t, peer))
			require.ErrorIs(t, <-causes, ErrSessionClosed)
			conn.Close()
			require.NoError(t, <-closed)
			require.ErrorIs(t, <-s.end, http.ErrServerClosed)
		})
	}
}

// TestServerShutdown: running exchanges of SPDY and HTTP/1.1 clients finish, idle ones are
// let go, and a context that ends cuts them all.
func TestServerShutdown(t *testing.T) {
	for _, kind := range []string{"plain", "tls", "tls only"} {
		for _, patient := range []bool{true, false} {
			t.Run(fmt.Sprint(kind, " ", patient), func(t *testing.T) {
				const many = 50
				var ready sync.WaitGroup
				ready.Add(many)
				release := make(chan struct{})
				s := serveOn(t, &Server{ErrorLog: quietLog, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.(http.Flusher).Flush()
					ready.Done()
					select {
					case <-release:
					case <-r.Context().Done():
					}
					io.WriteString(w, "finished")
				})}, kind)
				clients := []*Client{s.dial(t, "spdy/3.1"), s.dial(t, "spdy/3.1")}
				idle := s.dial(t, "spdy/3.1")
				require.True(t, idle.Session().Ping(leakPatience))
				h := s.https()
				results := make(chan error, many)
				for i := range many {
					var rt http.RoundTripper = clients[i%2]
					if kind == "tls" && i%5 == 0 {
						rt = h.Transport
					}
					go func() {
						text, err := fetchURL(rt, s.url("/"))
						if err == nil && text != "finished" {
							err = errors.New("short and no error")
						}
						results <- err
					}()
				}
				ready.Wait()
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan error, 1)
				go func() { done <- s.Shutdown(ctx) }()
				require.ErrorIs(t, <-s.end, http.ErrServerClosed)
				<-idle.Session().Done()
				if patient {
					close(release)
				} else {
					cancel()
				}
				for range many {
					if err := <-results; patient {
						require.NoError(t, err)
					} else {
						require.Error(t, err)
					}
				}
				if patient {
					require.NoError(t, <-done)
				} else {
					require.ErrorIs(t, <-done, context.Canceled)
				}
				cancel()
				for _, c := range append(clients, idle) {
					<-c.Session().Done()
					require.NoError(t, c.Close())
				}
				h.CloseIdleConnections()
			})
		}
	}
}

// TestReverseTunnel: the server of the session is the side that dialled.
func TestReverseTunnel(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	dialled, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	accepted, err := ln.Accept()
	require.NoError(t, err)
	server := NewServerSession(dialled, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	})})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve() }()
	c, err := NewClientConn(accepted)
	require.NoError(t, err)
	req, err := http.NewRequest("POST", "http://home.example/", newPattern(1, 1<<20))
	require.NoError(t, err)
	res, err := c.Do(req)
	require.NoError(t, err)
	check := newPatternCheck(1, 1<<20)
	_, err = io.Copy(check, res.Body)
	require.NoError(t, err)
	require.NoError(t, check.whole())
	require.NoError(t, c.Close())
	require.NoError(t, <-ended)
}

// programs that the tests below run in processes of their own.
func init() {
	fail := func(err error) {
		if err != nil {
			fmt.Println("FAILED:", err)
			os.Exit(3)
		}
	}
	http.HandleFunc("/default-mux", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "default mux") })
	programs["ListenAndServe"] = func() { fail(ListenAndServe(os.Getenv("SPDY_TEST_ADDR"), nil)) }
	programs["ListenAndServeTLS"] = func() {
		fail(ListenAndServeTLS(os.Getenv("SPDY_TEST_ADDR"), os.Getenv("SPDY_TEST_CERT"), os.Getenv("SPDY_TEST_KEY"), nil))
	}
	programs["ListenAndServeTLSSpdyOnly"] = func() {
		fail(ListenAndServeTLSSpdyOnly(os.Getenv("SPDY_TEST_ADDR"), os.Getenv("SPDY_TEST_CERT"), os.Getenv("SPDY_TEST_KEY"), nil))
	}
	programs["EnableDebug"] = debugProgram
}

// runProgram starts the test binary again as one of programs.
func runProgram(t *testing.T, name string, env ...string) (cmd *exec.Cmd, out *bytes.Buffer) {
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(env, programEnv+"="+name)...)
	out = new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	return cmd, out
}

// TestPackageServers runs the functions that serve for ever, with files for certificates.
func TestPackageServers(t *testing.T) {
	cert, pool, err := localcert.New()
	require.NoError(t, err)
	dir := t.TempDir()
	certFile, keyFile, err := localcert.WritePEM(dir, cert)
	require.NoError(t, err)
	for _, name := range []string{"ListenAndServe", "ListenAndServeTLS", "ListenAndServeTLSSpdyOnly"} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0") // finds a free port
			require.NoError(t, err)
			addr := ln.Addr().String()
			require.NoError(t, ln.Close())
			cmd, out := runProgram(t, name, "SPDY_TEST_ADDR="+addr, "SPDY_TEST_CERT="+certFile, "SPDY_TEST_KEY="+keyFile)
			defer cmd.Wait()
			defer cmd.Process.Kill()
			conn := dialUntilUp(t, addr, out)
			s := &served{addr: addr}
			if name != "ListenAndServe" {
				s.pool = pool
				conn = tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: []string{"spdy/3.1"}})
			}
			c, err := NewClientConn(conn)
			require.NoError(t, err)
			text, err := fetchURL(c, s.url("/default-mux"))
			require.NoError(t, err)
			require.Equal(t, "default mux", text)
			require.NoError(t, c.Close())
			if name == "ListenAndServeTLS" {
				h := s.https()
				text, err := fetchURL(h.Transport, s.url("/default-mux"))
				require.NoError(t, err)
				require.Equal(t, "default mux", text)
				h.CloseIdleConnections()
			}
		})
	}
	require.Error(t, ListenAndServe("127.0.0.1:no-port", nil))
	require.Error(t, ListenAndServeTLS("127.0.0.1:no-port", certFile, keyFile, nil))
	require.ErrorIs(t, ListenAndServeTLS("127.0.0.1:0", filepath.Join(dir, "none"), keyFile, nil), os.ErrNotExist)
	require.ErrorIs(t, ListenAndServeTLSSpdyOnly("127.0.0.1:0", filepath.Join(dir, "none"), keyFile, nil), os.ErrNotExist)
}

// dialUntilUp waits for a server that another process starts.
func dialUntilUp(t *testing.T, addr string, out *bytes.Buffer) net.Conn {
	ticker, limit := time.NewTicker(5*time.Millisecond), time.NewTimer(20*time.Second)
	defer ticker.Stop()
	defer limit.Stop()
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			return conn
		}
		select {
		case <-ticker.C:
		case <-limit.C:
			t.Fatalf("the server does not come up: %v; it says %q", err, out.String())
		}
	}
}

// debugProgram switches frame lines and loggers while sessions run.
func debugProgram() {
	one, two := testconn.Pair()
	server := NewServerSession(two, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Secret", "sesame")
		io.Copy(w, r.Body)
	})})
	client := NewClientSession(one)
	go server.Serve()
	go client.Serve()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 50 {
				req, _ := http.NewRequest("POST", "http://x/", strings.NewReader("open sesame"))
				req.Header.Set("Authorization", "sesame")
				if res, err := client.RoundTrip(req); err == nil {
					io.Copy(io.Discard, res.Body)
				}
				if i == 0 {
					EnableDebug()
					SetLog(io.Discard)
				}
			}
		})
	}
	wg.Wait()
	client.Ping(time.Second)
	client.Close()
	server.Close()
}

func TestEnableDebug(t *testing.T) {
	cmd, out := runProgram(t, "EnableDebug")
	require.NoError(t, cmd.Wait(), out.String())
	require.NotContains(t, out.String(), "DATA RACE")
	require.NotContains(t, out.String(), "sesame", "neither headers nor bodies are printed")
	for _, what := range []string{"-> SYN_STREAM stream=", "<- SYN_STREAM stream=", "-> SYN_REPLY stream=", "<- DATA stream=", "-> PING id=", "<- GOAWAY last-good="} {
		require.Contains(t, out.String(), what)
	}
	for line := range strings.Lines(out.String()) {
		require.True(t, strings.HasPrefix(line, "spdy: 192.0.2."), line)
	}
}

// TestLoggers: what a session has to say goes to its own logger, else to that of SetLog.
func TestLoggers(t *testing.T) {
	old := packageLogger.Load()
	defer packageLogger.Store(old)
	var own, shared lockedBuffer
	SetLog(&shared)
	for _, conf := range []*Config{nil, {Logger: textLogger(&own)}} {
		mine, theirs := testconn.Pair()
		s := conf.ServerSession(mine, nil)
		ended := make(chan error, 1)
		go func() { ended <- s.Serve() }()
		peer := NewFramer(theirs, theirs, SPDY31)
		require.NoError(t, peer.WriteFrame(&DataFrame{StreamID: 1, Data: make([]byte, defaultStreamWindow+1)}))
		theirs.CloseWrite()
		require.Error(t, <-ended)
		theirs.Close()
		if conf == nil {
			require.Contains(t, shared.String(), "which was never opened")
			require.Empty(t, own.String())
			shared.Reset()
		} else {
			require.Contains(t, own.String(), "which was never opened")
			require.Empty(t, shared.String())
		}
	}
}

// A lockedBuffer may be written by several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// TestConnContextPerConnection: each connection has a context of its own.
func TestConnContextPerConnection(t *testing.T) {
	n := 0
	s := serveOn(t, &Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Context().Value(connKey{})) }),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			n++
			return context.WithValue(ctx, connKey{}, n)
		},
	}, "plain")
	for i := range 3 {
		c := s.dial(t)
		for range 2 {
			text, err := fetchURL(c, s.url("/"))
			assert.NoError(t, err)
			assert.Equal(t, fmt.Sprint(i+1), text)
		}
		require.NoError(t, c.Close())
	}
	require.NoError(t, s.Close())
	<-s.end
}

// TestServerEndsAllAtOnce: peers that do not hang up cost a server the time of one, not
// of each of them.
func TestServerEndsAllAtOnce(t *testing.T) {
	ends := map[string]func(t *testing.T, s *Server){
		"Close": func(t *testing.T, s *Server) { require.NoError(t, s.Close()) },
		"Shutdown": func(t *testing.T, s *Server) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			require.ErrorIs(t, s.Shutdown(ctx), context.DeadlineExceeded)
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := testconn.Listen()
				s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })}
				served := make(chan error, 1)
				go func() { served <- s.Serve(ln) }()
				var peers []*testconn.Conn
				for range 20 {
					conn, err := ln.Dial()
					require.NoError(t, err)
					peers = append(peers, conn)
					framer := NewFramer(conn, nil, SPDY31)
					require.NoError(t, framer.WriteFrame(&SynStreamFrame{StreamID: 1, Headers: plainGet(SPDY31)}))
				}
				synctest.Wait()
				start := time.Now()
				end(t, s)
				require.LessOrEqual(t, time.Since(start), 2*time.Second)
				require.ErrorIs(t, <-served, http.ErrServerClosed)
				for _, conn := range peers {
					conn.Close()
				}
			})
		})
	}
}
