package spdy

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Every call of the API that can wait, and every way to end the wait. That the table
// leaves none out is checked by TestEveryWaitIsListed.

// unblockTime is how long a call may go on after the wait has been ended.
const unblockTime = 100 * time.Millisecond

// A waitingCall is a call of the API that waits in the scene it is set into.
type waitingCall struct {
	call string // as go doc has it
	when string // what it waits for
	role role
	app  func(w *scene) application // nil stands for a rawApp
	wait func(w *scene) *call       // starts it
	ends ends
}

// ends say what a waiting call returns for each way in which it may be ended. Ways that
// are not in it cannot happen to the call.
type ends map[string]returned

// returned checks what a call has returned.
type returned func(t *testing.T, err error)

// A scene is where a call waits.
type scene struct {
	*testPeer
	ctx    context.Context // for the call; its time is up after a minute
	cancel context.CancelFunc
	id     uint32 // of the stream that the call is about
	conf   Config // of the session; for app to set

	readDeadline, writeDeadline func(time.Time) error
	giveUp                      func() // closes what the call waits on, by our side
	srv                         *Server
}

// A wayToEnd ends the wait of a call.
type wayToEnd struct {
	name string
	act  func(w *scene)
}

const (
	callerTime   = time.Minute      // of the context
	deadlineTime = 10 * time.Second // of SetDeadline
)

var waysToEnd = []wayToEnd{
	{"context cancelled", func(w *scene) { w.cancel() }},
	{"context's time up", func(w *scene) { w.advance(callerTime) }},
	{"read deadline", func(w *scene) {
		require.NoError(w.t, w.readDeadline(time.Now().Add(deadlineTime)))
		w.advance(deadlineTime)
	}},
	{"read deadline in the past", func(w *scene) { require.NoError(w.t, w.readDeadline(time.Now().Add(-1))) }},
	{"write deadline", func(w *scene) {
		require.NoError(w.t, w.writeDeadline(time.Now().Add(deadlineTime)))
		w.advance(deadlineTime)
	}},
	{"write deadline in the past", func(w *scene) { require.NoError(w.t, w.writeDeadline(time.Now().Add(-1))) }},
	{"closed by our side", func(w *scene) { w.giveUp() }},
	{"Session.Close", func(w *scene) { w.startClose() }},
	{"Session.Shutdown without time", func(w *scene) {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		w.startShutdown(over)
	}},
	{"RST_STREAM", func(w *scene) { w.sendRst(w.id, RstCancel) }},
	{"GOAWAY", func(w *scene) { w.sendGoAway(0, GoAwayOK) }},
	{"GOAWAY with an error", func(w *scene) { w.sendGoAway(0, GoAwayInternalError) }},
	{"protocol error of the peer", func(w *scene) { w.sendControl(FramePing, 0, 1) }},
	{"peer hangs up", func(w *scene) { w.conn.Close() }},
	{"connection breaks", func(w *scene) { w.conn.Reset() }},
	{"Server.Close", func(w *scene) { w.async("Server.Close", func(*call) { w.srv.Close() }) }},
	{"Server.Shutdown", func(w *scene) {
		w.async("Server.Shutdown", func(*call) { w.srv.Shutdown(context.Background()) })
	}},
}

// is wants an error that matches target.
func is(target error) returned {
	return func(t *testing.T, err error) { t.Helper(); require.ErrorIs(t, err, target) }
}

// as wants an error of type E.
func as[E error](t *testing.T, err error) {
	t.Helper()
	var e E
	require.ErrorAs(t, err, &e)
}

// fine wants no error.
func fine(t *testing.T, err error) { t.Helper(); require.NoError(t, err) }

// wasReset wants the error of a stream that the peer has reset.
func wasReset(t *testing.T, err error) {
	t.Helper()
	requireReset(t, "the peer's RST_STREAM", err, RstCancel, true)
}

