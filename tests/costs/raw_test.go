package costs

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// An upgradeSite is a server in memory that upgrades every request to a raw session, whose
// streams nobody accepts.
type upgradeSite struct {
	*site
	sessions chan *spdy.Session
}

// upgrading returns a site with an Upgrader.
func upgrading(t *testing.T, pools spdy.Pools, detached bool) *upgradeSite {
	u := &upgradeSite{prepareSite(t, spdy.SPDY31, spdy.Config{Pools: pools}), make(chan *spdy.Session, 10)}
	u.srv.Handler = u.handler(detached)
	u.serve()
	return u
}

// handler upgrades, and runs the session.
func (u *upgradeSite) handler(detached bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := &spdy.Upgrader{Config: bubble.Quiet(spdy.Config{}, spdy.SPDY31), Detached: detached}
		s, _, err := up.Upgrade(w, r)
		if err != nil {
			return
		}
		u.sessions <- s
		_ = s.Serve()
	})
}

// client returns the client's end of a raw session with the site.
func (u *upgradeSite) client() (*spdy.Session, error) {
	d := &spdy.UpgradeDialer{
		Config:      bubble.Quiet(spdy.Config{}, spdy.SPDY31),
		DialContext: func(context.Context, string, string) (net.Conn, error) { return u.ln.Dial() },
	}
	s, _, err := d.Dial(context.Background(), "POST", "http://example.com/")
	if err == nil {
		go s.Serve()
	}
	return s, err
}

// open opens streams with headers of so many bytes each.
func open(t *testing.T, s *spdy.Session, streams, size int) (all []*spdy.RawStream) {
	t.Helper()
	for range streams {
		st, err := s.OpenStream(context.Background(), spdy.HeaderBlock{{Name: "x", Value: strings.Repeat("v", size)}}, spdy.StreamOptions{})
		require.NoError(t, err)
		all = append(all, st)
	}
	return all
}

// fill writes n bytes to a stream.
func fill(t *testing.T, st *spdy.RawStream, n int) {
	t.Helper()
	_, err := st.Write(make([]byte, n))
	require.NoError(t, err)
}

// What an upgraded session keeps is charged to the server whose handler has upgraded it, and given
// back when the session has ended, whatever its program has left lying.
func TestUpgradedSessionsAreCharged(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		u := upgrading(t, spdy.Pools{}, false)
		client, err := u.client()
		require.NoError(t, err)
		sts := open(t, client, 10, 10_000)
		for _, st := range sts {
			fill(t, st, 20_000)
			require.NoError(t, st.SendHeaders(spdy.HeaderBlock{{Name: "late", Value: strings.Repeat("v", 10_000)}}, false))
		}
		synctest.Wait()
		used := u.srv.Stats().Pools
		require.GreaterOrEqual(t, used.HeaderBytes.Used, int64(200_000), "blocks of SYN_STREAM and HEADERS")
		require.GreaterOrEqual(t, used.UnreadBytes.Used, int64(190_000))
		require.GreaterOrEqual(t, used.BufferBytes.Used, int64(10*4<<10))

		server := <-u.sessions
		for range sts {
			st, err := server.AcceptStream(context.Background())
			require.NoError(t, err)
			_, err = st.ReceiveHeaders(context.Background())
			require.NoError(t, err)
			require.NoError(t, st.CloseWrite())
		}
		synctest.Wait()
		require.Less(t, u.srv.Stats().Pools.HeaderBytes.Used, int64(140_000), "what the program has received is its own")

		complete := open(t, client, 3, 10_000)
		for _, st := range complete { // nobody accepts them
			fill(t, st, 1000)
			require.NoError(t, st.CloseWrite())
		}
		synctest.Wait()
		client.Close()
		bubble.Pass(time.Minute)
		u.empty()
		u.close()
	})
}

// In a pool that is nearly full the session that holds most gets no more; the others do.
func TestUpgradedSessionsGiveWay(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		u := upgrading(t, spdy.Pools{HeaderBytes: 1 << 20}, false)
		greedy, err := u.client()
		require.NoError(t, err)
		sts := open(t, greedy, 100, 20_000)
		synctest.Wait()
		require.Less(t, u.srv.Stats().Pools.HeaderBytes.Used, int64(1<<20))
		refused := 0
		for _, st := range sts {
			if err := st.SendHeaders(spdy.HeaderBlock{{Name: "a", Value: "b"}}, false); err != nil {
				refused++
			}
		}
		require.Positive(t, refused)

		modest, err := u.client()
		require.NoError(t, err)
		st := open(t, modest, 1, 100)[0]
		fill(t, st, 100)
		<-u.sessions
		got, err := (<-u.sessions).AcceptStream(context.Background())
		require.NoError(t, err)
		n, err := got.Read(make([]byte, 100))
		require.NoError(t, err)
		require.Equal(t, 100, n)
		greedy.Close()
		modest.Close()
		bubble.Pass(time.Minute)
		u.empty()
		u.close()
	})
}

// When there is no room for a session an upgrade is refused with 503, like a connection.
func TestUpgradesAreRefusedLast(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		u := upgrading(t, spdy.Pools{BufferBytes: 64 << 10}, false)
		var last *spdy.UpgradeError
		var clients []*spdy.Session
		for len(clients) < 10 {
			client, err := u.client()
			if err != nil {
				require.ErrorAs(t, err, &last)
				break
			}
			clients = append(clients, client)
			synctest.Wait()
		}
		require.NotNil(t, last, "%d sessions", len(clients))
		require.NotEmpty(t, clients)
		require.Equal(t, http.StatusServiceUnavailable, last.StatusCode)
		clients[0].Close()
		bubble.Pass(time.Minute)
		client, err := u.client()
		require.NoError(t, err, "there is room again")
		for _, s := range append(clients[1:], client) {
			s.Close()
		}
		bubble.Pass(time.Minute)
		u.empty()
		u.close()
	})
}

// The sessions of an http.Server that ConfigureServer has configured are in its pools, a
// detached one is in none.
func TestPoolsOfUpgraders(t *testing.T) {
	for _, detached := range []bool{false, true} {
		bubble.Run(t, "", func(t *testing.T) {
			u := &upgradeSite{&site{t: t, v: spdy.SPDY31, ln: testconn.Listen()}, make(chan *spdy.Session, 10)}
			hs := &http.Server{Handler: u.handler(detached)}
			require.NoError(t, spdy.ConfigureServer(hs, bubble.Quiet(spdy.Config{Pools: spdy.Pools{HeaderBytes: 64 << 10}}, spdy.SPDY31)))
			go hs.Serve(u.ln)
			client, err := u.client()
			require.NoError(t, err)
			refused := 0
			for _, st := range open(t, client, 20, 10_000) {
				synctest.Wait()
				if st.SendHeaders(spdy.HeaderBlock{{Name: "a", Value: "b"}}, false) != nil {
					refused++
				}
			}
			require.Equal(t, detached, refused == 0, "%d refused", refused)
			client.Close()
			require.NoError(t, spdy.CloseServer(hs))
			bubble.Pass(time.Minute)
		})
	}
}
