package spdy

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a Transport does with HTTP beyond a session: gzip, hooks, time limits.

func TestTransportGzip(t *testing.T) {
	zipped := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Asked", r.Header.Get("Accept-Encoding"))
		if r.URL.Path == "/empty" {
			return
		}
		w.Header().Set("Content-Encoding", cmpOr(r.Header.Get("X-Encoding"), "gzip", ""))
		w.Header().Set("Trailer", "X-Trailer")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, "first part, ")
		_ = z.Flush()
		w.(http.Flusher).Flush()
		if r.URL.Path == "/slow" {
			after(time.Minute)
		}
		if r.URL.Path == "/cut" {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(z, "second part")
		_ = z.Close()
		w.Header().Set("X-Trailer", "yes")
	}
	plain := "first part, second part"
	for _, tt := range []struct {
		name    string
		method  string
		path    string
		header  []string
		disable bool

		asked string
		body  string // "" for compressed bytes
	}{
		{name: "plain", method: "GET", asked: "gzip", body: plain},
		{name: "POST", method: "POST", asked: "gzip", body: plain},
		{name: "capitals", method: "GET", header: []string{"X-Encoding", "GZIP"}, asked: "gzip", body: plain},
		{name: "another encoding", method: "GET", header: []string{"X-Encoding", "br"}, asked: "gzip"},
		{name: "asked by the caller", method: "GET", header: []string{"Accept-Encoding", "gzip"}, asked: "gzip"},
		{name: "identity", method: "GET", header: []string{"Accept-Encoding", "identity"}, asked: "identity"},
		{name: "a range", method: "GET", header: []string{"Range", "bytes=0-"}},
		{name: "HEAD", method: "HEAD"},
		{name: "disabled", method: "GET", disable: true},
	} {
		poolStory(t, tt.name, zipped, func(r *poolRig) { r.tr.DisableCompression = tt.disable },
			func(t *testing.T, r *poolRig) {
				req := r.request(tt.method, "http://a.example/"+tt.path, nil, tt.header...)
				call := r.start(req)
				body := call.ok("the answer")
				res := call.res
				require.Equal(t, tt.asked, res.Header.Get("X-Asked"))
				require.Equal(t, tt.body != "", res.Uncompressed)
				require.Equal(t, len(tt.header), 2*len(req.Header), "the request is not changed")
				if tt.body == "" {
					require.NotEmpty(t, res.Header.Get("Content-Encoding"))
					return
				}
				require.Equal(t, tt.body, body)
				require.Empty(t, res.Header.Get("Content-Encoding"))
				require.Empty(t, res.Header.Get("Content-Length"))
				require.EqualValues(t, -1, res.ContentLength)
				require.Equal(t, "yes", res.Trailer.Get("X-Trailer"), "the end of the stream has been read")
			})
	}
	poolStory(t, "it streams", zipped, nil, func(t *testing.T, r *poolRig) {
		res, err := r.tr.RoundTrip(r.request("GET", "http://a.example/slow", nil))
		require.NoError(t, err)
		p := make([]byte, 100)
		n, err := res.Body.Read(p)
		require.NoError(t, err)
		require.Equal(t, "first part, ", string(p[:n]), "a minute early")
		require.NoError(t, res.Body.Close())
		_, err = res.Body.Read(p)
		require.Error(t, err)
		pass(time.Minute) // for the handler
	})
	poolStory(t, "cut", zipped, nil, func(t *testing.T, r *poolRig) {
		call := r.startGet("http://a.example/cut")
		call.wait("the answer")
		require.Equal(t, "first part, ", call.body)
		requireTruncated(t, call.err)
		var reset *StreamError
		require.ErrorAs(t, call.err, &reset)
	})
	poolStory(t, "nothing", zipped, nil, func(t *testing.T, r *poolRig) {
		call := r.startGet("http://a.example/empty")
		require.Empty(t, call.ok("the answer"))
		require.False(t, call.res.Uncompressed)
	})
	short := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, plain)
		_ = z.Close()
	}
	for _, disable := range []bool{false, true} {
		poolStory(t, fmt.Sprint("with a length, disabled: ", disable), short, func(r *poolRig) { r.tr.DisableCompression = disable },
			func(t *testing.T, r *poolRig) {
				call := r.startGet("http://a.example/")
				require.Equal(t, !disable, call.ok("the answer") == plain)
				require.Equal(t, !disable, call.res.ContentLength == -1)
				require.Equal(t, !disable, call.res.Header.Get("Content-Length") == "")
			})
	}
	poolStory(t, "no gzip at all", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		fmt.Fprint(w, "text")
	}, nil, func(t *testing.T, r *poolRig) {
		call := r.startGet("http://a.example/")
		call.wait("the answer")
		require.Error(t, call.err)
		again := make([]byte, 1)
		_, err := call.res.Body.Read(again)
		require.Equal(t, call.err, err)
	})
}

