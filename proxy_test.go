package spdy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// proxied runs one request through NewStreamProxy into a recorder.
func proxied(s *Session, req *http.Request) (*httptest.ResponseRecorder, error) {
	w := httptest.NewRecorder()
	err := s.NewStreamProxy(req, w)
	return w, err
}

// TestProxyStatus: without an answer, the status says whose fault it is.
func TestProxyStatus(t *testing.T) {
	causes := []struct {
		name   string
		status int
		fail   func(t *testing.T, s *Session, l *frameLog, cancel context.CancelCauseFunc)
		err    error
	}{
		{"refused", http.StatusServiceUnavailable, func(t *testing.T, s *Session, l *frameLog, _ context.CancelCauseFunc) {
			for i := range uint32(proxyTries) {
				l.send(t, &RstStreamFrame{StreamID: 1 + 2*i, Status: RstRefusedStream})
				after(retryPause << i) // longer than the pause
			}
		}, nil},
		{"reset", http.StatusBadGateway, func(t *testing.T, s *Session, l *frameLog, _ context.CancelCauseFunc) {
			l.send(t, &RstStreamFrame{StreamID: 1, Status: RstInternalError})
		}, nil},
		{"not processed", http.StatusServiceUnavailable, func(t *testing.T, s *Session, l *frameLog, _ context.CancelCauseFunc) {
			l.send(t, &GoAwayFrame{})
		}, nil},
		{"bad answer", http.StatusBadGateway, func(t *testing.T, s *Session, l *frameLog, _ context.CancelCauseFunc) {
			l.send(t, &SynReplyFrame{StreamID: 1, Headers: HeaderBlock{{":status", "what"}}})
		}, nil},
		{"connection lost", http.StatusBadGateway, func(t *testing.T, s *Session, l *frameLog, _ context.CancelCauseFunc) {
			l.conn.Close()
		}, io.ErrUnexpectedEOF},
		{"session error", http.StatusBadGateway, func(t *testing.T, s *Session, l *frameLog, _ context.CancelCauseFunc) {
			l.send(t, &GoAwayFrame{LastGoodStreamID: 1, Status: GoAwayInternalError})
			l.conn.Close()
		}, nil},
		{"session closed", http.StatusServiceUnavailable, func(t *testing.T, s *Session, l *frameLog, _ context.CancelCauseFunc) {
			go s.Close()
		}, ErrSessionClosed},
		{"time ran out", http.StatusGatewayTimeout, func(t *testing.T, s *Session, l *frameLog, _ context.CancelCauseFunc) {
			after(time.Minute)
		}, context.DeadlineExceeded},
		{"timeout as the cause", http.StatusGatewayTimeout, func(t *testing.T, s *Session, l *frameLog, cancel context.CancelCauseFunc) {
			l.send(t, &RstStreamFrame{StreamID: 3, Status: RstCancel}) // of another stream
			after(time.Minute)
		}, context.DeadlineExceeded},
		{"cancelled, perhaps not by the client", http.StatusBadGateway, func(t *testing.T, s *Session, l *frameLog, cancel context.CancelCauseFunc) {
			cancel(nil)
		}, context.Canceled},
	}
	for _, c := range causes {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := loggedClient(t)
				ctx, cancel := context.WithCancelCause(context.Background())
				ctx, stop := context.WithTimeout(ctx, time.Minute)
				defer stop()
				defer cancel(nil)
				req := httptest.NewRequest("GET", "http://x/", nil).WithContext(ctx)
				type result struct {
					w   *httptest.ResponseRecorder
					err error
				}
				results := make(chan result, 1)
				go func() {
					w := httptest.NewRecorder()
					w.Code = 0
					err := s.NewStreamProxy(req, w)
					results <- result{w, err}
				}()
				synctest.Wait()
				c.fail(t, s, l, cancel)
				r := <-results
				require.Error(t, r.err)
				if c.err != nil {
					require.ErrorIs(t, r.err, c.err)
				}
				require.Equal(t, c.status, r.w.Code)
				require.Equal(t, http.StatusText(c.status)+"\n", r.w.Body.String(), "nothing of the inside is told")
				l.conn.Close()
				s.Close()
			})
		})
	}
}

