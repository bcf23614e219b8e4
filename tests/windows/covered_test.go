package windows

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// four is a configuration whose session window covers four streams.
var four = spdy.Config{StreamWindow: 64 << 10, SessionWindow: 256 << 10}

// A client opens as many streams as its session window covers. Further requests wait, with
// their contexts, until a body has been read or closed.
func TestAttackA29CoveredStreams(t *testing.T) {
	bubble.In(t, "session", withWindows, func(t *testing.T, v spdy.Version) {
		p, s := scripted(t, v, four)
		var trips []*trip
		for range 6 {
			trips = append(trips, start(s, request(t, "GET", "/", nil)))
			synctest.Wait()
		}
		require.Equal(t, []uint32{1, 3, 5, 7}, p.opened())
		require.Equal(t, 2, s.Stats().WaitingOpeners)

		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := s.RoundTrip(request(t, "GET", "/", nil).WithContext(ctx))
		require.ErrorIs(t, err, context.DeadlineExceeded)

		p.reply(1, 0)
		p.data(1, 60<<10, spdy.FlagFin)
		require.Empty(t, p.opened(), "its bytes are unread")
		_, err = io.Copy(io.Discard, trips[0].answered(t).Body)
		require.NoError(t, err)
		require.Equal(t, []uint32{9}, p.opened())

		p.reply(3, 0)
		p.data(3, 60<<10, spdy.FlagFin)
		require.Empty(t, p.opened())
		require.NoError(t, trips[1].answered(t).Body.Close())
		require.Equal(t, []uint32{11}, p.opened())
		for _, id := range []uint32{5, 7, 9, 11} {
			p.reply(id, spdy.FlagFin)
		}
		for _, c := range trips[2:] {
			require.NoError(t, c.answered(t).Body.Close())
		}
	})
	bubble.Run(t, "without windows", func(t *testing.T) {
		p, s := scripted(t, spdy.SPDY2, four)
		for range 6 {
			start(s, request(t, "GET", "/", nil))
		}
		require.Len(t, p.opened(), 6)
	})
}

// An origin serves the sessions that a Transport dials.
type origin struct {
	t *testing.T
	v spdy.Version

	mu       sync.Mutex
	sessions []*spdy.Session // of the client
}

func (o *origin) dial(context.Context, string, string) (net.Conn, error) {
	a, b := testconn.Pair()
	s := bubble.Quiet(spdy.Config{}, o.v).ServerSession(b, &http.Server{Handler: http.HandlerFunc(sized)})
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve() // the end of the test closes it
	}()
	o.t.Cleanup(func() {
		s.Close()
		<-served
	})
	return a, nil
}

// transport returns a Transport for an origin.
func (o *origin) transport(conf spdy.Config, sessions int) *spdy.Transport {
	c := bubble.Quiet(conf, o.v)
	c.Trace = &spdy.Trace{SessionStart: func(s *spdy.Session) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.sessions = append(o.sessions, s)
	}}
	return &spdy.Transport{Config: c, DialContext: o.dial, MaxSessionsPerHost: sessions}
}

func (o *origin) dialled() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.sessions)
}

// A Transport dials another session when the windows of one are used up, by open streams or
// by what ended ones have left unread; with MaxSessionsPerHost requests wait.
func TestAttackA29TransportOfUnread(t *testing.T) {
	for name, path := range map[string]string{"open": "/100000000", "ended": "/61440"} {
		bubble.In(t, name, withWindows, func(t *testing.T, v spdy.Version) {
			o := &origin{t: t, v: v}
			rt := o.transport(four, 0)
			for range 8 {
				get(t, rt, path)
				synctest.Wait()
			}
			require.Equal(t, 2, o.dialled())
		})
		bubble.In(t, name+", one session", withWindows, func(t *testing.T, v spdy.Version) {
			o := &origin{t: t, v: v}
			rt := o.transport(four, 1)
			var bodies []io.Closer
			for range 4 {
				bodies = append(bodies, get(t, rt, path).Body)
				synctest.Wait()
			}
			var next []*trip
			for range 2 {
				c := start(rt, request(t, "GET", "/100", nil))
				require.True(t, c.pending())
				next = append(next, c)
			}
			require.NoError(t, bodies[0].Close())
			synctest.Wait()
			for _, c := range next { // the second follows when the first has been read
				<-c.done
				require.NoError(t, c.err)
				require.NoError(t, c.res.Body.Close())
			}
			require.Equal(t, 1, o.dialled())
			for _, body := range bodies[1:] {
				require.NoError(t, body.Close())
			}
		})
	}
}

