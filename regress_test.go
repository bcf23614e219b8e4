package spdy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// What earlier SPDY libraries for Go did wrong, one test for each fault. The numbers
// in the comments are those at which they broke.

// after lets fake time pass.
func after(d time.Duration) {
	if d > 0 {
		<-time.NewTimer(d).C
	}
}

// A timeout between goroutines of the library ended streams after ten seconds.
func TestSlowHandler(t *testing.T) {
	for _, d := range []time.Duration{11 * time.Second, 24 * time.Hour} {
		rigTest(t, func(w http.ResponseWriter, r *http.Request) {
			after(d)
			fmt.Fprint(w, "sorry to keep you waiting")
		}, rigSetup{}, func(t *testing.T, r *rig) {
			start := time.Now()
			_, body := r.get("/")
			require.Equal(t, "sorry to keep you waiting", body)
			require.Equal(t, d, time.Since(start))
		})
	}
}

// The same in the middle of a body, in both directions.
func TestSlowBodies(t *testing.T) {
	const pauses, piece = 5, 100 << 10
	slow := func(w io.Writer, seed int64) error {
		src := newPattern(seed, pauses*piece)
		for range pauses {
			if _, err := io.CopyN(w, src, piece); err != nil {
				return err
			}
			after(time.Minute)
		}
		return nil
	}
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		check := newPatternCheck(1, pauses*piece)
		_, err := io.Copy(check, r.Body)
		assert.NoError(t, err)
		assert.NoError(t, check.whole())
		assert.NoError(t, slow(w, 2))
	}, rigSetup{}, func(t *testing.T, r *rig) {
		body, up := io.Pipe()
		go func() { up.CloseWithError(slow(up, 1)) }()
		res, err := r.client.RoundTrip(r.request("POST", "/", body))
		require.NoError(t, err)
		check := newPatternCheck(2, pauses*piece)
		_, err = io.Copy(check, res.Body)
		require.NoError(t, err)
		require.NoError(t, check.whole())
	})
}

// A Write waited until the window covered all of it, which it never did from 64 KiB on.
func TestWriteInOneCall(t *testing.T) {
	for _, window := range []int{64 << 10, 256 << 10} {
		conf := &Config{StreamWindow: window, SessionWindow: window}
		rigTest(t, func(w http.ResponseWriter, r *http.Request) {
			data, err := io.ReadAll(newPattern(3, 1<<20))
			assert.NoError(t, err)
			n, err := w.Write(data)
			assert.NoError(t, err)
			assert.Equal(t, 1<<20, n)
		}, rigSetup{client: conf, server: conf}, func(t *testing.T, r *rig) {
			start := time.Now()
			_, body := r.get("/")
			check := newPatternCheck(3, 1<<20)
			io.WriteString(check, body)
			require.NoError(t, check.whole())
			require.Zero(t, time.Since(start), "nothing has to be waited for")
		})
	}
}

// Do waited for ever when the peer reset the stream.
func TestResetDuringDo(t *testing.T) {
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		w.(*Stream).reset(RstRefusedStream, "not today", nil)
	}, rigSetup{}, func(t *testing.T, r *rig) {
		_, _, err := r.fetch(r.request("GET", "/", nil))
		var reset *StreamError
		require.ErrorAs(t, err, &reset)
		require.True(t, reset.Remote)
		require.True(t, reset.Retryable())
		require.Equal(t, RstRefusedStream, reset.Status)
		require.Equal(t, uint32(1), reset.StreamID)
		require.NoError(t, r.client.Err(), "the session lives")
		r.requireBalanced()
	})
}

// Do waited for ever when the connection closed.
func TestConnLostDuringDo(t *testing.T) {
	for name, lose := range map[string]func(c *testconn.Conn){
		"closed by the peer": func(c *testconn.Conn) { c.Peer().Close() },
		"closed here":        func(c *testconn.Conn) { c.Close() },
		"reset":              func(c *testconn.Conn) { c.Reset() },
		"half closed":        func(c *testconn.Conn) { c.Peer().CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			rigTest(t, func(w http.ResponseWriter, r *http.Request) {
				<-r.Context().Done()
				assert.Error(t, context.Cause(r.Context()))
			}, rigSetup{}, func(t *testing.T, r *rig) {
				failed := make(chan error, 2)
				for _, body := range []io.Reader{nil, newPattern(1, 10<<20)} {
					go func() {
						_, _, err := r.fetch(r.request("POST", "/", body))
						failed <- err
					}()
				}
				synctest.Wait()
				require.Empty(t, failed)
				lose(r.cc)
				synctest.Wait()
				require.Len(t, failed, 2, "Do still waits")
				for range 2 {
					var lost *ConnError
					require.ErrorAs(t, <-failed, &lost)
				}
				_, err := r.client.RoundTrip(r.request("GET", "/", nil))
				require.ErrorIs(t, err, r.client.Err())
			})
		})
	}
}

