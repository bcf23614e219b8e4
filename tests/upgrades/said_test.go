package upgrades

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
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
