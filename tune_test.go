package spdy

import (
	"context"
	"io"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

const (
	longRTT   = 100 * time.Millisecond
	gigabit   = 125_000_000 // bytes a second
	longTrial = 3 * time.Second
)

// longPath is 100 ms there and back at 1 Gbit/s. The network buffers more than the
// path holds, as networks do, but not without end.
func longPath() []testconn.Option {
	return []testconn.Option{testconn.Latency(longRTT / 2), testconn.Bandwidth(gigabit), testconn.WriteCap(32 << 20)}
}

// slowerPath is as long and takes 200 Mbit/s, which needs a tenth of the memory and time.
func slowerPath() []testconn.Option {
	return []testconn.Option{testconn.Latency(longRTT / 2), testconn.Bandwidth(gigabit / 5), testconn.WriteCap(32 << 20)}
}

// endless answers with bytes that do not end.
func endless(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.Copy(w, zeros{})
}

// readFor reads as fast as bytes come until some time has passed, and returns how many.
func readFor(t *testing.T, r io.Reader, d time.Duration) (n int64) {
	t.Helper()
	end := time.Now().Add(d)
	p := make([]byte, 256<<10)
	for time.Now().Before(end) {
		k, err := r.Read(p)
		require.NoError(t, err)
		n += int64(k)
	}
	return n
}

func (r *rig) openBody(path string) io.ReadCloser {
	req, err := http.NewRequest(http.MethodGet, "http://rig"+path, nil)
	require.NoError(r.t, err)
	res, err := r.client.RoundTrip(req)
	require.NoError(r.t, err)
	return res.Body
}

// A single stream fills a path of 100 ms and 1 Gbit/s once its window has grown.
func TestLongPathIsFilled(t *testing.T) {
	rigTest(t, endless, rigSetup{conn: longPath()}, func(t *testing.T, r *rig) {
		body := r.openBody("/")
		readFor(t, body, 2*time.Second) // time to grow
		n := readFor(t, body, longTrial)
		assert.GreaterOrEqual(t, float64(n), 0.9*gigabit*longTrial.Seconds())
		require.NoError(t, body.Close())
	})
}

// Where the configuration says so, windows stay as they are.
func TestWindowsCanStay(t *testing.T) {
	conf := &Config{MaxStreamWindow: 1}
	rigTest(t, endless, rigSetup{client: conf, conn: longPath()}, func(t *testing.T, r *rig) {
		body := r.openBody("/")
		n := readFor(t, body, longTrial)
		windows := int64(longTrial / longRTT)
		assert.LessOrEqual(t, n, (windows+2)*defaultStreamWindow)
		assert.GreaterOrEqual(t, n, (windows-2)*defaultStreamWindow/2)
		require.Zero(t, r.client.nextPing-1, "nothing to measure")
		require.NoError(t, body.Close())
	})
}

// A slow reader does not get a larger window, however long the path is.
func TestSlowReaderKeepsItsWindow(t *testing.T) {
	rigTest(t, endless, rigSetup{conn: slowerPath()}, func(t *testing.T, r *rig) {
		body := r.openBody("/")
		p := make([]byte, 16<<10)
		for range 200 { // 16 KiB in 30 ms, a quarter of what the window allows
			_, err := io.ReadFull(body, p)
			require.NoError(t, err)
			after(30 * time.Millisecond)
		}
		r.client.mu.Lock()
		pool := r.client.flow.tuner.pool
		r.client.mu.Unlock()
		require.EqualValues(t, defaultPool, pool)
		require.NoError(t, body.Close())
	})
}

// Streams that have grown and are read no more keep their unread bytes, at most half of
// the session's window; the others go on.
func TestGrownStreamsLeaveRoom(t *testing.T) {
	rigTest(t, endless, rigSetup{conn: slowerPath()}, func(t *testing.T, r *rig) {
		var held []io.ReadCloser
		for range 6 {
			body := r.openBody("/")
			readFor(t, body, 3*time.Second)
			held = append(held, body)
		}
		after(2 * time.Second)
		synctest.Wait()
		unread := r.client.unread()
		require.Greater(t, unread, int64(6*defaultStreamWindow), "they have grown")
		require.LessOrEqual(t, unread, int64(defaultPool+6*defaultStreamWindow))
		body := r.openBody("/")
		require.Greater(t, readFor(t, body, 2*time.Second), int64(2<<20), "another one goes on")
		held = append(held, body)
		for _, b := range held {
			require.NoError(t, b.Close())
		}
		after(time.Second)
		r.client.mu.Lock()
		defer r.client.mu.Unlock()
		require.EqualValues(t, defaultPool, r.client.flow.tuner.pool, "all has been given back")
	})
}

// What a finished stream has left unread stays charged to the pool until it is read.
func TestFinishedStreamKeepsItsShare(t *testing.T) {
	const size = 64 << 20
	finite := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.CopyN(w, zeros{}, size) }
	rigTest(t, finite, rigSetup{conn: slowerPath()}, func(t *testing.T, r *rig) {
		body := r.openBody("/")
		rest := make([]byte, 2<<20)
		_, err := io.CopyN(io.Discard, body, size-int64(len(rest)))
		require.NoError(t, err)
		after(time.Second) // all of it has come
		pool := func() int64 {
			r.client.mu.Lock()
			defer r.client.mu.Unlock()
			return r.client.flow.spareLocked()
		}
		require.EqualValues(t, defaultPool-len(rest), pool())
		_, err = io.ReadFull(body, rest)
		require.NoError(t, err)
		require.EqualValues(t, defaultPool, pool())
		require.NoError(t, body.Close())
	})
}

