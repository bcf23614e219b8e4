package ends

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A bodyFront is an HTTP/1.1 server in front of a SPDY server, over a network whose
// connections are reset if they are closed with unread bytes, and take little at once.
type bodyFront struct {
	listener *testconn.Listener
	proxies  bool       // by NewStreamProxy
	results  chan error // of NewStreamProxy
	log      *bytes.Buffer
	pair     *bodyPair

	// middle stands between the server and its handler; nil for nothing.
	middle func(next http.Handler, w http.ResponseWriter, r *http.Request)
}

// newBodyFront starts both. The way from the front to the origin is "direct", which is the
// oracle, "NewStreamProxy" or "ReverseProxy".
func newBodyFront(t *testing.T, v spdy.Version, way string, origin http.HandlerFunc) *bodyFront {
	f := &bodyFront{listener: testconn.Listen(), results: make(chan error, 10), log: new(bytes.Buffer)}
	f.pair = newBodyPair(t, v.String(), origin, nil)
	h := http.Handler(origin)
	switch way {
	case "NewStreamProxy":
		warm, err := http.NewRequest("GET", "http://ends.example/warm", nil)
		require.NoError(t, err)
		res, err := f.pair.client.RoundTrip(warm)
		require.NoError(t, err)
		res.Body.Close()
		f.proxies = true
		h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f.results <- f.pair.sessions[0].NewStreamProxy(r, w)
		})
	case "ReverseProxy":
		to, err := url.Parse("http://ends.example")
		require.NoError(t, err)
		proxy := httputil.NewSingleHostReverseProxy(to)
		proxy.Transport, proxy.ErrorLog = f.pair.client, log.New(f.log, "", 0)
		h = proxy
	}
	inner := h
	h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.middle != nil {
			f.middle(inner, w, r)
		} else {
			inner.ServeHTTP(w, r)
		}
	})
	server := &http.Server{Handler: h, ErrorLog: log.New(f.log, "", 0)}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(f.listener) }()
	t.Cleanup(func() { server.Close(); <-served; bubble.Pass(10 * time.Second) })
	return f
}

func (f *bodyFront) dial(t *testing.T) *testconn.Conn {
	conn, err := f.listener.Dial(testconn.StrictClose(), testconn.WriteCap(32<<10), testconn.Latency(20*time.Millisecond))
	require.NoError(t, err)
	return conn
}

// TestBodyFrontKeepsTheAnswer: a client of HTTP/1.1 sends an upload that the origin does not
// read, and reads the answer slowly, or not before it has sent all. It gets the whole answer,
// as from a handler of net/http, and NewStreamProxy reports that.
func TestBodyFrontKeepsTheAnswer(t *testing.T) {
	for _, way := range []string{"direct", "NewStreamProxy"} {
		versions := bubble.Versions
		if way == "direct" { // without SPDY
			versions = versions[2:]
		}
		for _, upload := range []int{20 << 10, 100 << 10, 250 << 10} {
			for _, size := range []int{200 << 10, 400 << 10} { // less and more than a window
				for _, chunked := range []bool{false, true} {
					for _, pause := range []time.Duration{0, 60 * time.Millisecond, 3 * time.Second} {
						name := fmt.Sprint(way, "/", upload, "/", size, "/chunked=", chunked, "/", pause)
						bubble.In(t, name, versions, func(t *testing.T, v spdy.Version) {
							keepTheAnswer(t, newBodyFront(t, v, way, func(w http.ResponseWriter, r *http.Request) {
								_, _ = w.Write(bytes.Repeat([]byte("z"), size))
							}), upload, size, chunked, pause)
						})
					}
				}
			}
		}
	}
}

// keepTheAnswer is a client that sends all before it reads, slowly.
func keepTheAnswer(t *testing.T, f *bodyFront, upload, size int, chunked bool, pause time.Duration) {
	conn := f.dial(t)
	sendUpload(t, conn, upload, chunked, pause)
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 4<<10), nil)
	require.NoError(t, err)
	n := 0
	for p := make([]byte, 16<<10); err == nil; {
		var k int
		k, err = res.Body.Read(p)
		n += k
		bubble.Pass(time.Millisecond)
	}
	require.Equal(t, io.EOF, err)
	require.Equal(t, size, n)
	conn.Close()
	bubble.Pass(10 * time.Second)
	if f.proxies {
		require.NoError(t, <-f.results)
	}
}

// sendUpload sends a request with a body of n bytes in two halves.
func sendUpload(t *testing.T, conn net.Conn, n int, chunked bool, pause time.Duration) {
	head, begin, end, last := fmt.Sprintf("Content-Length: %d", n), "", "", ""
	if chunked {
		head, begin, end, last = "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n", n/2), "\r\n", "0\r\n\r\n"
	}
	_, err := fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: ends.example\r\n%s\r\n\r\n", head)
	require.NoError(t, err)
	for range 2 {
		_, err = io.WriteString(conn, begin+strings.Repeat("x", n/2)+end)
		require.NoError(t, err)
		bubble.Pass(pause)
	}
	_, err = io.WriteString(conn, last)
	require.NoError(t, err)
}

