package raw

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// versionPair starts a pair of raw sessions of a version.
func versionPair(t *testing.T, v spdy.Version) *spdytest.Pair {
	pair := spdytest.NewUnstartedPair(nil)
	pair.Config = nil
	pair.ClientConfig, pair.ServerConfig = bubble.Quiet(spdy.Config{}, v), bubble.Quiet(spdy.Config{}, v)
	pair.Start()
	t.Cleanup(pair.Close)
	return pair
}

// open opens a stream, and waits until the peer has seen it.
func open(t *testing.T, s *spdy.Session) *spdy.RawStream {
	t.Helper()
	st, err := s.OpenStream(t.Context(), nil, spdy.StreamOptions{})
	require.NoError(t, err)
	synctest.Wait()
	return st
}

// requireRefused fails the test unless the peer has refused a stream.
func requireRefused(t *testing.T, st *spdy.RawStream) {
	t.Helper()
	_, err := st.Read(make([]byte, 1))
	var e *spdy.StreamError
	require.ErrorAs(t, err, &e)
	require.Equal(t, spdy.RstRefusedStream, e.Status)
	require.True(t, e.Remote && e.Retryable(), "%+v", e)
}

// TestListenerIsGone shows that requests to an http.Server behind a session fail at once when
// the server has ended, as those to a TCP port do.
func TestListenerIsGone(t *testing.T) {
	ends := map[string]func(*http.Server, context.Context) error{
		"Shutdown": (*http.Server).Shutdown,
		"Close":    func(s *http.Server, _ context.Context) error { return s.Close() },
	}
	for name, end := range ends {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			pair := versionPair(t, v)
			oracle := spdytest.Listen()
			for _, way := range []struct {
				ln   net.Listener
				dial func(context.Context, string, string) (net.Conn, error)
			}{{oracle, oracle.DialContext}, {pair.Server.Listener(), dialStream(pair.Client)}} {
				server := &http.Server{Handler: echoes}
				served := make(chan error, 1)
				go func() { served <- server.Serve(way.ln) }()
				ask(t, way.dial, "body")
				require.NoError(t, end(server, t.Context()))
				require.Equal(t, http.ErrServerClosed, <-served)

				failed := make(chan error, 1)
				go func() {
					_, err := (&http.Transport{DialContext: way.dial}).RoundTrip(
						func() *http.Request { r, _ := http.NewRequest("GET", "http://home.example/", nil); return r }())
					failed <- err
				}()
				synctest.Wait()
				require.Len(t, failed, 1, "the request waits for nobody")
				require.Error(t, <-failed)
			}
			_, err := pair.Client.PingContext(t.Context())
			require.NoError(t, err, "the session goes on")
		})
	}
}

// TestListenerBacklog shows which streams Close of a listener refuses.
func TestListenerBacklog(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		pair := versionPair(t, v)
		early := open(t, pair.Client) // nobody has used a listener: it waits
		first, second := pair.Server.Listener(), pair.Server.Listener()
		require.NoError(t, first.Close())
		require.Equal(t, net.ErrClosed, first.Close(), "it is closed once")
		got := <-accepting(second)
		require.NoError(t, got.err, "one that was closed leaves the streams to the other one")
		accepted := open(t, pair.Client)
		require.NoError(t, (<-accepting(second)).err)
		waiting := open(t, pair.Client)
		last, err := pair.Client.OpenStream(t.Context(), nil, spdy.StreamOptions{Fin: true, Unidirectional: true})
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, second.Close())
		synctest.Wait()
		requireRefused(t, waiting)
		requireRefused(t, open(t, pair.Client))
		for _, st := range []*spdy.RawStream{early, accepted} {
			_, err = st.Write([]byte("goes on"))
			require.NoError(t, err)
		}

		third := pair.Server.Listener()
		whole := <-accepting(third)
		require.NoError(t, whole.err, "a stream that has ended cannot be refused")
		require.Equal(t, last.ID(), whole.conn.(*spdy.RawStream).ID())
		waiting = open(t, pair.Client)
		got = <-accepting(third)
		require.NoError(t, got.err)
		require.Equal(t, waiting.ID(), got.conn.(*spdy.RawStream).ID())
	})
}

// TestListenerBesideAcceptStream shows that a program which calls AcceptStream loses no stream
// with a listener.
func TestListenerBesideAcceptStream(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		pair := versionPair(t, v)
		accept := func() <-chan *spdy.RawStream {
			c := make(chan *spdy.RawStream, 1)
			go func() {
				st, err := pair.Server.AcceptStream(context.Background())
				if err != nil && !errors.Is(err, spdy.ErrSessionClosed) {
					t.Error(err)
				}
				c <- st
			}()
			synctest.Wait()
			return c
		}
		ln := pair.Server.Listener()
		c := accept()
		require.NoError(t, ln.Close())
		one := open(t, pair.Client)
		require.Equal(t, one.ID(), (<-c).ID(), "it has waited beside the listener")
		two := open(t, pair.Client)
		require.Equal(t, two.ID(), (<-accept()).ID(), "between two calls streams wait")

		require.NoError(t, pair.Server.Listener().Close())
		requireRefused(t, open(t, pair.Client))
		c = accept()
		three := open(t, pair.Client)
		require.Equal(t, three.ID(), (<-c).ID(), "it takes over from the listener")
	})
}
