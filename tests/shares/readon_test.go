package shares

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A request with a body in small pieces gets at least half of its fair share also through a
// proxy and from a Transport.
func TestSmallPiecesOfStrangers(t *testing.T) {
	for _, piece := range []int{200, 1 << 10} {
		for _, by := range []string{"proxy", "transport"} {
			bubble.InVersions(t, fmt.Sprintf("%s, %d bytes", by, piece), func(t *testing.T, v spdy.Version) {
				var received [2]atomic.Int64
				a, b := testconn.Pair(testconn.Latency(25*time.Millisecond), testconn.Bandwidth(linkRate), testconn.WriteCap(256<<10))
				server := bubble.Quiet(spdy.Config{}, v).ServerSession(b, &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(counter{&received[atoi(r)]}, r.Body) // until it is cancelled
				})})
				go server.Serve()
				ctx, cancel := context.WithCancel(t.Context())
				send, done := sender(t, by, a, v)
				for i, body := range []io.Reader{pieces(piece), zeros{}} {
					go send(request(ctx, http.MethodPut, fmt.Sprint("/", i), body))
				}
				bubble.Pass(5 * time.Second)
				cancel()
				done()
				server.Close()
				require.GreaterOrEqual(t, 3*received[0].Load(), received[1].Load())
			})
		}
	}
}

// sender returns what sends a request over a connection.
func sender(t *testing.T, by string, conn net.Conn, v spdy.Version) (send func(*http.Request), done func()) {
	if by == "transport" {
		tr := &spdy.Transport{Config: bubble.Quiet(spdy.Config{}, v), DialContext: func(context.Context, string, string) (net.Conn, error) {
			return conn, nil
		}, MaxSessionsPerHost: 1}
		return func(req *http.Request) {
			res, err := tr.RoundTrip(req)
			if err == nil {
				res.Body.Close()
			}
		}, tr.CloseIdleConnections
	}
	client := bubble.Quiet(spdy.Config{}, v).ClientSession(conn)
	go client.Serve()
	return func(req *http.Request) { require.Error(t, client.NewStreamProxy(req, httptest.NewRecorder())) }, func() { client.Close() }
}

// A talker is a body that returns one piece of 200 bytes in each second.
type talker struct{ left int }

func (b *talker) Read(p []byte) (int, error) {
	bubble.Pass(time.Second)
	if b.left == 0 {
		return 0, io.EOF
	}
	b.left--
	return copy(p, make([]byte, 200)), nil
}

// A piece is sent while its writer pauses: it does not wait for the next one.
func TestPiecesAreNotHeldBack(t *testing.T) {
	for _, busy := range []bool{false, true} {
		bubble.InVersions(t, fmt.Sprintf("beside another %t", busy), func(t *testing.T, v spdy.Version) {
			var at []time.Duration
			began := time.Now()
			p := newPair(v, linkRate, spdy.Config{}, func(_ http.ResponseWriter, r *http.Request) {
				for buf := make([]byte, 1<<10); ; {
					n, err := r.Body.Read(buf)
					if err != nil {
						return
					}
					if r.URL.Path == "/talk" {
						require.Equal(t, 200, n)
						at = append(at, time.Since(began))
					}
				}
			})
			ctx, cancel := context.WithCancel(t.Context())
			if busy {
				go p.client.RoundTrip(request(ctx, http.MethodPut, "/busy", zeros{}))
			}
			res, err := p.client.RoundTrip(request(t.Context(), http.MethodPut, "/talk", &talker{left: 5}))
			require.NoError(t, err)
			res.Body.Close()
			require.Len(t, at, 5)
			for i, at := range at {
				// What the socket takes of the other request is in front of it, and two batches.
				require.Less(t, at, time.Duration(i+1)*time.Second+150*time.Millisecond)
			}
			cancel()
			p.close()
		})
	}
}

var errBroken = errors.New("broken")

// A broken body returns some pieces and then an error.
type broken struct{ left int }

func (b *broken) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errBroken
	}
	b.left--
	return copy(p, make([]byte, 200)), nil
}

// All that a body has returned before an error reaches the handler, which then gets an error, and
// the client gets that of the body, as with net/http and x/net/http2. net/http keeps up to 4 KiB.
func TestPiecesBeforeAnError(t *testing.T) {
	const all = 1000 * 200
	type outcome struct {
		n   int64
		err error
	}
	run := func(t *testing.T, client http.RoundTripper, got chan outcome) outcome {
		res, err := client.RoundTrip(request(t.Context(), http.MethodPut, "/", &broken{left: all / 200}))
		if err == nil {
			res.Body.Close()
		}
		require.ErrorIs(t, err, errBroken)
		o := <-got
		require.Error(t, o.err)
		return o
	}
	handler := func(got chan outcome) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			got <- outcome{n, err}
		}
	}
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		got := make(chan outcome, 1)
		p := newPair(v, linkRate, spdy.Config{}, handler(got))
		require.EqualValues(t, all, run(t, p.client, got).n)
		p.close()
	})
	bubble.Run(t, "http2", func(t *testing.T) {
		got := make(chan outcome, 1)
		a, b := testconn.Pair()
		go new(http2.Server).ServeConn(b, &http2.ServeConnOpts{Handler: handler(got)})
		client, err := new(http2.Transport).NewClientConn(a)
		require.NoError(t, err)
		require.EqualValues(t, all, run(t, client, got).n)
		client.Close()
	})
	t.Run("http1", func(t *testing.T) {
		got := make(chan outcome, 1)
		srv := httptest.NewServer(handler(got))
		defer srv.Close()
		tr := new(http.Transport)
		defer tr.CloseIdleConnections()
		n := run(t, elsewhere{tr, srv.Listener.Addr().String()}, got).n
		require.LessOrEqual(t, n, int64(all))
		require.Greater(t, n, int64(all-5000))
	})
}

// elsewhere sends requests to a server.
type elsewhere struct {
	http.RoundTripper
	addr string
}

func (e elsewhere) RoundTrip(req *http.Request) (*http.Response, error) {
	req.URL.Host = e.addr
	return e.RoundTripper.RoundTrip(req)
}
