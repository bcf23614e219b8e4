package main

import (
	"context"
	"encoding/json"
	"expvar"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/examples/internal/exampletest"
)

// served is the server of the test that runs, since a name can be published only once.
var served atomic.Pointer[spdy.Server]

func init() {
	expvar.Publish("spdy", expvar.Func(func() any { return served.Load().Stats() }))
}

// What is published is what clients have done.
func TestExpvar(t *testing.T) {
	server := newServer()
	served.Store(server)
	p := exampletest.Start(t, func(ctx context.Context, out io.Writer) error {
		return run(ctx, server, "127.0.0.1:0", out)
	})
	addr := p.Find(`on (127\.0\.0\.1:\d+)`)

	client, err := spdy.NewClient(addr)
	require.NoError(t, err)
	defer client.Close()
	get := func(way http.RoundTripper, path string) string {
		req, err := http.NewRequest(http.MethodGet, "http://"+addr+path, nil)
		require.NoError(t, err)
		res, err := way.RoundTrip(req)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return string(body)
	}
	for range 3 {
		require.Equal(t, "/hello\n", get(client, "/hello"))
	}
	var vars struct {
		Memstats any `json:"memstats"`
		SPDY     struct {
			Sessions, StreamsAccepted int
			Streams                   map[string]int
			Received                  struct{ Frames map[string]int }
		} `json:"spdy"`
	}
	require.NoError(t, json.Unmarshal([]byte(get(http.DefaultTransport, "/debug/vars")), &vars))
	require.NotNil(t, vars.Memstats)
	require.Equal(t, 1, vars.SPDY.Sessions)
	require.Equal(t, 3, vars.SPDY.StreamsAccepted)
	require.Equal(t, 3, vars.SPDY.Received.Frames["SYN_STREAM"])
	for state, n := range vars.SPDY.Streams {
		require.Zero(t, n, state)
	}
}

func TestExpvarCannotListen(t *testing.T) {
	require.Error(t, run(t.Context(), newServer(), "127.0.0.1:no-such-port", io.Discard))
}
