package dials

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

// TestZones: the zone of an IPv6 address is the name of an interface, which keeps its case on the way
// to the dialer, as in net/http.
func TestZones(t *testing.T) {
	dialled := ""
	stop := errors.New("dialled")
	dial := func(_ context.Context, _, addr string) (net.Conn, error) {
		dialled = addr
		return nil, stop
	}
	configured := &http.Transport{DialContext: dial}
	require.NoError(t, spdy.ConfigureTransport(configured, nil))
	for _, scheme := range []string{"http", "https"} {
		for _, rt := range []http.RoundTripper{&http.Transport{DialContext: dial}, &spdy.Transport{DialContext: dial}, configured} {
			for _, zone := range []string{"Eth0", "eth0"} {
				req, err := http.NewRequest("GET", scheme+"://[fe80::1%25"+zone+"]:81/", nil)
				require.NoError(t, err)
				_, err = rt.RoundTrip(req)
				require.ErrorIs(t, err, stop)
				require.Equal(t, "[fe80::1%"+zone+"]:81", dialled)
			}
		}
	}
}
