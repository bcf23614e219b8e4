package windows

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

const (
	smallest = 64 << 10 // window, in bytes
	largest  = 1<<31 - 1
)

// manyStreams is 2^32 where an int holds that, whose lower bits are 0.
var manyStreams = int(min(int64(1)<<32, int64(math.MaxInt/4)))

// values are those of a field, 0 included.
var values = map[string][]int{
	"StreamWindow":         {0, -1, 1, smallest, 256 << 10, 1<<20 + 1, largest / 2, largest/2 + 1, largest, math.MaxInt},
	"SessionWindow":        {0, -1, 1, smallest, 2*smallest - 1, 2 * smallest, 256 << 10, 1<<20 + 1, largest - 1, largest, math.MaxInt},
	"MaxConcurrentStreams": {0, -1, 1, 3, 4, 250, 1000, 32766, 32767, 100000, largest, manyStreams, math.MaxInt},
}

// A setup is a kind of session.
type setup struct {
	name string
	make func(c *spdy.Config, conn net.Conn) *spdy.Session
	both bool // the peer sends DATA on streams of either side
}

var setups = []setup{
	{"server", func(c *spdy.Config, conn net.Conn) *spdy.Session { return c.ServerSession(conn, &http.Server{}) }, false},
	{"client", func(c *spdy.Config, conn net.Conn) *spdy.Session { return c.ClientSession(conn) }, false},
	{pushingClient, func(c *spdy.Config, conn net.Conn) *spdy.Session {
		c.AcceptPush = func(promised, cause *http.Request) bool { return true }
		return c.ClientSession(conn)
	}, true},
	{"raw client", func(c *spdy.Config, conn net.Conn) *spdy.Session { return c.RawSession(conn, true) }, true},
	{"raw server", func(c *spdy.Config, conn net.Conn) *spdy.Session { return c.RawSession(conn, false) }, true},
}

// contradicts reports whether fields that are set allow no session. The windows of the
// peer's streams, and where both sides have streams that of one of ours, make a session.
func contradicts(c spdy.Config, kind setup) bool {
	stream, session, streams := uint64(smallest), uint64(largest), uint64(1)
	set := 0
	if c.StreamWindow > 0 {
		stream = min(max(uint64(c.StreamWindow), smallest), largest)
		set++
	}
	if c.SessionWindow > 0 {
		session = min(max(uint64(c.SessionWindow), smallest), largest)
		set++
	}
	if c.MaxConcurrentStreams > 0 {
		streams = min(uint64(c.MaxConcurrentStreams), largest)
		set++
	}
	if kind.both {
		streams++
	}
	if kind.name == pushingClient && (c.StreamWindow > 0 || c.SessionWindow > 0) {
		set++ // AcceptPush
	}
	return set > 1 && streams*stream > session
}

const pushingClient = "client that accepts pushes"

// announced reads a session's first frames.
func announced(t *testing.T, p *peer) (streams, window, session int64) {
	session = smallest
	for _, f := range p.frames() {
		switch f := f.(type) {
		case *spdy.SettingsFrame:
			for _, e := range f.Entries {
				switch e.ID {
				case spdy.SettingMaxConcurrentStreams:
					streams = int64(e.Value)
				case spdy.SettingInitialWindowSize:
					window = int64(e.Value)
				}
			}
		case *spdy.WindowUpdateFrame:
			require.Zero(t, f.StreamID)
			require.NotZero(t, f.Delta)
			session += int64(f.Delta)
		}
	}
	require.LessOrEqual(t, session, int64(largest))
	return streams, window, session
}

// Whatever a Config says, the windows that a session announces cover the streams that it
// announces, or the Config is an error.
func TestAttackA29Announced(t *testing.T) {
	for _, kind := range setups {
		bubble.Run(t, kind.name, func(t *testing.T) {
			for _, streams := range values["MaxConcurrentStreams"] {
				for _, window := range values["StreamWindow"] {
					for _, session := range values["SessionWindow"] {
						checkAnnounced(t, kind, spdy.Config{StreamWindow: window, SessionWindow: session, MaxConcurrentStreams: streams})
					}
				}
			}
		})
	}
}

