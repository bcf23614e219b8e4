package windows

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

const (
	parkedLimit = 4 << 20 // unread bytes of a session
	parkedLine  = 8 << 20 // bytes per second
	parkedMoved = 24 << 20
)

// A parking is a number of bodies that leave little of a session's limit to others.
type parking struct {
	many int
	size int64
	read int64 // what is read of each, before nothing is
}

var parkings = []parking{{4, 1000 << 10, 0}, {20, 200 << 10, 0}, {4, 2000 << 10, 1000 << 10}}

func (p parking) String() string { return fmt.Sprintf("%d of %d", p.many, p.size) }

// halfSpeed reads at half of the line's speed.
func halfSpeed(r io.Reader) (int64, error) {
	const tick = 10 * time.Millisecond
	return paced(r, parkedLine/2/int64(time.Second/tick), tick)
}

// Answers that nobody reads, not even together with an idle stream, cost a download nothing
// that is read at half of the connection's speed: those are reset where no window
// bounds them, however full they are.
func TestAttackA29ParkedDownloads(t *testing.T) {
	for _, parked := range parkings {
		bubble.In(t, parked.String(), bubble.Versions, func(t *testing.T, v spdy.Version) {
			conf := spdy.Config{SessionWindow: parkedLimit, StreamWindow: 64 << 10}
			p := newPair(t, v, conf, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/idle" {
					_ = http.NewResponseController(w).Flush()
					<-r.Context().Done()
					return
				}
				sized(w, r)
			}, testconn.Latency(latency), testconn.Bandwidth(parkedLine), testconn.WriteCap(inFlight))
			for range parked.many {
				body := get(t, p.client, "/"+strconv.FormatInt(parked.size, 10)).Body
				_, err := io.CopyN(io.Discard, body, parked.read)
				require.NoError(t, err)
			}
			get(t, p.client, "/idle")
			bubble.Pass(5 * time.Second)
			n, err := halfSpeed(get(t, p.client, "/"+strconv.Itoa(parkedMoved)).Body)
			require.NoError(t, err)
			require.EqualValues(t, parkedMoved, n)
			require.Equal(t, v == spdy.SPDY2, p.client.Stats().Shed > 0)
		})
	}
}

// A server does so with uploads that its handlers do not read.
func TestAttackA29ParkedUploads(t *testing.T) {
	for _, parked := range parkings {
		bubble.In(t, parked.String(), bubble.Versions, func(t *testing.T, v spdy.Version) {
			end := make(chan struct{})
			conf := spdy.Config{SessionWindow: parkedLimit, StreamWindow: 64 << 10}
			p := newPair(t, v, spdy.Config{}, conf, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/parked" {
					_, err := io.CopyN(io.Discard, r.Body, parked.read)
					assert.NoError(t, err)
					<-end
					return
				}
				n, err := halfSpeed(r.Body)
				assert.NoError(t, err)
				assert.EqualValues(t, parkedMoved, n)
			}, testconn.Latency(latency), testconn.Bandwidth(parkedLine), testconn.WriteCap(inFlight))
			for range parked.many {
				start(p.client, request(t, "POST", "/parked", zeros(parked.size)))
			}
			bubble.Pass(5 * time.Second)
			upload := start(p.client, request(t, "POST", "/read", zeros(parkedMoved)))
			<-upload.done
			require.NoError(t, upload.err)
			require.Equal(t, http.StatusOK, upload.res.StatusCode)
			require.Equal(t, v == spdy.SPDY2, p.server.Stats().Shed > 0)
			close(end)
			bubble.Pass(time.Second)
		})
	}
}

// Many readers that keep up are spared, although none of their streams has much of what is
// unread.
func TestAttackA29ManyReadersThatKeepUp(t *testing.T) {
	const many, each = 12, parkedMoved / 12
	bubble.In(t, "", bubble.Versions, func(t *testing.T, v spdy.Version) {
		conf := spdy.Config{SessionWindow: 1 << 20, StreamWindow: 64 << 10}
		all := make(chan struct{}) // closed when all have been asked for
		p := newPair(t, v, conf, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-all
			sized(w, r)
		}, testconn.Latency(latency), testconn.Bandwidth(parkedLine), testconn.WriteCap(inFlight))
		var g group
		for range many {
			body := get(t, p.client, "/"+strconv.Itoa(each)).Body
			g.wg.Go(func() {
				const tick = 10 * time.Millisecond
				n, err := paced(body, parkedLine/2/many/int64(time.Second/tick), tick)
				if assert.NoError(t, err) && assert.EqualValues(t, each, n) {
					g.done.Add(1)
				}
			})
		}
		close(all)
		g.wg.Wait()
		require.EqualValues(t, many, g.done.Load())
		require.Zero(t, p.client.Stats().Shed)
	})
}

// A raw session that resets streams at its UnreadBudget begins with those that nobody reads.
func TestParkedAtUnreadBudget(t *testing.T) {
	bubble.In(t, "", bubble.Versions, func(t *testing.T, v spdy.Version) {
		const budget = 256 << 10
		ours, theirs := testconn.Pair()
		p := newPeer(t, v, theirs)
		conf := bubble.Quiet(spdy.Config{
			FlowControl: spdy.FlowControlPeerUnaware, UnreadBudget: budget, ResetOverBudget: true,
		}, v)
		s := conf.RawSession(ours, false)
		serve(t, s)
		var streams []*spdy.RawStream
		for id := uint32(1); id <= 3; id += 2 {
			p.send(&spdy.SynStreamFrame{StreamID: id, Headers: spdy.HeaderBlock{{Name: "a", Value: "b"}}})
			st, err := s.AcceptStream(t.Context())
			require.NoError(t, err)
			streams = append(streams, st)
		}
		p.data(1, budget/4, 0)
		for range 32 {
			p.data(3, budget/16, 0)
			_, err := io.CopyN(io.Discard, streams[1], budget/32)
			require.NoError(t, err)
		}
		require.EqualValues(t, 1, s.Stats().Shed)
		require.Error(t, streams[0].Err())
		require.NoError(t, streams[1].Err(), "it is read, and has more unread bytes")
	})
}
