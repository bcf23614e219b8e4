package ends

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// An ender is a server that can be ended.
type ender interface {
	Serve(net.Listener) error
	Close() error
	Shutdown(context.Context) error
}

// ownEnders are the servers that know upgraded sessions, with the methods to end them.
var ownEnders = map[string]func(h http.Handler) ender{
	"spdy.Server": func(h http.Handler) ender { return &spdy.Server{Handler: h} },
	"http.Server": func(h http.Handler) ender { return ownPackageServer{&http.Server{Handler: h}} },
}

// ownConfiguredServer is a configured http.Server with its own methods.
func ownConfiguredServer(h http.Handler) ender {
	hs := &http.Server{Handler: h}
	if err := spdy.ConfigureServer(hs, nil); err != nil {
		panic(err)
	}
	return hs
}

// An ownPackageServer is an http.Server that ShutdownServer and CloseServer end.
type ownPackageServer struct{ *http.Server }

func (s ownPackageServer) Shutdown(ctx context.Context) error {
	return spdy.ShutdownServer(ctx, s.Server)
}
func (s ownPackageServer) Close() error { return spdy.CloseServer(s.Server) }

// ownUpgradeRequest is a request to upgrade.
const ownUpgradeRequest = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"

// ownServe runs a server until the test ends.
func ownServe(t *testing.T, srv ender) (dial func() *testconn.Conn) {
	ln := spdytest.Listen()
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	return func() *testconn.Conn {
		conn, err := ln.DialContext(t.Context(), "", "")
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		return conn.(*testconn.Conn)
	}
}

// TestOwnUpgradeWhileClosing: a server that shuts down takes no more upgrades. The request
// gets 503, and the handler an error that matches http.ErrServerClosed. A Detached
// Upgrader does not ask.
func TestOwnUpgradeWhileClosing(t *testing.T) {
	servers := maps.Clone(ownEnders)
	servers["ConfigureServer"] = ownConfiguredServer
	for name, newServer := range servers {
		for _, detached := range []bool{false, true} {
			bubble.Run(t, fmt.Sprintf("%s, detached %v", name, detached), func(t *testing.T) {
				waits, failed := make(chan struct{}), make(chan error, 1)
				srv := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					<-waits
					s, _, err := (&spdy.Upgrader{Detached: detached}).Upgrade(w, r)
					if err == nil {
						err = s.Serve()
					}
					failed <- err
				}))
				conn := ownServe(t, srv)()
				_, err := io.WriteString(conn, ownUpgradeRequest)
				require.NoError(t, err)
				synctest.Wait()
				ended := make(chan error, 1)
				go func() { ended <- srv.Shutdown(context.Background()) }()
				synctest.Wait()
				close(waits)
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				if detached {
					require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
					require.NoError(t, <-ended)
					conn.Close()
					require.NoError(t, <-failed)
					return
				}
				require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
				err = <-failed
				require.ErrorIs(t, err, http.ErrServerClosed)
				var refused *spdy.UpgradeError
				require.ErrorAs(t, err, &refused)
				require.NoError(t, <-ended)
			})
		}
	}
}

// TestOwnDrain: an upgraded session whose streams are under way when its server shuts down
// takes no others, and ends with the last one, of which every byte arrives. Only then does
// Shutdown return.
func TestOwnDrain(t *testing.T) {
	for name, newServer := range ownEnders {
		for _, flow := range []spdy.FlowControl{spdy.FlowControlStandard, spdy.FlowControlPeerUnaware} {
			bubble.Run(t, fmt.Sprintf("%s, flow control %d", name, flow), func(t *testing.T) {
				conf := bubble.Quiet(spdy.Config{FlowControl: flow}, spdy.SPDY31)
				srv := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					s, _, err := (&spdy.Upgrader{Config: conf}).Upgrade(w, r)
					if assert.NoError(t, err) {
						go ownTrickle(s)
						assert.NoError(t, s.Serve())
					}
				}))
				dial := ownServe(t, srv)
				d := &spdy.UpgradeDialer{Config: conf, DialContext: func(context.Context, string, string) (net.Conn, error) { return dial(), nil }}
				s, _, err := d.Dial(t.Context(), "GET", "http://a/")
				require.NoError(t, err)
				go s.Serve()
				st, err := s.OpenStream(t.Context(), nil, spdy.StreamOptions{Fin: true})
				require.NoError(t, err)
				synctest.Wait()
				ended, began := make(chan error, 1), time.Now()
				go func() { ended <- srv.Shutdown(context.Background()) }()
				synctest.Wait()
				if late, err := s.OpenStream(t.Context(), nil, spdy.StreamOptions{}); err == nil {
					_, err = late.Read(make([]byte, 1))
					require.Error(t, err, "it has been refused")
					late.Close()
				}
				text, err := io.ReadAll(st)
				require.NoError(t, err)
				require.Len(t, text, 20*1000)
				require.NoError(t, st.Close())
				require.NoError(t, <-ended)
				require.InDelta(t, 20, time.Since(began).Seconds(), 2)
			})
		}
	}
}

