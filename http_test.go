package spdy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// Exchanges between a client and a server of ours; parity/ has what is the same over
// HTTP/1.1 and HTTP/2.

// TestDoReturnsWithTheHeaders: Do returns when the head of the answer has come, and
// Flush brings each part across while the handler goes on.
func TestDoReturnsWithTheHeaders(t *testing.T) {
	var next chan struct{}
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		w.(http.Flusher).Flush()
		for i := range 3 {
			<-next
			fmt.Fprintf(w, "part %d\n", i)
			w.(http.Flusher).Flush()
		}
		<-next
	}, rigSetup{conn: []testconn.Option{testconn.Latency(10 * time.Millisecond)}}, func(t *testing.T, r *rig) {
		next = make(chan struct{}) // of this bubble
		start := time.Now()
		res, err := r.client.RoundTrip(r.request("GET", "/", nil))
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, res.StatusCode)
		require.Equal(t, 20*time.Millisecond, time.Since(start), "one round trip")
		require.EqualValues(t, -1, res.ContentLength)
		lines := bufio.NewReader(res.Body)
		for i := range 3 {
			next <- struct{}{}
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("part %d\n", i), line)
		}
		close(next)
		_, err = lines.ReadString('\n')
		require.Equal(t, io.EOF, err)
	})
}

// TestFullDuplex: request and answer take turns, a line at a time, on one stream.
func TestFullDuplex(t *testing.T) {
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, http.NewResponseController(w).EnableFullDuplex())
		w.(http.Flusher).Flush()
		lines := bufio.NewReader(r.Body)
		for {
			line, err := lines.ReadString('\n')
			if err == io.EOF {
				return
			}
			assert.NoError(t, err)
			io.WriteString(w, strings.ToUpper(line))
			w.(http.Flusher).Flush()
		}
	}, rigSetup{}, func(t *testing.T, r *rig) {
		body, up := io.Pipe()
		res, err := r.client.RoundTrip(r.request("POST", "/", body))
		require.NoError(t, err)
		lines := bufio.NewReader(res.Body)
		for i := range 100 {
			fmt.Fprintf(up, "line %d\n", i)
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("LINE %d\n", i), line)
		}
		require.NoError(t, up.Close())
		_, err = lines.ReadString('\n')
		require.Equal(t, io.EOF, err)
		r.requireBalanced()
	})
}

// TestManyAtOnce: any number of Do at once, more than the server takes together.
func TestManyAtOnce(t *testing.T) {
	var mu sync.Mutex
	running, most := 0, 0
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		after(time.Second)
		io.Copy(w, r.Body)
		mu.Lock()
		running--
		mu.Unlock()
	}, rigSetup{server: &Config{MaxConcurrentStreams: 50}}, func(t *testing.T, r *rig) {
		synctest.Wait() // for SETTINGS
		var wg sync.WaitGroup
		for i := range 500 {
			wg.Go(func() {
				text := fmt.Sprintf("number %d", i)
				_, body, err := r.fetch(r.request("POST", "/", strings.NewReader(text)))
				assert.NoError(t, err)
				assert.Equal(t, text, body)
			})
		}
		start := time.Now()
		wg.Wait()
		require.Equal(t, 50, most)
		require.Equal(t, 10*time.Second, time.Since(start), "they wait for their turn, no longer")
		r.requireBalanced()
	})
}

// TestStreamLimitCountsHandlers: a client that opens streams and resets them does not
// get more handlers than the limit.
func TestStreamLimitCountsHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most, started int
		var mu sync.Mutex
		release := make(chan struct{})
		mine, theirs := testconn.Pair()
		s := (&Config{MaxConcurrentStreams: 10}).ServerSession(mine, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			running++
			started++
			most = max(most, running)
			mu.Unlock()
			<-release // does not look at its context
			mu.Lock()
			running--
			mu.Unlock()
		})})
		go s.Serve()
		peer := NewFramer(theirs, theirs, SPDY31)
		refused := make(chan int, 1)
		go func() {
			n := 0
			for {
				frame, err := peer.ReadFrame()
				if err != nil {
					refused <- n
					return
				}
				if rst, ok := frame.(*RstStreamFrame); ok && rst.Status == RstRefusedStream {
					n++
				}
			}
		}()
		for id := uint32(1); id < 200; id += 2 {
			require.NoError(t, peer.WriteFrame(&SynStreamFrame{StreamID: id, Flags: FlagFin, Headers: plainGet(SPDY31)}))
			require.NoError(t, peer.WriteFrame(&RstStreamFrame{StreamID: id, Status: RstCancel}))
		}
		synctest.Wait()
		require.Equal(t, 10, most)
		close(release)
		synctest.Wait()
		require.Zero(t, running)
		require.NoError(t, peer.WriteFrame(&SynStreamFrame{StreamID: 201, Flags: FlagFin, Headers: plainGet(SPDY31)}))
		synctest.Wait()
		require.NoError(t, s.Err())
		s.Close()
		require.Zero(t, <-refused, "the others have left the queue")
		require.EqualValues(t, 11, started)
		theirs.Close()
	})
}

