package spdy

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestShutdownServerTellsOfConfiguredSessions shows that ShutdownServer returns why an answer
// was not delivered whose session ConfigureServer has added.
func TestShutdownServerTellsOfConfiguredSessions(t *testing.T) {
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	require.NoError(t, ConfigureServer(ts.Config, &Config{DeliveryTimeout: 200 * time.Millisecond}))
	ts.TLS = ts.Config.TLSConfig
	ts.StartTLS()
	defer ts.Close()
	c, err := tls.Dial("tcp", ts.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"spdy/3.1"}})
	require.NoError(t, err)
	defer c.Close()
	f := NewFramer(c, c, SPDY31)
	require.NoError(t, f.WriteFrame(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: HeaderBlock{
		{":method", "GET"}, {":path", "/"}, {":version", "HTTP/1.1"}, {":host", "a"}, {":scheme", "https"},
	}}))
	for {
		frame, err := f.ReadFrame()
		require.NoError(t, err)
		if _, ok := frame.(*SynReplyFrame); ok {
			break
		}
	}
	require.ErrorIs(t, ShutdownServer(context.Background(), ts.Config), ErrDeliveryTimeout)
}
