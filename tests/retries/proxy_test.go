package retries

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// proxyStatus has the status of a proxy's answer, by failure, if other than 502.
var proxyStatus = map[string]func(v spdy.Version) int{
	"REFUSED_STREAM":              unavailable,
	"GOAWAY before it":            unavailable,
	"interim answer, and refused": unavailable,
	"push, and refused":           unavailable,
	"closed by its own side":      unavailable,
	"no echo of a PING":           timedOut,
	"GOAWAY with PROTOCOL_ERROR":  unavailableInSPDY2,

	"GOAWAY with an error, and then one without":  unavailableInSPDY2,
	"GOAWAY with an error behind it, and silence": timedOut,
}

func timedOut(spdy.Version) int { return http.StatusGatewayTimeout }

func unavailable(spdy.Version) int { return http.StatusServiceUnavailable }

func unavailableInSPDY2(v spdy.Version) int {
	if v == spdy.SPDY2 { // whose GOAWAY has no status
		return http.StatusServiceUnavailable
	}
	return http.StatusBadGateway
}

// maxProxySends is the number of sends by a proxy of a request that the server refuses.
const maxProxySends = 10

// TestAttackA27Proxy shows that a proxy with a single session sends a refused request ten
// times, and all others once.
func TestAttackA27Proxy(t *testing.T) {
	for _, f := range failures {
		for _, k := range kinds {
			bubble.InVersions(t, f.name+"/"+k.name, func(t *testing.T, v spdy.Version) {
				o := newOrigin(t, v)
				o.conf.PingInterval, o.conf.PingTimeout = 10*time.Second, 5*time.Second
				o.fate = f.fate
				s := o.client().Session()
				o.warmUp(s, 1)
				w := httptest.NewRecorder()
				err := s.NewStreamProxy(k.request(o), w)
				require.Error(t, err)
				if f.name == "REFUSED_STREAM" && k.rewindable {
					require.Equal(t, maxProxySends, o.sends())
				} else {
					require.Equal(t, 1, o.sends())
				}
				if f.err != nil {
					f.err(t, v, err)
				}
				switch status := proxyStatus[f.name]; {
				case f.name == "answer begun, and closed":
					require.Equal(t, http.StatusOK, w.Code)
				case status != nil:
					require.Equal(t, status(v), w.Code)
				default:
					require.Equal(t, http.StatusBadGateway, w.Code)
				}
			})
		}
	}
}

// TestProxySeeks shows that a proxy waits for a server short of streams instead of answering
// with 503, and that the request arrives whole.
func TestProxySeeks(t *testing.T) {
	for _, k := range kinds {
		bubble.InVersions(t, k.name, func(t *testing.T, v spdy.Version) {
			if !k.rewindable {
				return
			}
			o := newOrigin(t, v)
			var at []time.Time
			o.fate = func(e *exchange) {
				at = append(at, time.Now())
				if e.n < maxProxySends {
					e.refuse()
				} else {
					e.answer("done")
				}
			}
			w := httptest.NewRecorder()
			require.NoError(t, o.client().Session().NewStreamProxy(k.request(o), w))
			require.Equal(t, http.StatusOK, w.Code)
			require.Equal(t, "done", w.Body.String())
			requirePauses(t, at, maxProxySends)
			if k.body {
				require.Equal(t, "text", o.sent[maxProxySends-1])
			}
		})
	}
}

// TestProxyContext shows that a proxy stops sending when the request's context ends.
func TestProxyContext(t *testing.T) {
	bubble.InVersions(t, "deadline in a pause", func(t *testing.T, v spdy.Version) {
		o := newOrigin(t, v)
		o.fate = (*exchange).refuse
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		w, start := httptest.NewRecorder(), time.Now()
		err := o.client().Session().NewStreamProxy(o.request("GET", "/", nil).WithContext(ctx), w)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 50*time.Millisecond, time.Since(start))
		require.Equal(t, http.StatusGatewayTimeout, w.Code)
		require.Equal(t, 2, o.sends())
	})
}

// TestProxyGoesAway shows that a proxy does not wait for a session that is going away.
func TestProxyGoesAway(t *testing.T) {
	bubble.InVersions(t, "refused", func(t *testing.T, v spdy.Version) {
		o := newOrigin(t, v)
		o.fate = func(e *exchange) {
			e.goAway(e.id, spdy.GoAwayOK)
			e.refuse()
		}
		w, start := httptest.NewRecorder(), time.Now()
		err := o.client().Session().NewStreamProxy(o.request("GET", "/", nil), w)
		requireRetryable(t, err)
		require.Zero(t, time.Since(start))
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, 1, o.sends())
	})
}

