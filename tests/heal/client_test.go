package heal

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

// get sends a request of a client of NewClient.
func get(rt http.RoundTripper, url string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	_, err = fetch(rt, req)
	return err
}

// TestClientHeals: a client of NewClient loses two requests at most to a connection that has died,
// and none to one that has ended.
func TestClientHeals(t *testing.T) {
	srv := &spdy.Server{Handler: http.HandlerFunc(hello)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	end := make(chan error, 1)
	go func() { end <- srv.Serve(ln) }()
	defer func() {
		require.NoError(t, srv.Close())
		<-end
	}()
	relay := newRelay(t, ln.Addr().String())
	c, err := spdy.NewClient(relay.addr())
	require.NoError(t, err)
	first := c.Session()
	require.NoError(t, get(c, "http://client.example/", time.Minute))
	require.Same(t, first, c.Session())

	relay.hole()
	failed := 0
	for get(c, "http://client.example/", 500*time.Millisecond) != nil {
		failed++
		require.LessOrEqual(t, failed, 2)
	}
	second := c.Session()
	require.NotSame(t, first, second)
	<-first.Done()
	pinged, err := c.Ping(time.Minute)
	require.NoError(t, err)
	require.True(t, pinged)

	relay.cut()
	<-second.Done()
	require.NoError(t, get(c, "http://client.example/", time.Minute))
	require.NotSame(t, second, c.Session())
	require.Equal(t, 3, relay.count())

	require.NoError(t, c.Close())
	require.ErrorIs(t, get(c, "http://client.example/", time.Minute), spdy.ErrSessionClosed)
	require.ErrorIs(t, c.Session().Err(), spdy.ErrSessionClosed)
	require.Equal(t, 3, relay.count(), "nothing is dialled after Close")
}

// TestClientShutdown: Shutdown lets what runs finish, and nothing is dialled afterwards.
func TestClientShutdown(t *testing.T) {
	release := make(chan struct{})
	srv := &spdy.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-release
		_, _ = io.WriteString(w, "hello")
	})}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	end := make(chan error, 1)
	go func() { end <- srv.Serve(ln) }()
	c, err := spdy.NewClient(ln.Addr().String())
	require.NoError(t, err)
	req, err := http.NewRequest("GET", "http://client.example/", nil)
	require.NoError(t, err)
	res, err := c.Do(req)
	require.NoError(t, err)
	over := make(chan error, 1)
	go func() { over <- c.Shutdown(context.Background()) }()
	require.Eventually(t, func() bool { return !c.Session().CanTakeNewRequest() }, time.Minute, time.Millisecond)
	require.Error(t, get(c, "http://client.example/", time.Minute))
	close(release)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "hello", string(body))
	require.NoError(t, <-over)
	require.NoError(t, srv.Close())
	<-end
	_, err = spdy.NewClient(ln.Addr().String())
	var failed *net.OpError
	require.ErrorAs(t, err, &failed, "the first dial fails")
}