// A hookLog notes the calls of the hooks of httptrace in order.
type hookLog struct {
	mu    sync.Mutex
	calls []string
}

func (l *hookLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, fmt.Sprintf(format, args...))
}

// take returns what has been called since.
func (l *hookLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	calls := strings.Join(l.calls, "; ")
	l.calls = nil
	return calls
}

func (l *hookLog) in(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(addr string) { l.add("GetConn %s", addr) },
		GotConn: func(i httptrace.GotConnInfo) {
			l.add("GotConn %v %v %v %v", i.Conn != nil, i.Reused, i.WasIdle, i.IdleTime)
		},
		DNSStart:             func(httptrace.DNSStartInfo) { l.add("DNSStart") },
		ConnectStart:         func(string, string) { l.add("ConnectStart") },
		ConnectDone:          func(_, _ string, err error) { l.add("ConnectDone %v", err) },
		TLSHandshakeStart:    func() { l.add("TLSHandshakeStart") },
		TLSHandshakeDone:     func(s tls.ConnectionState, err error) { l.add("TLSHandshakeDone %s %v", s.NegotiatedProtocol, err) },
		WroteHeaders:         func() { l.add("WroteHeaders") },
		WroteRequest:         func(i httptrace.WroteRequestInfo) { l.add("WroteRequest %v", i.Err) },
		Wait100Continue:      func() { l.add("Wait100Continue") },
		Got100Continue:       func() { l.add("Got100Continue") },
		GotFirstResponseByte: func() { l.add("GotFirstResponseByte") },
	})
}

func TestTransportTrace(t *testing.T) {
	scriptedTest(t, "a request and another one", nil, func(t *testing.T, r *scriptedPool) {
		var log hookLog
		get := func() *poolCall {
			return r.start(r.request("GET", "http://a.example/", nil).WithContext(log.in(context.Background())))
		}
		call := get()
		p := r.peer(0)
		p.wantSynStream("the request", 1)
		require.Equal(t, "GetConn a.example:80; GotConn true false false 0s; WroteHeaders; WroteRequest <nil>", log.take())
		p.answer(1, "")
		call.ok("the answer")
		require.Equal(t, "GotFirstResponseByte", log.take())
		pass(time.Second)
		one, two := get(), get()
		p.wantSynStream("a request", 3)
		p.wantSynStream("a request", 5)
		calls := log.take()
		require.Contains(t, calls, "GotConn true true true 1s")
		require.Contains(t, calls, "GotConn true true false 0s")
		p.answer(3, "")
		p.answer(5, "")
		one.ok("the answer")
		two.ok("the answer")
	})
	scriptedTest(t, "a body", nil, func(t *testing.T, r *scriptedPool) {
		var log hookLog
		body, feed := io.Pipe()
		call := r.start(r.request("POST", "http://a.example/", body).WithContext(log.in(context.Background())))
		p := r.peer(0)
		p.wantSynStream("the request", 1)
		require.Equal(t, "GetConn a.example:80; GotConn true false false 0s; WroteHeaders", log.take())
		p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(SPDY31)})
		synctest.Wait()
		require.Equal(t, "GotFirstResponseByte", log.take(), "the answer need not wait for the request")
		require.NoError(t, feed.Close())
		synctest.Wait()
		require.Equal(t, "WroteRequest <nil>", log.take())
		p.sendData(1, "", FlagFin)
		call.ok("the answer")
	})
	scriptedTest(t, "a session by itself", nil, func(t *testing.T, r *scriptedPool) {
		var log hookLog
		call := r.startGet("http://a.example/")
		p := r.peer(0)
		p.wantSynStream("the request", 1)
		p.answer(1, "")
		call.ok("the answer")
		s := r.pooled(0)
		go func() {
			_, err := s.RoundTrip(r.request("POST", "http://a.example/", io.MultiReader(strings.NewReader("x"), iotestErr{})).
				WithContext(log.in(context.Background())))
			assert.Error(t, err)
		}()
		synctest.Wait()
		require.Equal(t, "WroteHeaders; WroteRequest broken", log.take())
	})
}