// Ways that many calls have in common.
var (
	byContext = ends{
		"context cancelled": is(context.Canceled),
		"context's time up": is(context.DeadlineExceeded),
	}
	bySession = ends{
		"Session.Close":                 is(ErrSessionClosed),
		"Session.Shutdown without time": is(ErrSessionClosed),
		"protocol error of the peer":    as[*SessionError],
		"peer hangs up":                 is(io.ErrUnexpectedEOF),
		"connection breaks":             is(syscall.ECONNRESET),
	}
	byPeer = ends{ // for a stream of ours
		"RST_STREAM":           wasReset,
		"GOAWAY":               is(errGoingAway),
		"GOAWAY with an error": as[*SessionError],
	}
	noStream = join(byContext, bySession, ends{ // for a call that waits to open one
		"Session.Shutdown without time": is(errGoingAway),
		"GOAWAY":                        is(errGoingAway),
		"GOAWAY with an error":          is(errGoingAway),
		"peer hangs up":                 is(ErrSessionClosed), // there was no stream to cut off
	})
	byReadDeadline = ends{
		"read deadline":             is(os.ErrDeadlineExceeded),
		"read deadline in the past": is(os.ErrDeadlineExceeded),
	}
	byWriteDeadline = ends{
		"write deadline":             is(os.ErrDeadlineExceeded),
		"write deadline in the past": is(os.ErrDeadlineExceeded),
	}
)

// join makes one of several; the last one counts.
func join(all ...ends) ends {
	sum := make(ends)
	for _, e := range all {
		maps.Copy(sum, e)
	}
	return sum
}

func without(e ends, names ...string) ends {
	e = maps.Clone(e)
	for _, name := range names {
		delete(e, name)
	}
	return e
}

// TestEverythingUnblocks ends every wait in every way.
func TestEverythingUnblocks(t *testing.T) {
	for _, c := range waitingCalls() {
		for _, way := range waysToEnd {
			want, ok := c.ends[way.name]
			if !ok {
				continue
			}
			story(t, c.call+" "+c.when+"/"+way.name, func(t *testing.T) {
				w := newScene(t, c)
				waiting := c.wait(w)
				waiting.pending("the wait has begun")
				way.act(w)
				limit := time.NewTimer(unblockTime)
				defer limit.Stop()
				select {
				case <-waiting.end:
				case <-limit.C:
					t.Fatalf("it still waits after %v", unblockTime)
				}
				want(t, waiting.err)
			})
		}
		for name := range c.ends {
			known := slices.ContainsFunc(waysToEnd, func(w wayToEnd) bool { return w.name == name })
			require.True(t, known, "%s: there is no way %q", c.call, name)
		}
	}
}

func waitingCalls() []waitingCall {
	return slices.Concat(waitingClients, waitingProxies, waitingHandlers, waitingRaw, waitingServers)
}

func newScene(t *testing.T, c waitingCall) *scene {
	w := &scene{}
	w.ctx, w.cancel = context.WithTimeout(context.Background(), callerTime)
	t.Cleanup(w.cancel)
	var o peerOpts
	if c.app != nil {
		o.app = c.app(w)
	}
	o.conf = w.conf
	if c.role == asClient && o.conf.FirstFrameTimeout == 0 {
		o.conf.FirstFrameTimeout = -1 // the limit of a silent server is less than callerTime
	}
	w.testPeer = newPeer(t, c.role, o)
	return w
}

// asksHTTP is the application of a client.
func asksHTTP(*scene) application { return newHTTPClientApp(nil) }

// noSlots makes the peer take no streams.
func (w *scene) noSlots() {
	w.sendSetting(SettingMaxConcurrentStreams, 0)
	synctest.Wait()
}

// peerFollows makes the peer hang up when our side has said goodbye. Otherwise the end of
// a session takes the time of linger.
func (w *scene) peerFollows() {
	w.async("the peer", func(*call) {
		io.Copy(io.Discard, w.conn)
		w.conn.Close()
	})
}

