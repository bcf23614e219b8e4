package spdy

import (
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// What net/http does, found by the suite in parity/, where a test of the package itself
// shows more.

// TestOptionsOfTheServer: as in net/http, "OPTIONS *" is answered for the handler,
// unless the server does not want that.
func TestOptionsOfTheServer(t *testing.T) {
	for disable, want := range map[bool]int{false: http.StatusOK, true: http.StatusTeapot} {
		synctest.Test(t, func(t *testing.T) {
			one, two := testconn.Pair()
			client := NewClientSession(one)
			server := NewServerSession(two, &http.Server{
				DisableGeneralOptionsHandler: disable,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(http.StatusTeapot)
				}),
			})
			go client.Serve()
			go server.Serve()
			defer server.Close()
			defer client.Close()
			status := func(method, path string) int {
				req, err := http.NewRequest(method, "http://example.com", nil)
				require.NoError(t, err)
				req.URL.Path = path
				res, err := client.RoundTrip(req)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				return res.StatusCode
			}
			require.Equal(t, want, status("OPTIONS", "*"))
			require.Equal(t, http.StatusTeapot, status("OPTIONS", "/"))
			require.Equal(t, http.StatusTeapot, status("GET", "/"))
		})
	}
}

// TestBodyAfterTheHandler: a body that somebody has kept says that it is closed,
// whatever was left of it.
func TestBodyAfterTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bodies := make(chan io.ReadCloser, 1)
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { bodies <- r.Body }), rigSetup{})
		defer r.close()
		_, _, err := r.fetch(r.request("POST", "/", strings.NewReader("unread")))
		require.NoError(t, err)
		synctest.Wait()
		body := <-bodies
		_, err = body.Read(make([]byte, 1))
		require.Equal(t, http.ErrBodyReadAfterClose, err)
		require.NoError(t, body.Close())
	})
}

// TestHeadLikeGet: what an answer to HEAD says of its body is what one to GET would
// have said, and no trailer follows the body that is not there.
func TestHeadLikeGet(t *testing.T) {
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/trailer" {
			w.Header().Set("Trailer", "X-Sum")
			io.WriteString(w, "body")
			w.Header().Set("X-Sum", "42")
			return
		}
		_, _ = io.Copy(w, newPattern(1, int64(len(r.URL.RawQuery))))
	}, rigSetup{}, func(t *testing.T, r *rig) {
		for size, want := range map[int]int64{1: 1, answerBuffer: answerBuffer, answerBuffer + 1: -1} {
			for _, method := range []string{"GET", "HEAD"} {
				res, _, err := r.fetch(r.request(method, "/?"+strings.Repeat("x", size), nil))
				require.NoError(t, err)
				require.Equal(t, want, res.ContentLength, "%s of %d bytes", method, size)
			}
		}
		res, _, err := r.fetch(r.request("HEAD", "/trailer", nil))
		require.NoError(t, err)
		require.Equal(t, http.Header{"X-Sum": nil}, res.Trailer)
		require.EqualValues(t, len("body"), res.ContentLength)
	})
}

// TestLengthDoesNotDependOnTime: only a FIN on the SYN_REPLY says before the body is read
// that there is none. What has come by the time that RoundTrip looks makes no difference.
func TestLengthDoesNotDependOnTime(t *testing.T) {
	for name, c := range map[string]struct {
		reply *SynReplyFrame
		then  Frame
		want  int64
	}{
		"FIN with the reply": {plainReply(1, FlagFin), nil, 0},
		"FIN by itself":      {plainReply(1, 0), &DataFrame{StreamID: 1, Flags: FlagFin}, -1},
		"FIN with trailers":  {plainReply(1, 0), &HeadersFrame{StreamID: 1, Flags: FlagFin, Headers: HeaderBlock{{"x-sum", "42"}}}, -1},
		"FIN after an interim answer": {
			&SynReplyFrame{StreamID: 1, Headers: HeaderBlock{{":status", "103"}, {":version", "HTTP/1.1"}}},
			&HeadersFrame{StreamID: 1, Flags: FlagFin, Headers: plainReply(1, 0).Headers}, 0,
		},
		"length and no bytes": {plainReply(1, 0, HeaderField{"content-length", "0"}), &DataFrame{StreamID: 1, Flags: FlagFin}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, l := loggedClient(t)
				req, err := http.NewRequest("GET", "http://example.com/", nil)
				require.NoError(t, err)
				up := &upload{st: s.newLocalStream(0), req: req}
				require.NoError(t, up.open())
				l.send(t, c.reply)
				if c.then != nil {
					l.send(t, c.then)
				}
				synctest.Wait()
				res, err := s.awaitResponse(up)
				require.NoError(t, err)
				require.Equal(t, c.want, res.ContentLength)
				require.Empty(t, res.Trailer, "before the body is read")
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				require.Empty(t, body)
				require.Equal(t, name == "FIN with trailers", res.Trailer.Get("X-Sum") == "42")
			})
		})
	}
}

