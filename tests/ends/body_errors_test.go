package ends

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// An exchangeEnd is a way in which an exchange ends, for a request whose call is under way.
type exchangeEnd struct {
	name  string
	begin func(x *ownExchange) // before the request; nil for nothing
	end   func(x *ownExchange) // nil if a minute passes
	peer  bool                 // the peer or the network ends the exchange

	// want are the traits of calls where SPDY differs from HTTP/1.1, or where HTTP/1.1 has
	// no such end. The keys are names of calls.
	want map[string]string
}

// An ownExchange is a request and what may end it.
type ownExchange struct {
	t      *testing.T
	pair   *bodyPair
	ctx    context.Context
	cancel context.CancelCauseFunc
	client *http.Client // instead of the pair's client, if not nil
	res    *http.Response
	resume chan struct{} // closed to let the handler return
	panics bool          // the handler panics then
}

// Traits that recur.
const (
	traitsCanceled  = "== context.Canceled, is context.Canceled"
	traitsOther     = "other"
	traitsTruncated = "is io.ErrUnexpectedEOF"
	traitsSession   = "== spdy.ErrSessionClosed"
	traitsClosed    = "== http.ErrBodyReadAfterClose"
)

var exchangeEnds = []exchangeEnd{
	{name: "cancel", end: func(x *ownExchange) { x.cancel(nil) }},
	{name: "cancel with a cause", end: func(x *ownExchange) { x.cancel(errMine) }},
	{name: "cancel with io.EOF", end: func(x *ownExchange) { x.cancel(io.EOF) }, // with HTTP/1.1 a clean end
		want: map[string]string{"RoundTrip": traitsCanceled, "Body.Read": traitsCanceled, "io.Copy": traitsCanceled}},
	{name: "cancel with ErrStreamClosed", end: func(x *ownExchange) { x.cancel(spdy.ErrStreamClosed) }},
	{name: "cancel with another stream's end", end: func(x *ownExchange) {
		x.cancel(&spdy.StreamError{StreamID: 1, Status: spdy.RstRefusedStream, Remote: true, Err: spdy.ErrStreamClosed})
	}},
	{name: "deadline", begin: func(x *ownExchange) {
		var stop context.CancelFunc
		x.ctx, stop = context.WithTimeout(x.ctx, time.Minute)
		x.t.Cleanup(stop)
	}},
	{name: "client timeout", begin: func(x *ownExchange) { x.client = &http.Client{Transport: x.pair.client, Timeout: time.Minute} }},
	{name: "response header timeout", begin: func(x *ownExchange) { x.pair.timeout(time.Minute) }},
	{name: "body closed", end: func(x *ownExchange) {
		if x.res != nil {
			x.res.Body.Close()
		} else {
			x.cancel(nil)
		}
	}},
	{name: "idle connections closed", end: func(x *ownExchange) { x.pair.idle(); close(x.resume) }},
	{name: "session closed", end: func(x *ownExchange) {
		if len(x.pair.sessions) > 0 {
			x.pair.closeSessions()
		} else {
			x.cancel(nil)
		}
	}, want: map[string]string{"RoundTrip": traitsSession, "Body.Read": traitsSession, "io.Copy": traitsSession}},
	{name: "peer panics", peer: true, end: func(x *ownExchange) { x.panics = true; close(x.resume) },
		want: map[string]string{"RoundTrip": traitsOther}}, // io.EOF over HTTP/1.1: the connection is closed
	{name: "peer goes away", peer: true, end: func(x *ownExchange) {
		go func() { _ = x.pair.server.Shutdown(context.Background()) }()
		synctest.Wait()
		close(x.resume)
	}},
	{name: "connection lost", peer: true, end: func(x *ownExchange) { x.pair.lose() },
		want: map[string]string{"Body.Read": traitsTruncated, "io.Copy": traitsTruncated}},
}

// run ends the exchange.
func (e *exchangeEnd) run(x *ownExchange) {
	synctest.Wait()
	if e.end == nil {
		bubble.Pass(time.Minute + time.Second)
	} else {
		e.end(x)
	}
	synctest.Wait()
}

// An exchangeCall is a call that an end meets. It returns the call's error.
type exchangeCall struct {
	name    string
	answers bool // the handler answers before the end
	call    func(x *ownExchange, e *exchangeEnd) error
}