func (w *scene) request(body io.Reader) *http.Request {
	req, err := http.NewRequestWithContext(w.ctx, "POST", "http://example.com/", body)
	require.NoError(w.t, err)
	return req
}

// do sends a request on stream 1.
func (w *scene) do(roundTrip func(*http.Request) (*http.Response, error)) *call {
	w.id = 1
	return w.async("a request", func(c *call) {
		res, err := roundTrip(w.request(nil))
		if err == nil {
			res.Body.Close()
		}
		c.err = err
	})
}

// answered sends a request and returns its answer, whose body never ends.
func (w *scene) answered() *http.Response {
	w.t.Helper()
	w.id = 1
	var res *http.Response
	c := w.async("a request", func(c *call) { res, c.err = w.s.RoundTrip(w.request(nil)) })
	w.wantSynStream("the request", 1)
	w.sendSynReply(1, 0, plainOK(w.version)...)
	c.ok("the answer")
	w.giveUp = func() { res.Body.Close() }
	return res
}

// answeredForGood is answered with a context of its own for the request: that of the call which
// waits would end the stream, too, and then everything is delivered.
func (w *scene) answeredForGood() {
	w.t.Helper()
	ctx := w.ctx
	w.ctx = w.t.Context()
	w.answered()
	w.ctx = ctx
}

// upload sends a request with a body, and waits for that to be closed.
func (w *scene) upload(body io.ReadCloser, closed <-chan struct{}) *call {
	w.id = 1
	return w.async("an upload", func(c *call) {
		_, c.err = w.s.RoundTrip(w.request(body))
		<-closed
	})
}

// ofBody are the ends of the body of an answer.
var ofBody = join(byContext, bySession, byPeer, ends{"closed by our side": is(http.ErrBodyReadAfterClose)})