// A reader that becomes slow gives its window back.
func TestWindowShrinks(t *testing.T) {
	rigTest(t, endless, rigSetup{conn: slowerPath()}, func(t *testing.T, r *rig) {
		body := r.openBody("/")
		readFor(t, body, 3*time.Second)
		given := func() int64 {
			r.client.mu.Lock()
			defer r.client.mu.Unlock()
			return defaultPool - r.client.flow.tuner.pool
		}
		require.Greater(t, given(), int64(2<<20))
		p := make([]byte, 256<<10)
		for range 400 { // 2.5 MB/s
			_, err := io.ReadFull(body, p)
			require.NoError(t, err)
			after(100 * time.Millisecond)
		}
		require.Less(t, given(), int64(3<<19))
		r.client.checkBooks(t)
		require.NoError(t, body.Close())
	})
}

// checkBooks compares what the streams of a session have unread and may still get
// with their windows.
func (s *Session) checkBooks(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		st.in.mu.Lock()
		f, unread := st.in.flow, st.in.unread
		st.in.mu.Unlock()
		require.Equal(t, f.size, unread+f.avail+f.owed)
		require.Equal(t, int64(s.conf.StreamWindow)+st.epoch.given, f.size)
	}
}

// An upload grows too, as far as the server's session window allows.
func TestUploadWindowGrows(t *testing.T) {
	conf := &Config{SessionWindow: 32 << 20}
	received := int64(0)
	sink := func(w http.ResponseWriter, req *http.Request) {
		readFor(t, req.Body, 2*time.Second)
		received = readFor(t, req.Body, longTrial)
	}
	rigTest(t, sink, rigSetup{server: conf, conn: slowerPath()}, func(t *testing.T, r *rig) {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://rig/", zeros{})
		require.NoError(t, err)
		res, err := r.client.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		assert.GreaterOrEqual(t, float64(received), 0.9*gigabit/5*longTrial.Seconds())
	})
}

// zeros is a body without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestGrantsAddUp: the windows of all streams that a session grants to its peer and to itself,
// and the pool, are no more than the session's window, whatever a Config says.
func TestGrantsAddUp(t *testing.T) {
	sizes := []int{0, -1, 1, 2, 7, 250, 1000, 32766, 32767, 32768, 64 << 10, 64<<10 + 1, 128<<10 - 1, 128 << 10, 1 << 20, 1<<30 - 1, 1 << 30, 1<<31 - 2, 1<<31 - 1, math.MaxInt}
	kinds := map[string]sending{"server": httpSending, "raw": rawSending, "client": {ours: true}, "pushes": {theirs: true, ours: true}}
	for name, d := range kinds {
		for _, session := range sizes {
			for _, window := range sizes {
				for _, streams := range sizes {
					for _, grown := range []int{0, 1, math.MaxInt} {
						c := &Config{SessionWindow: session, StreamWindow: window, MaxConcurrentStreams: streams, MaxStreamWindow: grown}
						if name == "pushes" {
							c.AcceptPush = func(_, _ *http.Request) bool { return true }
						}
						if c.check(d) == nil {
							wantGrants(t, c.withDefaults(d.ours, d), d)
						}
					}
				}
			}
		}
	}
}

func wantGrants(t *testing.T, c *Config, d sending) {
	t.Helper()
	sum := c.grants.pool
	if d.theirs {
		sum += int64(c.MaxConcurrentStreams) * int64(c.StreamWindow)
	}
	if d.ours {
		sum += int64(c.grants.opens) * int64(c.StreamWindow)
	}
	if sum > int64(c.SessionWindow) || d.ours && c.grants.opens < 1 || c.MaxConcurrentStreams < 1 || c.StreamWindow < defaultWindow {
		t.Errorf("%d bytes are granted: %+v", sum, c)
	}
}
