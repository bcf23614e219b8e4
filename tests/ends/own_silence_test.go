package ends

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// ownUpgrade runs a session of an Upgrader, on a server in memory, and returns it with a
// peer whose first frame has not been sent.
func ownUpgrade(t *testing.T, conf spdy.Config) *ownPeer {
	t.Helper()
	ln := spdytest.Listen()
	conf.Version = spdy.SPDY31
	sessions, done := make(chan *spdy.Session), make(chan struct{})
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _, err := (&spdy.Upgrader{Config: bubble.Quiet(conf, spdy.SPDY31)}).Upgrade(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		sessions <- s
		<-done // the test serves the session
	})}
	go srv.Serve(ln)
	conn, err := ln.DialContext(t.Context(), "", "")
	require.NoError(t, err)
	_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"))
	require.NoError(t, err)
	s := <-sessions
	t.Cleanup(func() { close(done); srv.Close() })
	answer := make([]byte, 1024)
	n, err := conn.Read(answer)
	require.NoError(t, err)
	require.True(t, bytes.HasSuffix(answer[:n], []byte("\r\n\r\n")), "the whole of the 101 and nothing else")
	return newOwnPeer(t, spdy.SPDY31, conn.(*testconn.Conn), s)
}

// TestOwnSilence: a session of an Upgrader says nothing before its client has. So it sends
// no PING either, by itself or for a caller, and does not take a client for lost that has
// not been asked. When the client has spoken, an unanswered PING ends the session.
func TestOwnSilence(t *testing.T) {
	for _, flow := range []spdy.FlowControl{spdy.FlowControlStandard, spdy.FlowControlPeerUnaware} {
		for _, first := range []bool{false, true} {
			name := map[spdy.FlowControl]string{spdy.FlowControlStandard: "standard", spdy.FlowControlPeerUnaware: "unaware"}[flow]
			if first {
				name += " SpeakFirst"
			}
			bubble.Run(t, name, func(t *testing.T) {
				p := ownUpgrade(t, spdy.Config{FlowControl: flow, SpeakFirst: first, PingInterval: 30 * time.Second, PingTimeout: 10 * time.Second})
				defer p.close()
				bubble.Pass(time.Hour)
				require.NoError(t, p.s.Err(), "an hour of silence")
				require.Zero(t, p.s.Stats().WaitingPings)
				pinged := make(chan error, 1)
				go func() {
					_, err := p.s.PingContext(t.Context())
					pinged <- err
				}()
				require.Zero(t, p.count(spdy.FramePing), "nor one that a caller asks for")
				require.Zero(t, p.count(spdy.FrameSettings))
				p.send(&spdy.SynStreamFrame{StreamID: 1})
				require.Positive(t, p.count(spdy.FrameSettings))
				require.Positive(t, p.count(spdy.FramePing), "it has been kept")
				p.send(&spdy.PingFrame{ID: 2}) // the caller's is the first
				synctest.Wait()
				require.NoError(t, <-pinged)
				bubble.Pass(time.Minute)
				require.ErrorIs(t, p.s.Err(), spdy.ErrPingTimeout, "now silence counts")
			})
		}
	}
}

// TestOwnSilenceGivenUp: a PING that was held back, and whose caller has gone, is not sent.
func TestOwnSilenceGivenUp(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		p := ownUpgrade(t, spdy.Config{})
		defer p.close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.s.PingContext(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		p.send(&spdy.SynStreamFrame{StreamID: 1})
		require.Zero(t, p.count(spdy.FramePing))
	})
}