// TestProxyStatusAfterTheEnd: a session that has ended, or has no stream to give in time.
func TestProxyStatusAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := loggedClient(t)
		l.send(t, &SettingsFrame{Entries: []Setting{{ID: SettingMaxConcurrentStreams}}})
		synctest.Wait()
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		w, err := proxied(s, httptest.NewRequest("GET", "http://x/", nil).WithContext(ctx))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, http.StatusGatewayTimeout, w.Code)
		l.conn.Close()
		<-s.Done()
		w, err = proxied(s, httptest.NewRequest("GET", "http://x/", nil))
		require.ErrorIs(t, err, ErrSessionClosed)
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		st := s.NewClientStream()
		require.Error(t, st.Request(httptest.NewRequest("GET", "http://x/", nil), httptest.NewRecorder()))
		require.ErrorIs(t, st.Request(httptest.NewRequest("GET", "http://x/", nil), httptest.NewRecorder()), errUsedStream)
	})
}

// TestProxyStreams: through a relay, HTTP/1.1 on one side and SPDY on the other, each part of
// a body comes across before the next is sent, in both directions, with trailers.
func TestProxyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "relay.example", r.Host)
			assert.Empty(t, r.Header.Get("Connection"))
			assert.Equal(t, "1", r.Header.Get("X-Hop"), "the relay's handler may have added it")
			w.Header().Set("Trailer", "X-Sum")
			w.Header().Set("Connection", "X-Other")
			w.Header().Set("X-Other", "stays here")
			w.(http.Flusher).Flush()
			lines := bufio.NewReader(r.Body)
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					assert.Equal(t, io.EOF, err)
					break
				}
				fmt.Fprint(w, strings.ToUpper(line))
				w.(http.Flusher).Flush()
			}
			w.Header().Set("X-Sum", r.Trailer.Get("X-Up"))
		}), rigSetup{})
		ln := lingerListener{testconn.Listen()}
		front := &http.Server{ErrorLog: quietLog, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.NoError(t, back.client.NewStreamProxy(r, wrapped{w}))
		})}
		go front.Serve(ln)
		conn, err := ln.Dial()
		require.NoError(t, err)
		io.WriteString(conn, "POST /a?b HTTP/1.1\r\nHost: relay.example\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTrailer: X-Up\r\nTransfer-Encoding: chunked\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, 200, res.StatusCode)
		require.Empty(t, res.Header.Get("X-Other"))
		lines := bufio.NewReader(res.Body)
		for i := range 5 {
			line := fmt.Sprintf("line %d\n", i)
			fmt.Fprintf(conn, "%x\r\n%s\r\n", len(line), line)
			got, err := lines.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, strings.ToUpper(line), got)
		}
		io.WriteString(conn, "0\r\nX-Up: 42\r\n\r\n")
		_, err = lines.ReadString('\n')
		require.Equal(t, io.EOF, err)
		require.Equal(t, http.Header{"X-Sum": {"42"}}, res.Trailer)
		conn.Close()
		front.Close()
		back.close()
	})
}