// TestWhatWasFlushedArrives: what a handler has flushed, and what it wrote of an answer
// that is too short for its Content-Length, reaches the client before the error does,
// even if the network takes nothing in the meantime.
func TestWhatWasFlushedArrives(t *testing.T) {
	handlers := map[string]struct {
		serve func(w http.ResponseWriter)
		body  string
	}{
		"headers": {func(w http.ResponseWriter) {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, ""},
		"body": {func(w http.ResponseWriter) {
			io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "begun"},
		"too little": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "50")
			io.WriteString(w, "begun")
		}, "begun"},
		"nothing": {func(w http.ResponseWriter) { w.Header().Set("Content-Length", "50") }, ""},
	}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			rigTest(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Kept", "yes")
				h.serve(w)
			}, rigSetup{}, func(t *testing.T, r *rig) {
				release := r.jam()
				time.AfterFunc(time.Second, release)
				res, err := r.client.RoundTrip(r.request("GET", "/", nil))
				require.NoError(t, err)
				require.Equal(t, "yes", res.Header.Get("X-Kept"))
				body, err := io.ReadAll(res.Body)
				require.Equal(t, h.body, string(body))
				requireTruncated(t, err)
				require.NoError(t, res.Body.Close())
				r.requireBalanced()
			})
		})
	}
}

// jam makes the server's sender wait for the network until release is called.
func (r *rig) jam() (release func()) {
	synctest.Wait()
	r.sc.SetHold(true)
	r.sc.SetWriteCap(1)
	go r.server.PingContext(context.Background())
	synctest.Wait()
	return func() {
		r.sc.SetHold(false)
		r.sc.SetWriteCap(0)
	}
}

// TestFlushDeadline: a Flush whose headers the network does not take ends with the write
// deadline; one that has nothing to wait for does not look at it.
func TestFlushDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		results := make(chan error, 2)
		stuck := make(chan struct{})
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			if r.URL.Path == "/stuck" {
				<-stuck
				assert.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
				results <- c.Flush()
				return
			}
			assert.NoError(t, c.Flush())
			assert.NoError(t, c.SetWriteDeadline(time.Now().Add(-time.Second)))
			results <- c.Flush()
		}), rigSetup{})
		defer r.close()
		r.get("/fine")
		require.NoError(t, <-results)
		go r.client.RoundTrip(r.request("GET", "/stuck", nil))
		synctest.Wait()
		defer r.jam()()
		start := time.Now()
		close(stuck)
		require.ErrorIs(t, <-results, os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
	})
}

// TestFlushedHeaders: headers that have left were flushed, even if the client has reset
// the stream upon them before the handler goes on; those that were dropped were not.
func TestFlushedHeaders(t *testing.T) {
	story(t, "taken", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		st := p.wantAccept("theirs", 1)
		p.reply(st, 0)
		p.wantSynReply("the answer", 1)
		p.sendRst(1, RstCancel)
		p.hasEnded("by the peer", st)
		require.NoError(t, st.awaitHeaders())
	})
	story(t, "dropped", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		st := p.wantAccept("theirs", 1)
		release := p.holdSender()
		p.reply(st, 0)
		flush := p.async("flush", func(c *call) { c.err = st.awaitHeaders() })
		flush.pending("the sender is at work elsewhere")
		p.sendRst(1, RstCancel)
		flush.failsReset("they will never leave", RstCancel, true)
		release()
	})
}