// iotestErr is a reader that fails.
type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestTransportExpect(t *testing.T) {
	for name, then := range map[string]func(t *testing.T, p *testPeer, call *poolCall, log *hookLog){
		"an interim answer": func(t *testing.T, p *testPeer, call *poolCall, log *hookLog) {
			p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(SPDY31, ":status", "100")})
			p.wantBody("now", 1, "text")
			require.Equal(t, "Got100Continue; WroteRequest <nil>", log.take())
			p.answer(1, "done")
			require.Equal(t, "done", call.ok("the answer"))
		},
		"time": func(t *testing.T, p *testPeer, call *poolCall, log *hookLog) {
			pass(time.Second - 1)
			p.wantSilence("the body waits")
			pass(1)
			p.wantBody("now", 1, "text")
			require.Equal(t, "WroteRequest <nil>", log.take())
			p.answer(1, "done")
			require.Equal(t, "done", call.ok("the answer"))
		},
		"a final answer": func(t *testing.T, p *testPeer, call *poolCall, log *hookLog) {
			p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(SPDY31, ":status", "417")})
			p.sendData(1, "no", FlagFin)
			require.Equal(t, "no", call.ok("the answer"))
			require.Equal(t, 417, call.res.StatusCode)
			p.wantRst("the body will never come", 1, RstCancel)
			// As in net/http the hook for the request is called, too, in no order with the other.
			require.ElementsMatch(t, []string{"GotFirstResponseByte", "WroteRequest <nil>"}, strings.Split(log.take(), "; "))
		},
		"a final answer without a body": func(t *testing.T, p *testPeer, call *poolCall, log *hookLog) {
			p.send(&SynReplyFrame{StreamID: 1, Flags: FlagFin, Headers: plainOK(SPDY31, ":status", "401")})
			require.Empty(t, call.ok("the answer"))
			p.wantRst("the body will never come", 1, RstCancel)
		},
		"a reset": func(t *testing.T, p *testPeer, call *poolCall, log *hookLog) {
			p.sendRst(1, RstInternalError)
			call.wait("it fails")
			requireReset(t, "the server's reset", call.err, RstInternalError, true)
		},
	} {
		scriptedTest(t, name, func(r *poolRig) { r.tr.ExpectContinueTimeout = time.Second },
			func(t *testing.T, r *scriptedPool) {
				var log hookLog
				body := &countedBody{Reader: strings.NewReader("text")}
				req := r.request("POST", "http://a.example/", body, "Expect", "100-continue")
				call := r.start(req.WithContext(log.in(context.Background())))
				p := r.peer(0)
				value, _ := p.wantSynStream("the headers", 1).Headers.Get("expect")
				require.Equal(t, "100-continue", value)
				p.wantSilence("the body waits")
				require.Contains(t, log.take(), "WroteHeaders; Wait100Continue")
				then(t, p, call, &log)
				synctest.Wait()
				require.EqualValues(t, 1, body.closes.Load())
				p.wantSilence("but a PING behind the reset, which is echoed")
				pass(time.Minute)
				p.wantSilence("that was all")
			})
	}
}