// TestTrailers: both ways, announced and not, and empty bodies.
func TestTrailers(t *testing.T) {
	for _, size := range []int64{0, 10, 100_000} {
		rigTest(t, func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, http.Header{"X-Sum": nil}, r.Trailer, "announced")
			_, err := io.Copy(io.Discard, r.Body)
			assert.NoError(t, err)
			assert.Equal(t, http.Header{"X-Sum": {"1", "2"}}, r.Trailer)
			w.Header().Set("Trailer", "X-A,X-B, Content-Length")
			io.Copy(w, newPattern(1, size))
			w.Header().Set("X-A", "a")
			w.Header().Set(http.TrailerPrefix+"X-C", "c")
			w.Header().Set(http.TrailerPrefix+"Content-Length", "7") // may not be a trailer
		}, rigSetup{}, func(t *testing.T, r *rig) {
			req := r.request("POST", "/", io.NopCloser(newPattern(1, size)))
			req.Trailer = http.Header{"X-Sum": {"0"}}
			req.Trailer["X-Sum"] = []string{"1", "2"}
			res, err := r.client.RoundTrip(req)
			require.NoError(t, err)
			require.Contains(t, res.Trailer, "X-A")
			n, err := io.Copy(io.Discard, res.Body)
			require.NoError(t, err)
			require.Equal(t, size, n)
			require.Equal(t, http.Header{"X-A": {"a"}, "X-B": nil, "X-C": {"c"}}, res.Trailer)
			r.requireBalanced()
		})
	}
}

// TestWrongLengthsOfPeers: a body that is not as long as its Content-Length is an error
// to its reader, whichever it is and whoever sends it.
func TestWrongLengthsOfPeers(t *testing.T) {
	length := HeaderField{"content-length", "10"}
	for sent, want := range map[int]error{0: io.ErrUnexpectedEOF, 9: io.ErrUnexpectedEOF, 10: nil, 11: http.ErrContentLength, 5000: http.ErrContentLength} {
		data := &DataFrame{StreamID: 1, Flags: FlagFin, Data: patternBytes(1, int64(sent))}
		synctest.Test(t, func(t *testing.T) {
			s, l := loggedClient(t)
			results := make(chan error, 2)
			for _, shortcut := range []bool{false, true} {
				go func() {
					req, err := http.NewRequest("GET", "http://x/", nil)
					assert.NoError(t, err)
					res, err := s.RoundTrip(req)
					if assert.NoError(t, err) {
						assert.EqualValues(t, 10, res.ContentLength)
						var n int64
						if shortcut {
							n, err = io.Copy(io.Discard, res.Body)
						} else {
							n, err = copyByRead(io.Discard, res.Body, 4)
						}
						assert.LessOrEqual(t, n, int64(10))
						results <- err
					}
				}()
				synctest.Wait()
			}
			l.send(t, plainReply(1, 0, length))
			l.send(t, data)
			l.send(t, plainReply(3, 0, length))
			l.send(t, &DataFrame{StreamID: 3, Flags: FlagFin, Data: data.Data})
			for range 2 {
				err := <-results
				if want == nil {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, want, "%d bytes", sent)
				}
			}
			l.conn.Close()
			<-s.Done()
		})
		synctest.Test(t, func(t *testing.T) {
			results := make(chan error, 1)
			s, conn, peer, _ := scripted(t, false, func(w http.ResponseWriter, r *http.Request) {
				n, err := io.Copy(io.Discard, r.Body)
				assert.LessOrEqual(t, n, int64(10))
				results <- err
			})
			head := append(plainGet(SPDY31, ":method", "POST"), length)
			require.NoError(t, peer.WriteFrame(&SynStreamFrame{StreamID: 1, Headers: head}))
			require.NoError(t, peer.WriteFrame(data))
			err := <-results
			if want == nil {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, want, "%d bytes", sent)
			}
			conn.Close()
			<-s.Done()
		})
	}
}

