package cancel_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// endlessHandlers are handlers of responses that last until the client leaves, or too long. Each
// watches for the client in another way.
var endlessHandlers = map[string]http.HandlerFunc{
	"the context": awaitContext,
	"an error of Write": func(w http.ResponseWriter, r *http.Request) {
		untilError(func() error {
			_, err := w.Write(make([]byte, 10_000))
			return err
		})
	},
	"an error of FlushError": func(w http.ResponseWriter, r *http.Request) {
		untilError(http.NewResponseController(w).Flush)
	},
	"the context, behind a replaced response": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 20<<10))
		awaitContext(w, r)
	},
}

// tooLong is when the handlers give up.
const tooLong = 10 * time.Second

func awaitContext(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).Flush()
	timer := time.NewTimer(tooLong)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
	case <-timer.C:
	}
}

func untilError(call func() error) {
	for began := time.Now(); call() == nil && time.Since(began) < tooLong; {
		bubble.Pass(100 * time.Millisecond)
	}
}

// someSlots is the number of streams that the servers of these tests allow.
const someSlots = 10

// A headClient is a client and, unless it is nil, the session that serves it.
type headClient struct {
	http.RoundTripper
	server *spdy.Session
}

// headWays returns a client of x/net/http2, and a client of each version of SPDY.
func headWays(t *testing.T, h http.Handler) map[string]headClient {
	near, far := net.Pipe()
	go (&http2.Server{MaxConcurrentStreams: someSlots}).ServeConn(far, &http2.ServeConnOpts{Handler: h})
	conn, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(near)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ways := map[string]headClient{"x/net/http2": {conn, nil}}
	for _, v := range []spdy.Version{spdy.SPDY2, spdy.SPDY3, spdy.SPDY31} {
		near, far := testconn.Pair()
		server := bubble.Quiet(spdy.Config{MaxConcurrentStreams: someSlots, MaxSendHeaderBytes: 16 << 10}, v).ServerSession(far, &http.Server{Handler: h})
		client := bubble.Quiet(spdy.Config{}, v).ClientSession(near)
		go func() { _ = server.Serve() }()
		go func() { _ = client.Serve() }()
		t.Cleanup(func() { client.Close(); server.Close() })
		ways[v.String()] = headClient{client, server}
	}
	return ways
}

func (c headClient) do(t *testing.T, method, path string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://home"+path, nil)
	require.NoError(t, err)
	res, err := c.RoundTrip(req)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res
}

// TestAttackA28LateHandlers: a response to HEAD, or a replaced response, ends the stream, and the
// client can cancel nothing. Handlers of such streams, however many, leave their slots to others: as
// over HTTP/2 the context of the request ends; and writes fail.
func TestAttackA28LateHandlers(t *testing.T) {
	for name, endless := range endlessHandlers {
		bubble.Run(t, name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.HandleFunc("/endless", endless)
			mux.HandleFunc("/ok", func(http.ResponseWriter, *http.Request) {})
			for way, c := range headWays(t, mux) {
				if c.server == nil && name != "the context" {
					continue // over HTTP/2 a Write for HEAD never fails, and there is no replacement
				}
				for range 3 * someSlots {
					c.do(t, http.MethodHead, "/endless")
				}
				began := time.Now()
				require.Equal(t, http.StatusOK, c.do(t, http.MethodGet, "/ok").StatusCode, way)
				require.Less(t, time.Since(began), 200*time.Millisecond, "%s: the stream does not wait", way)
				bubble.Pass(1200 * time.Millisecond)
				synctest.Wait()
				if c.server != nil {
					require.Zero(t, c.server.Stats().Streams.Total(), "%s: all handlers have returned", way)
					require.Zero(t, c.server.Stats().ChargedResets, way)
				}
			}
		})
	}
}

// TestLateHandlerHasTime: while slots are free, a handler may work for a second after the end of
// the stream, as over HTTP/1.1.
func TestLateHandlerHasTime(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		type outcome struct {
			write, flush, context error
		}
		outcomes := make(chan outcome, 1)
		ways := headWays(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			_ = control.Flush()
			bubble.Pass(900 * time.Millisecond)
			_, err := w.Write(make([]byte, 10_000))
			outcomes <- outcome{err, control.Flush(), r.Context().Err()}
		}))
		for way, c := range ways {
			if c.server == nil {
				continue
			}
			c.do(t, http.MethodHead, "/")
			require.Equal(t, outcome{}, <-outcomes, way)
			bubble.Pass(5 * time.Second)
			synctest.Wait()
			require.Zero(t, c.server.Stats().Streams.Total(), way)
		}
	})
}
