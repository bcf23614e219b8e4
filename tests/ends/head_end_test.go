package ends

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// events is a handler of an event stream: it sends the headers, and then waits for the end of the
// request's context.
func events(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// TestHeadOfEventsEndsTheHandler: the headers are the whole answer to HEAD. The handler's context
// ends with the answer, as over HTTP/2. Over HTTP/1.1 the context ends with the connection, which
// carries no other request until then.
func TestHeadOfEventsEndsTheHandler(t *testing.T) {
	for _, protocol := range bodyProtocols {
		for _, body := range []string{"", "late"} {
			if body != "" && spdyVersion(protocol) == 0 {
				continue // net/http reads no such body after the answer
			}
			bubble.Run(t, protocol+"/"+body, func(t *testing.T) {
				causes := make(chan error, 1)
				pair := newBodyPair(t, protocol, func(w http.ResponseWriter, r *http.Request) {
					_ = http.NewResponseController(w).Flush()
					got, err := io.ReadAll(r.Body)
					if err != nil || string(got) != body {
						causes <- err
						return
					}
					events(w, r)
					causes <- context.Cause(r.Context())
				}, nil)
				var upload io.Reader
				if body != "" { // the request ends after the answer
					out, in := io.Pipe()
					defer time.AfterFunc(time.Second/2, func() { io.WriteString(in, body); in.Close() }).Stop()
					upload = out
				}
				req, err := http.NewRequestWithContext(t.Context(), "HEAD", "http://ends.example/", upload)
				require.NoError(t, err)
				res, err := pair.client.RoundTrip(req)
				require.NoError(t, err)
				_, err = io.ReadAll(res.Body)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				bubble.Pass(2 * time.Second)
				if protocol == "HTTP/1.1" {
					require.Empty(t, causes)
					pair.lose()
				}
				require.Equal(t, context.Canceled, <-causes)
			})
		}
	}
}

// TestHeadOfEventsHoldsNoSlot: users of a shared session ask for the headers of event streams. Such
// requests do not keep other users from the handlers, and a shutdown does not wait for them.
func TestHeadOfEventsHoldsNoSlot(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		pair := spdytest.NewUnstartedPair(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				events(w, r)
			}
		}))
		pair.ServerConfig = bubble.Quiet(spdy.Config{MaxConcurrentStreams: 4}, v)
		pair.ClientConfig = bubble.Quiet(spdy.Config{}, v)
		pair.Start()
		defer pair.Close()
		client := pair.HTTPClient()
		client.Timeout = time.Minute
		for range 10 {
			res, err := client.Head("http://x/")
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
		}
		res, err := client.Get("http://x/")
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		began := time.Now()
		require.NoError(t, pair.Server.Shutdown(t.Context()))
		require.Less(t, time.Since(began), 10*time.Second)
	})
}

// TestProxiedHeadIsWhole: a proxy whose client speaks SPDY forwards HEAD. The end of the context of
// the client's request, which follows the answer, is no failure.
func TestProxiedHeadIsWhole(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		origin := spdytest.NewPair(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Origin", "yes")
			_ = http.NewResponseController(w).Flush()
		}))
		defer origin.Close()
		results := make(chan error, 1)
		pair := newBodyPair(t, v.String(), func(w http.ResponseWriter, r *http.Request) {
			results <- origin.Client.NewStreamProxy(r, w)
		}, nil)
		res, cancel := pair.ask(t, "HEAD", "/", nil)
		defer cancel()
		require.Equal(t, "yes", res.Header.Get("X-Origin"))
		require.NoError(t, res.Body.Close())
		require.NoError(t, <-results)
	})
}
