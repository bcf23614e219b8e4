package spdystream_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amahi "github.com/amahi/spdy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream"
)

// The faults of the original that are not kept, by the numbers of docs/kubernetes.md.

// syn opens a stream at the other end.
func (w *wire) syn(id uint32, flags amahi.FrameFlags, headers ...amahi.HeaderField) {
	w.t.Helper()
	w.send(&amahi.SynStreamFrame{StreamID: id, Flags: flags, Headers: headers})
}

func (w *wire) data(id uint32, text string, flags amahi.FrameFlags) {
	w.t.Helper()
	w.send(&amahi.DataFrame{StreamID: id, Flags: flags, Data: []byte(text)})
}

// opened opens a stream at our end and replies to it at the other.
func (w *wire) opened() *spdystream.Stream {
	w.t.Helper()
	s, err := w.c.CreateStream(http.Header{}, nil, false)
	require.NoError(w.t, err)
	id := want[*amahi.SynStreamFrame](w, "opened").StreamID
	w.send(&amahi.SynReplyFrame{StreamID: id})
	require.NoError(w.t, s.Wait())
	return s
}

// catch is a handler that hands its streams over without a reply.
func catch() (chan *spdystream.Stream, spdystream.StreamHandler) {
	caught := make(chan *spdystream.Stream, 100)
	return caught, func(s *spdystream.Stream) { caught <- s }
}

// E1: a stream that nobody reads does not hold up the others.
func TestUnreadStream(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		stuck, _ := r.open()
		go func() { _, _ = stuck.Write(make([]byte, 32<<20)) }() // ends with the connection
		synctest.Wait()
		for _, c := range []*spdystream.Connection{r.client, r.server} {
			_, err := c.Ping()
			require.NoError(t, err)
		}
		ours, theirs := r.open()
		require.NoError(t, ours.WriteData([]byte("works"), true))
		require.Equal(t, ending{"works", nil}, <-readAll(theirs))
	})
	wireTest(t, true, nil, func(t *testing.T, w *wire) { // a peer without flow control
		w.syn(1, 0)
		want[*amahi.SynReplyFrame](w, "accepted")
		for range 500 {
			w.data(1, strings.Repeat("x", 32<<10), 0)
		}
		w.send(&amahi.PingFrame{ID: 77})
		frame := <-w.frames
		for {
			if ping, ok := frame.(*amahi.PingFrame); ok && ping.ID == 77 {
				break
			}
			frame = <-w.frames
		}
	})
}

// E2: a reset that nobody waits for any more is no matter to other streams.
func TestResetAfterTimeout(t *testing.T) {
	caught, handler := catch()
	rigTest(t, handler, func(t *testing.T, r *rig) {
		for range 12 {
			s, err := r.client.CreateStream(http.Header{}, nil, false)
			require.NoError(t, err)
			require.Equal(t, spdystream.ErrTimeout, s.WaitTimeout(time.Second))
			require.NoError(t, (<-caught).Refuse())
			synctest.Wait()
			require.Equal(t, spdystream.ErrReset, s.Wait())
		}
		s, err := r.client.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		require.NoError(t, (<-caught).SendReply(http.Header{}, false))
		require.NoError(t, s.Wait())
	})
}

// A stream whose opener has given up is reset, and one that he comes back to is not.
func TestForgottenStream(t *testing.T) {
	wireTest(t, false, nil, func(t *testing.T, w *wire) {
		polled, err := w.c.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		forgotten, err := w.c.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		want[*amahi.SynStreamFrame](w, "one")
		want[*amahi.SynStreamFrame](w, "two")
		require.Equal(t, spdystream.ErrTimeout, forgotten.WaitTimeout(time.Second))
		for range 15 {
			require.Equal(t, spdystream.ErrTimeout, polled.WaitTimeout(time.Second))
		}
		rst := want[*amahi.RstStreamFrame](w, "given up")
		require.EqualValues(t, 3, rst.StreamID)
		require.Equal(t, amahi.RstCancel, rst.Status)
		require.Nil(t, w.next())
		w.send(&amahi.SynReplyFrame{StreamID: 1})
		require.NoError(t, polled.Wait())
		pass(time.Minute)
		require.Nil(t, w.next(), "nothing more")
		require.Equal(t, spdystream.ErrReset, forgotten.Wait())
	})
}