func TestTransportAnswerTimeout(t *testing.T) {
	limit := func(r *poolRig) { r.tr.ResponseHeaderTimeout = time.Second }
	isTimeout := func(t *testing.T, err error) {
		timeout, ok := err.(net.Error)
		require.True(t, ok, "%v", err)
		require.True(t, timeout.Timeout())
	}
	scriptedTest(t, "no answer", limit, func(t *testing.T, r *scriptedPool) {
		call := r.startGet("http://a.example/")
		p := r.peer(0)
		p.wantSynStream("the request", 1)
		pass(time.Second - 1)
		call.pending("it has a second")
		pass(1)
		call.wait("no more")
		isTimeout(t, call.err)
		p.wantRst("the stream is given up", 1, RstCancel)
		require.Equal(t, 1, r.sessions(), "the session is not")
	})
	scriptedTest(t, "a body takes its time", limit, func(t *testing.T, r *scriptedPool) {
		body, feed := io.Pipe()
		call := r.start(r.request("POST", "http://a.example/", body))
		p := r.peer(0)
		p.wantSynStream("the request", 1)
		p.send(&SettingsFrame{}) // a server that says nothing has less than a minute
		pass(time.Minute)
		call.pending("the request is not complete")
		require.NoError(t, feed.Close())
		pass(time.Second - 1)
		call.pending("it has a second")
		pass(1)
		call.wait("no more")
		isTimeout(t, call.err)
	})
	scriptedTest(t, "headers are enough", limit, func(t *testing.T, r *scriptedPool) {
		call := r.startGet("http://a.example/")
		body, feed := io.Pipe()
		early := r.start(r.request("POST", "http://a.example/", body))
		p := r.peer(0)
		first := wantFrame[*SynStreamFrame](p, "a request").StreamID
		p.wantSynStream("another one", 4-first)
		p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(SPDY31)})
		p.send(&SynReplyFrame{StreamID: 3, Headers: plainOK(SPDY31)})
		pass(time.Minute)
		require.NoError(t, feed.Close())
		pass(time.Minute)
		call.pending("the body has no limit")
		early.pending("the body has no limit")
		p.sendData(1, "late", FlagFin)
		p.sendData(3, "late", FlagFin)
		require.Equal(t, "late", call.ok("the answer"))
		require.Equal(t, "late", early.ok("the answer"))
	})
}

