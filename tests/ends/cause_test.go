package ends

import (
	"bufio"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// rawPair starts two raw sessions that are connected.
func rawPair(t *testing.T, v spdy.Version) (client, server *spdy.Session) {
	a, b := testconn.Pair()
	conf := bubble.Quiet(spdy.Config{}, v)
	client, server = conf.RawSession(a, false), conf.RawSession(b, true)
	for _, s := range []*spdy.Session{client, server} {
		served := make(chan struct{})
		go func() { defer close(served); _ = s.Serve() }()
		t.Cleanup(func() { s.Close(); <-served })
	}
	return client, server
}

// TestCauseIsNoEnd: a program cancels a context with the cause io.EOF. No call takes that for
// the end of a stream, nor hands it on as such: it returns the error of the context.
func TestCauseIsNoEnd(t *testing.T) {
	calls := map[string]func(ctx context.Context, s *spdy.Session, st *spdy.RawStream) error{
		"ReceiveHeaders": func(ctx context.Context, _ *spdy.Session, st *spdy.RawStream) error {
			_, err := st.ReceiveHeaders(ctx)
			return err
		},
		"AcceptStream": func(ctx context.Context, s *spdy.Session, _ *spdy.RawStream) error {
			_, err := s.AcceptStream(ctx)
			return err
		},
		"AwaitReply": func(ctx context.Context, _ *spdy.Session, st *spdy.RawStream) error {
			_, err := st.AwaitReply(ctx)
			return err
		},
	}
	for name, call := range calls {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			client, _ := rawPair(t, v)
			st, err := client.OpenStream(t.Context(), nil, spdy.StreamOptions{})
			require.NoError(t, err)
			ctx, cancel := context.WithCancelCause(t.Context())
			failed := make(chan error, 1)
			go func() { failed <- call(ctx, client, st) }()
			synctest.Wait()
			require.Empty(t, failed)
			cancel(io.EOF)
			require.Equal(t, context.Canceled, <-failed)
		})
	}
}

// TestCauseCutsTheAnswer: a handler in front of a proxy cancels the request with a cause of its
// own. The client does not take the part of the answer for the whole.
func TestCauseCutsTheAnswer(t *testing.T) {
	for _, way := range []string{"NewStreamProxy", "ReverseProxy"} {
		for name, cause := range map[string]error{"io.EOF": io.EOF, "ErrStreamClosed": spdy.ErrStreamClosed, "other": errMine} {
			bubble.InVersions(t, way+" "+name, func(t *testing.T, v spdy.Version) {
				f := newBodyFront(t, v, way, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/warm" {
						_, _ = io.WriteString(w, "half")
						_ = http.NewResponseController(w).Flush()
						<-r.Context().Done()
					}
				})
				f.middle = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
					ctx, cancel := context.WithCancelCause(r.Context())
					defer time.AfterFunc(time.Second, func() { cancel(cause) }).Stop()
					next.ServeHTTP(w, r.WithContext(ctx))
				}
				conn := f.dial(t)
				_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				require.NoError(t, err)
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				got, err := io.ReadAll(res.Body)
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				require.Equal(t, "half", string(got))
				if f.proxies {
					require.Error(t, <-f.results)
				}
				conn.Close()
			})
		}
	}
}

// A foreignConn is a connection that is lost with an error of this package, as one is that
// another session carries.
type foreignConn struct {
	net.Conn
	err error
}

func (c foreignConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		err = c.err
	}
	return n, err
}

// TestCauseOfAConnection: a session over a stream of another session is lost with that one,
// and does not take the end of the other session for a Close of its own.
func TestCauseOfAConnection(t *testing.T) {
	for name, err := range map[string]error{
		"session closed": spdy.ErrSessionClosed,
		"cut stream":     &spdy.TruncatedError{Err: spdy.ErrSessionClosed},
		"stream closed":  spdy.ErrStreamClosed,
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			a, b := testconn.Pair()
			s := bubble.Quiet(spdy.Config{}, v).RawSession(foreignConn{a, err}, false)
			served := make(chan error, 1)
			go func() { served <- s.Serve() }()
			st, openErr := s.OpenStream(t.Context(), nil, spdy.StreamOptions{})
			require.NoError(t, openErr)
			shut := make(chan error, 1)
			go func() { shut <- s.Shutdown(context.Background()) }()
			synctest.Wait()
			b.Close()
			var lost *spdy.ConnError
			require.ErrorAs(t, <-served, &lost)
			require.ErrorAs(t, <-shut, &lost)
			require.ErrorAs(t, st.Err(), &lost)
		})
	}
}

// A refusedBody is the body of a request that another session has carried, whose peer refused it.
type refusedBody struct{}

func (refusedBody) Read([]byte) (int, error) {
	return 0, &spdy.StreamError{StreamID: 1, Status: spdy.RstRefusedStream, Remote: true}
}

// TestCauseIsNoRefusal: a body whose reader fails with the refusal of another session does not
// make a Transport send the request again.
func TestCauseIsNoRefusal(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		pair := newBodyPair(t, v.String(), func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }, nil)
		made := 0
		req, err := http.NewRequest("POST", "http://ends.example/", refusedBody{})
		require.NoError(t, err)
		req.GetBody = func() (io.ReadCloser, error) { made++; return io.NopCloser(refusedBody{}), nil }
		_, err = pair.client.RoundTrip(req)
		require.Error(t, err)
		require.Zero(t, made)
	})
}

// TestClosedGzipBody: a body that a Transport decompresses returns nothing more once it is
// closed, although it may have bytes in its buffers.
func TestClosedGzipBody(t *testing.T) {
	for _, protocol := range bodyProtocols {
		bubble.Run(t, protocol[:2]+protocol[len(protocol)-1:], func(t *testing.T) {
			pair := newBodyPair(t, protocol, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				zip := gzip.NewWriter(w)
				_, _ = zip.Write(make([]byte, 100_000))
				_ = zip.Close()
			}, nil)
			req, err := http.NewRequest("GET", "http://ends.example/", nil)
			require.NoError(t, err)
			res, err := pair.client.RoundTrip(req)
			require.NoError(t, err)
			require.True(t, res.Uncompressed)
			_, err = io.ReadFull(res.Body, make([]byte, 10))
			require.NoError(t, err)
			res.Body.Close()
			n, err := io.Copy(io.Discard, res.Body)
			require.Zero(t, n)
			require.Error(t, err)
			if spdyVersion(protocol) != 0 {
				require.Equal(t, http.ErrBodyReadAfterClose, err)
			}
		})
	}
}
