package dials

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// TestDeafUpgradeDial: an UpgradeDialer whose hook does not heed its context returns at the end of
// that, with or without a proxy, and a connection that comes later is closed.
func TestDeafUpgradeDial(t *testing.T) {
	for _, proxy := range []string{"", "http://proxy.example", "https://proxy.example", "socks5://proxy.example"} {
		bubble.Run(t, proxy, func(t *testing.T) {
			over := make(chan struct{})
			ours, theirs := testconn.Pair()
			d := &spdy.UpgradeDialer{DialContext: func(context.Context, string, string) (net.Conn, error) {
				<-over
				return ours, nil
			}}
			if proxy != "" {
				d.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy) }
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begun := time.Now()
			_, _, err := d.Dial(ctx, "POST", origin)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, time.Second+hookGrace, time.Since(begun))
			close(over)
			synctest.Wait()
			_, err = ours.Write(nil)
			require.ErrorIs(t, err, net.ErrClosed)
			theirs.Close()
		})
	}
}

// TestUpgradeDialOfNothing: a hook that returns neither a connection nor an error is an error, not a
// panic.
func TestUpgradeDialOfNothing(t *testing.T) {
	d := &spdy.UpgradeDialer{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, nil }}
	for _, target := range []string{origin, "https://origin.example/"} {
		_, _, err := d.Dial(t.Context(), "POST", target)
		require.ErrorContains(t, err, "neither a connection nor an error")
	}
}