// A stream whose Wait has timed out stays if a call is in progress, or if its reply comes.
func TestStreamInUse(t *testing.T) {
	wireTest(t, false, nil, func(t *testing.T, w *wire) {
		for name, late := range map[string]time.Duration{"a Read": time.Minute, "the reply": time.Second} {
			s, err := w.c.CreateStream(http.Header{}, nil, false)
			require.NoError(t, err)
			want[*amahi.SynStreamFrame](w, "it is opened")
			require.Equal(t, spdystream.ErrTimeout, s.WaitTimeout(time.Second))
			got := make(<-chan ending)
			if name == "a Read" {
				got = readAll(s)
			}
			pass(late)
			w.send(&amahi.SynReplyFrame{StreamID: s.Identifier()})
			pass(time.Minute)
			require.Nil(t, w.next(), "it is not reset")
			w.data(s.Identifier(), "hello", amahi.FlagFin)
			if name == "the reply" {
				got = readAll(s)
			}
			require.Equal(t, ending{"hello", nil}, <-got)
		}
	})
	wireTest(t, false, nil, func(t *testing.T, w *wire) { // what ends it is no end of the peer's
		s, err := w.c.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		require.Equal(t, spdystream.ErrTimeout, s.WaitTimeout(time.Second))
		pass(11 * time.Second)
		end := <-readAll(s)
		require.ErrorIs(t, end.err, spdystream.ErrReset)
		require.ErrorIs(t, end.err, io.ErrUnexpectedEOF)
	})
}

// E3: what comes after a GOAWAY is read, and the connection stays for it.
func TestDataAfterGoAway(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		ours, theirs := r.open()
		require.NoError(t, theirs.WriteData([]byte("before, "), false))
		r.server.SetCloseTimeout(time.Hour)
		synctest.Wait() // each knows by now that the other does flow control
		require.NoError(t, r.server.Close())
		synctest.Wait()
		_, err := r.client.CreateStream(http.Header{}, nil, false)
		require.Error(t, err, "it takes no more streams")
		require.True(t, isClosed(r.client), "it is told at once")
		pass(time.Minute)
		require.Equal(t, spdystream.ErrTimeout, r.client.Wait(time.Millisecond))
		require.NoError(t, theirs.WriteData([]byte("after"), true))
		require.Equal(t, ending{"before, after", nil}, <-readAll(ours))
		require.NoError(t, ours.Close())
		pass(2 * time.Second) // each waits a second at most for the other to close: a pipe has no half of its own
		require.NoError(t, r.client.Wait(time.Millisecond))
		require.NoError(t, r.server.Wait(0))
	})
	wireTest(t, false, nil, func(t *testing.T, w *wire) { // the original does not wait
		s := w.opened()
		got := readAll(s)
		w.data(1, "before, ", 0)
		w.send(&amahi.GoAwayFrame{LastGoodStreamID: 1})
		pass(900 * time.Millisecond)
		w.data(1, "after", 0)
		pass(900 * time.Millisecond)
		w.data(1, " and later", 0)
		pass(900 * time.Millisecond)
		require.Empty(t, got)
		require.Equal(t, spdystream.ErrTimeout, w.c.Wait(time.Millisecond))
		pass(200 * time.Millisecond)
		end := <-got
		require.Equal(t, "before, after and later", end.data)
		require.ErrorIs(t, end.err, io.ErrUnexpectedEOF)
		require.NoError(t, w.c.Wait(time.Millisecond), "a second in which nothing has been read")
	})
}

// A connection that is to end does not wait for a peer that keeps sending what nobody
// reads, nor for a program that keeps writing to a peer that has sent GOAWAY.
func TestEndBesideWriters(t *testing.T) {
	caught, handler := catch()
	for name, end := range map[string]func(w *wire){
		"own Close": func(w *wire) { require.NoError(w.t, w.c.Close()) },
		"GOAWAY":    func(w *wire) { w.send(&amahi.GoAwayFrame{LastGoodStreamID: 0}) },
	} {
		t.Run(name, func(t *testing.T) {
			wireTest(t, true, handler, func(t *testing.T, w *wire) {
				w.syn(1, 0)
				s := <-caught
				synctest.Wait()
				end(w)
				for range 4 {
					pass(300 * time.Millisecond)
					if name == "GOAWAY" {
						_, _ = s.Write([]byte("tick"))
						continue
					}
					_ = w.framer.WriteFrame(&amahi.DataFrame{StreamID: 1, Data: []byte("tick")})
				}
				require.NoError(t, w.c.Wait(time.Second))
				require.True(t, isClosed(w.c))
			})
		})
	}
}