// TestProxyBodies moves bodies through the relay, SPDY on both sides, and keeps no more of
// them than the windows allow.
func TestProxyBodies(t *testing.T) {
	const size = 3<<20 + 7
	synctest.Test(t, func(t *testing.T) {
		back := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength >= 0 {
				w.Header().Set("Content-Length", fmt.Sprint(r.ContentLength))
			}
			io.Copy(w, r.Body)
		}), rigSetup{})
		front := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			err := back.client.NewStreamProxy(r, w)
			assert.Equal(t, r.URL.Path == "/cut", err != nil, "%v", err)
		}), rigSetup{})
		defer back.close()
		defer front.close()
		var wg sync.WaitGroup
		for i := range int64(8) {
			wg.Go(func() {
				req := front.request("POST", "/", newPattern(i, size))
				if i%2 == 0 {
					req.ContentLength = size
				}
				res, err := front.client.RoundTrip(req)
				if !assert.NoError(t, err) {
					return
				}
				assert.Equal(t, i%2 == 0, res.ContentLength == size)
				check := newPatternCheck(i, size)
				_, err = io.Copy(check, res.Body)
				assert.NoError(t, err)
				assert.NoError(t, check.whole())
			})
		}
		wg.Wait()
		front.requireBalanced()
		back.requireBalanced()

		// A viewer who reads nothing holds what three windows take, and stops nobody.
		res, err := front.client.RoundTrip(front.request("POST", "/cut", newPattern(1, 1<<40)))
		require.NoError(t, err)
		synctest.Wait()
		require.LessOrEqual(t, unreadBytes(back.client)+unreadBytes(front.client), int64(2*defaultStreamWindow))
		_, body, err := front.fetch(front.request("POST", "/", strings.NewReader("beside it")))
		require.NoError(t, err)
		require.Equal(t, "beside it", body)

		// Its hanging up is told all the way.
		require.NoError(t, res.Body.Close())
		front.requireBalanced()
		back.requireBalanced()
	})
}

// TestProxyCancels: a client that hangs up ends the request at the origin at once.
func TestProxyCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		back := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/begun" {
				io.WriteString(w, "some")
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
			assert.Equal(t, context.Canceled, context.Cause(r.Context()))
			_, err := w.Write(make([]byte, 2*answerBuffer))
			ended <- err
		}), rigSetup{})
		ln := lingerListener{testconn.Listen()}
		front := &http.Server{ErrorLog: quietLog, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			err := back.client.NewStreamProxy(r, w)
			assert.ErrorIs(t, err, context.Canceled)
		})}
		go front.Serve(ln)
		for _, path := range []string{"/silent", "/begun"} {
			conn, err := ln.Dial()
			require.NoError(t, err)
			io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
			synctest.Wait()
			start := time.Now()
			conn.Close()
			var reset *StreamError
			require.ErrorAs(t, <-ended, &reset)
			require.Equal(t, RstCancel, reset.Status)
			require.True(t, reset.Remote)
			require.Zero(t, time.Since(start))
		}
		front.Close()
		back.requireBalanced()
		back.close()
	})
}

// brokenWriter fails after n bytes.
type brokenWriter struct {
	http.ResponseWriter
	left int
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	if n < len(p) {
		return n, os.ErrPermission
	}
	return w.ResponseWriter.Write(p)
}

// TestProxyWriterFails: an error of the writer is returned, and the stream reset.
func TestProxyWriterFails(t *testing.T) {
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, newPattern(1, 1<<40))
	}, rigSetup{}, func(t *testing.T, r *rig) {
		err := r.client.NewStreamProxy(r.request("GET", "/", nil), &brokenWriter{httptest.NewRecorder(), 100_000})
		require.ErrorIs(t, err, os.ErrPermission)
		r.requireBalanced()
	})
}

// TestRequestIntoRecorder is Stream.Request as programs of 2015 used it.
func TestRequestIntoRecorder(t *testing.T) {
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("X-Many", "1")
		w.Header().Add("X-Many", "2")
		w.WriteHeader(http.StatusTeapot)
		io.Copy(w, r.Body)
	}, rigSetup{}, func(t *testing.T, r *rig) {
		const size = 2 << 20
		rec := NewRecorder()
		st := r.client.NewClientStream()
		require.NoError(t, st.Request(r.request("POST", "/", newPattern(1, size)), rec))
		require.Equal(t, http.StatusTeapot, rec.Code)
		require.Equal(t, []string{"1", "2"}, rec.HeaderMap["X-Many"])
		require.True(t, bytes.Equal(patternBytes(1, size), rec.Body.Bytes()))
		require.True(t, rec.Flushed)
		require.ErrorIs(t, st.Request(r.request("GET", "/", nil), rec), errUsedStream)
		_, err := st.Write([]byte("late"))
		require.ErrorIs(t, err, ErrStreamClosed)
		r.requireBalanced()
	})
}
