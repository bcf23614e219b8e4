package spdy

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A clientSite is a server in memory, and a client as NewClient makes it, whose dials take as long as
// a script says, whatever becomes of their contexts.
type clientSite struct {
	client *Client
	delay  func(n int) time.Duration
	refuse bool // the server refuses every stream

	mu    sync.Mutex
	conns []net.Conn // the server's ends
}

func newClientSite(t *testing.T, delay func(n int) time.Duration) *clientSite {
	c := &Client{home: originKey{scheme: "http", addr: "client.example:80"}}
	c.closing, c.stop = context.WithCancel(context.Background())
	s := &clientSite{client: c, delay: delay}
	c.pool = &Transport{owner: c, StrictMaxConcurrentStreams: true, DisableCompression: true, DialContext: s.dial}
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return s
}

func (s *clientSite) dial(context.Context, string, string) (net.Conn, error) {
	if s.client.isClosed() { // as (*Client).dial
		return nil, ErrSessionClosed
	}
	ours, theirs := testconn.Pair()
	s.mu.Lock()
	s.conns = append(s.conns, theirs)
	n := len(s.conns)
	s.mu.Unlock()
	<-time.After(s.delay(n))
	if s.refuse {
		go refuseAll(theirs) // ends with the connection
		return ours, nil
	}
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answer") })
	go func() { _ = quietConfig.ServerSession(theirs, &http.Server{Handler: answer}).Serve() }() // ends with the connection
	return ours, nil
}

// refuseAll is a server that refuses every stream.
func refuseAll(conn net.Conn) {
	f := NewFramer(conn, conn, SPDY31)
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		if syn, ok := frame.(*SynStreamFrame); ok {
			_ = f.WriteFrame(&RstStreamFrame{StreamID: syn.StreamID, Status: RstRefusedStream})
		}
	}
}

// do sends a request, and requires an answer.
func (s *clientSite) do(t *testing.T, alone bool) {
	req, err := http.NewRequest("GET", "http://client.example/", nil)
	require.NoError(t, err)
	req.Close = alone
	res, err := s.client.Do(req)
	require.NoError(t, err)
	_, err = io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	synctest.Wait()
}

// TestClientSessionOfTwoDials: Session returns the session that takes requests, and not that of a
// dial which came too late.
func TestClientSessionOfTwoDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newClientSite(t, func(n int) time.Duration {
			if n == 1 {
				return dialPatience + hookGrace/2
			}
			return 0
		})
		s.do(t, false)
		winner := s.client.Session()
		<-time.After(hookGrace) // the other one comes
		synctest.Wait()
		require.Len(t, s.conns, 2)
		require.Same(t, winner, s.client.Session())
		require.NoError(t, s.client.Session().Err())
	})
}

// TestClientSessionOfOneRequest: a session for a single request is not what Session returns.
func TestClientSessionOfOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newClientSite(t, func(int) time.Duration { return 0 })
		s.do(t, false)
		first := s.client.Session()
		s.do(t, true)
		require.Len(t, s.conns, 2)
		require.Same(t, first, s.client.Session())
		pinged, err := s.client.Ping(time.Second)
		require.NoError(t, err)
		require.True(t, pinged)
	})
}

// TestClientEndsPause: a request that waits between two tries hears at once that the client is closed.
func TestClientEndsPause(t *testing.T) {
	for name, end := range map[string]func(c *Client) error{
		"Close":    (*Client).Close,
		"Shutdown": func(c *Client) error { return c.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newClientSite(t, func(int) time.Duration { return 0 })
				s.refuse = true
				failed := make(chan error, 1)
				go func() {
					req, _ := http.NewRequest("GET", "http://client.example/", nil)
					_, err := s.client.Do(req)
					failed <- err
				}()
				<-time.After(retryPause / 2)
				synctest.Wait()
				require.Empty(t, failed, "it pauses")
				over := make(chan error, 1)
				go func() { over <- end(s.client) }()
				start := time.Now()
				require.ErrorIs(t, <-failed, ErrSessionClosed)
				require.Zero(t, time.Since(start))
				for _, conn := range s.conns {
					conn.Close()
				}
				require.NoError(t, <-over)
			})
		})
	}
}
