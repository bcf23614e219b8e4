package spdy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// What a Transport sends again, and what it never does (issue 4, A20).

// A countedBody counts how often it is read and closed. It hides its type from
// http.NewRequest, which would set GetBody.
type countedBody struct {
	io.Reader
	reads, closes atomic.Int32
}

func (b *countedBody) Read(p []byte) (int, error) {
	b.reads.Add(1)
	return b.Reader.Read(p)
}

func (b *countedBody) Close() error {
	b.closes.Add(1)
	return nil
}

func TestTransportRetries(t *testing.T) {
	type fate func(p *testPeer, r *scriptedPool)
	rst := func(status RstStatus) fate {
		return func(p *testPeer, r *scriptedPool) { p.sendRst(1, status) }
	}
	goAway := func(last uint32) fate {
		return func(p *testPeer, r *scriptedPool) { p.sendGoAway(last, GoAwayOK) }
	}
	lost := func(p *testPeer, r *scriptedPool) { p.conn.Reset() }
	closed := func(p *testPeer, r *scriptedPool) { p.conn.Close() }
	for _, tt := range []struct {
		name   string
		fate   fate
		unseen bool // the server has not looked at the request
		dials  int  // with a retry
	}{
		{"REFUSED_STREAM", rst(RstRefusedStream), true, 2},
		{"GOAWAY before it", goAway(0), true, 2},
		{"GOAWAY after it, then lost", func(p *testPeer, r *scriptedPool) {
			p.sendGoAway(1, GoAwayOK)
			p.conn.Reset()
		}, false, 0},
		{"CANCEL", rst(RstCancel), false, 0},
		{"INTERNAL_ERROR", rst(RstInternalError), false, 0},
		{"PROTOCOL_ERROR", rst(RstProtocolError), false, 0},
		{"connection reset", lost, false, 0},
		{"connection closed", closed, false, 0},
	} {
		for _, how := range []string{"GET", "PUT", "POST rewindable", "POST"} {
			scriptedTest(t, tt.name+"/"+how, nil, func(t *testing.T, r *scriptedPool) {
				method, _, _ := strings.Cut(how, " ")
				var body *countedBody
				req := r.request(method, "http://a.example/", nil)
				rewindable := how == "GET"
				if how != "GET" {
					body = &countedBody{Reader: strings.NewReader("text")}
					req.Body, req.ContentLength = body, 4
				}
				if how == "POST rewindable" || how == "PUT" {
					rewindable = true
					req.GetBody = func() (io.ReadCloser, error) {
						require.EqualValues(t, 1, body.closes.Load(), "the old one is closed")
						body = &countedBody{Reader: strings.NewReader("text")}
						return body, nil
					}
				}
				call := r.start(req)
				p := r.peer(0)
				p.wantSynStream("the request", 1)
				if body != nil {
					p.wantBody("its body", 1, "text")
				}
				tt.fate(p, r)
				if !tt.unseen || !rewindable {
					call.wait("it fails")
					require.Error(t, call.err)
					require.Equal(t, 1, r.dials())
					if tt.unseen {
						var e *StreamError
						require.ErrorAs(t, call.err, &e)
						require.True(t, e.Retryable())
					}
				} else {
					id := uint32(3)
					if tt.dials == 2 {
						p, id = r.peer(1), 1
					}
					p.wantSynStream("again", id)
					if body != nil {
						p.wantBody("from the beginning", id, "text")
					}
					p.answer(id, "done")
					require.Equal(t, "done", call.ok("the second try"))
					require.Same(t, req, call.res.Request)
					require.Equal(t, tt.dials, r.dials())
				}
				if body != nil {
					require.EqualValues(t, 1, body.closes.Load(), "the body is closed")
				}
			})
		}
	}
}