// TestBodyFrontDoesNotWaitForTheUpload: a client sends half of its upload and waits for the
// answer. All of that arrives, and then the connection ends without a reset: its own
// direction first.
func TestBodyFrontDoesNotWaitForTheUpload(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		bubble.InVersions(t, fmt.Sprint("chunked=", chunked), func(t *testing.T, v spdy.Version) {
			f := newBodyFront(t, v, "NewStreamProxy", func(w http.ResponseWriter, r *http.Request) {
				_, _ = w.Write(make([]byte, 300<<10))
			})
			conn := f.dial(t)
			head := "Content-Length: 2000\r\n\r\nhalf"
			if chunked {
				head = "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
			}
			_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: ends.example\r\n"+head)
			require.NoError(t, err)
			start := time.Now()
			r := bufio.NewReader(conn)
			res, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			n, err := io.Copy(io.Discard, res.Body)
			require.NoError(t, err)
			require.EqualValues(t, 300<<10, n)
			require.NoError(t, <-f.results)
			require.Less(t, time.Since(start), 2*time.Second)
			_, err = r.ReadByte()
			require.Equal(t, io.EOF, err, "half-closed")
			_, err = io.WriteString(conn, "more")
			require.NoError(t, err)
			bubble.Pass(100 * time.Millisecond)
			_, err = conn.Write([]byte("more"))
			require.NoError(t, err, "net/http waits before it closes the other direction")
			conn.Close()
		})
	}
}

// TestBodyFrontReadsTheRest: the second half of an upload arrives when the answer has been
// written, and the client reads that later. The rest has been read by then: a connection
// that is closed with unread bytes would be reset, and the answer lost.
func TestBodyFrontReadsTheRest(t *testing.T) {
	for _, way := range []string{"direct", "NewStreamProxy"} {
		for _, chunked := range []bool{false, true} {
			bubble.InVersions(t, fmt.Sprint(way, "/chunked=", chunked), func(t *testing.T, v spdy.Version) {
				f := newBodyFront(t, v, way, func(w http.ResponseWriter, r *http.Request) {
					_, _ = w.Write(make([]byte, 20<<10))
				})
				conn := f.dial(t)
				sendUpload(t, conn, 40<<10, chunked, 300*time.Millisecond)
				bubble.Pass(3 * time.Second)
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				n, err := io.Copy(io.Discard, res.Body)
				require.NoError(t, err)
				require.EqualValues(t, 20<<10, n)
				conn.Close()
			})
		}
	}
}

// TestBodyFrontLimitsTheRest: a client never ends its upload, and sends a little of it all the
// time, or as much as it can. NewStreamProxy returns within six seconds.
func TestBodyFrontLimitsTheRest(t *testing.T) {
	for name, piece := range map[string]int{"drops": 1, "torrent": 10 << 10} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			f := newBodyFront(t, v, "NewStreamProxy", func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "answer")
			})
			conn := f.dial(t)
			_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
			require.NoError(t, err)
			sent := make(chan int, 1)
			go func() {
				n := 0
				for {
					k, err := conn.Write(make([]byte, piece))
					if n += k; err != nil {
						break
					}
					bubble.Pass(10 * time.Millisecond)
				}
				sent <- n
			}()
			start := time.Now()
			require.NoError(t, <-f.results)
			took := time.Since(start)
			require.Less(t, took, 6*time.Second)
			if name == "drops" {
				require.Greater(t, took, 4*time.Second, "the client may still come to the end")
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			got, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, "answer", string(got))
			require.Less(t, <-sent, 4<<20)
			conn.Close()
		})
	}
}

// bodyPace is how a client sends chunks: so many bytes at once, and then at a rate.
type bodyPace struct {
	chunk, upload, burst, rate int // in bytes, and bytes per second
}

// send sends a request in steps of 50 ms.
func (c bodyPace) send(conn net.Conn) {
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: ends.example\r\nTransfer-Encoding: chunked\r\n\r\n")
	burst, step := c.burst, c.rate/20
	for left := c.upload; left > 0; {
		chunk := min(c.chunk, left)
		left -= chunk
		_, _ = fmt.Fprintf(conn, "%x\r\n", chunk)
		for chunk > 0 {
			n := min(chunk, max(burst, step))
			_, _ = conn.Write(make([]byte, n))
			chunk -= n
			if burst > 0 {
				burst -= n
				continue
			}
			bubble.Pass(time.Duration(n) * time.Second / time.Duration(c.rate))
		}
		_, _ = io.WriteString(conn, "\r\n")
	}
	_, _ = io.WriteString(conn, "0\r\n\r\n")
}