// After the peer's CANCEL a stream reads as ended, without delay, and what is written to it
// is dropped: programs forward bytes to streams that their peer has given up, and take an
// error for one of the connection. The end of the connection ends that.
func TestCancelled(t *testing.T) {
	wireTest(t, false, nil, func(t *testing.T, w *wire) {
		for range 2 {
			s := w.opened()
			w.data(s.Identifier(), "part", 0)
			w.send(&amahi.RstStreamFrame{StreamID: s.Identifier(), Status: amahi.RstCancel})
			synctest.Wait()
			begun := time.Now()
			for range 3 {
				n, err := s.Write([]byte("x"))
				require.NoError(t, err)
				require.Equal(t, 1, n)
			}
			require.NoError(t, s.SendHeader(http.Header{}, false))
			require.Equal(t, ending{"part", nil}, <-readAll(s))
			require.Equal(t, spdystream.ErrWriteClosedStream, s.Close())
			require.True(t, s.IsFinished())
			require.Zero(t, time.Since(begun))
			require.Nil(t, w.next(), "nothing of it is sent")
		}
	})
	wireTest(t, false, nil, func(t *testing.T, w *wire) {
		s := w.opened()
		w.send(&amahi.RstStreamFrame{StreamID: 1, Status: amahi.RstCancel})
		synctest.Wait()
		w.conn.Close()
		require.NoError(t, w.c.Wait(0))
		_, err := s.Write([]byte("x"))
		require.Error(t, err, "who copies to it stops")
	})
	rigTest(t, nil, func(t *testing.T, r *rig) { // and likewise after Reset
		ours, _ := r.open()
		require.NoError(t, ours.Reset())
		_, err := ours.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, r.client.Close())
		require.True(t, isClosed(r.client), "without a stream CloseChan closes at once")
		require.NoError(t, r.client.Wait(0))
		_, err = ours.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorContains(t, err, "use of closed network connection", "which client-go looks for")
	})
	rigTest(t, nil, func(t *testing.T, r *rig) { // in the middle of a Write that waits for the reader
		ours, theirs := r.open()
		wrote := make(chan error, 1)
		go func() { _, err := ours.Write(make([]byte, 1<<20)); wrote <- err }()
		synctest.Wait()
		require.Empty(t, wrote)
		require.NoError(t, theirs.Reset())
		require.NoError(t, <-wrote)
		_, err := theirs.Write([]byte("x"))
		require.NoError(t, err, "nor does the end that has reset the stream fail")
	})
}

// E4: only the peer's FIN, and its CANCEL, end a stream cleanly.
func TestTruncation(t *testing.T) {
	wireTest(t, false, nil, func(t *testing.T, w *wire) {
		for _, status := range []amahi.RstStatus{amahi.RstInternalError, amahi.RstProtocolError} {
			s := w.opened()
			w.data(s.Identifier(), "part", 0)
			w.send(&amahi.RstStreamFrame{StreamID: s.Identifier(), Status: status})
			synctest.Wait()
			for range 2 {
				end := <-readAll(s)
				require.ErrorIs(t, end.err, io.ErrUnexpectedEOF)
				require.ErrorIs(t, end.err, spdystream.ErrReset)
				var reset *amahi.StreamError
				require.ErrorAs(t, end.err, &reset)
				require.Equal(t, status, reset.Status)
			}
			_, err := s.Write([]byte("x"))
			require.ErrorIs(t, err, spdystream.ErrReset)
			require.ErrorIs(t, s.SendHeader(http.Header{}, false), spdystream.ErrReset)
			require.Equal(t, spdystream.ErrWriteClosedStream, s.Close())
		}
	})
	wireTest(t, false, nil, func(t *testing.T, w *wire) {
		s := w.opened()
		w.data(1, "part", 0)
		synctest.Wait()
		w.conn.Close()
		end := <-readAll(s)
		require.Equal(t, "part", end.data)
		require.ErrorIs(t, end.err, io.ErrUnexpectedEOF)
		require.NotErrorIs(t, end.err, spdystream.ErrReset)
		_, err := s.Write([]byte("x"))
		require.Error(t, err)
		require.Error(t, s.Close())
	})
}