// scripted starts a session of ours whose peer the test plays with a Framer.
func scripted(t *testing.T, client bool, h http.HandlerFunc) (s *Session, conn *testconn.Conn, peer *Framer, ended chan error) {
	mine, theirs := testconn.Pair()
	if client {
		s = quietConfig.ClientSession(mine)
	} else {
		s = quietConfig.ServerSession(mine, &http.Server{Handler: h})
	}
	ended = make(chan error, 1)
	go func() { ended <- s.Serve() }()
	return s, theirs, NewFramer(theirs, theirs, SPDY31), ended
}

// lastGoAway reads frames up to a GOAWAY and the end of the connection.
func lastGoAway(t *testing.T, f *Framer) *GoAwayFrame {
	t.Helper()
	var last *GoAwayFrame
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			require.NotNil(t, last, "no GOAWAY before %v", err)
			return last
		}
		if g, ok := frame.(*GoAwayFrame); ok {
			last = g
		}
	}
}

// Control frames that are shorter than their type were read beyond their end, which
// killed the process: 8 bytes were enough.
func TestShortControlFrames(t *testing.T) {
	for typ := range uint16(12) {
		for length := range 4 {
			if typ == 0 || typ == uint16(FrameNoop) || typ > uint16(FrameWindowUpdate) {
				continue // skipped, SPEC F4 and F5
			}
			for _, client := range []bool{true, false} {
				synctest.Test(t, func(t *testing.T) {
					_, conn, peer, ended := scripted(t, client, nil)
					defer conn.Close()
					raw := append([]byte{0x80, 3, 0, byte(typ), 0, 0, 0, byte(length)}, make([]byte, length)...)
					require.NoError(t, peer.WriteRaw(raw))
					g := lastGoAway(t, peer)
					require.Equal(t, GoAwayProtocolError, g.Status, "type %d, %d bytes", typ, length)
					conn.Close()
					var breach *SessionError
					require.ErrorAs(t, <-ended, &breach)
					require.False(t, breach.Remote)
				})
			}
		}
	}
}

// SETTINGS that claimed 2^32-1 entries made room for them: up to 51 GB from 12 bytes.
func TestSettingsClaim(t *testing.T) {
	for _, claim := range []uint32{1<<32 - 1, 1 << 31, 1 << 29, 1<<29 + 1, 4 << 20, 2} {
		synctest.Test(t, func(t *testing.T) {
			_, conn, peer, ended := scripted(t, false, nil)
			defer conn.Close()
			synctest.Wait()
			var before, now runtime.MemStats
			runtime.ReadMemStats(&before)
			require.NoError(t, peer.WriteRaw([]byte{
				0x80, 3, 0, 4, 0, 0, 0, 4, byte(claim >> 24), byte(claim >> 16), byte(claim >> 8), byte(claim),
			}))
			g := lastGoAway(t, peer)
			runtime.ReadMemStats(&now)
			require.Equal(t, GoAwayProtocolError, g.Status)
			require.Less(t, now.TotalAlloc-before.TotalAlloc, uint64(256<<10))
			conn.Close()
			require.Error(t, <-ended)
		})
	}
}

// A stream that nobody read stopped the others, and PING, after 200 frames.
func TestUnreadStreamBesideALiveOne(t *testing.T) {
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, newPattern(1, 10<<20))
	}, rigSetup{}, func(t *testing.T, r *rig) {
		unread, err := r.client.RoundTrip(r.request("GET", "/unread", nil))
		require.NoError(t, err)
		defer unread.Body.Close()
		synctest.Wait()
		require.EqualValues(t, defaultStreamWindow, unreadBytes(r.client), "the window is full")

		start := time.Now()
		_, body := r.get("/read")
		require.Len(t, body, 10<<20)
		rtt, err := r.client.PingContext(context.Background())
		require.NoError(t, err)
		require.Zero(t, rtt)
		rtt, err = r.server.PingContext(context.Background())
		require.NoError(t, err)
		require.Zero(t, rtt)
		require.Zero(t, time.Since(start))
	})
}

// An upload of 20 MiB arrived as 27 to 35 MB, with status 200.
func TestUploadHashed(t *testing.T) {
	const size = 20 << 20
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		fmt.Fprintf(w, "%d %v %x", n, err, h.Sum(nil))
	}, rigSetup{}, func(t *testing.T, r *rig) {
		want := fmt.Sprintf("%d <nil> %x", size, newPattern(9, size).hash())
		for _, length := range []int64{size, 0} {
			req := r.request("POST", "/", newPattern(9, size))
			req.ContentLength = length
			_, body, err := r.fetch(req)
			require.NoError(t, err)
			require.Equal(t, want, body)
		}
		r.requireBalanced()
	})
}

