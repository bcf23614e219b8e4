package ends

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// A slowConn is a connection of which nothing but a few KiB are read at a time: the rest is
// in the buffers of two kernels.
type slowConn struct {
	*net.TCPConn
}

func (c slowConn) Read(p []byte) (int, error) {
	const tick = 50 * time.Millisecond
	n, err := c.TCPConn.Read(p[:min(len(p), int(drainRate*tick/time.Second))])
	pass(time.Duration(n) * time.Second / drainRate)
	return n, err
}

// What the kernel still holds when a server shuts down arrives, over real sockets too.
func TestDrainSockets(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, v := range bubble.Versions {
			name := v.String()
			if secure {
				name += " over TLS"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				drainSocket(t, v, secure)
			})
		}
	}
}

func drainSocket(t *testing.T, v spdy.Version, secure bool) {
	r := &drainRig{t: t, version: v, written: make(chan struct{})}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	conf := r.conf()
	if runtime.GOOS == "linux" { // elsewhere the kernel does not tell that the peer receives
		conf.DeliveryTimeout = 2 * time.Second // of silence, less than it takes
	}
	s := &spdy.Server{Handler: r, Config: conf, ErrorLog: quiet}
	serve := s.Serve
	if secure {
		s.TLSConfig = r.tls()
		serve = func(ln net.Listener) error { return s.ServeTLS(ln, "", "") }
	}
	background(t, func() error { return serve(ln) }, func() { _ = s.Close() })
	raw, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	require.NoError(t, raw.(*net.TCPConn).SetReadBuffer(16<<10))
	conn := net.Conn(slowConn{raw.(*net.TCPConn)})
	if secure {
		conn = tls.Client(conn, r.tls())
	}
	d := &drain{written: r.written, shutdown: s.Shutdown, read: r.fetch(conn)}
	end := d.begin(context.Background())
	got, err := d.read()
	last := time.Now()
	require.NoError(t, err)
	require.Equal(t, drainSize, got.n)
	require.NoError(t, end.wait())
	require.False(t, end.at.Before(last.Add(-time.Second)), "Shutdown returned %v before the last byte was read", last.Sub(end.at))
}