// TestBodyFrontDoesNotWaitForASlowClient: a client that has become slow stops in the middle of a
// chunk and waits for the answer. Its end does not wait for a large buffer to be filled.
func TestBodyFrontDoesNotWaitForASlowClient(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		var answered time.Time
		f := newBodyFront(t, v, "NewStreamProxy", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadFull(r.Body, make([]byte, 75000))
			bubble.Pass(time.Second)
			answered = time.Now()
			_, _ = w.Write(make([]byte, 2000))
		})
		conn := f.dial(t)
		_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: ends.example\r\nTransfer-Encoding: chunked\r\n\r\n24000\r\n")
		require.NoError(t, err)
		_, err = conn.Write(make([]byte, 40000))
		require.NoError(t, err)
		for range 40 {
			_, err = conn.Write(make([]byte, 1000))
			require.NoError(t, err)
			bubble.Pass(100 * time.Millisecond)
		}
		require.NoError(t, <-f.results)
		require.Less(t, time.Since(answered), 700*time.Millisecond)
		conn.Close()
	})
}

// bodyFrontOrigins answer an upload without a look at it, or while it is being read.
var bodyFrontOrigins = map[string]http.HandlerFunc{
	"unread": func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, 2000)) },
	"closed": func(w http.ResponseWriter, r *http.Request) {
		r.Body.Close()
		bubble.Pass(300 * time.Millisecond)
		_, _ = w.Write(make([]byte, 2000))
	},
	"half read": func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 6000))
		bubble.Pass(100 * time.Millisecond)
		_, _ = w.Write(make([]byte, 2000))
	},
}

// TestBodyFrontKeepsTheAnswerOfASlowClient: a client sends its chunks slowly, but all the time,
// and reads the answer when it has sent all. A large chunk is not silence.
func TestBodyFrontKeepsTheAnswerOfASlowClient(t *testing.T) {
	paces := []bodyPace{
		{chunk: 150000, upload: 8000, rate: 4000},
		{chunk: 150000, upload: 90000, burst: 50000, rate: 10000},
	}
	for _, chunk := range []int{1000, 8000, 32000, 150000} {
		for _, rate := range []int{25000, 50000, 100000} {
			paces = append(paces, bodyPace{chunk: chunk, upload: 100000, rate: rate})
		}
	}
	for name, origin := range bodyFrontOrigins {
		for _, pace := range paces {
			bubble.InVersions(t, fmt.Sprintf("%s/%+v", name, pace), func(t *testing.T, v spdy.Version) {
				for _, way := range []string{"direct", "NewStreamProxy"} {
					f := newBodyFront(t, v, way, origin)
					conn := f.dial(t)
					pace.send(conn)
					res, err := http.ReadResponse(bufio.NewReader(conn), nil)
					require.NoError(t, err, way)
					n, err := io.Copy(io.Discard, res.Body)
					require.NoError(t, err, way)
					require.EqualValues(t, 2000, n)
					conn.Close()
					bubble.Pass(10 * time.Second)
					if f.proxies {
						require.NoError(t, <-f.results)
					}
				}
			})
		}
	}
}

// TestBodyFrontReportsALostAnswer: the client's connection breaks before the answer, or its
// end, has been written. NewStreamProxy reports it whatever the size of the answer.
func TestBodyFrontReportsALostAnswer(t *testing.T) {
	for _, size := range []int{0, 1, 1000, 5000, 100 << 10} {
		for _, begun := range []bool{false, true} {
			for _, upload := range []string{"", "Content-Length: 2000\r\n", "Content-Length: 4\r\n", "Content-Length: 2000000\r\n"} {
				if begun && size == 0 {
					continue
				}
				bubble.InVersions(t, fmt.Sprint(size, "/begun=", begun, "/", strings.TrimSpace(upload)), func(t *testing.T, v spdy.Version) {
					resume := make(chan struct{})
					f := newBodyFront(t, v, "NewStreamProxy", func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path == "/warm" {
							return
						}
						w.Header().Set("Content-Length", fmt.Sprint(size))
						if begun {
							_ = http.NewResponseController(w).Flush()
						}
						<-resume
						_, _ = w.Write(make([]byte, size))
					})
					conn := f.dial(t)
					_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: ends.example\r\n"+upload+"\r\n")
					if upload != "" {
						_, err = io.WriteString(conn, "half")
					}
					require.NoError(t, err)
					go func() { // more than the windows, so that no read of the connection is under way
						if strings.Contains(upload, "2000000") {
							_, _ = conn.Write(make([]byte, 1000000))
						}
					}()
					bubble.Pass(time.Minute)
					conn.Reset()
					bubble.Pass(time.Second)
					close(resume)
					err = <-f.results
					require.Error(t, err)
					requireOneName(t, err)
				})
			}
		}
	}
}

