package windows

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

const (
	crowd     = 249     // streams that nobody reads; one more makes 250
	fastStart = 1 << 20 // bytes that are read of each download first
	moved     = 8 << 20 // bytes that move beside the unread streams
	latency   = 10 * time.Millisecond
	inFlight  = 256 << 10 // bytes that the network holds where windows do not bound them
)

var withWindows = []spdy.Version{spdy.SPDY3, spdy.SPDY31}

// downloads starts unread downloads, of each of which the client reads fastStart first.
func downloads(t *testing.T, rt http.RoundTripper) {
	var g group
	for range crowd {
		req := request(t, "GET", "/1000000000", nil)
		g.wg.Go(func() {
			res, err := rt.RoundTrip(req)
			if !assert.NoError(t, err) {
				return
			}
			t.Cleanup(func() { res.Body.Close() })
			_, err = io.CopyN(io.Discard, res.Body, fastStart)
			assert.NoError(t, err)
		})
	}
	g.wg.Wait()
	bubble.Pass(10 * latency)
}

// A download goes on beside 249 that the client has begun to read and then leaves unread,
// with windows that have grown. HTTP/2 does the same.
func TestAttackA29UnreadDownloads(t *testing.T) {
	bubble.In(t, "SPDY", withWindows, func(t *testing.T, v spdy.Version) {
		p := newPair(t, v, spdy.Config{}, spdy.Config{}, sized, testconn.Latency(latency))
		downloads(t, p.client)
		require.GreaterOrEqual(t, p.client.Stats().UnreadBytes, int64(crowd)<<16)
		var g group
		g.download(t, p.client, 1, moved)
		require.Equal(t, 2*latency, ping(t, p.client))
		require.Equal(t, 2*latency, ping(t, p.server))
		g.wg.Wait()
		require.EqualValues(t, 1, g.done.Load())
		require.Zero(t, p.client.Stats().Shed)
		require.Equal(t, crowd, p.client.Stats().Streams.Open+p.client.Stats().Streams.HalfClosedLocal)
	})
	bubble.Run(t, "HTTP/2", func(t *testing.T) {
		rt := oracle(t)
		downloads(t, rt)
		var g group
		g.download(t, rt, 1, moved)
		pinged := time.Now()
		require.NoError(t, rt.Ping(context.Background()))
		require.Equal(t, 2*latency, time.Since(pinged))
		g.wg.Wait()
		require.EqualValues(t, 1, g.done.Load())
	})
}

// oracle is a connection of HTTP/2 whose streams have the windows that ours have.
func oracle(t *testing.T) *http2.ClientConn {
	a, b := testconn.Pair(testconn.Latency(latency))
	server, base := &http2.Server{}, &http.Server{Handler: http.HandlerFunc(sized)}
	require.NoError(t, http2.ConfigureServer(base, server)) // for channels of this bubble
	anyTime(t, func() { server.ServeConn(b, &http2.ServeConnOpts{BaseConfig: base}) })
	t1 := &http.Transport{HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 256 << 10}}
	t2, err := http2.ConfigureTransports(t1)
	require.NoError(t, err)
	cc, err := t2.NewClientConn(a)
	require.NoError(t, err)
	t.Cleanup(func() { cc.Close() })
	bubble.Pass(2 * latency) // for the server's SETTINGS
	return cc
}

// An upload goes on beside 249 that the server's handlers never read.
func TestAttackA29UnreadUploads(t *testing.T) {
	bubble.In(t, "", withWindows, func(t *testing.T, v spdy.Version) {
		end := make(chan struct{})
		p := newPair(t, v, spdy.Config{}, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/unread" {
				<-end
				return
			}
			n, err := io.Copy(io.Discard, r.Body)
			assert.NoError(t, err)
			assert.EqualValues(t, moved, n)
		}, testconn.Latency(latency))
		ctx, cancel := context.WithCancel(context.Background())
		for range crowd {
			req := request(t, "POST", "/unread", endless{}).WithContext(ctx)
			anyTime(t, func() {
				_, err := p.client.RoundTrip(req)
				assert.ErrorIs(t, err, context.Canceled)
			})
		}
		bubble.Pass(10 * latency)
		require.EqualValues(t, crowd*256<<10, p.server.Stats().UnreadBytes)
		upload := start(p.client, request(t, "POST", "/read", zeros(moved)))
		require.Equal(t, 2*latency, ping(t, p.client))
		require.Equal(t, 2*latency, ping(t, p.server))
		<-upload.done
		require.NoError(t, upload.err)
		require.Equal(t, http.StatusOK, upload.res.StatusCode)
		require.Zero(t, p.server.Stats().Shed)
		cancel()
		bubble.Pass(time.Second)
		close(end)
		synctest.Wait()
	})
}

