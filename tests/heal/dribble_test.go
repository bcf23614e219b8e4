//go:build unix

package heal

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
	"github.com/amahi/spdy/tests/socks"
)

// dribble sends whole at once, and then head, and piece for ever, in pieces of the size of piece, ten
// in a second. It reads and discards meanwhile. It starts when the client has sent its request: an
// answer to a request that has not been sent is an error.
func dribble(conn net.Conn, whole, head, piece string) error {
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, conn)
	}()
	defer func() { conn.Close(); <-read }()
	bubble.Pass(time.Millisecond)
	if _, err := io.WriteString(conn, whole); err != nil {
		return err
	}
	for {
		next := piece
		if head != "" {
			next = head[:min(len(piece), len(head))]
			head = head[len(next):]
		}
		if _, err := io.WriteString(conn, next); err != nil {
			return err
		}
		bubble.Pass(100 * time.Millisecond)
	}
}

// A dribbled is a frame of a server that dribbles. Its text is what the server has sent before, and
// the frame's header, which announces more.
type dribbled struct {
	name        string
	whole, part func(v spdy.Version) string // SPDY
	h1          string
	h2          string // after SETTINGS
}

func controlHead(v spdy.Version, rest string) string {
	version := byte(3)
	if v == spdy.SPDY2 {
		version = 2
	}
	return "\x80" + string([]byte{version}) + rest
}

const h2Settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

var dribbledFrames = []dribbled{
	{
		"first frame", func(spdy.Version) string { return "" },
		func(v spdy.Version) string { return controlHead(v, "\x00\x04\x00\x00\x20\x04\x00\x00\x04\x00") },
		"HTTP/1.1 200 OK\r\nX: ", "\x00\x10\x00\x04\x00\x00\x00\x00\x00",
	},
	{
		"header block", func(v spdy.Version) string {
			return controlHead(v, "\x00\x04\x00\x00\x00\x04\x00\x00\x00\x00") // SETTINGS without entries
		},
		func(v spdy.Version) string { return controlHead(v, "\x00\x02\x00\x00\x20\x04\x00\x00\x00\x01") },
		"HTTP/1.1 200 OK\r\nX: ", h2Settings + "\x00\x10\x00\x01\x04\x00\x00\x00\x01",
	},
	{
		"DATA", func(v spdy.Version) string {
			answer := answerOf(v, 1).(*spdy.SynReplyFrame)
			answer.Flags = 0
			var text strings.Builder
			if err := spdy.NewFramer(&text, nil, v).WriteFrame(answer); err != nil {
				panic(err)
			}
			return text.String()
		},
		func(spdy.Version) string { return "\x00\x00\x00\x01\x00\x00\x40\x00" },
		"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", h2Settings + "\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88" + "\x00\x40\x00\x00\x00\x00\x00\x00\x01",
	},
}

// script is the script of a server of SPDY that sends the frame in pieces of the size of piece.
func (d dribbled) script(v spdy.Version, piece string) connScript {
	return func(conn net.Conn, _ *spdy.Framer) error {
		return dribble(conn, d.whole(v), d.part(v), piece)
	}
}

func dribbleText(text string) connScript {
	return func(conn net.Conn, _ *spdy.Framer) error { return dribble(conn, "", text, "a") }
}

// TestDribbledFrame: a server that sends a frame a byte at a time, for ever, costs a series at most
// one request more than with HTTP/1.1, although bytes arrive all the time. x/net/http2 loses nearly
// all requests.
func TestDribbledFrame(t *testing.T) {
	for _, d := range dribbledFrames {
		for _, patience := range []time.Duration{30 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second} {
			http1, h2 := lostToFirst(t, patience, dribbleText(d.h1), dribbleText(d.h2))
			require.Equal(t, 1, http1)
			require.Greater(t, h2, 50, "of 100, nearly all")
			t.Run(d.name+" "+patience.String(), func(t *testing.T) {
				inAll(t, hello, func(t *testing.T, s *site, rt http.RoundTripper) {
					s.opts = shortTrip
					s.firstIs(d.script(s.v, "a"), s.serveHandler)
					require.LessOrEqual(t, s.failures(patience, rt), http1+1)
					require.Equal(t, 2, s.dialled())
					bubble.Pass(3 * time.Second)
					require.True(t, s.closed(0), "the session of the dribbler has ended")
				})
			})
		}
	}
}

// TestSlowFrame: a frame that arrives slowly, as over the slowest modems, is a sign of life: requests
// that time out behind it keep their session.
func TestSlowFrame(t *testing.T) {
	for _, d := range dribbledFrames {
		for _, patience := range []time.Duration{500 * time.Millisecond, 2 * time.Second} {
			t.Run(d.name+" "+patience.String(), func(t *testing.T) {
				inAll(t, hello, func(t *testing.T, s *site, rt http.RoundTripper) {
					s.firstIs(d.script(s.v, strings.Repeat("a", 60)), s.serveHandler)
					for range 4 {
						require.Error(t, s.within(patience, rt, "/"))
					}
					require.Equal(t, 1, s.dialled())
				})
			})
		}
	}
}

