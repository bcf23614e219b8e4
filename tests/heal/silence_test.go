package heal

import (
	"context"
	"io"
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

// answerOf is a whole answer.
func answerOf(v spdy.Version, id uint32) spdy.Frame {
	names := []string{":status", ":version"}
	if v == spdy.SPDY2 {
		names = []string{"status", "version"}
	}
	return &spdy.SynReplyFrame{StreamID: id, Flags: spdy.FlagFin, Headers: spdy.HeaderBlock{
		{Name: names[0], Value: "200"}, {Name: names[1], Value: "HTTP/1.1"}}}
}

// mute is a server that answers the first request of each connection, and no PING. It sends life,
// if it is not nil, for each RST_STREAM.
func mute(v spdy.Version, life spdy.Frame) func(n int, conn net.Conn, f *spdy.Framer) error {
	return func(_ int, _ net.Conn, f *spdy.Framer) error {
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return err
			}
			switch in := frame.(type) {
			case *spdy.SynStreamFrame:
				if in.StreamID == 1 {
					err = f.WriteFrame(answerOf(v, 1))
				}
			case *spdy.RstStreamFrame:
				if life != nil {
					err = f.WriteFrame(life)
				}
			}
			if err != nil {
				return err
			}
		}
	}
}

// TestMuteServer: a server that answers no PING, and sends nothing else, is taken for a lost one:
// the request after one that was given up gets another connection, as over HTTP/1.1.
func TestMuteServer(t *testing.T) {
	inAll(t, nil, func(t *testing.T, s *site, rt http.RoundTripper) {
		s.script = mute(s.v, nil)
		require.NoError(t, s.within(time.Second, rt, "/"))
		require.Error(t, s.within(time.Second, rt, "/"))
		bubble.Pass(2 * time.Second)
		require.NoError(t, s.within(time.Second, rt, "/"))
		require.Equal(t, 2, s.dialled())
		require.True(t, s.closed(0))
	})
}

// TestAnyByteIsLife: whatever a server sends shows that it is there, although it answers no PING:
// it keeps its session through as many cancels as there are. When it falls silent it is found out.
func TestAnyByteIsLife(t *testing.T) {
	settings := &spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingMaxConcurrentStreams, Value: 100}}}
	inAll(t, nil, func(t *testing.T, s *site, rt http.RoundTripper) {
		s.script = mute(s.v, settings)
		require.NoError(t, s.within(time.Second, rt, "/"))
		for range 10 {
			require.Error(t, s.within(time.Second, rt, "/"))
			bubble.Pass(3 * time.Second)
		}
		require.Equal(t, 1, s.dialled())
		s.hole(true)
		require.LessOrEqual(t, s.failures(time.Second, rt), 2)
		require.Equal(t, 2, s.dialled())
	})
}

// TestStuckConnection: a connection that takes no bytes, because of an upload that nobody gives up,
// is found out by requests that are given up before they have left.
func TestStuckConnection(t *testing.T) {
	inAll(t, hello, func(t *testing.T, s *site, rt http.RoundTripper) {
		require.NoError(t, s.within(time.Second, rt, "/"))
		synctest.Wait()
		ours := s.ends[0].Conn.(*testconn.Conn)
		ours.SetHold(true)
		ours.SetWriteCap(1)
		ctx, cancel := context.WithCancel(t.Context())
		scheme := map[bool]string{true: "https", false: "http"}[s.secure]
		req, err := http.NewRequestWithContext(ctx, "POST", scheme+"://heal.example/", strings.NewReader(strings.Repeat("a", 1<<20)))
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() {
			_, err := fetch(rt, req)
			done <- err
		}()
		bubble.Pass(time.Minute)
		require.LessOrEqual(t, s.failures(time.Second, rt), 2)
		require.Equal(t, 2, s.dialled())
		require.Empty(t, done, "it goes on")
		cancel()
		require.Error(t, <-done)
	})
}

// TestUploadIsNoSilence: a PING that waits behind an upload over a slow line says nothing about the
// server.
func TestUploadIsNoSilence(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		if n > 0 || r.URL.Path == "/" {
			_, _ = io.WriteString(w, "hello")
			return
		}
		<-r.Context().Done()
	}
	inAll(t, h, func(t *testing.T, s *site, rt http.RoundTripper) {
		require.NoError(t, s.within(time.Second, rt, "/"))
		synctest.Wait()
		ours := s.ends[0].Conn.(*testconn.Conn)
		ours.SetBandwidth(200_000)
		ours.SetWriteCap(1 << 20) // five seconds
		scheme := map[bool]string{true: "https", false: "http"}[s.secure]
		req, err := http.NewRequestWithContext(t.Context(), "POST", scheme+"://heal.example/up", strings.NewReader(strings.Repeat("a", 4_000_000)))
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() {
			_, err := fetch(rt, req)
			done <- err
		}()
		bubble.Pass(6 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = s.get(ctx, rt, "/never")
		require.Error(t, err)
		require.NoError(t, <-done)
		require.NoError(t, s.within(time.Minute, rt, "/"))
		require.Equal(t, 1, s.dialled())
	})
}

// TestSessionOfNobodysPool: a session that nobody could replace stays, whatever its peer does not
// say: Config.PingInterval is for those who want to hear of that.
func TestSessionOfNobodysPool(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, hello)
		conn, err := s.dial(t.Context(), "", "")
		require.NoError(t, err)
		session := s.conf.ClientSession(conn)
		end := make(chan error, 1)
		go func() { end <- session.Serve() }()
		require.NoError(t, s.within(time.Second, session, "/"))
		s.hold(true)
		require.Error(t, s.within(time.Second, session, "/"))
		bubble.Pass(time.Minute)
		require.NoError(t, session.Err())
		require.True(t, session.CanTakeNewRequest())
		s.hold(false)
		require.NoError(t, s.within(time.Second, session, "/"))
		session.Close()
		require.NoError(t, <-end)
	})
}