// ownTrickle answers one stream with a thousand bytes each second.
func ownTrickle(s *spdy.Session) {
	r, err := s.AcceptStream(context.Background())
	if err != nil {
		return
	}
	for range 20 {
		if _, err := r.Write(make([]byte, 1000)); err != nil {
			break
		}
		bubble.Pass(time.Second)
	}
	_ = r.CloseWrite()
	_, _ = io.Copy(io.Discard, r)
	r.Close()
}

// TestOwnTrackSession: a session that a handler has made by hand becomes the server's, from
// when it is tracked until it ends.
func TestOwnTrackSession(t *testing.T) {
	for name, newServer := range ownEnders {
		for _, way := range []string{"Close", "Shutdown", "Shutdown before"} {
			bubble.Run(t, name+", "+way, func(t *testing.T) {
				waits, result := make(chan struct{}), make(chan error, 2)
				srv := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					conn, _, err := http.NewResponseController(w).Hijack()
					if !assert.NoError(t, err) {
						return
					}
					<-waits
					s := bubble.Quiet(spdy.Config{}, spdy.SPDY31).RawSession(conn, false)
					err = spdy.TrackSession(r.Context(), s)
					if err != nil {
						s.Close()
					}
					result <- err
					result <- s.Serve()
				}))
				_, err := io.WriteString(ownServe(t, srv)(), ownUpgradeRequest)
				require.NoError(t, err)
				synctest.Wait()
				if way == "Shutdown before" {
					require.NoError(t, srv.Shutdown(t.Context()))
					close(waits)
					require.ErrorIs(t, <-result, http.ErrServerClosed)
					require.NoError(t, <-result)
					return
				}
				close(waits)
				require.NoError(t, <-result)
				synctest.Wait()
				if way == "Close" {
					require.NoError(t, srv.Close())
				} else {
					require.NoError(t, srv.Shutdown(t.Context()))
				}
				synctest.Wait()
				select {
				case err := <-result:
					require.NoError(t, err)
				default:
					t.Fatal("the session has not ended")
				}
			})
		}
	}
	require.Error(t, spdy.TrackSession(t.Context(), spdy.NewRawSession(nil, false)), "no server")
}

// TestOwnTestServerClose: Close of spdytest's server takes no longer than that of httptest's:
// it does not wait for clients that ask for nothing, hang in a handshake, or do not hang up.
// What has been asked is answered first. It uses real sockets and time.
func TestOwnTestServerClose(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/upgrade" {
			if s, _, err := new(spdy.Upgrader).Upgrade(w, r); err == nil {
				_ = s.Serve()
			}
			return
		}
		fmt.Fprint(w, "hello")
	})
	const atOnce = 500 * time.Millisecond
	for _, way := range []struct {
		name  string
		plain bool // only without TLS
		do    func(t *testing.T, conn net.Conn)
	}{
		{"silent", false, func(*testing.T, net.Conn) {}},
		{"handshaking", false, func(_ *testing.T, conn net.Conn) { conn.Write([]byte{22, 3, 1}) }},
		{"idle HTTP/1.1", true, func(t *testing.T, conn net.Conn) {
			_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			require.NoError(t, err)
			_, err = http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
		}},
		{"idle session that does not hang up", true, func(t *testing.T, conn net.Conn) {
			f := spdy.NewFramer(conn, conn, spdy.SPDY31)
			require.NoError(t, f.WriteFrame(&spdy.PingFrame{ID: 1}))
			for {
				frame, err := f.ReadFrame()
				require.NoError(t, err)
				if frame.FrameType() == spdy.FramePing {
					return
				}
			}
		}},
		{"upgraded", true, func(t *testing.T, conn net.Conn) {
			_, err := io.WriteString(conn, "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
			require.NoError(t, err)
			_, err = http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.NoError(t, spdy.NewFramer(conn, conn, spdy.SPDY31).WriteFrame(&spdy.SynStreamFrame{StreamID: 1}))
		}},
	} {
		for _, secure := range []bool{false, true} {
			if secure && way.plain {
				continue
			}
			t.Run(fmt.Sprintf("%s, TLS %v", way.name, secure), func(t *testing.T) {
				start, oracle := spdytest.NewServer, httptest.NewServer
				if secure {
					start, oracle = spdytest.NewTLSServer, httptest.NewTLSServer
				}
				srv, hs := start(h), oracle(h)
				took := func(addr string, end func()) time.Duration {
					conn, err := net.Dial("tcp", addr)
					require.NoError(t, err)
					defer conn.Close()
					way.do(t, conn)
					<-time.NewTimer(20 * time.Millisecond).C // for the server to accept it
					began := time.Now()
					end()
					return time.Since(began)
				}
				if way.name == "idle session that does not hang up" {
					hs.Close()
				} else {
					require.Less(t, took(hs.Listener.Addr().String(), hs.Close), atOnce, "httptest")
				}
				require.Less(t, took(srv.Listener.Addr().String(), srv.Close), atOnce)
			})
		}
	}
}