// A leavingWriter is a ResponseWriter whose client leaves as it gets the end of the answer.
type leavingWriter struct {
	*httptest.ResponseRecorder
	leave context.CancelFunc
}

func (w leavingWriter) Write(p []byte) (int, error) {
	w.leave()
	return w.ResponseRecorder.Write(p)
}

// TestBodyFrontReportsALateHangUp: the client of a front without HTTP/1.1 leaves when the
// origin has sent all. Its context alone tells.
func TestBodyFrontReportsALateHangUp(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p := newBodyPeer(t, v, nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, "GET", "http://ends.example/", nil)
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
		results := make(chan error, 1)
		go func() { results <- p.s.NewStreamProxy(r, leavingWriter{httptest.NewRecorder(), cancel}) }()
		require.Equal(t, "SYN+FIN", p.streamFrames())
		p.send(&spdy.SynReplyFrame{StreamID: 1, Headers: bodyHead(v, ":status", "200 OK", ":version", "HTTP/1.1")},
			&spdy.DataFrame{StreamID: 1, Data: []byte("answer"), Flags: spdy.FlagFin})
		require.ErrorIs(t, <-results, context.Canceled)
	})
}

// TestBodyFrontKeepsTheConnection: a connection of a client whose requests have been read, or
// have no body, stays open for the next one.
func TestBodyFrontKeepsTheConnection(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		f := newBodyFront(t, v, "NewStreamProxy", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, "answer")
		})
		conn := f.dial(t)
		r := bufio.NewReader(conn)
		for range 5 {
			for _, request := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"} {
				_, err := io.WriteString(conn, request)
				require.NoError(t, err)
				res, err := http.ReadResponse(r, nil)
				require.NoError(t, err)
				got, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				require.Equal(t, "answer", string(got))
				require.False(t, res.Close)
				require.NoError(t, <-f.results)
				bubble.Pass(time.Minute)
			}
		}
		conn.Close()
	})
}

// TestBodyFrontLogsNoHangUp: a client leaves an event stream behind httputil.ReverseProxy,
// which then logs nothing, as with net/http's own transports.
func TestBodyFrontLogsNoHangUp(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		f := newBodyFront(t, v, "ReverseProxy", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, "data: 1\n\n")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
				}
			}
		})
		conn := f.dial(t)
		_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		_, err = io.ReadFull(res.Body, make([]byte, 18))
		require.NoError(t, err)
		bubble.Pass(500 * time.Millisecond) // nothing is on its way
		conn.Close()
		bubble.Pass(5 * time.Second)
		require.Zero(t, f.pair.openSpdyStreams())
		require.Empty(t, f.log.String())
	})
}

// TestBodyFrontOfAnotherKind: a body that the handler has made, whose Read does not end with a
// deadline of the connection, does not hold NewStreamProxy up.
func TestBodyFrontOfAnotherKind(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		f := newBodyFront(t, v, "direct", func(w http.ResponseWriter, r *http.Request) {})
		res, err := f.pair.client.RoundTrip(httptest.NewRequest("GET", "http://ends.example/", nil))
		require.NoError(t, err)
		res.Body.Close()
		results := make(chan error, 1)
		front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = newBodyRequest() // whose Close ends Read
			results <- f.pair.sessions[0].NewStreamProxy(r, w)
		}))
		front.Listener.Close()
		front.Listener = testconn.Listen()
		front.Start()
		defer front.Close()
		conn, err := front.Listener.(*testconn.Listener).Dial()
		require.NoError(t, err)
		_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n")
		require.NoError(t, err)
		start := time.Now()
		require.NoError(t, <-results)
		require.LessOrEqual(t, time.Since(start), time.Second)
		synctest.Wait()
		conn.Close()
		bubble.Pass(10 * time.Second)
	})
}

// TestBodyWriteDeadlineOfARequest: the write deadline of a stream of NewClientStream passes
// while the origin grants no window. The request fails with it, and its stream ends.
func TestBodyWriteDeadlineOfARequest(t *testing.T) {
	bubble.In(t, "", bubble.Versions[1:], func(t *testing.T, v spdy.Version) {
		p := newBodyPeer(t, v, nil)
		p.send(&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingInitialWindowSize, Value: 10}}})
		synctest.Wait()
		st := p.s.NewClientStream()
		require.NoError(t, st.SetWriteDeadline(time.Now().Add(time.Minute)))
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(context.Background(), "POST", "http://ends.example/", strings.NewReader(strings.Repeat("x", 100)))
		err := st.Request(r, w)
		require.True(t, errors.Is(err, os.ErrDeadlineExceeded), err)
		require.Equal(t, http.StatusGatewayTimeout, w.Code)
		require.Equal(t, "SYN DATA CANCEL", p.streamFrames())
	})
}
