package tunnel

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
)

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

func TestReconnect(t *testing.T) {
	r := newRelay(t, Replace)
	stop := r.origin(says("hello"))
	for n := 1; n <= 3; n++ {
		_, body := r.get("/home/")
		require.Equal(t, "hello", body)
		r.proxy.registry.pick("home").session.Close()
		r.journal.wait(t, "is up", n+1)
	}
	require.NoError(t, stop())
	r.journal.wait(t, "has ended", 4)
	require.Nil(t, r.proxy.registry.pick("home"))
}

// The older tunnel's download goes on to its end while new requests use the new
// tunnel; then the older one is gone.
func TestReplaceDrains(t *testing.T) {
	r := newRelay(t, Replace)
	goOn := make(chan struct{})
	r.origin(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "begun ")
		w.(http.Flusher).Flush()
		<-goOn
		io.WriteString(w, "and finished")
	})
	res := r.begin("/home/")
	defer res.Body.Close()
	old := r.proxy.registry.pick("home")

	r.origin(says("the new one"))
	_, body := r.get("/home/")
	require.Equal(t, "the new one", body)
	require.NoError(t, old.session.Err(), "its answer is not complete")
	close(goOn)
	all, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "begun and finished", string(all))
	<-old.session.Done()
}

func TestNewestKeepsSpares(t *testing.T) {
	r := newRelay(t, Newest)
	r.origin(says("first"))
	stop := r.origin(says("second"))
	_, body := r.get("/home/")
	require.Equal(t, "second", body)
	require.NoError(t, stop())
	r.journal.wait(t, "has ended", 1)
	_, body = r.get("/home/")
	require.Equal(t, "first", body)
	first := r.proxy.registry.pick("home")
	for range maxTunnels {
		require.NoError(t, first.session.Err())
		r.origin(says("more"))
	}
	<-first.session.Done() // the oldest made room
}

func TestRefuse(t *testing.T) {
	r := newRelay(t, Refuse)
	stop := r.origin(says("first"))
	e := r.endpoint()
	_, err := e.Dial(t.Context())
	var refused *RefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, http.StatusConflict, refused.Status)
	require.False(t, refused.Permanent(), "the first one may go")
	require.NoError(t, stop())
	r.journal.wait(t, "has ended", 1)
	r.origin(says("second"))
}

func TestShutdownLetsAnswersFinish(t *testing.T) {
	r := newRelay(t, Replace)
	goOn := make(chan struct{})
	r.origin(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "begun ")
		w.(http.Flusher).Flush()
		<-goOn
		io.WriteString(w, "and finished")
	})
	res := r.begin("/home/")
	defer res.Body.Close()
	ended := make(chan error, 1)
	go func() { ended <- r.proxy.Shutdown(t.Context()) }()
	close(goOn)
	all, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "begun and finished", string(all))
	require.NoError(t, <-ended)
}

func TestBackoff(t *testing.T) {
	b := Backoff{Min: time.Second, Max: 5 * time.Second}
	for _, due := range []time.Duration{1, 2, 4, 5, 5, 5} {
		d := b.next()
		require.LessOrEqual(t, d, due*time.Second)
		require.GreaterOrEqual(t, d, due*time.Second/2)
	}
	b.reset()
	require.LessOrEqual(t, b.next(), time.Second)

	var usual Backoff
	different := make(map[time.Duration]bool)
	for range 50 {
		usual.reset()
		different[usual.next()] = true
	}
	require.Greater(t, len(different), 40, "origins must not come back all at once")
	for range 100 {
		require.LessOrEqual(t, usual.next(), 30*time.Second)
	}
}

func TestBackoffEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Backoff
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		require.False(t, b.wait(ctx, time.Hour))
		require.Equal(t, time.Second, time.Since(began))
		require.True(t, b.wait(t.Context(), time.Minute))
		require.Equal(t, time.Second+time.Minute, time.Since(began))
	})
}

// A peer behind a dead network says nothing and closes nothing.
func TestKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := testconn.Pair()
		origin, proxy := spdy.NewServerSession(a, nil), spdy.NewClientSession(b)
		go origin.Serve()
		go proxy.Serve()
		go keepAlive(proxy, 30*time.Second, 15*time.Second)
		began := time.Now()
		until := time.NewTimer(time.Hour)
		defer until.Stop()
		select {
		case <-until.C:
		case <-proxy.Done():
			require.FailNow(t, "ended while the peer was well", "%v", proxy.Err())
		}
		a.SetBlackHole(true)
		b.SetBlackHole(true)
		<-proxy.Done()
		require.Less(t, time.Since(began)-time.Hour, time.Minute)
		origin.Close()
	})
}

// A tunnel that drains gets no new requests, even when it is the only one left.
func TestDrainingTunnelIsNotPicked(t *testing.T) {
	var r registry
	tunnels := make([]*tunnel, 2)
	for i := range tunnels {
		conn, _ := testconn.Pair()
		tunnels[i] = &tunnel{name: "home", session: spdy.NewClientSession(conn)}
		_, err := r.add(tunnels[i])
		require.NoError(t, err)
	}
	require.Same(t, tunnels[1], r.pick("home"))
	tunnels[1].session.Close()
	require.Nil(t, r.pick("home"))
	tunnels[0].session.Close()
}
