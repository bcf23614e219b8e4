// Package shares tests how one user of a session can divide it unfairly without leaving
// anything unread for long, hanging up, or breaking a limit.
package shares

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A pair is a client and a server on a slow line, 25 ms each way.
type pair struct {
	client, server *spdy.Session
	ended          chan error
}

// newPair is newPairOf with the defaults for the server.
func newPair(v spdy.Version, rate int, client spdy.Config, h http.HandlerFunc) *pair {
	return newPairOf(v, rate, client, spdy.Config{}, h)
}

// newPairOf connects them with a line of rate bytes per second and sockets of 256 KiB.
func newPairOf(v spdy.Version, rate int, client, server spdy.Config, h http.HandlerFunc) *pair {
	a, b := testconn.Pair(testconn.Latency(25*time.Millisecond), testconn.Bandwidth(rate), testconn.WriteCap(256<<10))
	return serve(a, b, v, client, server, h)
}

// serve runs a client and a server on the ends of a connection.
func serve(a, b *testconn.Conn, v spdy.Version, client, server spdy.Config, h http.HandlerFunc) *pair {
	client.Version, server.Version = v, v
	p := &pair{ended: make(chan error, 2)}
	p.client, p.server = client.ClientSession(a), server.ServerSession(b, &http.Server{Handler: h})
	for _, s := range []*spdy.Session{p.client, p.server} {
		go func() { p.ended <- s.Serve() }()
	}
	return p
}

func (p *pair) close() {
	p.client.Close()
	p.server.Close()
	<-p.ended
	<-p.ended
}

