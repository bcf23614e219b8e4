package upgrades

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An answer is what a home does with a request to upgrade.
type answer struct {
	name    string
	handler http.HandlerFunc
	proxied string // what a client sees by way of a proxy, "" if it is the same as without
}

// hijack takes the connection over and writes text to it.
func hijack(w http.ResponseWriter, text string) (net.Conn, *bufio.ReadWriter) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(conn, text)
	return conn, rw
}

// says is a handler that hijacks, writes pieces, and closes.
func says(pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _ := hijack(w, "")
		defer conn.Close()
		for _, piece := range pieces {
			if _, err := io.WriteString(conn, piece); err != nil {
				return
			}
		}
	}
}

const badGateway = "502"

var answers = []answer{
	{name: "error", handler: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }},
	{name: "ignored", handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a page") }},
	{name: "long page", handler: func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("page ", 100_000))
	}},
	{name: "no content", handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }},
	{name: "redirect", handler: func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://x.example/", http.StatusFound)
	}},
	{name: "hijacked, with a length", handler: says("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nX-A: 1\r\n\r\nnope")},
	{name: "hijacked, in pieces", handler: says("HTTP/1.1 4", "03 Forbidden\r\nContent-Len", "gth: 4\r\n", "\r", "\nno", "pe")},
	{name: "hijacked, to the end", handler: says("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n", "no", "pe")},
	{name: "hijacked, in chunks", handler: says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;ext=1\r\nnop", "e\r\n1", "0\r\n0123456789abcdef\r\n0\r\n", "X: y\r\n\r\n")},
	{name: "hijacked, without content", handler: says("HTTP/1.1 204 No Content\r\n\r\n")},
	{name: "hijacked, line feeds alone", handler: says("HTTP/1.1 403 Forbidden\nContent-Length: 4\n\nnope")},
	{name: "hijacked, interim answers", handler: says("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope")},
	{name: "hijacked, nothing", handler: says(), proxied: badGateway},
	{name: "hijacked, half a head", handler: says("HTTP/1.1 101 Switching Proto"), proxied: badGateway},
	{name: "hijacked, no HTTP", handler: says("SSH-2.0-OpenSSH\r\n\r\n"), proxied: badGateway},
	{name: "panic", handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, proxied: badGateway},
	{name: "101 by WriteHeader", handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _ := hijack(w, "switched")
		conn.Close()
	}},
	{name: "bytes in the write of the head", handler: says("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nswi", "tched")},
}

// outcome is what a client sees.
func outcome(t *testing.T, p *path, conn net.Conn) string {
	_, err := io.WriteString(conn, upgradeText("GET", "echo"))
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, &http.Request{Method: "GET"})
	if err != nil {
		return "no answer"
	}
	for res.StatusCode == 103 {
		if res, err = http.ReadResponse(r, &http.Request{Method: "GET"}); err != nil {
			return "no answer"
		}
	}
	from := io.Reader(res.Body)
	if res.StatusCode == 101 {
		from = r
	}
	body, err := io.ReadAll(from)
	if res.StatusCode == 502 {
		return badGateway
	}
	return fmt.Sprintf("%d %q %v %q %s", res.StatusCode, body, err, res.Header.Get("Location"), res.Header.Get("Upgrade"))
}

// TestAttackA13Answers: what a client gets for an answer of the home is what it gets without a proxy.
func TestAttackA13Answers(t *testing.T) {
	for _, a := range answers {
		t.Run(a.name, func(t *testing.T) {
			var want string
			each(t, func(t *testing.T, p *path) {
				var w watcher
				conn := p.dial(t, p.front(t, p, a.handler, w.watch))
				got := outcome(t, p, conn)
				conn.Close()
				switch {
				case p.name == "HTTP 1.1":
					want = got
					if a.proxied != "" {
						want = a.proxied
					}
				default:
					require.Equal(t, want, got)
				}
				settles(t, "streams stay", func() bool { return w.openStreams() == 0 })
			})
		})
	}
}

// TestHijackRules: a handler that has hijacked has no use for the ResponseWriter any more, and
// one of an ordinary request cannot hijack.
func TestHijackRules(t *testing.T) {
	each(t, func(t *testing.T, p *path) {
		over := make(chan struct{}, 2)
		front := p.front(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { over <- struct{}{} }()
			if r.Header.Get("Upgrade") == "" {
				_, _, err := http.NewResponseController(w).Hijack()
				if !strings.HasPrefix(p.name, "HTTP") {
					assert.ErrorIs(t, err, http.ErrNotSupported)
					_, ok := w.(http.Hijacker)
					assert.False(t, ok)
				}
				return
			}
			_, ok := w.(http.Hijacker)
			assert.True(t, ok, "libraries ask for the type")
			conn, _ := hijack(w, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			defer conn.Close()
			_, err := w.Write([]byte("x"))
			assert.ErrorIs(t, err, http.ErrHijacked)
			_, _, err = http.NewResponseController(w).Hijack()
			assert.ErrorIs(t, err, http.ErrHijacked)
			w.WriteHeader(500)
			panic(http.ErrAbortHandler) // does not touch the connection
		}), new(watcher).watch)
		res, read := ask(t, p.dial(t, front), "GET", upgradeText("GET", "echo"))
		require.Equal(t, 101, res.StatusCode)
		rest, err := io.ReadAll(read)
		require.NoError(t, err)
		require.Empty(t, rest)
		<-over
		if !strings.HasPrefix(p.name, "HTTP") {
			ask(t, p.dial(t, front), "GET", "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			<-over
		}
	})
}

// TestAttackA13Refused: what a client sends behind a request to upgrade that is refused is the
// next request of its connection, to whoever has refused, and no bytes of a tunnel.
func TestAttackA13Refused(t *testing.T) {
	each(t, func(t *testing.T, p *path) {
		front := p.front(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, r.Method+" "+r.URL.Path+" "+r.Header.Get("Upgrade"), http.StatusForbidden)
		}), new(watcher).watch)
		conn := p.dial(t, front)
		_, err := io.WriteString(conn, upgradeText("GET", "echo")+"GET /next HTTP/1.1\r\nHost: home.example\r\n\r\n")
		require.NoError(t, err)
		r := bufio.NewReader(conn)
		for _, want := range []string{"GET /up echo\n", "GET /next \n"} {
			res, err := http.ReadResponse(r, &http.Request{Method: "GET"})
			require.NoError(t, err)
			require.Equal(t, 403, res.StatusCode)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, want, string(body))
		}
	})
}
