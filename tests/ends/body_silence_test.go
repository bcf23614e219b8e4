package ends

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// bodyEcho answers with what it reads, at once, and tells how the request has ended.
func bodyEcho(ended chan<- error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" {
			return
		}
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		_ = control.Flush()
		for p := make([]byte, 100); ; {
			n, err := r.Body.Read(p)
			_, _ = w.Write(p[:n])
			_ = control.Flush()
			if err != nil {
				ended <- err
				return
			}
		}
	}
}

// endsWithin returns what arrives in c in time.
func endsWithin[T any](t *testing.T, d time.Duration, c <-chan T, who string) (got T) {
	t.Helper()
	select {
	case got = <-c:
	case <-time.After(d):
		require.Fail(t, "still there: "+who)
	}
	return got
}

// TestBodyFailureReachesTheHandler: an upload fails while its handler, whose answer has begun,
// reads on. Both sides end, with net/http's own protocols at once, and so does Shutdown.
func TestBodyFailureReachesTheHandler(t *testing.T) {
	for _, protocol := range bodyProtocols {
		bubble.Run(t, protocol, func(t *testing.T) {
			ended := make(chan error, 1)
			pair := newBodyPair(t, protocol, bodyEcho(ended), nil)
			body := newBodyRequest()
			go func() { _, _ = body.w.Write([]byte("abc")) }()
			req, err := http.NewRequest("POST", "http://ends.example/", body)
			require.NoError(t, err)
			res, err := pair.client.RoundTrip(req)
			require.NoError(t, err)
			_, err = io.ReadFull(res.Body, make([]byte, 3))
			require.NoError(t, err)
			synctest.Wait()
			body.w.CloseWithError(errMine)
			answer := make(chan error, 1)
			go func() {
				_, err := io.ReadAll(res.Body)
				answer <- err
			}()
			err = endsWithin(t, 25*time.Second, ended, "the handler")
			require.Error(t, err)
			require.NotEqual(t, io.EOF, err, "a part is not the whole")
			err = endsWithin(t, time.Second, answer, "the reader of the answer")
			require.Error(t, err)
			if protocol != "HTTP/1.1" {
				require.Equal(t, errMine, err)
			}
			pair.idle()
			ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
			defer cancel()
			require.NoError(t, pair.server.Shutdown(ctx))
		})
	}
}

// TestBodyFailureReachesTheOrigin: a front limits the bodies of its clients. A client that
// exceeds the limit behind the beginning of the answer does not keep the origin's handler.
func TestBodyFailureReachesTheOrigin(t *testing.T) {
	for _, way := range []string{"HTTP/1.1", "h2", "spdy/2", "spdy/3", "spdy/3.1"} {
		for _, proxies := range []bool{false, true} {
			if proxies && spdyVersion(way) == 0 {
				continue
			}
			bubble.Run(t, fmt.Sprint(way, "/NewStreamProxy=", proxies), func(t *testing.T) {
				ended := make(chan error, 1)
				pair := newBodyPair(t, way, bodyEcho(ended), nil)
				conn := bodyLimitedFront(t, pair, proxies)
				_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
				require.NoError(t, err)
				_, err = http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				_, err = io.WriteString(conn, "14\r\n01234567890123456789\r\n")
				require.NoError(t, err)
				require.NotEqual(t, io.EOF, endsWithin(t, 25*time.Second, ended, "the origin's handler"))
				conn.Close()
			})
		}
	}
}

// bodyLimitedFront is a connection to an HTTP/1.1 server in front of the pair's, which takes
// ten bytes of a request.
func bodyLimitedFront(t *testing.T, pair *bodyPair, proxies bool) *testconn.Conn {
	proxy := &httputil.ReverseProxy{Transport: pair.client, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "ends.example"}) }}
	if proxies {
		res, err := pair.client.RoundTrip(httptest.NewRequest("GET", "http://ends.example/", nil))
		require.NoError(t, err)
		res.Body.Close()
	}
	h := func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 10)
		if proxies {
			_ = pair.sessions[0].NewStreamProxy(r, w)
			return
		}
		_ = http.NewResponseController(w).EnableFullDuplex()
		proxy.ServeHTTP(w, r)
	}
	listener := testconn.Listen()
	server := &http.Server{Handler: http.HandlerFunc(h), ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-served; bubble.Pass(10 * time.Second) })
	conn, err := listener.Dial(testconn.StrictClose())
	require.NoError(t, err)
	return conn
}