// TestOwnTestServerWaits: Close waits for handlers, over SPDY and over HTTP/1.1, and for all
// that they have written, also if it looks at the moment when they return.
func TestOwnTestServerWaits(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		for i := range 200 {
			srv := spdytest.NewMemoryServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				bubble.Pass(100 * time.Millisecond)
				fmt.Fprint(w, "hello")
			}))
			client := srv.Client()
			if i%10 == 0 {
				client = &http.Client{Transport: &http.Transport{DialContext: srv.Listener.(*spdytest.Listener).DialContext}}
			}
			got := make(chan string, 1)
			go func() {
				res, err := client.Get(srv.URL)
				if err != nil {
					got <- err.Error()
					return
				}
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				got <- fmt.Sprint(string(body), err)
			}()
			synctest.Wait()
			srv.Close()
			require.Equal(t, "hello<nil>", <-got)
			client.CloseIdleConnections()
		}
	})
}

// TestOwnTestServerAnswers: Close cuts no response short, neither for a slow network nor for a
// reader that fills its window and rests.
func TestOwnTestServerAnswers(t *testing.T) {
	for _, way := range []struct {
		name  string
		n     int           // requests at once
		size  int           // of a response
		rest  time.Duration // of the reader, in the beginning
		bytes int           // a second, of the network
	}{
		{"slow network", 15, 4000, 0, 8 << 10},
		{"slow reader", 1, 64<<10 + 100, 10 * time.Second, 0},
	} {
		bubble.Run(t, way.name, func(t *testing.T) {
			srv := spdytest.NewMemoryServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				bubble.Pass(time.Second)
				for left := way.size; left > 0; left -= 100 { // the end waits in a buffer, or is being written, when this is over
					_, _ = w.Write(make([]byte, min(left, 100)))
				}
			}))
			tr := srv.Client().Transport.(*spdy.Transport)
			tr.Config = &spdy.Config{StreamWindow: 64 << 10, MaxStreamWindow: 64 << 10}
			dial := tr.DialContext
			tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := dial(ctx, network, addr)
				if err == nil && way.bytes > 0 {
					conn.(*testconn.Conn).Peer().SetBandwidth(way.bytes)
					conn.(*testconn.Conn).Peer().SetWriteCap(4 << 10)
				}
				return conn, err
			}
			var clients sync.WaitGroup
			for range way.n {
				clients.Go(func() {
					res, err := srv.Client().Get(srv.URL)
					if !assert.NoError(t, err) {
						return
					}
					if way.rest > 0 {
						bubble.Pass(way.rest)
					}
					n, err := io.Copy(io.Discard, res.Body)
					assert.NoError(t, err)
					assert.EqualValues(t, way.size, n)
					assert.NoError(t, res.Body.Close())
				})
			}
			synctest.Wait()
			srv.Close()
			clients.Wait()
			bubble.Pass(time.Minute) // for the last bytes on the line
		})
	}
}

// TestOwnTestServerLateReader: an answer that is with the kernel when Close looks is not lost
// for a client that sends something before it reads. It uses real sockets and time.
func TestOwnTestServerLateReader(t *testing.T) {
	const size = 100_000
	answered := make(chan struct{})
	srv := spdytest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, size))
		close(answered)
	}))
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4<<10)) // the rest is with the server's kernel
	f := spdy.NewFramer(conn, conn, spdy.SPDY31)
	require.NoError(t, f.WriteFrame(&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingInitialWindowSize, Value: 1 << 20}}}))
	require.NoError(t, f.WriteFrame(&spdy.WindowUpdateFrame{Delta: 1 << 20}))
	require.NoError(t, f.WriteFrame(&spdy.SynStreamFrame{StreamID: 1, Flags: spdy.FlagFin, Headers: spdy.HeaderBlock{
		{Name: ":method", Value: "GET"}, {Name: ":path", Value: "/"}, {Name: ":version", Value: "HTTP/1.1"},
		{Name: ":host", Value: "a"}, {Name: ":scheme", Value: "http"},
	}}))
	<-answered
	closed := make(chan struct{})
	go func() { srv.Close(); close(closed) }()
	<-time.NewTimer(400 * time.Millisecond).C
	_ = f.WriteFrame(&spdy.PingFrame{ID: 1})
	<-time.NewTimer(50 * time.Millisecond).C
	total := 0
	for total < size {
		frame, err := f.ReadFrame()
		require.NoError(t, err)
		if data, ok := frame.(*spdy.DataFrame); ok {
			total += len(data.Data)
		}
	}
	conn.Close()
	<-closed
}