// A dribbledDial is an answer on the way to a server that arrives a byte at a time for ever.
type dribbledDial struct {
	name   string
	proxy  string // the scheme of the proxy; "" for none
	secure bool
	text   string
}

var dribbledDials = []dribbledDial{
	{"TLS", "", true, "\x16\x03\x03\x40\x00\x02\x00\x3f\x00"},
	{"TLS behind CONNECT", "http", true, "HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03\x40\x00\x02\x00\x3f\x00"},
	{"CONNECT", "http", true, "HTTP/1.1 200 OK\r\nX: "},
	{"SOCKS5", "socks5", false, "\x05\x00\x05\x00\x00\x03\xff"},
}

// dial returns a dial hook. The first connection dribbles, and the others are served.
func (d dribbledDial) dial(protocol string, serve func(conn net.Conn), running *sync.WaitGroup) dialFunc {
	if d.secure {
		plain := serve
		serve = func(conn net.Conn) {
			conf := &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{protocol}}
			if secure := tls.Server(conn, conf); secure.Handshake() == nil {
				plain(secure)
			}
		}
	}
	var dials atomic.Int32
	return func(context.Context, string, string) (net.Conn, error) {
		first := dials.Add(1) == 1
		ours, theirs := testconn.Pair(shortTrip...)
		running.Go(func() {
			defer theirs.Close()
			switch {
			case first:
				_ = dribble(theirs, "", d.text, "\x00")
			case d.proxy == "http":
				if _, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
					_, _ = io.WriteString(theirs, "HTTP/1.1 200 OK\r\n\r\n")
					serve(theirs)
				}
			case d.proxy == "socks5":
				(&socks.Proxy{Dial: func(string) (net.Conn, error) {
					near, far := testconn.Pair()
					running.Go(func() {
						defer far.Close()
						serve(far)
					})
					return near, nil
				}}).Serve(theirs)
			default:
				serve(theirs)
			}
		})
		return ours, nil
	}
}

// measure returns how many requests of a series a client loses, and after what time a request
// without a limit of its own ends.
func (d dribbledDial) measure(t *testing.T, c column, protocol string, serve func(conn net.Conn)) (lost int, ends time.Duration) {
	var proxy *url.URL
	site := &site{t: t, secure: d.secure}
	if d.proxy != "" {
		proxy = &url.URL{Scheme: d.proxy, Host: "proxy.example:1080"}
	}
	for _, limit := range []time.Duration{300 * time.Millisecond, time.Hour} {
		var running sync.WaitGroup
		rt := c.make(d.dial(protocol, serve, &running), proxy)
		if tr, ok := rt.(*http.Transport); ok {
			tr.TLSHandshakeTimeout = 10 * time.Second // as http.DefaultTransport and spdy.Transport have
		}
		began := time.Now()
		if limit < time.Hour {
			lost = site.failures(limit, rt)
		} else {
			_ = site.within(limit, rt, "/")
			ends = time.Since(began)
		}
		bubble.Pass(2 * time.Minute) // dials end
		closeIdle(rt)
		bubble.Pass(time.Minute)
		if limit < time.Hour || ends < time.Hour {
			running.Wait()
		}
	}
	return lost, ends
}

// TestDribbledDial: where a TLS handshake or a proxy's answer arrives a byte at a time for ever, a
// Transport loses no request, and a patient request does not wait longer than other requests of a
// slow dial. HTTP/1.1 loses one, and keeps the patient request waiting. So does an http.Transport that
// dials for SPDY or x/net/http2.
func TestDribbledDial(t *testing.T) {
	for _, d := range dribbledDials {
		for i, c := range columns {
			protocol := []string{"http/1.1", "", "spdy/3.1", "spdy/3.1"}[i]
			if protocol == "" || d.proxy == "socks5" && c.name == "ConfigureTransport" {
				continue // ConfigureTransport is for TLS
			}
			bubble.Run(t, d.name+" "+strings.ReplaceAll(c.name, "/", " "), func(t *testing.T) {
				lost, ends := d.measure(t, c, protocol, func(conn net.Conn) {
					if protocol == "http/1.1" {
						_ = serveHTTP1(conn, nil)
					} else {
						_ = bubble.Quiet(spdy.Config{}, spdy.SPDY31).ServerSession(conn, &http.Server{Handler: http.HandlerFunc(hello)}).Serve()
					}
				})
				if c.name == "spdy.Transport" {
					require.Zero(t, lost)
					require.Less(t, ends, time.Second)
					return
				}
				require.Equal(t, 1, lost)
				require.GreaterOrEqual(t, ends, 10*time.Second)
			})
		}
	}
}