var waitingClients = []waitingCall{
	{"Session.RoundTrip", "for a stream", asClient, asksHTTP,
		func(w *scene) *call { w.noSlots(); return w.do(w.s.RoundTrip) },
		noStream},
	{"Session.RoundTrip", "for the answer", asClient, asksHTTP,
		func(w *scene) *call { return w.do(w.s.RoundTrip) }, join(byContext, bySession, byPeer)},
	{"Client.Do", "for a stream", asClient, asksHTTP,
		func(w *scene) *call { w.noSlots(); return w.do((&Client{session: w.s}).Do) },
		noStream},
	{"Client.Do", "for the answer", asClient, asksHTTP,
		func(w *scene) *call { return w.do((&Client{session: w.s}).Do) }, join(byContext, bySession, byPeer)},
	{"Client.RoundTrip", "for the answer", asClient, asksHTTP,
		func(w *scene) *call { return w.do((&Client{session: w.s}).RoundTrip) }, join(byContext, bySession, byPeer)},
	{"Session.RoundTrip", "for its body to be sent, the window being closed", asClient, asksHTTP,
		func(w *scene) *call {
			body := newBlockedBody(1 << 20)
			return w.upload(body, body.closed)
		}, join(byContext, bySession, byPeer)},
	{"Session.RoundTrip", "for a body that has nothing to send", asClient, asksHTTP,
		func(w *scene) *call {
			body := newBlockedBody(10)
			return w.upload(body, body.closed)
		}, join(byContext, bySession, byPeer)},
	{"Response.Body.Read", "for bytes", asClient, asksHTTP,
		func(w *scene) *call {
			res := w.answered()
			return w.async("Read", func(c *call) { c.n, c.err = res.Body.Read(make([]byte, 10)) })
		}, ofBody},
	{"io.Copy from Response.Body", "for bytes", asClient, asksHTTP,
		func(w *scene) *call {
			res := w.answered()
			return w.async("io.Copy", func(c *call) { _, c.err = io.Copy(io.Discard, res.Body) })
		}, ofBody},
	{"Session.PingContext", "for the echo", asClient, asksHTTP,
		func(w *scene) *call { return w.startPing(w.ctx) },
		join(byContext, bySession, ends{"peer hangs up": is(ErrSessionClosed),
			"GOAWAY": is(ErrSessionClosed), "GOAWAY with an error": as[*SessionError]})},
	{"Session.Ping", "for the echo", asClient, asksHTTP,
		func(w *scene) *call {
			return w.async("Ping", func(c *call) {
				if w.s.Ping(callerTime) {
					c.err = errors.New("there was no echo")
				}
			})
		},
		ends{"context's time up": fine, "Session.Close": fine, "Session.Shutdown without time": fine, "GOAWAY": fine,
			"peer hangs up": fine, "connection breaks": fine}},
	{"Client.Ping", "for the echo", asClient, asksHTTP,
		func(w *scene) *call {
			return w.async("Ping", func(c *call) {
				var ok bool
				if ok, c.err = (&Client{session: w.s}).Ping(callerTime); ok {
					c.err = errors.New("there was no echo")
				}
			})
		},
		join(bySession, ends{"context's time up": fine, "peer hangs up": is(ErrSessionClosed), "GOAWAY": is(ErrSessionClosed)})},
	{"Session.Shutdown", "for a stream to end", asClient, asksHTTP,
		func(w *scene) *call { w.answeredForGood(); return w.startShutdown(w.ctx) }, ofShutdown},
	{"Client.Shutdown", "for a stream to end", asClient, asksHTTP,
		func(w *scene) *call {
			w.answeredForGood()
			return w.async("Shutdown", func(c *call) { c.err = (&Client{session: w.s}).Shutdown(w.ctx) })
		}, ofShutdown},
	{"Session.Serve", "for the session to end", asClient, asksHTTP,
		func(w *scene) *call { w.peerFollows(); return w.served },
		ends{"Session.Close": fine, "Session.Shutdown without time": fine, "GOAWAY": fine, "peer hangs up": fine,
			"GOAWAY with an error": as[*SessionError], "protocol error of the peer": as[*SessionError], "connection breaks": is(syscall.ECONNRESET)}},
}

// ofShutdown are the ends of a Shutdown that waits for one stream of ours. The peer has
// to hang up too, unless there is no time to wait for it.
var ofShutdown = join(byContext, ends{"connection breaks": is(syscall.ECONNRESET), "peer hangs up": is(io.ErrUnexpectedEOF)})

// throughProxy is what waits in a proxy: a handler's goroutine with a request and a
// ResponseWriter of another server.
func throughProxy(answered bool, proxy func(w *scene, req *http.Request, to http.ResponseWriter) error) func(w *scene) *call {
	return func(w *scene) *call {
		w.id = 1
		c := w.async("a proxy", func(c *call) {
			req := w.request(nil)
			c.err = proxy(w, req, NewRecorder())
		})
		if answered {
			w.wantSynStream("the request", 1)
			w.sendSynReply(1, 0, plainOK(w.version)...)
		}
		return c
	}
}

func newStreamProxy(w *scene, req *http.Request, to http.ResponseWriter) error {
	return w.s.NewStreamProxy(req, to)
}

func streamRequest(w *scene, req *http.Request, to http.ResponseWriter) error {
	return w.s.NewClientStream().Request(req, to)
}

var waitingProxies = []waitingCall{
	{"Session.NewStreamProxy", "for a stream", asClient, asksHTTP,
		func(w *scene) *call { w.noSlots(); return throughProxy(false, newStreamProxy)(w) },
		noStream},
	{"Session.NewStreamProxy", "for the answer", asClient, asksHTTP, throughProxy(false, newStreamProxy), join(byContext, bySession, byPeer)},
	{"Session.NewStreamProxy", "for bytes", asClient, asksHTTP, throughProxy(true, newStreamProxy), join(byContext, bySession, byPeer)},
	{"Stream.Request", "for a stream", asClient, asksHTTP,
		func(w *scene) *call { w.noSlots(); return throughProxy(false, streamRequest)(w) },
		noStream},
	{"Stream.Request", "for the answer", asClient, asksHTTP, throughProxy(false, streamRequest), join(byContext, bySession, byPeer)},
	{"Stream.Request", "for bytes", asClient, asksHTTP, throughProxy(true, streamRequest), join(byContext, bySession, byPeer)},
}