// Kubernetes ends like this: it has written all, and resets its streams and closes the
// connection. What it has written is complete, whenever it is read.
func TestResetAndClose(t *testing.T) {
	teardown := []amahi.Frame{
		&amahi.DataFrame{StreamID: 1, Data: []byte("exit code 7")},
		&amahi.RstStreamFrame{StreamID: 1, Status: amahi.RstCancel},
		&amahi.GoAwayFrame{},
	}
	wireTest(t, false, nil, func(t *testing.T, w *wire) { // read late
		s := w.opened()
		for _, frame := range teardown {
			w.send(frame)
		}
		synctest.Wait()
		require.Equal(t, ending{"exit code 7", nil}, <-readAll(s))
	})
	wireTest(t, false, nil, func(t *testing.T, w *wire) { // read early
		s := w.opened()
		got := readAll(s)
		for _, frame := range teardown {
			synctest.Wait()
			w.send(frame)
		}
		require.Equal(t, ending{"exit code 7", nil}, <-got)
	})
	wireTest(t, false, nil, func(t *testing.T, w *wire) { // without GOAWAY
		s := w.opened()
		got := readAll(s)
		for _, frame := range teardown[:2] {
			w.send(frame)
		}
		w.conn.Close()
		require.Equal(t, ending{"exit code 7", nil}, <-got)
	})
	rigTest(t, nil, func(t *testing.T, r *rig) { // two of ours
		ours, theirs := r.open()
		require.NoError(t, theirs.WriteData([]byte("exit code 7"), false))
		require.NoError(t, theirs.Reset())
		require.NoError(t, r.server.Close())
		require.Equal(t, ending{"exit code 7", nil}, <-readAll(ours))
		require.True(t, isClosed(r.client))
	})
}