func request(ctx context.Context, method, path string, body io.Reader) *http.Request {
	req, err := http.NewRequestWithContext(ctx, method, "http://origin"+path, body)
	if err != nil {
		panic(err)
	}
	return req
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// large is a header of about 960 kB, with values that SPDY/2 can express.
func large(h http.Header) {
	value := strings.Repeat("abcdefghijklmnopqrstuvwxyz012345", 1875)
	for i := range 16 {
		h.Set(fmt.Sprint("X-Large-", i), value)
	}
}

const (
	linkRate = 4_000_000 // bytes per second
	honest   = 4         // transfers
)

// Large header blocks, one behind the other, leave bodies at least half of their fair share
// of the line, in the direction of responses and in that of requests, also if the bodies
// are written in small pieces.
func TestHeaderBlocksTakeTurns(t *testing.T) {
	for _, v := range bubble.Versions {
		for _, test := range []struct{ strangers, piece int }{{2, 0}, {8, 0}, {2, 32 << 10}, {2, 4 << 10}} {
			if v != spdy.SPDY31 && (test.strangers > 2 || test.piece == 32<<10) {
				continue
			}
			for _, up := range []bool{false, true} {
				bubble.Run(t, fmt.Sprintf("%v/%d strangers/pieces of %d/upload %t", v, test.strangers, test.piece, up), func(t *testing.T) {
					testTurns(t, v, test.strangers, test.piece, up)
				})
			}
		}
	}
}

// A piecewise reader never returns more than a piece. 0 is any length.
type piecewise int

func (n piecewise) Read(p []byte) (int, error) {
	if n > 0 {
		p = p[:min(len(p), int(n))]
	}
	clear(p)
	return len(p), nil
}

// send writes such pieces to w until that fails.
func (n piecewise) send(w io.Writer) {
	if n == 0 {
		_, _ = io.Copy(w, n)
		return
	}
	for p := make([]byte, n); ; {
		if _, err := w.Write(p); err != nil {
			return
		}
	}
}

func testTurns(t *testing.T, v spdy.Version, strangers, piece int, up bool) {
	var got atomic.Int64 // bytes of honest bodies
	count := func(r io.Reader) {
		p := make([]byte, 32<<10)
		for {
			n, err := r.Read(p)
			got.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
	p := newPair(v, linkRate, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/stranger" && !up:
			large(w.Header())
			w.WriteHeader(http.StatusNoContent)
		case r.URL.Path == "/stranger":
		case up:
			count(r.Body)
		default:
			piecewise(piece).send(w)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	for range honest {
		go func() {
			req := request(ctx, http.MethodGet, "/honest", nil)
			if up {
				req = request(ctx, http.MethodPost, "/honest", piecewise(piece))
			}
			if res, err := p.client.RoundTrip(req); err == nil {
				count(res.Body)
				res.Body.Close()
			}
		}()
	}
	bubble.Pass(2 * time.Second)
	for range strangers {
		go func() {
			for ctx.Err() == nil {
				req := request(ctx, http.MethodGet, "/stranger", nil)
				if up {
					large(req.Header)
				}
				if res, err := p.client.RoundTrip(req); err == nil {
					res.Body.Close()
				}
			}
		}()
	}
	bubble.Pass(2 * time.Second)
	before := got.Load()
	const watched = 10
	bubble.Pass(watched * time.Second)
	share := float64(got.Load()-before) / (watched * linkRate)
	fair := float64(honest) / float64(honest+strangers)
	require.Greater(t, share, fair/2, "share of the line")
	cancel()
	p.close()
}

// A stream that has sent its bytes, and has only to end, does not wait for the header blocks
// of others, in the direction of responses and in that of requests.
func TestEndsAmongHeaderBlocks(t *testing.T) {
	bubble.InVersions(t, "download", func(t *testing.T, v spdy.Version) { testEnd(t, v, false) })
	bubble.InVersions(t, "upload", func(t *testing.T, v spdy.Version) { testEnd(t, v, true) })
}

func testEnd(t *testing.T, v spdy.Version, up bool) {
	end := make(chan struct{}) // closed: the body ends
	wait := func() { <-end }
	var seed atomic.Int64
	p := newPair(v, 1<<20, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/stranger" && !up:
			w.Header().Set("X-Stranger", noise(seed.Add(1), 16<<10))
		case r.URL.Path == "/stranger":
		case up:
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
		default:
			io.WriteString(w, "hello")
			_ = http.NewResponseController(w).Flush()
			wait()
		}
	})
	defer p.close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	body, text := io.Reader(nil), "hello"
	if up {
		body, text = io.MultiReader(strings.NewReader("hello"), endReader(wait)), "5 <nil>"
	}
	got := make(chan string, 1)
	go func() {
		res, err := p.client.RoundTrip(request(ctx, http.MethodPost, "/honest", body))
		if err != nil {
			return
		}
		b, err := io.ReadAll(res.Body)
		got <- fmt.Sprint(string(b), err)
	}()
	for range 60 { // their blocks always wait for the line
		go func() {
			for ctx.Err() == nil {
				req := request(ctx, http.MethodGet, "/stranger", nil)
				if up {
					req.Header.Set("X-Stranger", noise(seed.Add(1), 16<<10))
				}
				if res, err := p.client.RoundTrip(req); err == nil {
					res.Body.Close()
				}
			}
		}()
	}
	bubble.Pass(3 * time.Second)
	close(end)
	bubble.Pass(2 * time.Second)
	synctest.Wait()
	require.Len(t, got, 1, "the end comes within two seconds")
	require.Equal(t, text+"<nil>", <-got)
}

// An endReader waits, and then is at its end.
type endReader func()

func (wait endReader) Read([]byte) (int, error) {
	wait()
	return 0, io.EOF
}

// noise is a value of n bytes that cannot be compressed.
func noise(seed int64, n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b)
	return base64.RawURLEncoding.EncodeToString(b)[:n]
}

// A header block on a line that needs more than FirstFrameTimeout for it does not end the
// session, whatever its size. A peer that stops in the middle of a frame is cut.
func TestSlowHeaderBlock(t *testing.T) {
	bubble.InVersions(t, "30 KiB", func(t *testing.T, v spdy.Version) {
		p := newPair(v, 2000, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {})
		defer p.close()
		for _, value := range []string{"short", noise(1, 30<<10)} {
			req := request(t.Context(), http.MethodGet, "/", nil)
			req.Header.Set("X-Value", value)
			res, err := p.client.RoundTrip(req)
			require.NoError(t, err)
			res.Body.Close()
		}
	})
	for _, v := range bubble.Versions {
		t.Run(v.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(v, 80_000, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
				})
				done := make(chan error, 1)
				go func() {
					res, err := p.client.RoundTrip(request(t.Context(), http.MethodPost, "/honest", io.LimitReader(zeros{}, 2<<20)))
					if err == nil {
						res.Body.Close()
					}
					done <- err
				}()
				bubble.Pass(time.Second)
				req := request(t.Context(), http.MethodGet, "/stranger", nil)
				large(req.Header)
				res, err := p.client.RoundTrip(req)
				require.NoError(t, err)
				res.Body.Close()
				require.NoError(t, <-done)
				require.NoError(t, p.client.Err())
				p.close()
			})
		})
	}
}

