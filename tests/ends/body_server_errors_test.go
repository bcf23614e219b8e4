package ends

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/tests/bubble"
)

// A servedExchange is a request of which the client has sent a part, and the handler's view.
type servedExchange struct {
	t       *testing.T
	pair    *bodyPair
	cancel  context.CancelFunc // of the client's request
	res     *http.Response     // nil before the answer
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	rest    io.Closer // closed to end the request
}

// serverEnds are ends of an exchange that a handler meets. The functions run on the test's
// goroutine while the handler waits in a call, or before the call if sooner is set.
var serverEnds = []struct {
	name   string
	setup  func(*http.Server)
	sooner func(x *servedExchange)
	end    func(x *servedExchange) // nil if a minute passes
	only   string                  // the call that the end is for; all if empty
	want   map[string]string       // as of an exchangeEnd
}{
	{name: "client cancels", end: func(x *servedExchange) { x.cancel() }},
	{name: "client closes the answer", end: func(x *servedExchange) { x.res.Body.Close() }},
	{name: "connection lost", end: func(x *servedExchange) { x.pair.lose() },
		want: map[string]string{"r.Body.Read": traitsTruncated}},
	{name: "server closes", end: func(x *servedExchange) { go x.pair.server.Close() }, want: map[string]string{
		"r.Body.Read": traitsSession, "w.Write": traitsSession}}, // net.ErrClosed, as over HTTP/1.1
	{name: "read deadline", only: "r.Body.Read", sooner: func(x *servedExchange) {
		require.NoError(x.t, x.control.SetReadDeadline(time.Now().Add(time.Minute)))
	}},
	{name: "write deadline", only: "w.Write", sooner: func(x *servedExchange) {
		require.NoError(x.t, x.control.SetWriteDeadline(time.Now().Add(time.Minute)))
	}},
	{name: "ReadTimeout", only: "r.Body.Read", setup: func(s *http.Server) { s.ReadTimeout = time.Minute }},
	{name: "WriteTimeout", only: "w.Write", setup: func(s *http.Server) { s.WriteTimeout = time.Minute }},
	{name: "body closed", only: "r.Body.Read", sooner: func(x *servedExchange) {
		x.rest.Close() // net/http reads the rest
		x.r.Body.Close()
	},
		end: func(*servedExchange) {}},
}

// A serverCall is a call of a handler. whole is set for a request that has been read to its end.
type serverCall struct {
	name  string
	whole bool
	call  func(x *servedExchange) error
}

// serverCalls are calls of a handler that do not return by themselves.
var serverCalls = []serverCall{
	{"r.Body.Read", false, func(x *servedExchange) error {
		_, err := x.r.Body.Read(make([]byte, 10))
		return err
	}},
	{"w.Write", false, func(x *servedExchange) error {
		p := make([]byte, 64<<10)
		for range 100 { // SPDY/2 has no window that would stop the handler
			if _, err := x.w.Write(p); err != nil {
				return err
			}
			bubble.Pass(time.Second)
		}
		return nil
	}},
	{"r.Context", true, func(x *servedExchange) error {
		<-x.r.Context().Done()
		return x.r.Context().Err()
	}},
}

// TestBodyErrorsOfTheServer compares the errors that handlers get with those of net/http over
// HTTP/1.1.
func TestBodyErrorsOfTheServer(t *testing.T) {
	for _, e := range serverEnds {
		for _, c := range serverCalls {
			if e.only != "" && e.only != c.name {
				continue
			}
			var oracle string
			for _, protocol := range bodyProtocols {
				var failure error
				bubble.Run(t, protocol[:2]+protocol[len(protocol)-1:]+" "+c.name+" "+e.name, func(t *testing.T) {
					failure = servedError(t, protocol, e.setup, e.sooner, e.end, c)
				})
				got := traitsOf(failure)
				t.Logf("%-24s %-12s %-9s %s: %v", e.name, c.name, protocol, got, failure)
				switch {
				case protocol == "HTTP/1.1":
					oracle = got
				case protocol != "h2":
					want := oracle
					if w := e.want[c.name]; w != "" {
						want = w
					}
					assert.Equal(t, want, got, "%s: %s: %s: %v", e.name, c.name, protocol, failure)
					requireOneName(t, failure)
				}
			}
		}
	}
}

// servedError plays one cell.
func servedError(t *testing.T, protocol string, setup func(*http.Server), sooner, end func(*servedExchange), c serverCall) error {
	x := &servedExchange{t: t}
	begun, ready := make(chan struct{}), make(chan struct{})
	failed := make(chan error, 1)
	x.pair = newBodyPair(t, protocol, func(w http.ResponseWriter, r *http.Request) {
		x.w, x.r, x.control = w, r, http.NewResponseController(w)
		assert.NoError(t, x.control.EnableFullDuplex())
		if c.whole {
			_, _ = io.Copy(io.Discard, r.Body)
		} else {
			_, err := io.ReadFull(r.Body, make([]byte, 4))
			assert.NoError(t, err)
		}
		_, _ = io.WriteString(w, "some")
		assert.NoError(t, x.control.Flush())
		close(begun)
		<-ready
		failed <- c.call(x)
	}, setup)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	x.cancel = cancel
	body, rest := io.Pipe()
	x.rest = rest
	defer rest.Close()
	go func() {
		if _, _ = rest.Write([]byte("some")); c.whole {
			rest.Close()
		}
	}()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://ends.example/", body)
	require.NoError(t, err)
	x.res, err = x.pair.client.RoundTrip(req)
	require.NoError(t, err)
	<-begun
	if sooner != nil {
		sooner(x)
	}
	close(ready)
	synctest.Wait()
	if end == nil {
		bubble.Pass(time.Minute + time.Second)
	} else {
		end(x)
	}
	synctest.Wait()
	rest.Close() // x/net/http2 waits for a Read of the body
	failure := <-failed
	x.res.Body.Close()
	return failure
}