// Fifty sessions, opened and closed, left a hundred goroutines.
func TestSessionsLeaveNoGoroutine(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	})}
	before := goroutineStacks()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	for i := range 50 {
		c, err := NewClient(ln.Addr().String())
		require.NoError(t, err)
		req, err := http.NewRequest("POST", "http://x/", strings.NewReader("hello"))
		require.NoError(t, err)
		res, err := c.Do(req)
		require.NoError(t, err)
		if i%3 > 0 { // some with the body unread
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, "hello", string(body))
		}
		if i%5 > 0 { // some closed by the server
			require.NoError(t, c.Close())
		}
	}
	require.NoError(t, srv.Close())
	require.ErrorIs(t, <-served, http.ErrServerClosed)
	require.Empty(t, awaitGoroutines(before, leakPatience))
}

// A handler's panic killed the process.
func TestPanickingHandler(t *testing.T) {
	var log bytes.Buffer
	conf := &Config{Logger: textLogger(&log)}
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/begun") {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "some")
			http.NewResponseController(w).Flush()
		}
		m := nilMap()
		switch {
		case strings.HasPrefix(r.URL.Path, "/map"):
			m["nil"] = 1
		case strings.HasPrefix(r.URL.Path, "/goexit"):
			runtime.Goexit()
		case strings.HasPrefix(r.URL.Path, "/abort"):
			panic(http.ErrAbortHandler)
		case strings.HasPrefix(r.URL.Path, "/nil"):
			panic(nil)
		case strings.HasPrefix(r.URL.Path, "/error"):
			panic(errors.New("an error of the handler"))
		}
		fmt.Fprint(w, "fine")
	}, rigSetup{server: conf}, func(t *testing.T, r *rig) {
		live, err := r.client.RoundTrip(r.request("GET", "/fine", nil))
		require.NoError(t, err)
		for _, how := range []string{"map", "goexit", "abort", "nil", "error"} {
			for _, when := range []string{"", "/begun"} {
				log.Reset()
				req := r.request("POST", "/"+how+when, newPattern(1, 1<<20))
				res, body, err := r.fetch(req)
				var reset *StreamError
				require.ErrorAs(t, err, &reset, "%s%s", how, when)
				require.Equal(t, RstInternalError, reset.Status)
				require.True(t, reset.Remote)
				if when == "/begun" {
					require.Equal(t, 200, res.StatusCode)
					requireTruncated(t, err, "%q", body)
				}
				synctest.Wait()
				quiet := how == "goexit" || how == "abort"
				require.Equal(t, !quiet, strings.Contains(log.String(), "panic"), "%s: %s", how, log.String())
				if !quiet {
					require.Contains(t, log.String(), "regress_test.go", "the stack is logged")
				}
			}
		}
		body, err := io.ReadAll(live.Body)
		require.NoError(t, err)
		require.Equal(t, "fine", string(body))
		require.NoError(t, r.client.Err())
		r.requireBalanced()
	})
}

// A SYN_REPLY that came before Do had registered its stream was thrown away. Here it
// comes, with the whole answer, while the sender is still in the Write of the request.
func TestReplyBeforeDoIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := testconn.Pair()
		conn := &answeringConn{Conn: mine, peer: NewFramer(theirs, nil, SPDY31)}
		s := NewClientSession(conn)
		go s.Serve()
		defer theirs.Close()
		for i := range 100 {
			req, err := http.NewRequest("GET", fmt.Sprintf("http://x/%d", i), nil)
			require.NoError(t, err)
			res, err := s.RoundTrip(req)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, "at once", string(body))
		}
		require.EqualValues(t, 100, conn.answered.Load())
		theirs.Close()
		<-s.Done()
	})
}

// An answeringConn answers every request in the middle of the Write that sends it,
// and lets the receiver have the answer before that Write returns.
type answeringConn struct {
	*testconn.Conn
	peer     *Framer
	answered atomic.Int32
}

func (c *answeringConn) Write(p []byte) (int, error) {
	for b := p; len(b) >= frameHeaderSize; {
		h := parseFrameHeader(b)
		if h.control && h.typ == FrameSynStream {
			id := uint32(b[8])<<24 | uint32(b[9])<<16 | uint32(b[10])<<8 | uint32(b[11])
			c.answered.Add(1) // before the answer, which the test may have at once
			c.peer.WriteFrame(&SynReplyFrame{StreamID: id, Headers: HeaderBlock{
				{":status", "200"}, {":version", "HTTP/1.1"}, {"content-length", "7"},
			}})
			c.peer.WriteFrame(&DataFrame{StreamID: id, Flags: FlagFin, Data: []byte("at once")})
			for c.Conn.Unread() > 0 {
				runtime.Gosched()
			}
		}
		b = b[frameHeaderSize+h.length:]
	}
	return c.Conn.Write(p)
}

