package windows

import (
	"context"
	"errors"
	"io"
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

const shedAfter = 10 * time.Second

// A shedTrace collects the errors of streams that have ended.
type shedTrace struct {
	mu   sync.Mutex
	ends map[uint32]error
}

func (s *shedTrace) trace() *spdy.Trace {
	s.ends = make(map[uint32]error)
	return &spdy.Trace{StreamClosed: func(_ *spdy.Session, st spdy.StreamInfo, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ends[st.ID] = err
	}}
}

// shed is the number of streams that ended with FLOW_CONTROL_ERROR.
func (s *shedTrace) shed() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, err := range s.ends {
		if isShed(err) {
			n++
		}
	}
	return n
}

func isShed(err error) bool {
	var reset *spdy.StreamError
	return errors.As(err, &reset) && reset.Status == spdy.RstFlowControlError
}

// With ShedAfter a client resets downloads that nothing is read of while its session's
// window is short. It spares one that is read slowly.
func TestAttackA29ShedDownloads(t *testing.T) {
	for _, after := range []time.Duration{0, shedAfter} {
		bubble.In(t, after.String()+", ended", bubble.Versions, func(t *testing.T, v spdy.Version) {
			var ends shedTrace
			conf := spdy.Config{StreamWindow: 64 << 10, SessionWindow: 256 << 10, ShedAfter: after, Trace: ends.trace()}
			p := newPair(t, v, conf, spdy.Config{}, sized, testconn.WriteCap(16<<10))
			size := "/65536" // SPDY/2 resets what exceeds SessionWindow
			var bodies []io.ReadCloser
			for range 4 {
				bodies = append(bodies, get(t, p.client, size).Body)
			}
			synctest.Wait()
			bubble.Pass(shedAfter - time.Nanosecond)
			require.Zero(t, p.client.Stats().Shed)
			_, err := io.ReadFull(bodies[0], make([]byte, 4<<10))
			require.NoError(t, err)
			bubble.Pass(time.Nanosecond)
			synctest.Wait()
			require.Zero(t, p.client.Stats().Shed, "streams that have ended are not reset")
			for _, body := range bodies {
				body.Close()
			}
		})
		bubble.In(t, after.String()+", open", withWindows, func(t *testing.T, v spdy.Version) {
			var ends shedTrace
			conf := spdy.Config{StreamWindow: 64 << 10, SessionWindow: 256 << 10, ShedAfter: after, Trace: ends.trace()}
			p := newPair(t, v, conf, spdy.Config{}, sized, testconn.WriteCap(16<<10))
			var bodies []io.ReadCloser
			for range 4 {
				bodies = append(bodies, get(t, p.client, "/1000000000").Body)
			}
			bubble.Pass(shedAfter - time.Nanosecond)
			require.Zero(t, p.client.Stats().Shed)
			_, err := io.ReadFull(bodies[0], make([]byte, 4<<10))
			require.NoError(t, err, "progress")
			bubble.Pass(time.Hour)
			if after == 0 || v != spdy.SPDY31 {
				require.Zero(t, p.client.Stats().Shed)
				return
			}
			require.EqualValues(t, 2, p.client.Stats().Shed, "half of the window is left")
			require.Equal(t, 2, ends.shed())
			shed := 0
			for i, body := range bodies {
				if _, err := body.Read(make([]byte, 1)); err != nil {
					require.NotZero(t, i, "it was read")
					require.ErrorIs(t, err, io.ErrUnexpectedEOF)
					require.True(t, isShed(err))
					shed++
				}
			}
			require.Equal(t, 2, shed)
		})
	}
}

// A server does so with uploads, and counts them.
func TestAttackA29ShedUploads(t *testing.T) {
	for _, after := range []time.Duration{0, shedAfter} {
		bubble.Run(t, after.String(), func(t *testing.T) {
			var ends shedTrace
			end := make(chan struct{})
			failed := make(chan error, 4)
			srv := &spdy.Server{
				Config: bubble.Quiet(spdy.Config{
					StreamWindow: 64 << 10, SessionWindow: 256 << 10, ShedAfter: after, Trace: ends.trace(),
				}, spdy.SPDY31),
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					<-end
					_, err := io.ReadFull(r.Body, make([]byte, 4<<10))
					failed <- err
				}),
			}
			a, b := testconn.Pair()
			client := bubble.Quiet(spdy.Config{}, spdy.SPDY31).ClientSession(a)
			serve(t, client)
			anyTime(t, func() { _ = srv.ServeConn(b, nil) }) // ends with the client
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			for range 4 {
				start(client, request(t, "POST", "/", endless{}).WithContext(ctx))
			}
			bubble.Pass(time.Hour)
			want := 0
			if after > 0 {
				want = 2
			}
			require.EqualValues(t, want, srv.Stats().Shed)
			require.Equal(t, want, ends.shed())
			close(end)
			shed := 0
			for range 4 {
				if err := <-failed; err != nil {
					assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
					assert.True(t, isShed(err), "%v", err)
					shed++
				}
			}
			require.Equal(t, want, shed)
			client.Close()
		})
	}
}
