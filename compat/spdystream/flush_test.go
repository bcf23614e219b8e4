package spdystream_test

import (
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	amahi "github.com/amahi/spdy"
	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream"
)

// A farEnd is a connection of this package and the other end of its network, which takes a byte only
// when it is read.
type farEnd struct {
	*testing.T
	c   *spdystream.Connection
	far net.Conn
	f   *amahi.Framer
}

// wireTest runs f in a bubble with the end of a client, or of a server whose handler is given.
func farTest(t *testing.T, handler spdystream.StreamHandler, f func(w *farEnd)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		w := &farEnd{T: t, c: newConnection(t, near, handler != nil), far: far, f: amahi.NewFramer(far, far, amahi.SPDY31)}
		go w.c.Serve(handler) // ends with the connection
		synctest.Wait()
		defer func() {
			far.Close()
			near.Close()
			_ = w.c.Wait(0)
		}()
		f(w)
	})
}

// next reads the next frame but for those that open a session, and PINGs.
func (w *farEnd) next() amahi.Frame {
	w.Helper()
	for {
		f, err := w.f.ReadFrame()
		require.NoError(w, err)
		switch f.(type) {
		case *amahi.SettingsFrame, *amahi.WindowUpdateFrame, *amahi.PingFrame:
		default:
			return f
		}
	}
}

// returnsWith wants a call that returns when the network has its frame, and not before.
func (w *farEnd) returnsWith(frame amahi.Frame, call func() error) {
	w.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	synctest.Wait()
	select {
	case err := <-done:
		require.Failf(w, "returned before its frame was with the network", "%T: %v", frame, err)
	default:
	}
	require.IsType(w, frame, w.next())
	require.NoError(w, <-done)
}

// A program may exit, or close its net.Conn, right behind its last call, whichever that is.
func TestCallsReturnWithTheirFrames(t *testing.T) {
	t.Run("client", func(t *testing.T) {
		farTest(t, nil, func(w *farEnd) {
			var s *spdystream.Stream
			create := func() (err error) { s, err = w.c.CreateStream(http.Header{}, nil, false); return err }
			w.returnsWith(&amahi.SynStreamFrame{}, create)
			require.NoError(t, w.f.WriteFrame(&amahi.SynReplyFrame{StreamID: 1}))
			require.NoError(t, s.Wait())
			w.returnsWith(&amahi.HeadersFrame{}, func() error { return s.SendHeader(http.Header{}, false) })
			w.returnsWith(&amahi.DataFrame{}, s.Close)
			w.returnsWith(&amahi.RstStreamFrame{}, s.Reset)
		})
	})
	t.Run("Connection.Close", func(t *testing.T) {
		farTest(t, nil, func(w *farEnd) { w.returnsWith(&amahi.GoAwayFrame{}, w.c.Close) })
	})
	for name, answer := range map[string]struct {
		frame amahi.Frame
		call  func(s *spdystream.Stream) error
	}{
		"SendReply": {&amahi.SynReplyFrame{}, func(s *spdystream.Stream) error { return s.SendReply(http.Header{}, true) }},
		"Refuse":    {&amahi.RstStreamFrame{}, (*spdystream.Stream).Refuse},
	} {
		t.Run(name, func(t *testing.T) {
			come := make(chan *spdystream.Stream, 1)
			farTest(t, func(s *spdystream.Stream) { come <- s }, func(w *farEnd) {
				go w.f.WriteFrame(&amahi.SynStreamFrame{StreamID: 1}) // returns when it is read
				s := <-come
				w.returnsWith(answer.frame, func() error { return answer.call(s) })
			})
		})
	}
}

// A call does not hang for ever if the network takes nothing; while it takes something, however
// slowly, the call waits.
func TestCallsBearWithTheNetwork(t *testing.T) {
	farTest(t, nil, func(w *farEnd) {
		start := time.Now()
		_, err := w.c.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		require.Equal(t, 5*time.Second, time.Since(start), "nothing was taken")
	})
	farTest(t, nil, func(w *farEnd) {
		start := time.Now()
		created := make(chan error, 1)
		go func() {
			_, err := w.c.CreateStream(http.Header{"A": {"b"}}, nil, false)
			created <- err
		}()
		for len(created) == 0 {
			pass(4 * time.Second)
			_, err := w.far.Read(make([]byte, 10))
			require.NoError(t, err)
			synctest.Wait()
		}
		require.NoError(t, <-created)
		require.Greater(t, time.Since(start), 5*time.Second, "the network took ten bytes in four seconds")
	})
}

// A peer without flow control learns by RST_STREAM and GOAWAY of an end that its streams do not
// survive: the original closes its own network connection for nothing else.
func TestForcedEndIsTold(t *testing.T) {
	for name, end := range map[string]func(c *spdystream.Connection){
		"Close": func(c *spdystream.Connection) { _ = c.Close() },
		"idle":  func(c *spdystream.Connection) { c.SetIdleTimeout(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			farTest(t, spdystream.NoOpStreamHandler, func(w *farEnd) {
				go w.f.WriteFrame(&amahi.SynStreamFrame{StreamID: 1})
				require.IsType(t, &amahi.SynReplyFrame{}, w.next())
				go end(w.c)
				require.IsType(t, &amahi.RstStreamFrame{}, w.next())
				require.IsType(t, &amahi.GoAwayFrame{}, w.next())
			})
		})
	}
}

// Programs of the original write nothing, and ask for PINGs, as often as they like.
func TestFramesThatBringNothing(t *testing.T) {
	farTest(t, spdystream.MirrorStreamHandler, func(w *farEnd) {
		go io.Copy(io.Discard, w.far) // ends with the connection
		require.NoError(t, w.f.WriteFrame(&amahi.SynStreamFrame{StreamID: 1}))
		for range 100_000 {
			require.NoError(t, w.f.WriteFrame(&amahi.DataFrame{StreamID: 1}))
		}
		pings := make([]byte, 0, 12*20_000)
		for id := range 20_000 {
			pings = append(pings, 0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, byte(id>>7), byte(id<<1)|1)
		}
		for len(pings) > 0 { // many in one Read
			n := min(len(pings), 12*100)
			_, err := w.far.Write(pings[:n])
			require.NoError(t, err)
			pings = pings[n:]
			synctest.Wait() // each waits for its echo
		}
		pass(10 * time.Second)
		require.False(t, isClosed(w.c))
	})
}
