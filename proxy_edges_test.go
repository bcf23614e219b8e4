package spdy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A request may be cancelled by others than its client: by a time limit of the
// proxy, by a server that stops. The client is still there then, and an answer
// that nobody wrote would reach it as an empty 200.
func TestProxyAnswersWhenCancelled(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cause error
		want  int
	}{
		{"a time limit of the proxy", context.DeadlineExceeded, http.StatusGatewayTimeout},
		{"no cause", context.Canceled, http.StatusBadGateway},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := net.Pipe()
			ctx, cancel := context.WithCancelCause(t.Context())
			server := NewServerSession(a, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				cancel(tt.cause)
				<-r.Context().Done()
			})})
			client := NewClientSession(b)
			go server.Serve()
			go client.Serve()
			defer server.Close()
			defer client.Close()

			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://origin/", nil)
			require.ErrorIs(t, client.NewStreamProxy(r, w), tt.cause)
			require.Equal(t, tt.want, w.Code)
		})
	}
}

// The other server may answer before it has the whole request. The client gets that
// answer at once, though it has not sent the rest and perhaps waits with it.
func TestProxyAnswersBeforeTheUploadEnds(t *testing.T) {
	a, b := net.Pipe()
	server := NewServerSession(a, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	})})
	client := NewClientSession(b)
	go server.Serve()
	go client.Serve()
	defer server.Close()
	defer client.Close()
	public := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = client.NewStreamProxy(r, w)
	}))
	defer public.Close()

	conn, err := net.Dial("tcp", public.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\nthe beginning")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "too large\n", string(body))
}

// TestProxiedTrailersOfShortAnswer: trailers that nobody has announced reach the client also
// behind a body that fits net/http's buffer, where net/http leaves trailers out.
func TestProxiedTrailersOfShortAnswer(t *testing.T) {
	origin := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "short")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "13")
	}
	rigTest(t, origin, rigSetup{}, func(t *testing.T, r *rig) {
		for range 100 {
			front := httptest.NewRecorder()
			require.NoError(t, r.client.NewStreamProxy(httptest.NewRequest("GET", "http://origin/", nil), front))
			require.Equal(t, "short", front.Body.String())
			require.True(t, front.Flushed, "the answer is chunked")
			require.Equal(t, "13", front.Result().Trailer.Get("Grpc-Status"))
		}
	})
}

// TestProxiedFromHTTP2: a request that came over HTTP/2 without a body has none on its way.
func TestProxiedFromHTTP2(t *testing.T) {
	a, b := net.Pipe()
	lengths := make(chan int64, 1)
	server := NewServerSession(a, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lengths <- r.ContentLength
	})})
	client := NewClientSession(b)
	go server.Serve()
	go client.Serve()
	defer server.Close()
	defer client.Close()
	public := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = client.NewStreamProxy(r, w)
	}))
	public.EnableHTTP2 = true
	public.StartTLS()
	defer public.Close()
	for method, body := range map[string]string{"GET": "", "POST": "", "PUT": "body"} {
		req, err := http.NewRequest(method, public.URL, strings.NewReader(body))
		require.NoError(t, err)
		res, err := public.Client().Do(req)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, "HTTP/2.0", res.Proto)
		require.EqualValues(t, len(body), <-lengths, method)
	}
}

// A proxied request without a body ends with its SYN_STREAM: the other server sees
// http.NoBody, not a body of unknown length that turns out to be empty.
func TestProxiedRequestWithoutBody(t *testing.T) {
	a, b := net.Pipe()
	var length int64 = -2
	server := NewServerSession(a, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if length = r.ContentLength; r.Body != http.NoBody {
			length = -3
		}
	})})
	client := NewClientSession(b)
	go server.Serve()
	go client.Serve()
	defer server.Close()
	defer client.Close()
	r := httptest.NewRequest(http.MethodGet, "http://origin/", http.NoBody)
	require.NoError(t, client.NewStreamProxy(r, httptest.NewRecorder()))
	require.Zero(t, length)
}

// A deadlineRecorder counts the read deadlines that a handler sets.
type deadlineRecorder struct {
	*httptest.ResponseRecorder
	deadlines atomic.Int32
}

func (d *deadlineRecorder) SetReadDeadline(time.Time) error { d.deadlines.Add(1); return nil }

// A wrapped body that nobody happens to have read when the answer is through is no
// reason to touch the connection: in net/http a deadline that passes between two
// requests cancels the context of all that follow on a connection.
func TestProxyLeavesIdleConnectionsAlone(t *testing.T) {
	for name, read := range map[string]func(*proxiedBody){
		"not read": func(*proxiedBody) {},
		"read in part": func(b *proxiedBody) {
			_, err := b.Read(make([]byte, 2))
			require.NoError(t, err)
		},
		"read whole": func(b *proxiedBody) {
			_, err := io.ReadAll(b)
			require.NoError(t, err)
		},
	} {
		w := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder()}
		b := &proxiedBody{ReadCloser: io.NopCloser(strings.NewReader("body"))}
		read(b)
		front := proxyFront{writer: w, body: b, whole: true}
		front.end()
		require.Zero(t, w.deadlines.Load(), name)
		_, err := b.Read(make([]byte, 1))
		require.ErrorIs(t, err, http.ErrBodyReadAfterClose, name)
	}

	// The context of the next request on a connection is alive.
	a, conn := net.Pipe()
	server := NewServerSession(a, &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler)
	})})
	origin := NewClientSession(conn)
	go server.Serve()
	go origin.Serve()
	defer server.Close()
	defer origin.Close()
	var cancelled atomic.Int32
	public := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Err() != nil {
			cancelled.Add(1)
		}
		r.Body = struct{ io.ReadCloser }{r.Body} // hides that there is none
		_ = origin.NewStreamProxy(r, w)
	}))
	defer public.Close()
	for range 200 {
		res, err := public.Client().Get(public.URL)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		res.Body.Close()
	}
	require.Zero(t, cancelled.Load())
}

// What a client sends of a request that has been answered early is not another request,
// which it could pretend that somebody else made: the connection ends with the answer.
func TestProxyTakesNoRequestFromABody(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, head := range map[string]string{
		"the rest of a body": fmt.Sprintf("POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n12345", 5+len(smuggled)),
		"behind bad chunks":  "POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\r\n",
		"never sent on":      "POST /early HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan string, 9)
			rigTest(t, func(w http.ResponseWriter, r *http.Request) {
				asked <- r.URL.Path
				fmt.Fprint(w, "answer")
			}, rigSetup{}, func(t *testing.T, r *rig) {
				ln := lingerListener{testconn.Listen()}
				front := &http.Server{ErrorLog: quietLog, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					asked <- req.URL.Path
					_ = r.client.NewStreamProxy(req, w)
				})}
				go front.Serve(ln)
				defer front.Close()
				conn, err := ln.Dial()
				require.NoError(t, err)
				defer conn.Close()
				_, err = io.WriteString(conn, head)
				require.NoError(t, err)
				synctest.Wait()
				_, _ = io.WriteString(conn, smuggled) // the connection may have ended
				synctest.Wait()
				require.Contains(t, []int{1, 2}, len(asked), "at the front, and at the origin")
				for len(asked) > 0 {
					require.Equal(t, "/early", <-asked)
				}
				after(time.Second) // net/http waits before it closes the connection
			})
		})
	}
}
