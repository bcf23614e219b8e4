package spdy

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A rawRig is a pair of raw sessions with a connection between them.
type rawRig struct {
	t              testing.TB
	client, server *Session
	cc, sc         *testconn.Conn // nil if the connection is another one
	ends           chan error
	closed         bool
}

// rawTest runs f in a bubble with a rawRig over a testconn.
func rawTest(t *testing.T, setup rigSetup, f func(t *testing.T, r *rawRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cc, sc := testconn.Pair(setup.conn...)
		r := newRawRig(t, cc, sc, setup)
		r.cc, r.sc = cc, sc
		defer r.close()
		f(t, r)
	})
}

// newRawRig starts a raw session at each end of a connection.
func newRawRig(t testing.TB, cc, sc net.Conn, setup rigSetup) *rawRig {
	r := &rawRig{t: t, ends: make(chan error, 2)}
	r.client = inVersion(t, setup.client).RawSession(cc, true)
	r.server = inVersion(t, setup.server).RawSession(sc, false)
	go func() { r.ends <- r.client.Serve() }()
	go func() { r.ends <- r.server.Serve() }()
	return r
}

// close ends both sessions and waits for them. Once is enough.
func (r *rawRig) close() {
	if r.closed {
		return
	}
	r.closed = true
	r.client.Close()
	r.server.Close()
	<-r.ends
	<-r.ends
}

// pair opens a stream from the client and returns both ends.
func (r *rawRig) pair(headers ...HeaderField) (client, server *RawStream) {
	r.t.Helper()
	return openRaw(r.t, r.client, r.server, headers...)
}

// openRaw opens a stream from one session to the other.
func openRaw(t testing.TB, from, to *Session, headers ...HeaderField) (opened, accepted *RawStream) {
	t.Helper()
	opened, err := from.OpenStream(context.Background(), headers, StreamOptions{})
	require.NoError(t, err)
	accepted, err = to.AcceptStream(context.Background())
	require.NoError(t, err)
	require.Equal(t, opened.ID(), accepted.ID())
	return opened, accepted
}

// requireBalanced checks, once all is quiet, that every byte of both session windows is
// accounted for and no stream is left; see rig.requireBalanced.
func (r *rawRig) requireBalanced() {
	r.t.Helper()
	(&rig{t: r.t, client: r.client, server: r.server}).requireBalanced()
}
