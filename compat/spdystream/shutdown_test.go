package spdystream_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amahi "github.com/amahi/spdy"
	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream"
)

func TestCloseWithoutStreams(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		require.Equal(t, spdystream.ErrTimeout, r.client.Wait(time.Second))
		start := time.Now()
		require.NoError(t, r.client.Close())
		require.NoError(t, r.client.Close(), "as often as one likes")
		require.NoError(t, r.client.Wait(time.Minute))
		require.NoError(t, r.server.Wait(0))
		require.Zero(t, time.Since(start), "at once")
		require.True(t, isClosed(r.client))
		require.True(t, isClosed(r.server))
		r.server.SetIdleTimeout(time.Second)
		require.NoError(t, r.server.Close())
		require.NoError(t, r.server.CloseWait())
		_, err := r.client.CreateStream(http.Header{}, nil, false)
		require.Error(t, err)
	})
}

// Close ends the connection although streams are open, if nobody uses them.
func TestCloseWithStreams(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		ours, theirs := r.open()
		got := readAll(ours)
		start := time.Now()
		require.NoError(t, r.server.Close())
		_, err := r.server.CreateStream(http.Header{}, nil, false)
		require.Error(t, err, "from now on, not a little later")
		for range 5 {
			pass(900 * time.Millisecond)
			require.NoError(t, theirs.WriteData([]byte("x"), false))
		}
		require.NoError(t, r.server.Wait(0))
		require.Equal(t, 5500*time.Millisecond, time.Since(start))
		require.NoError(t, r.client.Wait(0))
		end := <-got
		require.Equal(t, "xxxxx", end.data)
		require.ErrorIs(t, end.err, io.ErrUnexpectedEOF)
		require.True(t, isClosed(r.client))
	})
}

// Programs write until CloseChan closes, at either end. Close tells both, so that CloseWait returns.
func TestCloseTellsWriters(t *testing.T) {
	for name, limit := range map[string]time.Duration{"no timeout": 0, "an hour": time.Hour} {
		t.Run(name, func(t *testing.T) {
			rigTest(t, nil, func(t *testing.T, r *rig) {
				ours, theirs := r.open()
				pass(time.Second)
				read := readAll(theirs)
				readAll(ours)
				r.server.SetCloseTimeout(limit)
				r.client.SetCloseTimeout(limit)
				writing := make(chan error, 1)
				go func() { writing <- writeUntil(r.client.CloseChan(), ours) }()
				pass(100 * time.Millisecond)
				start := time.Now()
				require.NoError(t, r.client.Close())
				require.True(t, isClosed(r.server), "the peer is told at once")
				require.NoError(t, <-writing)
				require.Equal(t, time.Second, time.Since(start), "the writer is told after a second")
				require.NoError(t, theirs.Close())
				require.NoError(t, r.client.Wait(0))
				require.Equal(t, ending{"tick tick ", nil}, <-read)
			})
		})
	}
}

// writeUntil writes to a stream, and closes it when the latch closes, within a minute.
func writeUntil(latch <-chan bool, s *spdystream.Stream) error {
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	for range 150 {
		select {
		case <-latch:
			return s.Close()
		case <-tick.C:
		}
		if _, err := s.Write([]byte("tick ")); err != nil {
			return err
		}
	}
	return errors.New("CloseChan is still open")
}

// A peer without flow control that sends until its CloseChan closes is told after half a minute,
// although the program reads: the original ends the connection at Close, and at a GOAWAY.
func TestCloseBesideReader(t *testing.T) {
	for name, end := range map[string]func(w *wire){
		"own Close": func(w *wire) { require.NoError(w.t, w.c.Close()) },
		"GOAWAY":    func(w *wire) { w.send(&amahi.GoAwayFrame{LastGoodStreamID: 1}) },
	} {
		t.Run(name, func(t *testing.T) {
			wireTest(t, false, nil, func(t *testing.T, w *wire) {
				got := readAll(w.opened())
				end(w)
				var sent strings.Builder
				start := time.Now()
				for time.Since(start) < time.Minute && w.next() == nil {
					w.data(1, "tick ", 0)
					sent.WriteString("tick ")
					pass(310 * time.Millisecond)
				}
				require.InDelta(t, 31, time.Since(start).Seconds(), 1.5)
				read := <-got
				require.ErrorIs(t, read.err, io.ErrUnexpectedEOF)
				require.Equal(t, sent.String(), read.data)
				require.NoError(t, w.c.Wait(5*time.Second))
			})
		})
	}
}