// SYN_REPLY, HEADERS and SYN_STREAM with an empty or odd header block met maps that
// nobody had made.
func TestEmptyHeaderBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, conn, peer, _ := scripted(t, true, nil)
		defer conn.Close()
		failed := make(chan error, 1)
		req, err := http.NewRequest("GET", "http://x/", nil)
		require.NoError(t, err)
		go func() {
			_, err := s.RoundTrip(req)
			failed <- err
		}()
		synctest.Wait()
		require.NoError(t, peer.WriteFrame(&SynReplyFrame{StreamID: 1}))
		var bad *StreamError
		require.ErrorAs(t, <-failed, &bad)
		require.Equal(t, RstProtocolError, bad.Status)
		require.False(t, bad.Remote)
		require.NoError(t, s.Err())
	})
	synctest.Test(t, func(t *testing.T) {
		s, conn, peer, _ := scripted(t, false, func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("A", "b")
			_ = r.Header["B"]
			io.Copy(w, r.Body)
			w.Header()["C"] = r.Trailer["C"]
		})
		defer conn.Close()
		require.NoError(t, peer.WriteFrame(&SynStreamFrame{StreamID: 1, Flags: FlagFin}))
		require.NoError(t, peer.WriteFrame(&SynStreamFrame{StreamID: 3, Headers: HeaderBlock{
			{":method", "POST"}, {":path", "/"}, {":version", "HTTP/1.1"}, {":host", "x"}, {":scheme", "http"},
		}}))
		require.NoError(t, peer.WriteFrame(&HeadersFrame{StreamID: 3}))
		require.NoError(t, peer.WriteFrame(&HeadersFrame{StreamID: 3, Flags: FlagFin}))
		statuses := make(map[uint32]string)
		for len(statuses) < 2 {
			frame, err := peer.ReadFrame()
			require.NoError(t, err)
			if reply, ok := frame.(*SynReplyFrame); ok {
				statuses[reply.StreamID], _ = reply.Headers.Get(":status")
			}
		}
		require.Equal(t, map[uint32]string{1: "400 Bad Request", 3: "200 OK"}, statuses)
		require.NoError(t, s.Err())
	})
}

// Closing closed channels, in 2015, panicked; so did calls on a session that had ended.
func TestCallsAfterTheEnd(t *testing.T) {
	for _, lose := range []bool{false, true} {
		rigTest(t, func(w http.ResponseWriter, r *http.Request) {}, rigSetup{}, func(t *testing.T, r *rig) {
			r.get("/")
			want := ErrSessionClosed
			if lose {
				r.cc.Reset()
				want = syscall.ECONNRESET
			} else {
				r.client.Close()
			}
			<-r.client.Done()
			for range 2 {
				r.client.Close()
				_, err := r.client.RoundTrip(r.request("POST", "/", newPattern(1, 100)))
				require.ErrorIs(t, err, want)
				_, err = r.client.PingContext(context.Background())
				require.ErrorIs(t, err, want)
				require.False(t, r.client.Ping(time.Second))
				require.NoError(t, r.client.Shutdown(context.Background()))
				r.client.SendGoaway(FLAG_NONE, make([]byte, 8))
				err = r.client.NewClientStream().Request(r.request("GET", "/", nil), NewRecorder())
				require.ErrorIs(t, err, want)
				require.ErrorIs(t, r.client.Err(), want)
				err = r.client.Serve()
				if lose {
					require.ErrorIs(t, err, want)
				} else {
					require.NoError(t, err)
				}
			}
		})
	}
}

// nilMap returns a map that a write to panics.
func nilMap() map[string]int { return nil }

// Closing a TCP connection with bytes unread makes it throw away what was written last:
// the GOAWAY that says why.
func TestGoAwaySurvivesUnreadBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := testconn.Pair(testconn.StrictClose(), testconn.First(testconn.Latency(10*time.Millisecond)))
		s := quietConfig.ServerSession(mine, nil)
		ended := make(chan error, 1)
		go func() { ended <- s.Serve() }()
		peer := NewFramer(theirs, theirs, SPDY31)
		bad := []byte{0x80, 3, 0, 6, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1}
		require.NoError(t, peer.WriteRaw(append(bad, make([]byte, 100<<10)...)))
		require.Equal(t, GoAwayProtocolError, lastGoAway(t, peer).Status)
		theirs.Close()
		require.Error(t, <-ended)
	})
}