var exchangeCalls = []exchangeCall{
	{"RoundTrip", false, func(x *ownExchange, e *exchangeEnd) error {
		failed := make(chan error, 1)
		go func() { failed <- x.send() }()
		e.run(x)
		return <-failed
	}},
	{"Body.Read", true, func(x *ownExchange, e *exchangeEnd) error {
		require.NoError(x.t, x.send())
		p := make([]byte, 100)
		_, err := io.ReadFull(x.res.Body, p[:4])
		require.NoError(x.t, err)
		failed := make(chan error, 1)
		go func() {
			_, err := x.res.Body.Read(p)
			failed <- err
		}()
		e.run(x)
		return <-failed
	}},
	{"io.Copy", true, func(x *ownExchange, e *exchangeEnd) error {
		require.NoError(x.t, x.send())
		failed := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, x.res.Body)
			failed <- err
		}()
		e.run(x)
		return <-failed
	}},
	{"io.Copy after Close", true, func(x *ownExchange, e *exchangeEnd) error {
		require.NoError(x.t, x.send())
		e.run(x)
		x.res.Body.Close()
		_, err := io.Copy(io.Discard, x.res.Body)
		return err
	}},
	{"Body.Read after Close", true, func(x *ownExchange, e *exchangeEnd) error {
		require.NoError(x.t, x.send())
		e.run(x)
		x.res.Body.Close()
		_, err := x.res.Body.Read(make([]byte, 1))
		return err
	}},
}

// send sends the request.
func (x *ownExchange) send() (err error) {
	req, err := http.NewRequestWithContext(x.ctx, "GET", "http://ends.example/", nil)
	require.NoError(x.t, err)
	if x.client != nil {
		x.res, err = x.client.Do(req)
	} else {
		x.res, err = x.pair.client.RoundTrip(req)
	}
	return err
}

// exchangeError plays one cell of the table.
func exchangeError(t *testing.T, protocol string, c *exchangeCall, e *exchangeEnd) (failure error) {
	bubble.Run(t, strings.NewReplacer("/", "", " ", "_").Replace(protocol+" "+c.name+" "+e.name), func(t *testing.T) {
		x := &ownExchange{t: t, resume: make(chan struct{})}
		x.pair = newBodyPair(t, protocol, func(w http.ResponseWriter, r *http.Request) {
			if c.answers {
				_, _ = io.WriteString(w, "some")
				_ = http.NewResponseController(w).Flush()
			}
			select {
			case <-x.resume:
			case <-r.Context().Done():
			}
			if x.panics {
				panic(http.ErrAbortHandler)
			}
		}, nil)
		x.ctx, x.cancel = context.WithCancelCause(context.Background())
		defer x.cancel(nil)
		if e.begin != nil {
			e.begin(x)
		}
		failure = c.call(x, e)
		if x.res != nil {
			x.res.Body.Close()
		}
	})
	return failure
}

// TestBodyErrorsOfTheClient compares the error of each call, for each end of an exchange, with
// that of net/http over HTTP/1.1, by the traits that callers ask for. What this side does is
// no truncation, and no error names the package twice.
func TestBodyErrorsOfTheClient(t *testing.T) {
	for i := range exchangeEnds {
		e := &exchangeEnds[i]
		for j := range exchangeCalls {
			c := &exchangeCalls[j]
			if e.name == "response header timeout" && c.answers {
				continue // it limits nothing any more
			}
			if e.name == "body closed" && !c.answers {
				continue
			}
			row := make(map[string]string)
			for _, protocol := range bodyProtocols {
				err := exchangeError(t, protocol, c, e)
				row[protocol] = traitsOf(err)
				if x := "== context.DeadlineExceeded, "; e.name == "client timeout" {
					row[protocol] = strings.TrimPrefix(row[protocol], x) // http.Client wraps it a moment later
				}
				t.Logf("%-24s %-22s %-9s %s: %v", e.name, c.name, protocol, row[protocol], err)
				if spdyVersion(protocol) == 0 {
					continue
				}
				want := row["HTTP/1.1"]
				if (strings.HasSuffix(c.name, "after Close") || e.name == "body closed") && want == traitsOther {
					want = traitsClosed // net/http's error is not exported
				} else if w := e.want[c.name]; w != "" {
					want = w
				}
				assert.Equal(t, want, row[protocol], "%s: %s: %s: %v", e.name, c.name, protocol, err)
				requireOneName(t, err)
				var truncated *spdy.TruncatedError
				if !e.peer {
					assert.NotErrorAs(t, err, &truncated)
				}
			}
		}
	}
}

// requireOneName checks that an error does not name the package twice.
func requireOneName(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		assert.LessOrEqual(t, strings.Count(err.Error(), "spdy:"), 1, err.Error())
	}
}
