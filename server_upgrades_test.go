package spdy

import (
	"context"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// count is the number of sessions that are entered.
func (u *upgrades) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.sessions)
}

// TestUpgradesForgetSessions: a server keeps no session that has ended, in whatever way and
// whenever it was entered.
func TestUpgradesForgetSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hs, other := new(http.Server), new(http.Server)
		ctx := context.WithValue(t.Context(), http.ServerContextKey, hs)
		u := upgradesByServer.of(hs)
		made := func() (*Session, *testconn.Conn) {
			ours, theirs := testconn.Pair()
			return quietConfig.RawSession(ours, false), theirs
		}

		served, peer := made()
		require.NoError(t, TrackSession(ctx, served))
		require.NoError(t, TrackSession(ctx, served), "twice")
		require.Equal(t, 1, u.count())
		ended := startServe(served)
		synctest.Wait()
		require.Equal(t, 1, u.count())
		peer.Close()
		require.NoError(t, <-ended)
		require.Zero(t, u.count(), "its client has hung up")

		unserved, _ := made()
		require.NoError(t, TrackSession(ctx, unserved))
		unserved.Close()
		require.Zero(t, u.count(), "it was closed before Serve")

		over, _ := made()
		over.Close()
		require.NoError(t, TrackSession(ctx, over))
		require.Zero(t, u.count(), "it had ended before")

		moved, _ := made()
		require.NoError(t, TrackSession(ctx, moved))
		require.NoError(t, TrackSession(context.WithValue(ctx, http.ServerContextKey, other), moved))
		require.Zero(t, u.count(), "it belongs to another server now")
		require.NoError(t, hs.Close())
		require.NoError(t, CloseServer(other))
		require.ErrorIs(t, moved.Err(), ErrSessionClosed)
		require.Zero(t, upgradesByServer.of(other).count())
	})
}

func startServe(s *Session) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- s.Serve() }()
	return ended
}

// TestUpgradesForgetServers: the registry keeps no server alive, and forgets those that are
// gone.
func TestUpgradesForgetServers(t *testing.T) {
	key := func() weak.Pointer[http.Server] {
		hs := new(http.Server)
		require.Same(t, upgradesByServer.of(hs), upgradesByServer.of(hs))
		return weak.Make(hs)
	}()
	gone := func() bool {
		upgradesByServer.mu.Lock()
		defer upgradesByServer.mu.Unlock()
		_, known := upgradesByServer.servers[key]
		return !known
	}
	for begin := time.Now(); !gone(); runtime.GC() {
		require.Less(t, time.Since(begin), 10*time.Second)
		runtime.Gosched()
	}
	require.Nil(t, key.Value())

	global := upgradesByServer.of(&globalServer)
	require.Same(t, global, upgradesByServer.of(&globalServer), "of a server that is a variable")
}

var globalServer http.Server