// A client of SPDY/2, which has no windows, resets downloads that nothing is read of, the
// fullest first, and a download goes on.
func TestAttackA29UnreadDownloadsWithoutWindows(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		const limit = 8 << 20
		p := newPair(t, spdy.SPDY2, spdy.Config{SessionWindow: limit}, spdy.Config{}, sized,
			testconn.Latency(latency), testconn.WriteCap(inFlight))
		var bodies []io.Reader
		for i := range 20 {
			size := "/1000"
			if i%2 == 1 {
				size = "/1000000000"
			}
			bodies = append(bodies, get(t, p.client, size).Body)
		}
		var g group
		g.download(t, p.client, 1, moved)
		g.wg.Wait()
		require.EqualValues(t, 1, g.done.Load())
		require.LessOrEqual(t, ping(t, p.client), 4*latency, "no more than what the network holds is ahead of it")
		require.GreaterOrEqual(t, p.client.Stats().Shed, uint64(9), "the last of them may stay within the limit")
		require.LessOrEqual(t, p.client.Stats().UnreadBytes, int64(limit))
		resets := uint64(0)
		for i, body := range bodies {
			if i%2 == 0 {
				n, err := io.Copy(io.Discard, body)
				require.NoError(t, err)
				require.EqualValues(t, 1000, n, "a small one is spared")
			} else if _, err := body.Read(make([]byte, 1)); err != nil {
				var reset *spdy.StreamError
				require.ErrorAs(t, err, &reset)
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				require.Equal(t, spdy.RstFlowControlError, reset.Status)
				resets++
			}
		}
		require.Equal(t, p.client.Stats().Shed, resets)
	})
}

// A server of SPDY/2 resets uploads that its handlers do not read.
func TestAttackA29UnreadUploadsWithoutWindows(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		end := make(chan struct{})
		p := newPair(t, spdy.SPDY2, spdy.Config{}, spdy.Config{SessionWindow: 4 << 20}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/unread" {
				<-end
				_, err := io.Copy(io.Discard, r.Body)
				assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
				return
			}
			n, err := io.Copy(io.Discard, r.Body)
			assert.NoError(t, err)
			assert.EqualValues(t, moved, n)
		}, testconn.Latency(latency), testconn.WriteCap(inFlight))
		var unread []*trip
		for range 10 {
			unread = append(unread, start(p.client, request(t, "POST", "/unread", endless{})))
		}
		upload := start(p.client, request(t, "POST", "/read", zeros(moved)))
		<-upload.done
		require.NoError(t, upload.err)
		require.Equal(t, 2*latency, ping(t, p.server))
		require.EqualValues(t, 10, p.server.Stats().Shed)
		for _, u := range unread {
			var reset *spdy.StreamError
			<-u.done
			require.ErrorAs(t, u.err, &reset)
			require.Equal(t, spdy.RstFlowControlError, reset.Status)
		}
		close(end)
		synctest.Wait()
	})
}

// A paced reader reads n bytes a tick.
func paced(r io.Reader, n int64, tick time.Duration) (sum int64, err error) {
	for {
		got, err := io.CopyN(io.Discard, r, n)
		sum += got
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		bubble.Pass(tick)
	}
}

// Without windows, readers of varying speed are spared: the slowest reads a third of what
// its peer could send.
func TestAttackA29ReadersThatKeepUp(t *testing.T) {
	const bandwidth, many, size = 8 << 20, 4, 4 << 20
	bubble.Run(t, "downloads", func(t *testing.T) {
		p := newPair(t, spdy.SPDY2, spdy.Config{SessionWindow: 1 << 20}, spdy.Config{}, sized,
			testconn.Latency(latency), testconn.Bandwidth(bandwidth), testconn.WriteCap(64<<10))
		var g group
		for i := range int64(many) {
			body := get(t, p.client, "/4194304").Body
			g.wg.Go(func() {
				const tick = 10 * time.Millisecond
				rate := int64(bandwidth / many / (1 + i*2/(many-1))) // a second
				n, err := paced(body, rate/int64(time.Second/tick), tick)
				if assert.NoError(t, err) && assert.EqualValues(t, size, n) {
					g.done.Add(1)
				}
			})
		}
		g.wg.Wait()
		require.EqualValues(t, many, g.done.Load())
		require.Zero(t, p.client.Stats().Shed)
	})
	bubble.Run(t, "uploads", func(t *testing.T) {
		rates := make(chan int64, many)
		for i := range int64(many) {
			rates <- bandwidth / many / (1 + i*2/(many-1))
		}
		p := newPair(t, spdy.SPDY2, spdy.Config{}, spdy.Config{SessionWindow: 1 << 20}, func(w http.ResponseWriter, r *http.Request) {
			const tick = 10 * time.Millisecond
			n, err := paced(r.Body, <-rates/int64(time.Second/tick), tick)
			assert.NoError(t, err)
			assert.EqualValues(t, size, n)
		}, testconn.Latency(latency), testconn.Bandwidth(bandwidth), testconn.WriteCap(64<<10))
		var uploads []*trip
		for range many {
			uploads = append(uploads, start(p.client, request(t, "POST", "/", zeros(size))))
		}
		for _, u := range uploads {
			<-u.done
			require.NoError(t, u.err)
			require.Equal(t, http.StatusOK, u.res.StatusCode)
		}
		require.Zero(t, p.server.Stats().Shed)
	})
}