// TestProxyEndsPause shows that a proxy that waits between two tries hears at once that its session takes no
// more requests.
func TestProxyEndsPause(t *testing.T) {
	for name, tt := range map[string]struct {
		end    func(e *exchange, s *spdy.Session)
		status int
	}{
		"GOAWAY": {func(e *exchange, _ *spdy.Session) { e.goAway(e.id, spdy.GoAwayOK) }, http.StatusServiceUnavailable},
		"Close":  {func(_ *exchange, s *spdy.Session) { s.Close() }, http.StatusServiceUnavailable},
		"lost":   {func(e *exchange, _ *spdy.Session) { e.raw.Reset() }, http.StatusBadGateway},
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			o := newOrigin(t, v)
			refused := make(chan *exchange, maxProxySends)
			o.fate = func(e *exchange) {
				e.refuse()
				refused <- e
			}
			s := o.client().Session()
			// Another request keeps the session open when it is going away.
			other := make(chan struct{})
			go func() {
				defer close(other)
				if res, err := s.RoundTrip(o.request("GET", "/warm", nil)); err == nil {
					res.Body.Close()
				}
			}()
			synctest.Wait()
			w, failed := httptest.NewRecorder(), make(chan error, 1)
			go func() { failed <- s.NewStreamProxy(o.request("GET", "/", nil), w) }()
			<-refused
			<-refused
			e := <-refused
			synctest.Wait()
			require.Empty(t, failed, "it pauses")
			start := time.Now()
			tt.end(e, s)
			require.Error(t, <-failed)
			require.LessOrEqual(t, time.Since(start), 75*time.Millisecond, "as long as Close may take")
			require.Equal(t, tt.status, w.Code)
			require.Equal(t, 3, o.sends())
			s.Close()
			<-other
		})
	}
}

// TestProxyUpload shows that a proxy answers 503 before the client has sent the whole body.
func TestProxyUpload(t *testing.T) {
	bubble.InVersions(t, "HTTP/1.1 in front", func(t *testing.T, v spdy.Version) {
		// The origin refuses a stream when a part of the body has arrived.
		ours, theirs := testconn.Pair()
		f := spdy.NewFramer(theirs, theirs, v)
		sends := 0
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					return
				}
				if part, ok := frame.(*spdy.DataFrame); ok {
					sends++
					_ = f.WriteFrame(&spdy.RstStreamFrame{StreamID: part.StreamID, Status: spdy.RstRefusedStream})
				}
			}
		}()
		c, err := (&spdy.Config{Version: v}).NewClientConn(ours)
		require.NoError(t, err)
		ln := testconn.Listen()
		errs := make(chan error, 1)
		front := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			errs <- c.Session().NewStreamProxy(r, w)
		})}
		go func() { _ = front.Serve(ln) }() // ends with front
		conn, err := ln.Dial()
		require.NoError(t, err)
		_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\na part")
		require.NoError(t, err)
		start := time.Now()
		answer, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Contains(t, string(answer), "503 Service Unavailable")
		requireRetryable(t, <-errs)
		require.LessOrEqual(t, time.Since(start), time.Second, "half a second for the rest, and net/http lingers as long")
		require.Equal(t, 1, sends)
		conn.Close()
		bubble.Pass(time.Second) // net/http lingers by the clock
		front.Close()
		c.Close()
		theirs.Close()
		<-served
	})
}

// TestRequest shows that a stream of NewClientStream keeps its single request, its headers
// and its deadlines if other streams carry the request.
func TestRequest(t *testing.T) {
	bubble.InVersions(t, "one request", func(t *testing.T, v spdy.Version) {
		o := newOrigin(t, v)
		o.fate = func(e *exchange) {
			if e.n < 3 {
				e.refuse()
			} else {
				e.answer("done")
			}
		}
		st, w := o.client().Session().NewClientStream(), httptest.NewRecorder()
		require.NoError(t, st.Request(o.request("GET", "/", nil), w))
		require.Equal(t, "done", w.Body.String())
		require.Equal(t, "origin", st.Header().Get("X-From"))
		require.Error(t, st.Request(o.request("GET", "/", nil), httptest.NewRecorder()))
		require.Equal(t, 3, o.sends())
	})
	for name, set := range map[string]func(st *spdy.Stream, at time.Time){
		"before the first try": func(st *spdy.Stream, at time.Time) { _ = st.SetReadDeadline(at) },
		"in a pause": func(st *spdy.Stream, at time.Time) {
			time.AfterFunc(50*time.Millisecond, func() { _ = st.SetReadDeadline(at) })
		},
		"moved while the answer runs": func(st *spdy.Stream, at time.Time) {
			_ = st.SetReadDeadline(at.Add(time.Hour))
			time.AfterFunc(time.Second, func() { _ = st.SetReadDeadline(at) })
		},
		"set while the answer runs": func(st *spdy.Stream, at time.Time) {
			time.AfterFunc(time.Second, func() { _ = st.SetReadDeadline(at) })
		},
	} {
		bubble.InVersions(t, "deadline, "+name, func(t *testing.T, v spdy.Version) {
			o := newOrigin(t, v)
			o.fate = func(e *exchange) {
				if e.n < 3 {
					e.refuse()
				} else {
					e.reply("200", 0) // and no more
				}
			}
			st, start := o.client().Session().NewClientStream(), time.Now()
			set(st, start.Add(time.Minute))
			err := st.Request(o.request("GET", "/", nil), httptest.NewRecorder())
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Equal(t, time.Minute, time.Since(start))
			require.Equal(t, 3, o.sends())
		})
	}
}