// A reader that has been fast and becomes slow does not hold a session of SPDY/2 back for
// longer than a second or two, although bytes are read all the time.
func TestReaderThatBecomesSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 2_000_000
		p := newPair(spdy.SPDY2, rate, spdy.Config{SessionWindow: 8 << 20}, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, zeros{})
		})
		ctx, cancel := context.WithCancel(t.Context())
		var got atomic.Int64
		go func() {
			res, err := p.client.RoundTrip(request(ctx, http.MethodGet, "/honest", nil))
			if err != nil {
				return
			}
			buf := make([]byte, 32<<10)
			for {
				n, err := res.Body.Read(buf)
				got.Add(int64(n))
				if err != nil {
					return
				}
			}
		}()
		go func() {
			res, err := p.client.RoundTrip(request(ctx, http.MethodGet, "/stranger", nil))
			if err != nil {
				return
			}
			bubble.Pass(6 * time.Second) // 6 MB are unread
			buf := make([]byte, 32<<10)
			for n := 0; n < 3<<20; { // faster than they come
				k, err := res.Body.Read(buf)
				if n += k; err != nil {
					return
				}
				bubble.Pass(1500 * time.Microsecond)
			}
			for {
				if _, err := io.ReadFull(res.Body, buf); err != nil {
					return
				}
				bubble.Pass(300 * time.Millisecond)
			}
		}()
		bubble.Pass(20 * time.Second)
		before := got.Load()
		bubble.Pass(16 * time.Second)
		require.Greater(t, (got.Load()-before)/16, int64(rate/4), "half of a fair share, in bytes per second")
		cancel()
		p.close()
	})
}

// Headers that are far beyond a server's limit, and compress well, cost their request alone,
// however many there are.
func TestManyLargeHeaders(t *testing.T) {
	for _, v := range bubble.Versions {
		t.Run(v.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := testconn.Pair()
				client, server := spdy.Config{Version: v, Compression: spdy.CompressFull}, spdy.Config{Version: v}
				c := client.ClientSession(a)
				s := server.ServerSession(b, &http.Server{MaxHeaderBytes: 16 << 10, Handler: http.NotFoundHandler()})
				ended := make(chan error, 2)
				go func() { ended <- c.Serve() }()
				go func() { ended <- s.Serve() }()
				for range 150 {
					req := request(t.Context(), http.MethodGet, "/", nil)
					for _, name := range []string{"Accept", "Accept-Language", "User-Agent"} { // values that are compressed
						n := 300_000
						if v == spdy.SPDY2 {
							n = 60_000
						}
						req.Header.Set(name, strings.Repeat("a", n))
					}
					res, err := c.RoundTrip(req)
					require.NoError(t, err)
					require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, res.StatusCode)
					res.Body.Close()
				}
				c.Close()
				s.Close()
				<-ended
				<-ended
			})
		})
	}
}