// E6: deadlines are the stream's own.
func TestDeadlines(t *testing.T) {
	caught, handler := catch()
	rigTest(t, handler, func(t *testing.T, r *rig) {
		ours, err := r.client.CreateStream(http.Header{}, nil, false)
		require.NoError(t, err)
		theirs := <-caught
		require.NoError(t, ours.SetDeadline(time.Now().Add(time.Second)))
		require.NoError(t, theirs.SetWriteDeadline(time.Now().Add(time.Second)))
		_, err = ours.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		synctest.Wait()
		_, err = ours.Write([]byte("x"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "there is no reply yet")
		_, err = theirs.Write([]byte("x"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "nor here")
		require.ErrorIs(t, theirs.Close(), os.ErrDeadlineExceeded)

		// A deadline that is moved while somebody waits for it.
		require.NoError(t, theirs.SetWriteDeadline(time.Now().Add(time.Second)))
		wrote := make(chan error, 1)
		go func() { wrote <- theirs.WriteData([]byte("late"), true) }()
		synctest.Wait()
		require.NoError(t, theirs.SetWriteDeadline(time.Now().Add(time.Hour)))
		pass(time.Minute)
		require.Empty(t, wrote)
		require.NoError(t, theirs.SendReply(http.Header{}, false))
		require.NoError(t, <-wrote)
		require.NoError(t, ours.SetDeadline(time.Time{}))
		require.Equal(t, ending{"late", nil}, <-readAll(ours))
		_, err = r.client.Ping()
		require.NoError(t, err, "the connection has not noticed")
		require.NoError(t, ours.Reset())
		require.NoError(t, ours.SetDeadline(time.Now()), "on a stream that is gone")
	})
}

// E8: a stream that comes after Close is refused.
func TestStreamAfterClose(t *testing.T) {
	wireTest(t, true, nil, func(t *testing.T, w *wire) {
		w.syn(1, 0)
		want[*amahi.SynReplyFrame](w, "accepted")
		require.Nil(t, w.next())
		require.NoError(t, w.c.Close())
		require.Nil(t, w.next(), "a GOAWAY would end the stream")
		w.syn(3, 0)
		rst := want[*amahi.RstStreamFrame](w, "no")
		require.EqualValues(t, 3, rst.StreamID)
		require.Equal(t, amahi.RstRefusedStream, rst.Status)
		w.send(&amahi.RstStreamFrame{StreamID: 1, Status: amahi.RstCancel})
		require.EqualValues(t, 1, want[*amahi.GoAwayFrame](w, "now it can be said").LastGoodStreamID)
	})
}

// A peer that turns out to do flow control gets the GOAWAY of an earlier Close, and its open streams
// continue.
func TestGoAwayAfterFirstCredit(t *testing.T) {
	for name, server := range map[string]bool{"server": true, "client": false} {
		t.Run(name, func(t *testing.T) {
			caught, handler := catch()
			wireTest(t, server, handler, func(t *testing.T, w *wire) {
				var s *spdystream.Stream
				if server {
					w.syn(1, 0)
					s = <-caught
					require.NoError(t, s.SendReply(http.Header{}, false))
					want[*amahi.SynReplyFrame](w, "accepted")
				} else {
					s = w.opened()
				}
				require.Nil(t, w.next())
				w.c.SetCloseTimeout(time.Hour)
				require.NoError(t, w.c.Close())
				require.Nil(t, w.next(), "a GOAWAY would end the stream of a peer without flow control")
				w.send(&amahi.WindowUpdateFrame{StreamID: 0, Delta: 1})
				want[*amahi.GoAwayFrame](w, "now it ends nothing")
				w.data(1, "the rest", amahi.FlagFin)
				require.Equal(t, ending{"the rest", nil}, <-readAll(s))
				require.NoError(t, s.Close())
				want[*amahi.DataFrame](w, "the FIN")
				require.Nil(t, w.next(), "a second GOAWAY")
			})
		})
	}
}

// E9: what comes right behind the SYN_STREAM is not lost.
func TestEarlyData(t *testing.T) {
	caught, handler := catch()
	wireTest(t, true, handler, func(t *testing.T, w *wire) {
		for id := uint32(1); id < 40; id += 2 {
			w.syn(id, 0)
			w.data(id, "early", amahi.FlagFin)
			s := <-caught
			require.NoError(t, s.SendReply(http.Header{}, false))
			require.Equal(t, ending{"early", nil}, <-readAll(s))
		}
	})
}

// E10: headers that nobody receives hold up nothing, and there is an end to them.
func TestUnreadHeaders(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		ours, theirs := r.open()
		for range 100 {
			require.NoError(t, ours.SendHeader(http.Header{"A": {"b"}}, false))
		}
		_, err := r.client.Ping()
		require.NoError(t, err)
		for range 100 {
			h, err := theirs.ReceiveHeader()
			require.NoError(t, err)
			require.Equal(t, http.Header{"A": {"b"}}, h)
		}
		big := http.Header{"A": {strings.Repeat("b", 100<<10)}}
		for range 100 {
			if err = ours.SendHeader(big, false); err != nil {
				break
			}
			synctest.Wait()
		}
		require.ErrorIs(t, err, spdystream.ErrReset)
	})
}

// E12, E13: nobody waits for a connection that is gone.
func TestLostConnection(t *testing.T) {
	for name, call := range map[string]func(ours, theirs *spdystream.Stream, r *rig) error{
		"Write":         func(_, theirs *spdystream.Stream, _ *rig) error { _, err := theirs.Write([]byte("x")); return err },
		"Close":         func(_, theirs *spdystream.Stream, _ *rig) error { return theirs.Close() },
		"SendHeader":    func(_, theirs *spdystream.Stream, _ *rig) error { return theirs.SendHeader(nil, false) },
		"Wait":          func(ours, _ *spdystream.Stream, _ *rig) error { return ours.Wait() },
		"own Wait":      func(_, theirs *spdystream.Stream, _ *rig) error { return theirs.Wait() },
		"WaitTimeout":   func(ours, _ *spdystream.Stream, _ *rig) error { return ours.WaitTimeout(time.Hour) },
		"ReceiveHeader": func(ours, _ *spdystream.Stream, _ *rig) error { _, err := ours.ReceiveHeader(); return err },
		"Read":          func(ours, _ *spdystream.Stream, _ *rig) error { _, err := ours.Read(make([]byte, 1)); return err },
		"ReadData":      func(ours, _ *spdystream.Stream, _ *rig) error { _, err := ours.ReadData(); return err },
		"Ping": func(_, _ *spdystream.Stream, r *rig) error {
			_, err := r.client.Ping()
			return errors.Join(err, io.ErrNoProgress) // it may be answered before
		},
	} {
		t.Run(name, func(t *testing.T) {
			caught, handler := catch()
			rigTest(t, handler, func(t *testing.T, r *rig) {
				ours, err := r.client.CreateStream(http.Header{}, nil, false)
				require.NoError(t, err)
				theirs := <-caught
				returned := make(chan error)
				go func() { returned <- call(ours, theirs, r) }()
				synctest.Wait()
				require.NoError(t, r.conns[0].Close())
				err = <-returned
				require.Error(t, err)
				require.NotErrorIs(t, err, io.EOF)
				require.NotEqual(t, spdystream.ErrTimeout, err)
				require.NoError(t, r.client.Wait(0), "although nobody has called Close")
				require.True(t, isClosed(r.server))
				require.True(t, ours.IsFinished())
				require.Error(t, ours.SendHeader(nil, false))
			})
		})
	}
}

