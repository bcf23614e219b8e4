package headers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// queued is how many bytes of header blocks of a stream may wait for the network.
const queued = 64 << 10

// deaf returns a raw session whose peer reads nothing after the network is full, and a stream.
func deaf(t *testing.T, v spdy.Version, c spdy.Config) (s *spdy.Session, st *spdy.RawStream, peer *testconn.Conn) {
	ours, theirs := testconn.Pair(testconn.WriteCap(queued))
	s = conf(&c, v).RawSession(ours, true)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve()
	}()
	t.Cleanup(func() {
		theirs.Close()
		s.Close()
		<-ended
	})
	st, err := s.OpenStream(t.Context(), nil, spdy.StreamOptions{})
	require.NoError(t, err)
	return s, st, theirs
}

// fill sends header blocks until that has to wait, and returns how that call ends, and the
// number of blocks before.
func fill(st *spdy.RawStream, h spdy.HeaderBlock) (last chan error, n int) {
	last = make(chan error, 1)
	for ; n < 100; n++ {
		go func() { last <- st.SendHeaders(h, false) }()
		synctest.Wait()
		select {
		case err := <-last:
			if err != nil {
				last <- err
				return last, n
			}
		default:
			return last, n
		}
	}
	last <- errNoWait
	return last, n
}

var errNoWait = errors.New("SendHeaders waits for nothing")

// TestHeadersWait: what a stream has queued for a peer that does not read is bounded, and who
// waits for room hears of a deadline, of a deadline that is moved, and of every end.
func TestHeadersWait(t *testing.T) {
	for name, end := range map[string]struct {
		do   func(s *spdy.Session, st *spdy.RawStream)
		want error
	}{
		"write deadline":       {func(_ *spdy.Session, st *spdy.RawStream) { _ = st.SetWriteDeadline(time.Now().Add(time.Second)) }, os.ErrDeadlineExceeded},
		"deadline in the past": {func(_ *spdy.Session, st *spdy.RawStream) { _ = st.SetWriteDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		"Close":                {func(_ *spdy.Session, st *spdy.RawStream) { st.Close() }, spdy.ErrStreamClosed},
		"Reset":                {func(_ *spdy.Session, st *spdy.RawStream) { _ = st.Reset(spdy.RstCancel) }, spdy.ErrStreamClosed},
		"end of the session":   {func(s *spdy.Session, _ *spdy.RawStream) { go s.Close() }, spdy.ErrSessionClosed},
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			s, st, _ := deaf(t, v, spdy.Config{Compression: spdy.CompressNone})
			large := block(t, sized(10_000))
			last, n := fill(st, large)
			require.Less(t, n, 3*queued/10_000+2, "the network, the batch and the queue are full")
			more := make(chan error, 5)
			for range cap(more) {
				go func() { more <- st.SendHeaders(large, false) }()
			}
			synctest.Wait()
			end.do(s, st)
			require.ErrorIs(t, <-last, end.want)
			for range cap(more) {
				require.ErrorIs(t, <-more, end.want)
			}
		})
	}
}

// TestHeadersGoOn: those who wait are let in as the peer reads, each once, and a passed deadline
// has done nothing to the stream.
func TestHeadersGoOn(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		_, st, peer := deaf(t, v, spdy.Config{})
		large := block(t, sized(30_000))
		last, n := fill(st, large)
		require.NoError(t, st.SetWriteDeadline(time.Now()))
		require.ErrorIs(t, <-last, os.ErrDeadlineExceeded)
		require.ErrorIs(t, st.SendHeaders(large, false), os.ErrDeadlineExceeded)
		require.NoError(t, st.SetWriteDeadline(time.Time{}))
		const crowd = 20
		var g sync.WaitGroup
		for range crowd {
			g.Go(func() { require.NoError(t, st.SendHeaders(large, false)) })
		}
		synctest.Wait()
		f, got := spdy.NewFramer(peer, peer, v), 0
		for got < n+crowd {
			frame, err := f.ReadFrame()
			require.NoError(t, err)
			if h, ok := frame.(*spdy.HeadersFrame); ok {
				require.Equal(t, large, h.Headers)
				got++
			}
		}
		g.Wait()
	})
}