// bodyFailed is the answer to a request of stream 1 whose body has failed since the answer began.
func (p *bodyPeer) bodyFailed() *http.Response {
	body := newBodyRequest()
	answers := make(chan *http.Response, 1)
	go func() {
		req, err := http.NewRequest("POST", "http://ends.example/", body)
		require.NoError(p.t, err)
		res, err := p.s.RoundTrip(req)
		require.NoError(p.t, err)
		answers <- res
	}()
	require.Equal(p.t, "SYN", p.streamFrames())
	p.send(&spdy.SynReplyFrame{StreamID: 1, Headers: bodyHead(p.v, ":status", "200 OK", ":version", "HTTP/1.1")})
	res := <-answers
	body.w.CloseWithError(errMine)
	return res
}

// TestBodyFailureSparesASlowAnswer: an answer whose bytes go on arriving is whole, however
// slowly they do.
func TestBodyFailureSparesASlowAnswer(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p := newBodyPeer(t, v, nil)
		res := p.bodyFailed()
		got := make(chan []byte, 1)
		go func() {
			b, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			got <- b
		}()
		for range 100 {
			bubble.Pass(19900 * time.Millisecond)
			p.send(&spdy.DataFrame{StreamID: 1, Data: []byte("z")})
			require.Empty(t, p.streamFrames())
		}
		p.send(&spdy.DataFrame{StreamID: 1, Flags: spdy.FlagFin})
		require.Equal(t, bytes.Repeat([]byte("z"), 100), <-got)
		require.Equal(t, "CANCEL", p.streamFrames())
	})
}

// TestBodyFailureSparesASlowReader: the silence of a peer that waits for the reader of its
// answer does not count. It begins when all has been read.
func TestBodyFailureSparesASlowReader(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p := newBodyPeer(t, v, nil)
		res := p.bodyFailed()
		p.send(&spdy.DataFrame{StreamID: 1, Data: []byte("answer")})
		bubble.Pass(time.Hour + 19900*time.Millisecond)
		require.Empty(t, p.streamFrames())
		_, err := io.ReadFull(res.Body, make([]byte, 6))
		require.NoError(t, err)
		bubble.Pass(19900 * time.Millisecond)
		require.Empty(t, p.streamFrames(), "the peer has its time")
		bubble.Pass(4200 * time.Millisecond)
		require.Equal(t, "CANCEL", p.streamFrames())
		_, err = io.ReadAll(res.Body)
		require.Equal(t, errMine, err)
	})
}

// TestBodyFailureAndAWriteDeadline: the user of a stream moves its write deadline after the
// upload has failed. That does not keep the stream.
func TestBodyFailureAndAWriteDeadline(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p := newBodyPeer(t, v, nil)
		st, body := p.s.NewClientStream(), newBodyRequest()
		result := make(chan error, 1)
		go func() {
			r := httptest.NewRequest("POST", "http://ends.example/", body)
			result <- st.Request(r, httptest.NewRecorder())
		}()
		require.Equal(t, "SYN", p.streamFrames())
		p.send(&spdy.SynReplyFrame{StreamID: 1, Headers: bodyHead(v, ":status", "200 OK", ":version", "HTTP/1.1")})
		synctest.Wait()
		body.w.CloseWithError(errMine)
		synctest.Wait()
		require.NoError(t, st.SetWriteDeadline(time.Time{}))
		require.ErrorIs(t, endsWithin(t, 25*time.Second, result, "Request"), errMine)
		require.Equal(t, "CANCEL", p.streamFrames())
	})
}