// A Write to a stream of ours waits for the reply of a peer that would lose it.
func TestWriteBeforeReply(t *testing.T) {
	wireTest(t, false, nil, func(t *testing.T, w *wire) {
		var streams [3]*spdystream.Stream
		wrote := make(chan error, len(streams))
		for i := range streams {
			s, err := w.c.CreateStream(http.Header{}, nil, false)
			require.NoError(t, err)
			streams[i] = s
			want[*amahi.SynStreamFrame](w, "opened")
			go func() { wrote <- s.WriteData([]byte("early"), true) }()
		}
		require.Nil(t, w.next(), "not yet")
		w.send(&amahi.SynReplyFrame{StreamID: 1})
		require.NoError(t, <-wrote)
		require.Equal(t, "early", string(want[*amahi.DataFrame](w, "now").Data))
		require.Equal(t, amahi.FlagFin, want[*amahi.DataFrame](w, "and the end").Flags)
		require.NoError(t, streams[1].Reset())
		require.Equal(t, spdystream.ErrWriteClosedStream, <-wrote)
		w.conn.Close()
		require.Error(t, <-wrote)
	})
}

// X2: a peer that does flow control is granted credit.
func TestCredit(t *testing.T) {
	wireTest(t, true, nil, func(t *testing.T, w *wire) {
		granted := map[uint32]int{}
		w.send(&amahi.WindowUpdateFrame{StreamID: 0, Delta: 1 << 20})
		w.syn(1, 0)
		synctest.Wait()
		for len(w.frames) > 0 {
			if u, ok := (<-w.frames).(*amahi.WindowUpdateFrame); ok {
				granted[u.StreamID] += int(u.Delta)
			}
		}
		require.Equal(t, 16<<20-64<<10, granted[0])
		s := w.c.FindStream(1)
		go func() { _, _ = io.Copy(io.Discard, s) }()
		for range 100 {
			w.data(1, strings.Repeat("x", 16<<10), 0)
		}
		synctest.Wait()
		for len(w.frames) > 0 {
			if u, ok := (<-w.frames).(*amahi.WindowUpdateFrame); ok {
				granted[u.StreamID] += int(u.Delta)
			}
		}
		require.GreaterOrEqual(t, granted[1], 1600<<10-256<<10)
	})
}

// X3: nothing is sent behind the FIN, and a Reset behind it reaches the peer.
func TestResetAfterClose(t *testing.T) {
	wireTest(t, false, nil, func(t *testing.T, w *wire) {
		s := w.opened()
		read := readAll(s)
		require.NoError(t, s.WriteData([]byte("all"), true))
		_, err := s.Write([]byte("more"))
		require.Equal(t, spdystream.ErrWriteClosedStream, err)
		require.Equal(t, spdystream.ErrWriteClosedStream, s.Close())
		require.NoError(t, s.Reset())
		require.Equal(t, "all", string(want[*amahi.DataFrame](w, "the data").Data))
		fin := want[*amahi.DataFrame](w, "the end")
		require.Empty(t, fin.Data)
		require.Equal(t, amahi.FlagFin, fin.Flags)
		require.Equal(t, amahi.RstCancel, want[*amahi.RstStreamFrame](w, "and the reset").Status)
		require.Nil(t, w.next())
		require.Equal(t, ending{}, <-read, "as in the original")
		assert.True(t, s.IsFinished())
	})
}
