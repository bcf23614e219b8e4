// Package flush_test holds what waits until frames are with the network: RawStream.Flush and
// Session.Flush.
package flush_test

import (
	"context"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// A line is a session and the other end of its connection, which takes a byte only when it is
// read.
type line struct {
	*testing.T
	s      *spdy.Session
	far    net.Conn
	framer *spdy.Framer
}

func newLine(t *testing.T, client bool) *line {
	near, far := net.Pipe()
	l := &line{T: t, far: far, framer: spdy.NewFramer(far, far, spdy.SPDY31)}
	l.s = bubble.Quiet(spdy.Config{}, spdy.SPDY31).RawSession(near, client)
	go l.s.Serve()  // ends with the connection
	synctest.Wait() // until it runs
	t.Cleanup(func() { far.Close(); l.s.Close() })
	return l
}

// next reads the next frame but for those that open a session.
func (l *line) next() spdy.Frame {
	l.Helper()
	for {
		f, err := l.framer.ReadFrame()
		require.NoError(l, err)
		switch f.(type) {
		case *spdy.SettingsFrame, *spdy.WindowUpdateFrame:
		default:
			return f
		}
	}
}

// wait runs a call in a goroutine and returns where its result comes.
func wait(call func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	synctest.Wait()
	return done
}

// waits wants a call that has not returned.
func (l *line) waits(done <-chan error) {
	l.Helper()
	select {
	case err := <-done:
		require.Fail(l, "returned although the network has not taken the frame", "%v", err)
	default:
	}
}

func open(l *line) *spdy.RawStream {
	st, err := l.s.OpenStream(context.Background(), nil, spdy.StreamOptions{})
	require.NoError(l, err)
	return st
}

// A Flush behind each call returns when the frame of the call is with the network, not before.
func TestReturnsWithTheFrame(t *testing.T) {
	bubble.Run(t, "of a stream", func(t *testing.T) {
		l := newLine(t, true)
		st := open(l)
		for _, call := range []func(){
			func() {}, // behind OpenStream
			func() { require.NoError(t, st.SendHeaders(nil, false)) },
			func() { require.NoError(t, st.CloseWrite()) },
			func() { require.NoError(t, st.Reset(spdy.RstCancel)) },
		} {
			call()
			done := wait(func() error { return st.Flush(context.Background()) })
			l.waits(done)
			l.next()
			require.NoError(t, <-done)
		}
		require.NoError(t, <-wait(func() error { return st.Flush(context.Background()) }), "there is nothing more")
	})
	bubble.Run(t, "of a reply", func(t *testing.T) {
		l := newLine(t, false)
		go l.framer.WriteFrame(&spdy.SynStreamFrame{StreamID: 1}) // returns when it is read
		st, err := l.s.AcceptStream(context.Background())
		require.NoError(t, err)
		require.NoError(t, st.Reply(nil, true))
		done := wait(func() error { return st.Flush(context.Background()) })
		l.waits(done)
		require.IsType(t, &spdy.SynReplyFrame{}, l.next())
		require.NoError(t, <-done)
	})
	bubble.Run(t, "of a GOAWAY that ends the session", func(t *testing.T) {
		l := newLine(t, true)
		l.s.SendGoaway(0, nil)
		done := wait(func() error { return l.s.Flush(context.Background()) })
		l.waits(done)
		require.IsType(t, &spdy.GoAwayFrame{}, l.next())
		require.NoError(t, <-done)
	})
	bubble.Run(t, "of many at once", func(t *testing.T) {
		l := newLine(t, true)
		var all []<-chan error
		for range 100 {
			all = append(all, wait(func() error { return open(l).Flush(context.Background()) }))
		}
		for range all {
			l.next()
		}
		for _, done := range all {
			require.NoError(t, <-done)
		}
	})
}

// A Flush ends with whatever ends the wait for a network that takes nothing.
func TestEnds(t *testing.T) {
	for name, end := range map[string]struct {
		how  func(l *line, st *spdy.RawStream, cancel func())
		want error
	}{
		"context":                    {func(_ *line, _ *spdy.RawStream, cancel func()) { cancel() }, context.Canceled},
		"write deadline":             {func(l *line, st *spdy.RawStream, _ func()) { _ = st.SetWriteDeadline(time.Now().Add(time.Second)) }, os.ErrDeadlineExceeded},
		"write deadline in the past": {func(l *line, st *spdy.RawStream, _ func()) { _ = st.SetWriteDeadline(time.Now().Add(-1)) }, os.ErrDeadlineExceeded},
		"Session.Close":              {func(l *line, _ *spdy.RawStream, _ func()) { l.s.Close() }, io.ErrClosedPipe},
		"the peer's end":             {func(l *line, _ *spdy.RawStream, _ func()) { l.far.Close() }, io.ErrClosedPipe},
	} {
		bubble.Run(t, name, func(t *testing.T) {
			l := newLine(t, true)
			st := open(l)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			done := wait(func() error { return st.Flush(ctx) })
			l.waits(done)
			end.how(l, st, cancel)
			require.ErrorIs(t, <-done, end.want)
		})
	}
}

// A Flush does not wait for the credit of the peer: not for bytes, and not for the FIN of
// headers behind them.
func TestDoesNotWaitForCredit(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		l := newLine(t, true)
		go io.Copy(io.Discard, l.far) // takes everything and grants nothing
		st := open(l)
		wrote := wait(func() error { _, err := st.Write(make([]byte, 1<<20)); return err })
		l.waits(wrote)
		require.NoError(t, st.SendHeaders(nil, true))
		require.NoError(t, st.Flush(context.Background()))
		l.waits(wrote)
	})
}