// TestWrongLengthOfUploads: a request whose body is not as long as it says fails at the
// client, and the server never takes it for whole.
func TestWrongLengthOfUploads(t *testing.T) {
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		assert.Error(t, err)
		<-r.Context().Done()
	}, rigSetup{}, func(t *testing.T, r *rig) {
		for size, want := range map[int64]error{9: io.ErrUnexpectedEOF, 11: http.ErrContentLength} {
			req := r.request("POST", "/", newPattern(1, size))
			req.ContentLength = 10
			_, _, err := r.fetch(req)
			require.ErrorIs(t, err, want)
		}
		failing := errors.New("disk on fire")
		req := r.request("POST", "/", io.MultiReader(newPattern(1, 5), failingReader{failing}))
		_, _, err := r.fetch(req)
		require.ErrorIs(t, err, failing)
		r.requireBalanced()
	})
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

// TestCloseFromHandlers: Close may be called from anywhere, also from a handler, by
// everybody, and again.
func TestCloseFromHandlers(t *testing.T) {
	for _, shutdown := range []bool{false, true} {
		var r *rig
		rigTest(t, func(w http.ResponseWriter, _ *http.Request) {
			r.server.Close()
			r.client.Close()
			_, err := w.Write(make([]byte, 1<<20))
			assert.ErrorIs(t, err, ErrSessionClosed)
		}, rigSetup{}, func(t *testing.T, rr *rig) {
			r = rr
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					_, _, err := r.fetch(r.request("GET", "/", nil))
					assert.Error(t, err)
					if i%2 == 0 {
						r.client.Close()
					}
				})
			}
			if shutdown {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				assert.NoError(t, r.server.Shutdown(ctx))
			}
			wg.Wait()
			r.ended()
		})
	}
}

// TestGracefulShutdown: Shutdown lets what runs finish, takes nothing new, and gives up
// when its context does.
func TestGracefulShutdown(t *testing.T) {
	for _, patience := range []time.Duration{time.Hour, time.Second} {
		rigTest(t, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			after(time.Minute)
			io.Copy(w, newPattern(1, 100_000))
		}, rigSetup{}, func(t *testing.T, r *rig) {
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					_, body, err := r.fetch(r.request("GET", "/", nil))
					if patience > time.Minute {
						assert.NoError(t, err)
						assert.Len(t, body, 100_000)
					} else {
						assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
					}
				})
			}
			synctest.Wait()
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- r.server.Shutdown(ctx) }()
			synctest.Wait()
			_, err := r.client.RoundTrip(r.request("GET", "/", nil))
			var refused *StreamError
			require.ErrorAs(t, err, &refused)
			require.True(t, refused.Retryable())
			require.True(t, r.client.Ping(time.Nanosecond), "PING goes on, SPEC G9")
			start := time.Now()
			err = <-done
			if patience > time.Minute {
				require.NoError(t, err)
				require.Equal(t, time.Minute, time.Since(start))
			} else {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
			wg.Wait()
			clientErr, serverErr := r.ended()
			require.NoError(t, serverErr)
			if patience > time.Minute {
				require.NoError(t, clientErr)
			}
			after(2 * time.Minute) // for the handlers
		})
	}
}

// TestShortAnswerIsReset: an answer with less than its Content-Length does not end with a
// FIN, which clients that do not count would take for its end.
func TestShortAnswerIsReset(t *testing.T) {
	for _, written := range []int{0, 5, 5000} {
		for _, flush := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s, conn, peer, _ := scripted(t, false, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Length", "10000")
					w.Write(make([]byte, written))
					if flush {
						w.(http.Flusher).Flush()
					}
				})
				require.NoError(t, peer.WriteFrame(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(SPDY31)}))
				for {
					frame, err := peer.ReadFrame()
					require.NoError(t, err)
					switch f := frame.(type) {
					case *SynReplyFrame:
						require.Zero(t, f.Flags)
					case *DataFrame:
						require.Zero(t, f.Flags)
					case *RstStreamFrame:
						require.Equal(t, RstInternalError, f.Status)
						conn.Close()
						<-s.Done()
						return
					}
				}
			})
		}
	}
}
