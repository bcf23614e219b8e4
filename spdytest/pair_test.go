package spdytest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
)

func TestPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := spdytest.NewPair(shows)
		require.Equal(t, "GET /a", fetch(t, pair.HTTPClient(), "http://any.example/a"))
		require.Panics(t, pair.Start)
		pair.Close()
		pair.Close()
		require.ErrorIs(t, pair.Client.Err(), spdy.ErrSessionClosed)
		require.ErrorIs(t, pair.Server.Err(), spdy.ErrSessionClosed)
	})
}

// TestPairConfig: both sides are made as their configuration says.
func TestPairConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := spdytest.NewUnstartedPair(nil)
		pair.Config = &http.Server{Handler: shows}
		pair.ClientConfig = &spdy.Config{Version: spdy.SPDY2}
		pair.ServerConfig = &spdy.Config{Version: spdy.SPDY2}
		pair.Start()
		defer pair.Close()
		require.Equal(t, spdy.SPDY2, pair.Client.Version())
		require.Equal(t, spdy.SPDY2, pair.Server.Version())
		require.Equal(t, "GET /", fetch(t, pair.HTTPClient(), "http://any.example/"))
	})
}

// TestRawPair: streams can be opened from both ends.
func TestRawPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := spdytest.NewRawPair()
		defer pair.Close()
		for _, way := range [][2]*spdy.Session{{pair.Client, pair.Server}, {pair.Server, pair.Client}} {
			header, err := spdy.NewHeaderBlock(http.Header{"Streamtype": {"data"}})
			require.NoError(t, err)
			opened, err := way[0].OpenStream(t.Context(), header, spdy.StreamOptions{})
			require.NoError(t, err)
			accepted, err := way[1].AcceptStream(t.Context())
			require.NoError(t, err)
			require.Equal(t, "data", accepted.Header().HTTPHeader().Get("Streamtype"))
			_, err = io.WriteString(opened, "hello")
			require.NoError(t, err)
			require.NoError(t, opened.CloseWrite())
			got, err := io.ReadAll(accepted)
			require.NoError(t, err)
			require.Equal(t, "hello", string(got))
			require.NoError(t, accepted.Close())
			require.NoError(t, opened.Close())
		}
	})
}

// TestPairNetwork: latency and bandwidth are in the bubble's time, a black hole loses
// everything, and a broken connection fails both ends.
func TestPairNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := spdytest.NewPair(shows)
		defer pair.Close()
		synctest.Wait()
		pair.SetLatency(time.Second)
		rtt, err := pair.Client.PingContext(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2*time.Second, rtt)

		pair.SetLatency(0)
		pair.SetBandwidth(1000)
		start := time.Now()
		res, err := pair.HTTPClient().Post("http://any.example/", "", strings.NewReader(strings.Repeat("x", 10_000)))
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		pair.SetBandwidth(0)
		require.Less(t, time.Since(start), time.Minute)

		pair.SetBlackHole(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err = pair.Client.PingContext(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		pair.Break()
		<-pair.Client.Done()
		<-pair.Server.Done()
		var lost *spdy.ConnError
		require.ErrorAs(t, pair.Client.Err(), &lost)
		require.ErrorIs(t, pair.Server.Err(), syscall.ECONNRESET)
	})
}