func checkAnnounced(t *testing.T, kind setup, c spdy.Config) {
	about := fmt.Sprintf("StreamWindow %d, SessionWindow %d, MaxConcurrentStreams %d", c.StreamWindow, c.SessionWindow, c.MaxConcurrentStreams)
	ours, theirs := testconn.Pair()
	p := newPeer(t, spdy.SPDY31, theirs)
	s := kind.make(bubble.Quiet(c, spdy.SPDY31), ours)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	defer p.conn.Close()
	defer s.Close()
	synctest.Wait()
	if contradicts(c, kind) {
		var conflict *spdy.ConfigError
		require.ErrorAs(t, <-served, &conflict, about)
		require.Empty(t, p.frames(), about)
		return
	}
	streams, window, all := announced(t, p)
	covered := streams
	if kind.name == "client" {
		require.Zero(t, streams, about)
		covered = 1 // of its own
	} else {
		require.Positive(t, streams, about)
	}
	least := int64(smallest)
	if kind.both {
		covered, least = streams+1, 2*smallest
	}
	require.LessOrEqual(t, covered*window, all, "%s: %d streams of %d bytes", about, covered, window)
	wantKept(t, about, c.StreamWindow, window, smallest, kind.both)
	wantKept(t, about, c.SessionWindow, all, least, false)
	if kind.name != "client" && c.MaxConcurrentStreams <= largest/smallest/2 {
		wantKept(t, about, c.MaxConcurrentStreams, streams, 1, false)
	}
}

// wantKept wants a field that is set to have its value, if it is not out of range.
func wantKept(t *testing.T, about string, field int, value, lowest int64, halved bool) {
	t.Helper()
	if field <= 0 {
		return
	}
	want := min(max(int64(field), lowest), largest)
	if halved { // each side's streams have half of the largest window
		want, value = min(want, largest/2), min(value, largest/2)
	}
	require.Equal(t, want, value, about)
}

// A session with a peer that may do no flow control keeps what is set and reports no
// contradiction.
func TestUnawareConfig(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		ours, theirs := testconn.Pair()
		p := newPeer(t, spdy.SPDY31, theirs)
		conf := bubble.Quiet(spdy.Config{
			FlowControl: spdy.FlowControlPeerUnaware, StreamWindow: 512 << 10, SessionWindow: 600 << 10, MaxConcurrentStreams: 20,
		}, spdy.SPDY31)
		serve(t, conf.RawSession(ours, false))
		require.Empty(t, p.frames())
		p.send(&spdy.PingFrame{ID: 1})
		streams, window, session := announced(t, p)
		require.Equal(t, [3]int64{20, 512 << 10, 600 << 10}, [3]int64{streams, window, session})
	})
}

// conflicts are contradictory configurations, and the fields that each error names.
var conflicts = []struct {
	conf   spdy.Config
	fields [2]string
}{
	{spdy.Config{StreamWindow: 1 << 20, SessionWindow: 1 << 19}, [2]string{"StreamWindow", "SessionWindow"}},
	{spdy.Config{MaxConcurrentStreams: 5, SessionWindow: 1 << 18}, [2]string{"MaxConcurrentStreams", "SessionWindow"}},
	{spdy.Config{MaxConcurrentStreams: 5000, StreamWindow: 1 << 20}, [2]string{"MaxConcurrentStreams", "StreamWindow"}},
}

// raw and pushing are conflicts of sessions on which the peer sends on streams of both sides.
var (
	rawConflicts = []spdy.Config{
		{StreamWindow: 1 << 20, SessionWindow: 1<<21 - 1}, {StreamWindow: 1, SessionWindow: 1},
		{MaxConcurrentStreams: 4, SessionWindow: 1 << 18}, {MaxConcurrentStreams: 1, SessionWindow: smallest},
		{MaxConcurrentStreams: 1, StreamWindow: 1 << 30},
	}
	pushConflicts = append([]spdy.Config{{SessionWindow: smallest}, {StreamWindow: 1 << 30}}, rawConflicts...)
)

// The error names two fields that are set, on sessions with streams of both sides too.
func TestAttackA29ContradictionsOfBothSides(t *testing.T) {
	want := func(t *testing.T, c spdy.Config, err error) {
		t.Helper()
		var conflict *spdy.ConfigError
		require.ErrorAs(t, err, &conflict, "%+v", c)
		require.NotEqual(t, conflict.Field, conflict.Other)
		for _, name := range []string{conflict.Field, conflict.Other} {
			field := reflect.ValueOf(c).FieldByName(name)
			require.True(t, field.IsValid() && !field.IsZero(), "%s is not set: %v", name, err)
		}
	}
	bubble.Run(t, "raw", func(t *testing.T) {
		for _, c := range rawConflicts {
			ours, _ := testconn.Pair()
			want(t, c, bubble.Quiet(c, spdy.SPDY31).RawSession(ours, true).Serve())
		}
	})
	bubble.Run(t, "pushes", func(t *testing.T) {
		for _, c := range pushConflicts {
			c.AcceptPush = func(_, _ *http.Request) bool { return true }
			conf := bubble.Quiet(c, spdy.SPDY31)
			ours, _ := testconn.Pair()
			_, err := conf.NewClientConn(ours)
			want(t, c, err)
			want(t, c, spdy.ConfigureTransport(&http.Transport{}, conf))
			_, err = (&spdy.Transport{Config: conf}).RoundTrip(request(t, "GET", "/", nil))
			want(t, c, err)
		}
	})
}

