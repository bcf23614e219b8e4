package heal

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// drain reads uploads to their end, and is hello for other requests.
func drain(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	hello(w, r)
}

// trickle is an upload of a byte now and then, which nobody gives up until the test ends.
func trickle(t *testing.T, s *site, rt http.RoundTripper, every time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	body, w := io.Pipe()
	scheme := map[bool]string{true: "https", false: "http"}[s.secure]
	req, err := http.NewRequestWithContext(ctx, "POST", scheme+"://heal.example/up", body)
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() { _, _ = fetch(rt, req) })
	all.Go(func() {
		for bubble.Pass(every); ctx.Err() == nil; bubble.Pass(every) {
			if _, err := w.Write([]byte("a")); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		w.Close()
		all.Wait()
	})
	synctest.Wait()
}

// TestTrickleIsNoLife: what a user sends a byte at a time goes into a dead connection for as long as
// this system has room for it, and says nothing about the server.
func TestTrickleIsNoLife(t *testing.T) {
	for _, patience := range []time.Duration{200 * time.Millisecond, time.Second} {
		t.Run(patience.String(), func(t *testing.T) {
			inAll(t, drain, func(t *testing.T, s *site, rt http.RoundTripper) {
				require.NoError(t, s.within(time.Second, rt, "/"))
				trickle(t, s, rt, 97*time.Millisecond) // never as a look is due
				s.hole(true)
				require.LessOrEqual(t, s.failures(patience, rt), 2)
				require.Equal(t, 2, s.dialled())
			})
		})
	}
}

// limited are the options with which an origin has one session, whose slots requests wait for.
var limited = map[string]func(*spdy.Transport){
	"StrictMaxConcurrentStreams": func(tr *spdy.Transport) { tr.StrictMaxConcurrentStreams = true },
	"MaxSessionsPerHost":         func(tr *spdy.Transport) { tr.MaxSessionsPerHost = 1 },
	"MaxConnsPerHost":            func(tr *spdy.Transport) { tr.MaxConnsPerHost = 1 },
}

// TestBlackHoleOfOneConnection: a limit of one connection does not keep an origin on a dead one,
// when no other request has it.
func TestBlackHoleOfOneConnection(t *testing.T) {
	for name, limit := range limited {
		for _, patience := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, 5 * time.Second} {
			bubble.InVersions(t, name+"/"+patience.String(), func(t *testing.T, v spdy.Version) {
				s := newSite(t, v, hello)
				rt := clients[0].make(s)
				limit(rt.(*spdy.Transport))
				require.NoError(t, s.within(time.Second, rt, "/"))
				s.hole(true)
				require.LessOrEqual(t, s.failures(patience, rt), 2)
				require.Equal(t, 2, s.dialled())
			})
		}
	}
}

// TestWaitersDoubt: a dead session all of whose slots are taken is found out by the requests that
// wait for one.
func TestWaitersDoubt(t *testing.T) {
	for name, limit := range limited {
		if name == "MaxConnsPerHost" {
			continue // its connection is not closed under those who have it
		}
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			s := newSite(t, v, hello)
			s.streams = 2
			rt := clients[0].make(s)
			limit(rt.(*spdy.Transport))
			require.NoError(t, s.within(time.Second, rt, "/"))
			ctx, cancel := context.WithCancel(t.Context())
			var users sync.WaitGroup
			for range 2 {
				users.Go(func() { _, _ = s.get(ctx, rt, "/slow") })
			}
			synctest.Wait()
			s.hole(true)
			require.LessOrEqual(t, s.failures(time.Second, rt), 2)
			require.Equal(t, 2, s.dialled())
			cancel()
			users.Wait()
		})
	}
}

// TestDeadDirection: a server that goes on sending, and hears nothing, is found out in the end.
func TestDeadDirection(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		for tick := time.Tick(100 * time.Millisecond); r.URL.Path == "/ticks"; {
			select {
			case <-tick:
			case <-r.Context().Done():
				return
			}
			_, _ = io.WriteString(w, "a")
			w.(http.Flusher).Flush()
		}
		hello(w, r)
	}
	inAll(t, h, func(t *testing.T, s *site, rt http.RoundTripper) {
		require.NoError(t, s.within(time.Second, rt, "/"))
		require.Error(t, s.within(time.Second, rt, "/slow")) // it has answered a PING
		ctx, cancel := context.WithCancel(t.Context())
		var users sync.WaitGroup
		users.Go(func() { _, _ = s.get(ctx, rt, "/ticks") })
		bubble.Pass(time.Second)
		s.mute(true)
		require.LessOrEqual(t, s.failures(500*time.Millisecond, rt), 10)
		require.Equal(t, 2, s.dialled())
		cancel()
		users.Wait()
	})
}
