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

// After the end of the connection, calls that send a frame return io.EOF, as in the original, or an
// error that matches io.EOF and the reason.
func TestCallsAfterTheEnd(t *testing.T) {
	eof := func(t *testing.T, err error) { t.Helper(); require.Equal(t, io.EOF, err) }
	closed := func(t *testing.T, err error) {
		t.Helper()
		require.ErrorIs(t, err, io.EOF)
		require.ErrorIs(t, err, net.ErrClosed)
		require.EqualError(t, err, "use of closed network connection")
	}
	for name, c := range map[string]struct {
		end  func(r *rig)
		want func(t *testing.T, err error)
	}{
		"the peer closes its net.Conn":      {func(r *rig) { r.conns[1].Close() }, eof},
		"the program closes its net.Conn":   {func(r *rig) { r.conns[0].Close() }, closed},
		"the program closes its Connection": {func(r *rig) { r.client.SetCloseTimeout(time.Second); _ = r.client.Close() }, closed},
		"the connection was idle for a time": {func(r *rig) { r.client.SetIdleTimeout(time.Second) }, func(t *testing.T, err error) {
			t.Helper()
			require.ErrorIs(t, err, io.EOF)
			require.ErrorContains(t, err, "idle for too long")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			rigTest(t, nil, func(t *testing.T, r *rig) {
				open, _ := r.open()
				reset, _ := r.open()
				require.NoError(t, reset.Reset())
				c.end(r)
				require.NoError(t, r.client.Wait(0))
				for _, s := range []*spdystream.Stream{open, reset} {
					n, err := s.Write([]byte("x"))
					require.Zero(t, n)
					c.want(t, err)
					c.want(t, s.SendHeader(http.Header{}, false))
				}
				c.want(t, open.Close())
				require.Equal(t, spdystream.ErrWriteClosedStream, open.Close(), "the second time")
				require.Equal(t, spdystream.ErrWriteClosedStream, reset.Close())
				_, err := r.client.CreateStream(http.Header{}, nil, false)
				c.want(t, err)
				_, err = r.client.Ping()
				c.want(t, err)
				_, err = open.Read(make([]byte, 1))
				require.NotErrorIs(t, err, io.EOF, "a stream that breaks off has no clean end")
				require.NoError(t, open.Reset())
			})
		})
	}
}

// Cancel lets Close succeed once, as in the original; Reset does not.
func TestCloseAfterCancel(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		s, theirs := r.open()
		require.NoError(t, s.Cancel())
		require.NoError(t, s.Cancel())
		require.NoError(t, s.Close())
		require.Equal(t, spdystream.ErrWriteClosedStream, s.Close())
		synctest.Wait()
		require.NoError(t, theirs.Cancel())
		require.Equal(t, spdystream.ErrWriteClosedStream, theirs.Close(), "the peer has reset the stream before")

		s, _ = r.open()
		require.NoError(t, s.Cancel())
		require.NoError(t, s.Reset())
		require.Equal(t, spdystream.ErrWriteClosedStream, s.Close())

		s, _ = r.open()
		require.NoError(t, s.Close())
		require.NoError(t, s.Cancel())
		require.Equal(t, spdystream.ErrWriteClosedStream, s.Close())

		s, _ = r.open()
		require.NoError(t, s.Cancel())
		r.conns[1].Close()
		require.NoError(t, r.client.Wait(0))
		require.Equal(t, io.EOF, s.Close())
	})
}

// A reply to a stream that the peer has cancelled is dropped like other frames to it. A reply to a
// stream with another reset fails.
func TestReplyAfterCancel(t *testing.T) {
	caught, handler := catch()
	wireTest(t, true, handler, func(t *testing.T, w *wire) {
		for i, status := range []amahi.RstStatus{amahi.RstCancel, amahi.RstInternalError} {
			id := uint32(2*i + 1)
			w.syn(id, 0)
			s := <-caught
			w.send(&amahi.RstStreamFrame{StreamID: id, Status: status})
			synctest.Wait()
			err := s.SendReply(http.Header{}, false)
			if status != amahi.RstCancel {
				require.ErrorIs(t, err, spdystream.ErrReset)
				continue
			}
			require.NoError(t, err)
			_, err = s.Write([]byte("x"))
			require.NoError(t, err)
			require.NoError(t, s.SendReply(http.Header{}, false))
			require.Equal(t, spdystream.ErrWriteClosedStream, s.Close())
		}
	})
}