// A thousand answers that nobody reads do not stop a session: a download passes them, or
// waits until the application has read some of them.
func TestAttackA29EndedUnread(t *testing.T) {
	const many = 1000
	bubble.In(t, "defaults", bubble.Versions, func(t *testing.T, v spdy.Version) {
		p := newPair(t, v, spdy.Config{}, spdy.Config{}, sized)
		for range many {
			get(t, p.client, "/61440")
		}
		synctest.Wait()
		require.EqualValues(t, many*61440, p.client.Stats().UnreadBytes)
		var g group
		g.download(t, p.client, 10, moved)
		g.wg.Wait()
		require.EqualValues(t, 10, g.done.Load())
	})
	bubble.In(t, "small windows", withWindows, func(t *testing.T, v spdy.Version) {
		p := newPair(t, v, spdy.Config{StreamWindow: 64 << 10, SessionWindow: 4 << 20}, spdy.Config{}, sized)
		gate := make(chan struct{})
		var wg sync.WaitGroup
		answered := make(chan struct{}, many)
		for range many {
			req := request(t, "GET", "/61440", nil)
			wg.Go(func() {
				res, err := p.client.RoundTrip(req)
				if !assert.NoError(t, err) {
					return
				}
				answered <- struct{}{}
				<-gate
				n, err := io.Copy(io.Discard, res.Body)
				assert.NoError(t, err)
				assert.EqualValues(t, 61440, n)
				res.Body.Close()
			})
		}
		bubble.Pass(time.Minute)
		require.GreaterOrEqual(t, len(answered), 64)
		require.LessOrEqual(t, len(answered), 70, "64 windows hold 68 answers")
		require.Equal(t, time.Duration(0), ping(t, p.client))
		require.NoError(t, p.client.Err())
		close(gate)
		wg.Wait()
		require.Len(t, answered, many)
	})
	bubble.In(t, "Transport", withWindows, func(t *testing.T, v spdy.Version) {
		o := &origin{t: t, v: v}
		rt := o.transport(spdy.Config{StreamWindow: 64 << 10, SessionWindow: 4 << 20}, 0)
		for range many {
			get(t, rt, "/61440")
		}
		require.LessOrEqual(t, o.dialled(), many/60)
		require.Greater(t, o.dialled(), 10)
	})
}

// Credit that a session owes when its window becomes short is granted at once, although no
// further byte is read.
func TestAttackA29CreditThatIsOwed(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		const window, many = 64 << 10, 16
		p, s := scripted(t, spdy.SPDY31, spdy.Config{StreamWindow: window, SessionWindow: many * window})
		var trips []*trip
		for i := range many {
			trips = append(trips, start(s, request(t, "GET", "/", nil)))
			synctest.Wait()
			p.reply(uint32(2*i+1), 0)
		}
		for i, c := range trips[:3] { // less than a quarter of the session's window
			p.data(uint32(2*i+1), window, 0)
			_, err := io.CopyN(io.Discard, c.answered(t).Body, window)
			require.NoError(t, err)
		}
		session := int64(0)
		granted := func() int64 {
			for _, f := range p.frames() {
				if f, ok := f.(*spdy.WindowUpdateFrame); ok && f.StreamID == 0 {
					session += int64(f.Delta)
				}
			}
			return session
		}
		require.EqualValues(t, (many-1)*window, granted())
		for i := 3; i < many; i++ {
			p.data(uint32(2*i+1), window, 0)
		}
		require.EqualValues(t, (many+2)*window, granted())
		for _, c := range trips {
			c.answered(t).Body.Close()
		}
	})
}