// A handlerWait is what a handler waits for.
type handlerWait func(w *scene, st *Stream, r *http.Request) error

// handler is a server application whose handler waits.
func handler(f handlerWait) (app func(*scene) application, wait func(*scene) *call) {
	result := make(map[*scene]chan error) // of subtests that run one after the other
	app = func(w *scene) application {
		done := make(chan error, 1)
		result[w] = done
		return newHTTPServerApp(&http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/pushed" {
				<-r.Context().Done()
				return
			}
			control := http.NewResponseController(rw)
			w.readDeadline, w.writeDeadline = control.SetReadDeadline, control.SetWriteDeadline
			w.giveUp = func() { r.Body.Close() }
			done <- f(w, rw.(*Stream), r)
		})})
	}
	wait = func(w *scene) *call {
		w.id = 1
		w.sendSynStream(1, 0, plainGet(w.version, ":method", "POST")...)
		done := result[w]
		delete(result, w)
		return w.async("a handler", func(c *call) { c.err = <-done })
	}
	return app, wait
}

func handlerCall(name, when string, f handlerWait, e ...ends) waitingCall {
	app, wait := handler(f)
	return waitingCall{name, when, asServer, app, wait, join(append([]ends{bySession, {"RST_STREAM": wasReset}}, e...)...)}
}

var big = strings.Repeat("x", 1<<20) // more than any window in these tests

var waitingHandlers = []waitingCall{
	handlerCall("Request.Body.Read", "for bytes", func(_ *scene, _ *Stream, r *http.Request) error {
		_, err := r.Body.Read(make([]byte, 10))
		return err
	}, byReadDeadline, ends{"closed by our side": is(http.ErrBodyReadAfterClose)}),
	handlerCall("Stream.Write", "for a window", func(_ *scene, st *Stream, _ *http.Request) error {
		_, err := st.Write([]byte(big))
		return err
	}, byWriteDeadline),
	handlerCall("Stream.WriteString", "for a window", func(_ *scene, st *Stream, _ *http.Request) error {
		_, err := st.WriteString(big)
		return err
	}, byWriteDeadline),
	handlerCall("Stream.ReadFrom", "for a window", func(_ *scene, st *Stream, _ *http.Request) error {
		_, err := st.ReadFrom(strings.NewReader(big))
		return err
	}, byWriteDeadline),
	handlerCall("Stream.FlushError", "for a window", func(w *scene, st *Stream, _ *http.Request) error {
		if _, err := st.Write([]byte(big[:defaultWindow])); err != nil {
			return err
		}
		if _, err := st.Write([]byte("more")); err != nil {
			return err
		}
		return st.FlushError()
	}, byWriteDeadline),
	handlerCall("Stream.Flush", "for a window", func(w *scene, st *Stream, _ *http.Request) error {
		st.Write([]byte(big[:defaultWindow]))
		st.Write([]byte("more"))
		st.Flush()
		_, err := st.Write([]byte("even more")) // says what came of it
		return err
	}, byWriteDeadline),
	handlerCall("Request.Context", "for the end", func(_ *scene, st *Stream, r *http.Request) error {
		<-r.Context().Done()
		_, err := st.Write([]byte(big)) // a client that has left is no cause of the context
		return err
	}),
	handlerCall("Stream.Push", "for the pushed handler to answer", func(_ *scene, st *Stream, _ *http.Request) error {
		return st.Push("/pushed", nil)
	}),
}