// TestMutedHeadersWait: a stream that may say nothing before the peer's reply keeps no more of
// headers than others, and lets go of them.
func TestMutedHeadersWait(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		_, st, peer := deaf(t, v, spdy.Config{FlowControl: spdy.FlowControlPeerUnaware})
		large := block(t, sized(30_000))
		last, n := fill(st, large)
		require.Equal(t, queued/30_000, n)
		f := spdy.NewFramer(peer, peer, v)
		require.NoError(t, f.WriteFrame(&spdy.SynReplyFrame{StreamID: st.ID()}))
		for got := 0; got <= n; {
			frame, err := f.ReadFrame()
			require.NoError(t, err)
			if _, ok := frame.(*spdy.HeadersFrame); ok {
				got++
			}
		}
		require.NoError(t, <-last)
		st, err := st.Session().OpenStream(t.Context(), nil, spdy.StreamOptions{})
		require.NoError(t, err)
		last, _ = fill(st, large)
		require.NoError(t, st.Reset(spdy.RstCancel))
		require.ErrorIs(t, <-last, spdy.ErrStreamClosed)
	})
}

// TestPushWaits: a handler that pushes to a client which does not read waits, and hears of its
// deadline.
func TestPushWaits(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		pushed, last := 0, make(chan error, 1)
		ours, theirs := testconn.Pair(testconn.WriteCap(queued))
		s := conf(&spdy.Config{Compression: spdy.CompressNone}, v).ServerSession(theirs, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path != "/" {
				for name, values := range sized(50_000) {
					w.Header()[name] = values
				}
				return
			}
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute))
			for {
				if err := w.(http.Pusher).Push(fmt.Sprintf("/%d", pushed), nil); err != nil {
					last <- err
					return
				}
				pushed++
			}
		})})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = s.Serve()
		}()
		f := spdy.NewFramer(ours, ours, v)
		names := []string{":method", ":path", ":version", ":host", ":scheme"}
		if v == spdy.SPDY2 {
			names = []string{"method", "url", "version", "host", "scheme"}
		}
		var h spdy.HeaderBlock
		for i, value := range []string{"GET", "/", "HTTP/1.1", "example.com", "http"} {
			h = append(h, spdy.HeaderField{Name: names[i], Value: value})
		}
		require.NoError(t, f.WriteFrame(&spdy.SynStreamFrame{StreamID: 1, Flags: spdy.FlagFin, Headers: h}))
		require.ErrorIs(t, <-last, os.ErrDeadlineExceeded)
		require.Less(t, pushed, 5)
		ours.Close()
		s.Close()
		<-ended
	})
}

// TestAttackA26EmptyHeaders: an empty block is a message of a raw stream as any other. Any
// number may come, as long as somebody receives them; of those that nobody receives a number
// waits, and more cost the stream.
func TestAttackA26EmptyHeaders(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		const many = 30_000
		p := rawPair(t, v, nil, &spdy.Config{MaxHeaderBytes: 200 << 10})
		open := func() (ours, theirs *spdy.RawStream) {
			ours, err := p.Client.OpenStream(t.Context(), nil, spdy.StreamOptions{})
			require.NoError(t, err)
			theirs, err = p.Server.AcceptStream(t.Context())
			require.NoError(t, err)
			return ours, theirs
		}
		ours, theirs := open()
		unread, _ := open()
		other, otherThere := open()
		received := make(chan int)
		go func() {
			n := 0
			for {
				h, err := theirs.ReceiveHeaders(context.Background())
				if err != nil {
					received <- n
					return
				}
				require.Empty(t, h)
				n++
			}
		}()
		for range many {
			require.NoError(t, ours.SendHeaders(nil, false))
		}
		require.NoError(t, ours.CloseWrite())
		require.Equal(t, many, <-received)
		var err error
		for n := 0; err == nil && n < 20*many; n++ {
			err = unread.SendHeaders(nil, false)
		}
		wantReset(t, err, tooLargeIn(v), true)
		_, err = other.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(otherThere, make([]byte, 1))
		require.NoError(t, err)
	})
}