// A program that needs longer for what the peer has already sent still answers.
func TestCloseBesideSlowReader(t *testing.T) {
	caught, handler := catch()
	wireTest(t, true, handler, func(t *testing.T, w *wire) {
		w.syn(1, 0)
		s := <-caught
		require.NoError(t, s.SendReply(http.Header{}, false))
		w.data(1, strings.Repeat("x", 100), amahi.FlagFin)
		require.NoError(t, w.c.Close())
		for range 100 {
			pass(900 * time.Millisecond)
			_, err := io.ReadFull(s, make([]byte, 1))
			require.NoError(t, err)
		}
		require.NoError(t, s.WriteData([]byte("answer"), true))
		want[*amahi.SynReplyFrame](w, "accepted")
		require.Equal(t, "answer", string(want[*amahi.DataFrame](w, "all was read").Data))
	})
}

func TestCloseTimeout(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		_, theirs := r.open()
		r.server.SetCloseTimeout(10 * time.Second)
		start := time.Now()
		require.NoError(t, r.server.CloseWait())
		require.Equal(t, 10*time.Second, time.Since(start))
		_, err := theirs.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestNotifyClose(t *testing.T) {
	wireTest(t, false, nil, func(t *testing.T, w *wire) {
		last := make(chan *spdystream.Stream)
		w.c.NotifyClose(last, time.Minute)
		first, second := w.opened(), w.opened()
		w.send(&amahi.GoAwayFrame{LastGoodStreamID: 1})
		synctest.Wait()
		require.ErrorIs(t, second.WriteData([]byte("x"), false), spdystream.ErrReset, "it was too late")
		require.Same(t, first, <-last)
		require.True(t, isClosed(w.c), "it is told at once")
		require.Equal(t, spdystream.ErrTimeout, w.c.Wait(59*time.Second))
		require.NoError(t, w.c.Wait(2*time.Second))
	})
	wireTest(t, false, nil, func(t *testing.T, w *wire) { // nobody listens
		w.c.NotifyClose(make(chan *spdystream.Stream), 0)
		w.send(&amahi.GoAwayFrame{})
		require.True(t, isClosed(w.c))
		pass(2 * time.Second)
	})
	wireTest(t, false, nil, func(t *testing.T, w *wire) { // none is left
		last := make(chan *spdystream.Stream, 1)
		w.c.NotifyClose(last, 0)
		s := w.opened()
		require.NoError(t, s.Reset())
		w.send(&amahi.GoAwayFrame{LastGoodStreamID: 1})
		require.True(t, isClosed(w.c))
		require.Nil(t, <-last)
	})
}

// The peer's GOAWAY is told although nothing is open, and the session ends with it; and
// the last stream is told although the connection breaks right behind the GOAWAY.
func TestNotifyCloseOfAll(t *testing.T) {
	for range 50 {
		for _, timeout := range []time.Duration{0, time.Minute} {
			wireTest(t, false, nil, func(t *testing.T, w *wire) {
				last := make(chan *spdystream.Stream, 1)
				w.c.NotifyClose(last, timeout)
				synctest.Wait()
				w.send(&amahi.GoAwayFrame{})
				w.conn.Close()
				require.NoError(t, w.c.Wait(0))
				synctest.Wait()
				require.Len(t, last, 1)
				require.Nil(t, <-last)
			})
			wireTest(t, false, nil, func(t *testing.T, w *wire) {
				last := make(chan *spdystream.Stream, 1)
				w.c.NotifyClose(last, timeout)
				s := w.opened()
				w.send(&amahi.GoAwayFrame{LastGoodStreamID: 1})
				w.conn.Close()
				require.NoError(t, w.c.Wait(0))
				synctest.Wait()
				require.Len(t, last, 1)
				require.Same(t, s, <-last)
			})
		}
	}
}

// A program that has closed the connection itself is not told that the peer does so too.
func TestNotifyCloseAfterClose(t *testing.T) {
	wireTest(t, false, nil, func(t *testing.T, w *wire) {
		last := make(chan *spdystream.Stream, 1)
		w.c.NotifyClose(last, time.Minute)
		w.opened()
		w.c.SetCloseTimeout(time.Minute)
		require.NoError(t, w.c.Close())
		synctest.Wait()
		w.send(&amahi.GoAwayFrame{LastGoodStreamID: 1})
		pass(time.Hour)
		require.True(t, isClosed(w.c))
		require.Empty(t, last)
	})
}

func TestIdleTimeout(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		start := time.Now()
		r.client.SetIdleTimeout(time.Minute)
		ours, theirs := r.open()
		for range 5 {
			pass(50 * time.Second)
			require.NoError(t, theirs.WriteData([]byte("x"), false))
		}
		pass(59 * time.Second)
		require.False(t, isClosed(r.client))
		<-r.client.CloseChan()
		require.Equal(t, 310*time.Second, time.Since(start))
		end := <-readAll(ours)
		require.Equal(t, "xxxxx", end.data)
		require.ErrorContains(t, end.err, "idle for too long")
		require.ErrorIs(t, end.err, net.ErrClosed)
		require.NoError(t, r.client.Wait(0))
		require.NoError(t, r.server.Wait(0))
	})
	rigTest(t, nil, func(t *testing.T, r *rig) {
		r.client.SetIdleTimeout(time.Minute)
		pass(50 * time.Second)
		r.client.SetIdleTimeout(time.Hour)
		pass(59 * time.Minute)
		require.False(t, isClosed(r.client))
		r.client.SetIdleTimeout(time.Minute)
		r.client.SetIdleTimeout(0)
		pass(24 * time.Hour)
		require.False(t, isClosed(r.client))
		r.client.SetIdleTimeout(time.Minute)
		pass(time.Minute)
		require.True(t, isClosed(r.client))
	})
}