func TestTransportRetryLimits(t *testing.T) {
	single := func(r *poolRig) { r.tr.MaxSessionsPerHost = 1 }
	scriptedTest(t, "six tries, with pauses", single, func(t *testing.T, r *scriptedPool) {
		start := time.Now()
		call := r.startGet("http://a.example/")
		p := r.peer(0)
		for i := range maxTries {
			for p.conn.Unread() == 0 {
				call.pending("it is tried again")
				pass(10 * time.Millisecond)
			}
			p.wantSynStream("a try", uint32(1+2*i))
			p.sendRst(uint32(1+2*i), RstRefusedStream)
		}
		call.wait("enough")
		requireReset(t, "the last refusal", call.err, RstRefusedStream, true)
		require.InDelta(t, 1500, time.Since(start).Milliseconds(), 400)
		p.wantSilence("no more")
	})
	scriptedTest(t, "cancelled in a pause", single, func(t *testing.T, r *scriptedPool) {
		ctx, cancel := context.WithCancelCause(context.Background())
		body := &countedBody{Reader: strings.NewReader("text")}
		req := r.request("POST", "http://a.example/", body).WithContext(ctx)
		var again countedBody
		req.GetBody = func() (io.ReadCloser, error) { return &again, nil }
		again.Reader = strings.NewReader("text")
		call := r.start(req)
		p := r.peer(0)
		p.wantSynStream("the request", 1)
		p.wantBody("its body", 1, "text")
		p.sendRst(1, RstRefusedStream)
		p.wantSynStream("again", 3)
		p.wantBody("its body", 3, "text")
		p.sendRst(3, RstRefusedStream)
		call.pending("a pause")
		why := errors.New("never mind")
		cancel(why)
		call.wait("cancelled")
		require.ErrorIs(t, call.err, why)
		require.EqualValues(t, 1, body.closes.Load())
		require.GreaterOrEqual(t, again.closes.Load(), int32(1))
		p.wantSilence("no more")
	})
	scriptedTest(t, "GetBody fails", nil, func(t *testing.T, r *scriptedPool) {
		req := r.request("POST", "http://a.example/", strings.NewReader("text"))
		req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		call := r.start(req)
		p := r.peer(0)
		p.wantSynStream("the request", 1)
		p.wantBody("its body", 1, "text")
		p.sendRst(1, RstRefusedStream)
		call.wait("no second try")
		requireReset(t, "the refusal", call.err, RstRefusedStream, true)
	})
	scriptedTest(t, "refused after the answer began", nil, func(t *testing.T, r *scriptedPool) {
		call := r.startGet("http://a.example/")
		p := r.peer(0)
		p.wantSynStream("the request", 1)
		p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(SPDY31)})
		p.sendRst(1, RstRefusedStream)
		call.wait("the body fails")
		requireTruncated(t, call.err)
		require.Equal(t, 1, r.dials())
		p.wantSilence("no second try")
	})
	scriptedTest(t, "a body that nobody has read", func(r *poolRig) {
		r.tr.ExpectContinueTimeout = time.Hour
		r.tr.MaxSessionsPerHost = 1
	}, func(t *testing.T, r *scriptedPool) {
		body := &countedBody{Reader: strings.NewReader("text")}
		call := r.start(r.request("POST", "http://a.example/", body, "Expect", "100-continue"))
		p := r.peer(0)
		p.wantSynStream("the request", 1)
		p.sendRst(1, RstRefusedStream)
		p.wantSynStream("needs no GetBody", 3)
		require.Zero(t, body.reads.Load()+body.closes.Load(), "it is untouched")
		p.send(&SynReplyFrame{StreamID: 3, Headers: plainOK(SPDY31, ":status", "100")})
		p.wantBody("now it may go", 3, "text")
		p.answer(3, "done")
		require.Equal(t, "done", call.ok("the second try"))
		require.EqualValues(t, 1, body.closes.Load())
	})
	scriptedTest(t, "never sent", nil, func(t *testing.T, r *scriptedPool) {
		first := r.startGet("http://a.example/first")
		p := r.peer(0)
		p.wantSynStream("the first", 1)
		p.ours.SetWriteCap(1) // the sender waits with the next one
		p.ours.SetHold(true)
		stuck := r.start(r.request("POST", "http://a.example/stuck", strings.NewReader("text")))
		synctest.Wait()
		late := r.start(r.request("POST", "http://a.example/late", strings.NewReader("text")))
		synctest.Wait()
		p.ours.Reset()
		for _, call := range []*poolCall{first, stuck} {
			call.wait("the connection is lost")
			var lost *ConnError
			require.ErrorAs(t, call.err, &lost)
		}
		p = r.peer(1)
		f := p.wantSynStream("the one that never left", 1)
		require.Equal(t, "/late", pseudoValue(SPDY31, f.Headers, ":path"))
		p.wantBody("its body", 1, "text")
		p.answer(1, "done")
		require.Equal(t, "done", late.ok("by another connection"))
	})
}

