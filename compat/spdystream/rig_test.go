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
	"github.com/moby/spdystream/spdy"
)

// A rig is two connections of this package with a net.Pipe between them, for tests in a
// bubble, which checks that no goroutine is left.
type rig struct {
	t              *testing.T
	client, server *spdystream.Connection
	conns          [2]net.Conn             // the client's and the server's
	accepted       chan *spdystream.Stream // what the server's handler got
}

// rigTest runs f in a bubble. A server without a handler puts streams into accepted,
// replied to.
func rigTest(t *testing.T, handler spdystream.StreamHandler, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, accepted: make(chan *spdystream.Stream, 1000)}
		cc, sc := net.Pipe()
		r.conns = [2]net.Conn{cc, sc}
		r.client, r.server = newConnection(t, cc, false), newConnection(t, sc, true)
		if handler == nil {
			handler = func(s *spdystream.Stream) {
				_ = s.SendReply(http.Header{}, false)
				r.accepted <- s
			}
		}
		go r.client.Serve(spdystream.NoOpStreamHandler)
		go r.server.Serve(handler)
		defer func() {
			cc.Close()
			sc.Close()
			require.NoError(t, r.client.Wait(0))
			require.NoError(t, r.server.Wait(0))
		}()
		f(t, r)
	})
}

func newConnection(t *testing.T, conn net.Conn, server bool, opts ...spdy.FramerOption) *spdystream.Connection {
	t.Helper()
	c, err := spdystream.NewConnectionWithOptions(conn, server, opts...)
	require.NoError(t, err)
	return c
}

// open opens a stream and returns both ends of it.
func (r *rig) open() (ours, theirs *spdystream.Stream) {
	r.t.Helper()
	s, err := r.client.CreateStream(http.Header{}, nil, false)
	require.NoError(r.t, err)
	require.NoError(r.t, s.Wait())
	return s, <-r.accepted
}

// pass lets time go by.
func pass(d time.Duration) {
	limit := time.NewTimer(d)
	<-limit.C
	synctest.Wait()
}

// isClosed reports whether a connection has ended.
func isClosed(c *spdystream.Connection) bool {
	synctest.Wait()
	select {
	case <-c.CloseChan():
		return true
	default:
		return false
	}
}

// A wire is the other end of a connection of this package, spoken frame by frame. It
// grants no credit, as the original.
type wire struct {
	t      *testing.T
	conn   net.Conn
	framer *amahi.Framer
	frames chan amahi.Frame // what the connection has sent
	c      *spdystream.Connection
}

// wireTest runs f in a bubble with a connection of this package that serves handler.
func wireTest(t *testing.T, server bool, handler spdystream.StreamHandler, f func(t *testing.T, w *wire), opts ...spdy.FramerOption) {
	t.Helper()
	wireTestOver(t, func(c net.Conn) net.Conn { return c }, server, handler, f, opts...)
}

// wireTestOver is wireTest with what wrap makes of the connection.
func wireTestOver(t *testing.T, wrap func(net.Conn) net.Conn, server bool, handler spdystream.StreamHandler, f func(t *testing.T, w *wire), opts ...spdy.FramerOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		ours = wrap(ours)
		w := &wire{
			t: t, conn: theirs, framer: amahi.NewFramer(theirs, theirs, amahi.SPDY31),
			frames: make(chan amahi.Frame, 10_000), c: newConnection(t, ours, server, opts...),
		}
		if handler == nil {
			handler = spdystream.NoOpStreamHandler
		}
		go w.c.Serve(handler)
		go func() { // ends with the connection
			defer close(w.frames)
			for {
				frame, err := w.framer.ReadFrame()
				if err != nil {
					return
				}
				w.frames <- frame
			}
		}()
		defer func() {
			theirs.Close()
			ours.Close()
			require.NoError(t, w.c.Wait(0))
		}()
		f(t, w)
	})
}

func (w *wire) send(frame amahi.Frame) {
	w.t.Helper()
	require.NoError(w.t, w.framer.WriteFrame(frame))
}

// next is the next frame that matters: what flow control takes is passed over, and the
// PING of a server that wants to know about it is answered.
func (w *wire) next() amahi.Frame {
	w.t.Helper()
	for {
		synctest.Wait()
		select {
		case frame := <-w.frames:
			switch f := frame.(type) {
			case *amahi.SettingsFrame, *amahi.WindowUpdateFrame:
				continue
			case *amahi.PingFrame:
				w.send(f)
				continue
			}
			return frame
		default:
			return nil
		}
	}
}

// want wants a frame of a type next, and returns it.
func want[F amahi.Frame](w *wire, why string) F {
	w.t.Helper()
	frame := w.next()
	require.IsType(w.t, *new(F), frame, why)
	return frame.(F)
}

// readAll reads to the end in a goroutine of its own.
func readAll(s io.Reader) <-chan ending {
	end := make(chan ending, 1)
	go func() {
		data, err := io.ReadAll(s)
		end <- ending{string(data), err}
	}()
	return end
}

type ending struct {
	data string
	err  error
}
