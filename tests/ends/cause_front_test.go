package ends

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// A leavingProxy is an httputil.ReverseProxy that notes how its requests end.
type leavingProxy struct {
	log    bytes.Buffer
	failed chan error // what ErrorHandler gets
	causes chan error // of the contexts of requests
	proxy  httputil.ReverseProxy
}

func newLeavingProxy(transport http.RoundTripper) *leavingProxy {
	p := &leavingProxy{failed: make(chan error, 1), causes: make(chan error, 1)}
	p.proxy = httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "origin.example" },
		Transport:    transport,
		ErrorLog:     log.New(&p.log, "", 0),
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { p.failed <- err },
	}
	return p
}

func (p *leavingProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() { p.causes <- context.Cause(r.Context()) }() // ReverseProxy may panic
	p.proxy.ServeHTTP(w, r)
}

// TestCauseOfAClientThatLeaves: a client cancels its request, or its connection ends. The
// context of the request is cancelled without another cause, in all protocols: transports
// return the cause, and httputil.ReverseProxy logs every error but context.Canceled.
func TestCauseOfAClientThatLeaves(t *testing.T) {
	leave := map[string]func(front *bodyPair, cancel func()){
		"cancels":   func(_ *bodyPair, cancel func()) { cancel() },
		"is lost":   func(front *bodyPair, _ func()) { front.lose() },
		"hangs up":  func(front *bodyPair, _ func()) { front.closeSessions() },
		"times out": func(*bodyPair, func()) { bubble.Pass(time.Minute) },
	}
	for name, leaves := range leave {
		for _, protocol := range bodyProtocols {
			if name == "hangs up" && spdyVersion(protocol) == 0 {
				continue // net/http has no such call
			}
			for _, back := range []string{"HTTP/1.1", "spdy/3.1"} {
				for _, path := range []string{"/silent", "/begun"} {
					bubble.Run(t, name+" "+protocol+" "+back+path, func(t *testing.T) {
						leaveProxy(t, protocol, back, path, leaves)
					})
				}
			}
		}
	}
}

func leaveProxy(t *testing.T, protocol, back, path string, leaves func(*bodyPair, func())) {
	origin := newBodyPair(t, back, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}, nil)
	p := newLeavingProxy(origin.client)
	front := newBodyPair(t, protocol, p.ServeHTTP, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://front.example"+path, nil)
	require.NoError(t, err)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		res, err := front.client.RoundTrip(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}()
	synctest.Wait()
	leaves(front, cancel)
	require.Equal(t, context.Canceled, <-p.causes)
	if path == "/silent" {
		require.Equal(t, context.Canceled, <-p.failed)
	}
	cancel()
	<-answered
	require.Empty(t, p.log.String())
}

// TestCauseOfAServer: where the server has ended a request, the cause says why, and matches
// context.Canceled too.
func TestCauseOfAServer(t *testing.T) {
	for name, want := range map[string]error{"Close": spdy.ErrSessionClosed, "WriteTimeout": os.ErrDeadlineExceeded} {
		for _, protocol := range bodyProtocols {
			if name == "WriteTimeout" && protocol == "HTTP/1.1" {
				continue // its handler hears of that from Write alone
			}
			bubble.Run(t, name+" "+protocol, func(t *testing.T) {
				causes := make(chan error, 1)
				p := newBodyPair(t, protocol, func(w http.ResponseWriter, r *http.Request) {
					<-r.Context().Done()
					causes <- context.Cause(r.Context())
				}, func(hs *http.Server) { hs.WriteTimeout = time.Minute })
				failed := make(chan error, 1)
				go func() {
					req, _ := http.NewRequest("GET", "http://ends.example/", nil)
					_, err := p.client.RoundTrip(req)
					failed <- err
				}()
				synctest.Wait()
				if name == "Close" {
					require.NoError(t, p.server.Close())
				}
				cause := <-causes
				require.ErrorIs(t, cause, context.Canceled)
				if spdyVersion(protocol) != 0 {
					require.ErrorIs(t, cause, want)
					require.False(t, errors.Is(cause, context.DeadlineExceeded))
				}
				require.Error(t, <-failed)
			})
		}
	}
}