// TestTriedBody is about the races that a scripted peer cannot bring about.
func TestTriedBody(t *testing.T) {
	newBody := func() (*countedBody, *tryBody, *triedBody) {
		c := &countedBody{Reader: strings.NewReader("text")}
		req := &http.Request{Body: c}
		b := newTryBody(req, false)
		return c, b, b.attach(req).Body.(*triedBody)
	}
	p := make([]byte, 4)
	t.Run("a late read of a failed try", func(t *testing.T) {
		c, b, tried := newBody()
		require.NoError(t, tried.Close())
		require.True(t, b.rewind(&http.Request{}))
		_, err := tried.Read(p)
		require.ErrorIs(t, err, errBodyTaken)
		require.Zero(t, c.reads.Load()+c.closes.Load())
		b.Close()
		require.EqualValues(t, 1, c.closes.Load(), "between two tries")
		require.NoError(t, tried.Close())
		require.EqualValues(t, 1, c.closes.Load())
	})
	t.Run("closed, and then read", func(t *testing.T) {
		c, b, tried := newBody()
		require.NoError(t, tried.Close())
		_, err := tried.Read(p)
		require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
		b.settle()
		require.Zero(t, c.reads.Load())
		require.EqualValues(t, 1, c.closes.Load())
	})
	t.Run("read, and then closed", func(t *testing.T) {
		c, b, tried := newBody()
		_, err := tried.Read(p)
		require.NoError(t, err)
		require.False(t, b.rewind(&http.Request{}))
		require.NoError(t, tried.Close())
		require.EqualValues(t, 1, c.closes.Load(), "a Read may wait for it")
		b.Close()
		require.EqualValues(t, 1, c.closes.Load())
	})
	t.Run("settled, and then closed", func(t *testing.T) {
		c, b, tried := newBody()
		b.settle()
		require.Zero(t, c.closes.Load())
		require.NoError(t, tried.Close())
		require.EqualValues(t, 1, c.closes.Load())
	})
	t.Run("before the first try", func(t *testing.T) {
		c := &countedBody{Reader: strings.NewReader("text")}
		newTryBody(&http.Request{Body: c}, false).Close()
		require.EqualValues(t, 1, c.closes.Load())
		newTryBody(&http.Request{}, false).Close()
	})
}

// TestTransportClosesBodies: whatever happens, a request's body is closed.
func TestTransportClosesBodies(t *testing.T) {
	for name, change := range map[string]func(r *poolRig, req *http.Request){
		"no URL":     func(_ *poolRig, req *http.Request) { req.URL = nil },
		"bad scheme": func(_ *poolRig, req *http.Request) { req.URL.Scheme = "gopher" },
		"bad header": func(r *poolRig, req *http.Request) {
			r.start(r.request("GET", "http://a.example/", nil)).wait("dials")
			req.Header.Set("X", "a\nb")
		},
		"failing dial": func(r *poolRig, _ *http.Request) {
			r.tr.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrClosedPipe }
		},
		"cancelled":      func(_ *poolRig, req *http.Request) { req.URL.Host = "cancelled.example" },
		"nothing at all": func(_ *poolRig, _ *http.Request) {},
	} {
		poolStory(t, name, func(w http.ResponseWriter, r *http.Request) {}, nil, func(t *testing.T, r *poolRig) {
			body := &countedBody{Reader: strings.NewReader("text")}
			req := r.request("POST", "http://a.example/", body)
			change(r, req)
			if name == "cancelled" {
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				req = req.WithContext(ctx)
			}
			call := r.start(req)
			call.wait("at once")
			require.Equal(t, name != "nothing at all", call.err != nil, "%v", call.err)
			require.EqualValues(t, 1, body.closes.Load())
			if name == "bad header" {
				require.True(t, r.pooled(0).CanTakeNewRequest())
				s := r.pooled(0)
				s.mu.Lock()
				require.Zero(t, s.ourStreams, "its slot is free again")
				s.mu.Unlock()
			}
		})
	}
}
