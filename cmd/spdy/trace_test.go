package main

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/amahi/spdy"
	"github.com/stretchr/testify/require"
)

// A wire is a connection whose peer is a script.
type wire struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (w *wire) Read(p []byte) (int, error)  { return w.in.Read(p) }
func (w *wire) Write(p []byte) (int, error) { return w.out.Write(p) }
func (w *wire) RemoteAddr() net.Addr        { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80} }

// traced passes bytes through a traced connection, n at a time, and returns the
// trace, without times.
func traced(t testing.TB, v spdy.Version, secrets bool, n int, in, out string) string {
	t.Helper()
	var b bytes.Buffer
	tr := &tracer{out: &b, secrets: secrets, now: func() time.Time { return time.Time{} }}
	w := &wire{in: strings.NewReader(in)}
	conn := tr.conn(w, v)
	for rest := out; rest != ""; {
		k := min(n, len(rest))
		_, err := io.WriteString(conn, rest[:k])
		require.NoError(t, err)
		rest = rest[k:]
	}
	got, err := io.ReadAll(onlyReader{conn, n})
	require.NoError(t, err)
	require.Equal(t, in, string(got))
	require.Equal(t, out, w.out.String())
	return b.String()
}

// An onlyReader reads n bytes at a time.
type onlyReader struct {
	r io.Reader
	n int
}

func (r onlyReader) Read(p []byte) (int, error) { return r.r.Read(p[:min(r.n, len(p))]) }

// TestTracePieces wants the same trace of all vectors in one piece, and of bytes
// that come one by one, or so many that frames are cut everywhere; and with
// secrets what dump prints, but for the windows.
func TestTracePieces(t *testing.T) {
	for _, c := range loadContexts(t) {
		var v versionFlag
		require.NoError(t, v.Set(c.version))
		for _, secrets := range []bool{false, true} {
			whole := traced(t, v.Version, secrets, len(c.wire), string(c.wire), "")
			require.Equal(t, len(c.decoded), strings.Count(whole, "\n<"), c.id)
			for _, n := range []int{1, 7, 1000} {
				require.Equal(t, whole, traced(t, v.Version, secrets, n, string(c.wire), ""), c.id)
			}
			args := []string{"dump", "-version", c.version}
			if secrets {
				args = append(args, "-secrets")
			}
			dump := strings.Split(tool(t, string(c.wire), args...).stdout, "\n")[1:]
			trace := strings.Split(whole, "\n")[2:]
			require.Len(t, trace, len(dump))
			for i, line := range dump {
				if line != "" {
					require.True(t, strings.HasPrefix(trace[i][12:], line[12:]), "%q and %q", trace[i], line)
				}
			}
		}
	}
}

// TestTraceGivesUp follows a direction no further once it cannot, and lets everything
// pass.
func TestTraceGivesUp(t *testing.T) {
	ping := wireOf(t, spdy.SPDY31, &spdy.PingFrame{ID: 1})
	for in, want := range map[string]string{
		"\x80\x03\x00\x06\x00\x00\x00\x01x":                                        "< cannot be followed from here on: PING with a payload of 1 bytes",
		"\x80\x03\x00\x63\x00\xff\xff\xff" + strings.Repeat("x", 1000):             "< cannot be followed from here on: a control frame of 16777223 bytes",
		"\x80\x03\x00\x08\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00": "< cannot be followed from here on: HEADERS: invalid zlib header",
	} {
		for _, n := range []int{1, 5000} {
			got := traced(t, spdy.SPDY31, false, n, in+ping, ping)
			require.Contains(t, got, want)
			require.Equal(t, 1, strings.Count(got, "PING                -"), got)
		}
	}

	// Headers that break a rule end nothing.
	w := spdy.NewFramer(nil, nil, spdy.SPDY31)
	bad := wireOf(t, spdy.SPDY31, &spdy.HeadersFrame{StreamID: 1, Block: w.CompressBlock(pairs("Bad", "x"))})
	got := traced(t, spdy.SPDY31, false, 3, bad+ping, "")
	require.Contains(t, got, "            ! HEADERS on stream 1: ")
	require.Contains(t, got, "PING                -")
}

// TestTraceLargeData keeps nothing of DATA that is not shown.
func TestTraceLargeData(t *testing.T) {
	large := wireOf(t, spdy.SPDY31, &spdy.DataFrame{StreamID: 1, Data: make([]byte, 1<<20)})
	tr := &tracer{out: io.Discard, now: time.Now}
	conn := tr.conn(&wire{in: strings.NewReader(large)}, spdy.SPDY31).(*tracedConn)
	_, err := io.Copy(io.Discard, onlyReader{conn, 4096})
	require.NoError(t, err)
	require.Less(t, conn.in.pending.Cap(), 1<<10)
}

// TestLedger keeps the windows of a conversation of ours.
func TestLedger(t *testing.T) {
	settings := func(window uint32) spdy.Frame {
		return &spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingInitialWindowSize, Value: window}}}
	}
	const none = ""
	steps := []struct {
		d       direction
		f       spdy.Frame
		length  int
		v31, v3 string
	}{
		{outgoing, &spdy.SynStreamFrame{StreamID: 1}, 0, none, none},
		{outgoing, &spdy.DataFrame{StreamID: 1}, 1000, "window 64536, session window 64536", "window 64536"},
		{incoming, settings(100), 0, none, none},
		{outgoing, &spdy.DataFrame{StreamID: 1}, 0, "window -900, session window 64536", "window -900"},
		{incoming, &spdy.WindowUpdateFrame{StreamID: 1, Delta: 2000}, 8, "window 1100, session window 64536", "window 1100"},
		{incoming, &spdy.WindowUpdateFrame{StreamID: 0, Delta: 1000}, 8, "session window 65536", none},
		{outgoing, settings(50), 0, none, none},
		{incoming, &spdy.DataFrame{StreamID: 1}, 10, "window 40, session window 65526", "window 40"},
		{outgoing, &spdy.DataFrame{StreamID: 1, Flags: spdy.FlagFin}, 1, "window 1099, session window 65535", "window 1099"},
		{incoming, &spdy.HeadersFrame{StreamID: 1, Flags: spdy.FlagFin}, 0, none, none},
		{incoming, &spdy.DataFrame{StreamID: 3}, 5, "window 45, session window 65521", "window 45"},
	}
	three1, three, two := newLedger(spdy.SPDY31), newLedger(spdy.SPDY3), newLedger(spdy.SPDY2)
	for i, s := range steps {
		require.Equal(t, s.v31, three1.note(s.d, s.f, s.length), i)
		require.Equal(t, s.v3, three.note(s.d, s.f, s.length), i)
		require.Empty(t, two.note(s.d, s.f, s.length))
	}
	require.Len(t, three1.ways[incoming].spent, 1, "stream 1 is over")
	three1.note(outgoing, &spdy.RstStreamFrame{StreamID: 3}, 8)
	for _, way := range three1.ways {
		require.Empty(t, way.spent)
		require.Empty(t, way.ended)
	}
}
