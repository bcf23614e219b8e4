package upgrades

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// wholeConn hides all methods of a connection that a net.Conn need not have.
type wholeConn struct{ net.Conn }

// wholeHijacker is an http.ResponseWriter whose connection has no half close.
type wholeHijacker struct{ http.ResponseWriter }

func (w wholeHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	return wholeConn{conn}, rw, err
}

// TestCutIsReported has a tunnel end in ways that NewStreamProxy has to tell apart: a nil error
// means that the client has got everything.
func TestCutIsReported(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(back *spdy.Session, home, client net.Conn)
		wrap func(w http.ResponseWriter) http.ResponseWriter
		want error
	}{
		"the session is closed": {end: func(back *spdy.Session, _, _ net.Conn) { back.Close() }, want: spdy.ErrSessionClosed},
		"the home closes":       {end: func(_ *spdy.Session, home, _ net.Conn) { home.Close() }},
		"the home closes, no half close": {
			end:  func(_ *spdy.Session, home, _ net.Conn) { home.Close() },
			wrap: func(w http.ResponseWriter) http.ResponseWriter { return wholeHijacker{w} },
		},
		"the home half-closes, no half close": {
			end:  func(_ *spdy.Session, home, _ net.Conn) { _ = closeWrite(home) },
			wrap: func(w http.ResponseWriter) http.ResponseWriter { return wholeHijacker{w} },
		},
	} {
		for _, v := range bubble.Versions {
			t.Run(name+"/"+v.String(), func(t *testing.T) {
				p, homes, reported := new(path), make(chan net.Conn, 1), make(chan error, 1)
				home := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					conn, _ := hijacked(t, w, r)
					homes <- conn
				})
				back := sessionTo(t, p, v, spdyServer(t, p, v, home, new(watcher).watch))
				front := p.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if tt.wrap != nil {
						w = tt.wrap(w)
					}
					reported <- back.NewStreamProxy(r, w)
				}))
				conn := p.dial(t, front)
				res, read := ask(t, conn, "GET", upgradeText("GET", "echo"))
				require.Equal(t, 101, res.StatusCode)
				tt.end(back, <-homes, conn)
				_, err := io.Copy(io.Discard, read)
				require.Equal(t, tt.want == nil, err == nil, "%v", err)
				conn.Close()
				require.ErrorIs(t, <-reported, tt.want)
			})
		}
	}
}

// TestHomeLeavesNoHalfClose has the home end its direction while the client still sends, and reads
// slowly, through a proxy whose client connection cannot close one direction. Closed at once, the
// connection would be reset by what the client sends, and the client lose the rest. Closed when the
// client is silent, it loses nothing, and what the client has sent reaches a home that reads.
func TestHomeLeavesNoHalfClose(t *testing.T) {
	const size, said, times = 1 << 20, 100, 30
	for name, leaves := range map[string]func(net.Conn) error{"Close": net.Conn.Close, "CloseWrite": func(c net.Conn) error { return closeWrite(c) }} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			heard := make(chan int64, 1)
			a, b := testconn.Pair()
			server := bubble.Quiet(spdy.Config{}, v).ServerSession(b, &http.Server{Handler: http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) {
					conn, read := hijacked(t, w, r)
					defer conn.Close()
					_, err := conn.Write(make([]byte, size))
					assert.NoError(t, err)
					assert.NoError(t, leaves(conn))
					n, _ := io.Copy(io.Discard, read)
					heard <- n
				})})
			back := bubble.Quiet(spdy.Config{}, v).ClientSession(a)
			go server.Serve()
			go back.Serve()
			defer server.Close()
			defer back.Close()
			ln, reported := testconn.Listen(), make(chan error, 1)
			front := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reported <- back.NewStreamProxy(r, wholeHijacker{w})
			})}
			go front.Serve(ln)
			defer front.Close()
			conn, err := ln.Dial(testconn.StrictClose(), testconn.Second(testconn.Bandwidth(512<<10)))
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, upgradeText("GET", "echo"))
			require.NoError(t, err)
			read := bufio.NewReader(conn)
			res, err := http.ReadResponse(read, nil)
			require.NoError(t, err)
			require.Equal(t, 101, res.StatusCode)
			go func() {
				for range times { // for 3 s, and the answer takes 2 s
					_, _ = conn.Write(make([]byte, said))
					bubble.Pass(100 * time.Millisecond)
				}
			}()
			n, err := io.Copy(io.Discard, read)
			require.NoError(t, err, "after %d bytes", n)
			require.EqualValues(t, size, n)
			require.NoError(t, <-reported)
			if n := <-heard; name == "CloseWrite" {
				require.EqualValues(t, times*said, n)
			}
		})
	}
}

// TestHomeLeavesAndDoesNotRead has the home end its direction and read nothing, while the client sends
// more than the windows hold, through a proxy as above. The client is told of the end nevertheless.
func TestHomeLeavesAndDoesNotRead(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		if v == spdy.SPDY2 { // has no windows
			return
		}
		a, b := testconn.Pair()
		over := make(chan struct{})
		server := bubble.Quiet(spdy.Config{}, v).ServerSession(b, &http.Server{Handler: http.HandlerFunc(
			func(w http.ResponseWriter, r *http.Request) {
				conn, _ := hijacked(t, w, r)
				defer conn.Close()
				assert.NoError(t, closeWrite(conn))
				<-over
			})})
		back := bubble.Quiet(spdy.Config{}, v).ClientSession(a)
		go server.Serve()
		go back.Serve()
		defer server.Close()
		defer back.Close()
		defer close(over)
		ln := testconn.Listen()
		front := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = back.NewStreamProxy(r, wholeHijacker{w})
		})}
		go front.Serve(ln)
		defer front.Close()
		conn, err := ln.Dial()
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, upgradeText("GET", "echo")+string(content(4<<20)))
		require.NoError(t, err)
		read := bufio.NewReader(conn)
		res, err := http.ReadResponse(read, nil)
		require.NoError(t, err)
		require.Equal(t, 101, res.StatusCode)
		began := time.Now()
		_, _ = io.Copy(io.Discard, read)
		require.LessOrEqual(t, time.Since(began), 6*time.Second)
	})
}