// TestTransportCancel: a context ends a request in each of its phases, and the stream if
// there is one.
func TestTransportCancel(t *testing.T) {
	why := errors.New("why")
	start := func(r *poolRig, url string) (*poolCall, func()) {
		ctx, cancel := context.WithCancelCause(context.Background())
		call := r.start(r.request("GET", url, nil).WithContext(ctx))
		synctest.Wait()
		return call, func() {
			r.t.Helper()
			call.pending("it is not cancelled yet")
			cancel(why)
			call.wait("cancelled")
			require.ErrorIs(r.t, call.err, why)
		}
	}
	scriptedTest(t, "dialling", func(r *poolRig) { r.slow(time.Hour) }, func(t *testing.T, r *scriptedPool) {
		_, cancel := start(r.poolRig, "http://a.example/")
		cancel()
		require.Equal(t, 1, r.origins(), "the dial goes on")
		pass(strayDial)
		require.Zero(t, r.origins())
	})
	scriptedTest(t, "TLS handshake", nil, func(t *testing.T, r *scriptedPool) {
		_, cancel := start(r.poolRig, "https://a.example/")
		cancel()
		pass(handshakeTimeout)
		synctest.Wait()
		_, err := r.conns[0].Write(nil)
		require.ErrorIs(t, err, net.ErrClosed)
		require.Zero(t, r.origins())
	})
	scriptedTest(t, "waiting for a slot", func(r *poolRig) { r.tr.StrictMaxConcurrentStreams = true },
		func(t *testing.T, r *scriptedPool) {
			first := r.startGet("http://a.example/")
			p := r.peer(0)
			p.wantSynStream("the first", 1)
			p.sendSetting(SettingMaxConcurrentStreams, 1)
			synctest.Wait()
			_, cancel := start(r.poolRig, "http://a.example/")
			p.wantSilence("there is no slot")
			cancel()
			p.answer(1, "")
			first.ok("the answer")
			p.wantSilence("the one that waited is gone")
			third := r.startGet("http://a.example/")
			p.wantSynStream("the slot is not lost", 3)
			p.answer(3, "")
			third.ok("the answer")
		})
	scriptedTest(t, "waiting for headers", nil, func(t *testing.T, r *scriptedPool) {
		_, cancel := start(r.poolRig, "http://a.example/")
		p := r.peer(0)
		p.wantSynStream("the request", 1)
		cancel()
		p.wantRst("one frame", 1, RstCancel)
		p.wantSilence("no other")
		require.Equal(t, 1, r.sessions())
	})
	scriptedTest(t, "reading the body", nil, func(t *testing.T, r *scriptedPool) {
		_, cancel := start(r.poolRig, "http://a.example/")
		p := r.peer(0)
		p.wantSynStream("the request", 1)
		p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(SPDY31)})
		p.sendData(1, "half of ", 0)
		cancel()
		p.wantRst("one frame", 1, RstCancel)
		p.wantSilence("no other")
	})
	scriptedTest(t, "a tunnel", func(r *poolRig) {
		r.tr.Proxy = http.ProxyURL(mustURL("http://proxy.example:3128"))
	}, func(t *testing.T, r *scriptedPool) {
		_, cancel := start(r.poolRig, "http://a.example/")
		cancel()
		pass(strayDial)
		synctest.Wait()
		_, err := r.conns[0].Write(nil)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// TestTransportDialLimits are the time limits of what a dial waits for.
func TestTransportDialLimits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		url   string
		set   func(tr *Transport)
		limit time.Duration
	}{
		{"TLS handshake", "https://a.example/", func(tr *Transport) { tr.TLSHandshakeTimeout = time.Second }, time.Second},
		{"TLS handshake by default", "https://a.example/", nil, handshakeTimeout},
		{"CONNECT", "http://a.example/", func(tr *Transport) {
			tr.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://proxy.example") }
		}, proxyTimeout},
	} {
		scriptedTest(t, tt.name, func(r *poolRig) {
			if tt.set != nil {
				tt.set(r.tr)
			}
		}, func(t *testing.T, r *scriptedPool) {
			call := r.startGet(tt.url)
			pass(tt.limit - 1)
			call.pending("it has its time")
			pass(1)
			call.wait("no more")
			var timeout net.Error
			require.ErrorAs(t, call.err, &timeout)
			require.True(t, timeout.Timeout())
			_, err := r.conns[0].Write(nil)
			require.ErrorIs(t, err, net.ErrClosed)
		})
	}
	scriptedTest(t, "no limit", func(r *poolRig) { r.tr.TLSHandshakeTimeout = -1 }, func(t *testing.T, r *scriptedPool) {
		ctx, cancel := context.WithCancel(context.Background())
		call := r.start(r.request("GET", "https://a.example/", nil).WithContext(ctx))
		pass(24 * time.Hour)
		call.pending("a day is nothing")
		cancel()
		call.wait("cancelled")
	})
}

func TestTransportPush(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			assert.NoError(t, w.(http.Pusher).Push("/style.css", nil))
		}
		echoPath(w, r)
	}
	poolTest(t, h, func(r *poolRig) {
		r.tr.Config = &Config{AcceptPush: func(promised, cause *http.Request) bool {
			return promised.URL.Path == "/style.css" && cause.URL.Path == "/"
		}, Logger: quietConfig.Logger}
		r.tr.StrictMaxConcurrentStreams = true
	}, func(t *testing.T, r *poolRig) {
		r.get("http://a.example/")
		s := r.pooled(0)
		s.mu.Lock()
		next := s.nextID
		s.peerLimit = 1
		s.mu.Unlock()
		require.Equal(t, "a.example/style.css", r.get("http://a.example/style.css"))
		s.mu.Lock()
		require.Equal(t, next, s.nextID, "it was not asked for")
		s.mu.Unlock()
		require.Equal(t, "a.example/other", r.get("http://a.example/other"), "the slot is free again")
	})
}