// A connection that nobody serves can be closed all the same.
func TestUnserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, end := range []func(c *spdystream.Connection){
			func(c *spdystream.Connection) { require.NoError(t, c.CloseWait()) },
			func(c *spdystream.Connection) { c.SetIdleTimeout(time.Second); require.NoError(t, c.Wait(0)) },
		} {
			ours, theirs := net.Pipe()
			c := newConnection(t, ours, true)
			end(c)
			require.True(t, isClosed(c))
			_, err := theirs.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
			c.Serve(nil)
			require.Nil(t, c.FindStream(99))
		}
	})
}

// Serving twice is serving once.
func TestServeTwice(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		r.open()
		second := make(chan struct{})
		go func() { r.server.Serve(nil); close(second) }()
		r.open()
		require.NoError(t, r.client.Close())
		<-second
	})
}

func TestWithoutHandler(t *testing.T) {
	wireTest(t, true, func(*spdystream.Stream) {}, func(t *testing.T, w *wire) {})
	synctest.Test(t, func(t *testing.T) {
		cc, sc := net.Pipe()
		client, server := newConnection(t, cc, false), newConnection(t, sc, true)
		go client.Serve(nil)
		go server.Serve(nil)
		s, err := client.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		require.Equal(t, spdystream.ErrReset, s.Wait())
		require.NoError(t, client.CloseWait())
		require.NoError(t, server.Wait(0))
	})
}

// A stream can be refused until it has its reply.
func TestRefuse(t *testing.T) {
	caught, handler := catch()
	rigTest(t, handler, func(t *testing.T, r *rig) {
		ours, err := r.client.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		theirs := <-caught
		require.NoError(t, theirs.Refuse())
		require.NoError(t, theirs.WriteData([]byte("x"), false), "dropped")
		require.Equal(t, spdystream.ErrWriteClosedStream, theirs.Close())
		require.NoError(t, theirs.SendReply(http.Header{}, false), "too late, and no matter")
		require.Equal(t, spdystream.ErrReset, theirs.Wait())
		require.Equal(t, spdystream.ErrReset, ours.Wait())

		ours, err = r.client.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		theirs = <-caught
		require.NoError(t, ours.Refuse(), "there is no reply yet")
		require.Equal(t, spdystream.ErrReset, ours.Wait())
		synctest.Wait()
		require.ErrorIs(t, theirs.Wait(), spdystream.ErrReset)

		ours, err = r.client.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		theirs = <-caught
		require.NoError(t, theirs.SendReply(http.Header{}, false))
		require.NoError(t, ours.Wait())
		require.NoError(t, ours.Refuse(), "it has its reply")
		require.False(t, ours.IsFinished())
		require.NoError(t, ours.Cancel())
		require.True(t, ours.IsFinished())
		_, err = ours.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		synctest.Wait()
		require.NoError(t, theirs.WriteData([]byte("x"), false), "dropped")
	})
}