// A number of streams that is larger than SETTINGS can say is as many as they can say, for
// peers that do no flow control too.
func TestUnawareManyStreams(t *testing.T) {
	for _, n := range []int{largest, manyStreams, 3 * manyStreams, math.MaxInt} {
		bubble.Run(t, strconv.Itoa(n), func(t *testing.T) {
			ours, theirs := testconn.Pair()
			p := newPeer(t, spdy.SPDY31, theirs)
			serve(t, bubble.Quiet(spdy.Config{FlowControl: spdy.FlowControlPeerUnaware, MaxConcurrentStreams: n}, spdy.SPDY31).RawSession(ours, false))
			p.send(&spdy.PingFrame{ID: 1})
			streams, _, _ := announced(t, p)
			require.EqualValues(t, largest, streams)
		})
	}
}

// Every function that makes or runs sessions reports a contradictory Config and closes the
// connection.
func TestAttackA29Contradictions(t *testing.T) {
	ways := map[string]func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error{
		"Config.NewClientConn": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error {
			_, err := c.NewClientConn(conn)
			return err
		},
		"Session.Serve": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error { return c.ClientSession(conn).Serve() },
		"Session.Serve, of a server": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error {
			return c.ServerSession(conn, &http.Server{}).Serve()
		},
		"Session.Serve, of a raw session": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error {
			return c.RawSession(conn, false).Serve()
		},
		"Session.RoundTrip": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error {
			s := c.ClientSession(conn)
			_, err := s.RoundTrip(request(t, "GET", "/", nil))
			return err
		},
		"Session.OpenStream": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error {
			_, err := c.RawSession(conn, true).OpenStream(context.Background(), nil, spdy.StreamOptions{})
			return err
		},
		"Session.AcceptStream": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error {
			_, err := c.RawSession(conn, true).AcceptStream(context.Background())
			return err
		},
		"Server.ServeConn": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error {
			_, _ = conn.Peer().Write([]byte{0x80, 3})
			return (&spdy.Server{Config: c}).ServeConn(conn, nil)
		},
		"Server.Serve": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error {
			conn.Close()
			return (&spdy.Server{Config: c}).Serve(testconn.Listen())
		},
		"Server.ServeTLS": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error {
			conn.Close()
			return (&spdy.Server{Config: c}).ServeTLS(testconn.Listen(), "", "")
		},
		"ConfigureServer": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error {
			conn.Close()
			return spdy.ConfigureServer(&http.Server{}, c)
		},
		"ConfigureTransport": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error {
			conn.Close()
			return spdy.ConfigureTransport(&http.Transport{}, c)
		},
		"Transport.RoundTrip": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error {
			conn.Close()
			_, err := (&spdy.Transport{Config: c}).RoundTrip(request(t, "GET", "/", nil))
			return err
		},
		"Upgrader.Upgrade": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error {
			conn.Close()
			req := httptest.NewRequest("POST", "/", nil)
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "SPDY/3.1")
			w := httptest.NewRecorder()
			_, _, err := (&spdy.Upgrader{Config: c}).Upgrade(w, req)
			require.Equal(t, http.StatusInternalServerError, w.Code)
			return err
		},
		"UpgradeDialer.Dial": func(t *testing.T, c *spdy.Config, conn *testconn.Conn) error {
			conn.Close()
			_, _, err := (&spdy.UpgradeDialer{Config: c}).Dial(context.Background(), "POST", "http://origin.example/")
			return err
		},
	}
	for name, way := range ways {
		bubble.Run(t, name, func(t *testing.T) {
			for _, c := range conflicts {
				ours, theirs := testconn.Pair()
				err := way(t, bubble.Quiet(c.conf, spdy.SPDY31), ours)
				var conflict *spdy.ConfigError
				require.True(t, errors.As(err, &conflict), "%v", err)
				require.Equal(t, c.fields, [2]string{conflict.Field, conflict.Other})
				require.Contains(t, err.Error(), "Config."+c.fields[0])
				require.Contains(t, err.Error(), "Config."+c.fields[1])
				_, err = theirs.Read(make([]byte, 1))
				require.Error(t, err, "the connection is closed")
			}
		})
	}
}
