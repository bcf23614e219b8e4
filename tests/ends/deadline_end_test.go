package ends

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// endOfAnswer are handlers that return before the client has taken the end of their answer.
var endOfAnswer = map[string]http.HandlerFunc{
	"short answer": func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, 100)) },
	"flushed before": func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(make([]byte, 100))
	},
	"replaced": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 17<<20))
	},
	"replaced, then a panic": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 17<<20))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	},
}

// TestDeadlineLimitsTheEnd: a handler sets a write deadline, sooner or later than the server's
// WriteTimeout or without one, and returns. A client that grants no window does not keep the
// stream: it is reset when the deadline passes, as by golang.org/x/net/http2. After that
// nothing holds a Shutdown up.
func TestDeadlineLimitsTheEnd(t *testing.T) {
	for name, answer := range endOfAnswer {
		for limits, c := range map[string]struct {
			set     func(c *http.ResponseController) error
			timeout time.Duration
			want    time.Duration // until the reset; 0 for none
		}{
			"its own": {func(c *http.ResponseController) error { return c.SetWriteDeadline(time.Now().Add(time.Minute)) }, 0, time.Minute},
			"sooner than WriteTimeout": {func(c *http.ResponseController) error {
				return c.SetWriteDeadline(time.Now().Add(time.Minute))
			}, time.Hour, time.Minute},
			"later than WriteTimeout": {func(c *http.ResponseController) error {
				return c.SetWriteDeadline(time.Now().Add(time.Minute))
			}, time.Second, time.Minute},
			"WriteTimeout": {func(*http.ResponseController) error { return nil }, time.Minute, time.Minute},
			"taken away":   {func(c *http.ResponseController) error { return c.SetWriteDeadline(time.Time{}) }, time.Minute, 0},
			"passed when the handler returns": {func(c *http.ResponseController) error {
				return c.SetWriteDeadline(time.Now().Add(-time.Second))
			}, 0, time.Second},
		} {
			bubble.In(t, name+"/"+limits, []spdy.Version{spdy.SPDY3, spdy.SPDY31}, func(t *testing.T, v spdy.Version) {
				p := newTimedPeer(t, v, c.timeout, func(w http.ResponseWriter, r *http.Request) {
					assert.NoError(t, c.set(http.NewResponseController(w)))
					answer(w, r)
				})
				p.send(&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingInitialWindowSize, Value: 0}}})
				p.send(bodyGet(v, 1))
				synctest.Wait()
				if c.want == 0 {
					bubble.Pass(time.Hour)
					require.NotContains(t, p.streamFrames(), "ERROR")
					return
				}
				shut := make(chan error, 1)
				go func() { shut <- p.s.Shutdown(context.Background()) }()
				bubble.Pass(c.want - time.Millisecond)
				require.Equal(t, "REPLY", p.streamFrames())
				require.Equal(t, 1, p.s.Stats().Streams.Total())
				bubble.Pass(time.Millisecond)
				require.Equal(t, "INTERNAL_ERROR", p.streamFrames())
				p.conn.Close()
				synctest.Wait()
				require.NotEmpty(t, shut)
			})
		}
	}
}

// TestDeadlineLeavesTheEnd: a client that takes the end of the answer by the deadline, or
// within a second of the return if that came later, gets it, also if it sends its request no
// further.
func TestDeadlineLeavesTheEnd(t *testing.T) {
	for name, passed := range map[string]bool{"by the deadline": false, "passed when the handler returns": true} {
		bubble.In(t, name, []spdy.Version{spdy.SPDY3, spdy.SPDY31}, func(t *testing.T, v spdy.Version) {
			p := newTimedPeer(t, v, 0, func(w http.ResponseWriter, r *http.Request) {
				c := http.NewResponseController(w)
				assert.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Minute)))
				_, _ = io.WriteString(w, "some")
				if passed {
					bubble.Pass(time.Hour)
				}
			})
			p.send(&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingInitialWindowSize, Value: 0}}})
			p.send(bodyGet(v, 1))
			if passed {
				bubble.Pass(time.Hour + time.Second - time.Millisecond)
			} else {
				bubble.Pass(time.Minute - time.Millisecond)
			}
			p.send(&spdy.WindowUpdateFrame{StreamID: 1, Delta: 100})
			require.Equal(t, "REPLY DATA+FIN", p.streamFrames())
			bubble.Pass(time.Hour)
			require.Empty(t, p.streamFrames())
		})
	}
}

// bodyGet is a request without a body.
func bodyGet(v spdy.Version, id uint32) *spdy.SynStreamFrame {
	f := bodyPost(v, id)
	f.Flags = spdy.FlagFin
	return f
}

// newTimedPeer is newBodyPeer for a server with a WriteTimeout.
func newTimedPeer(t *testing.T, v spdy.Version, timeout time.Duration, h http.HandlerFunc) *bodyPeer {
	return startBodyPeer(t, v, &http.Server{Handler: h, WriteTimeout: timeout})
}

// TestDeadlineOfAReturnedHandler: a goroutine that outlives its handler does not take the limit
// of the answer's end away.
func TestDeadlineOfAReturnedHandler(t *testing.T) {
	bubble.In(t, "", []spdy.Version{spdy.SPDY3, spdy.SPDY31}, func(t *testing.T, v spdy.Version) {
		control := make(chan *http.ResponseController, 1)
		p := newTimedPeer(t, v, 0, func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			assert.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Minute)))
			_, _ = io.WriteString(w, "some")
			control <- c
		})
		p.send(&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingInitialWindowSize, Value: 0}}})
		p.send(bodyGet(v, 1))
		synctest.Wait()
		require.NoError(t, (<-control).SetWriteDeadline(time.Time{}))
		bubble.Pass(time.Minute)
		require.Equal(t, "REPLY INTERNAL_ERROR", p.streamFrames())
	})
}
