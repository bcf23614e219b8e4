package spdystream_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	amahi "github.com/amahi/spdy"
	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream"
)

// pings counts the PINGs that a connection has sent, and returns the last one.
func (w *wire) pings() (n int, last *amahi.PingFrame) {
	for {
		select {
		case frame := <-w.frames:
			if ping, ok := frame.(*amahi.PingFrame); ok {
				n, last = n+1, ping
			}
		default:
			return n, last
		}
	}
}

// settle answers the PING by which a session finds out about flow control.
func (w *wire) settle() {
	pass(time.Second)
	if n, ping := w.pings(); n > 0 {
		w.send(ping)
	}
	pass(time.Second)
}

// TestSilence: a network that dies is noticed within a minute if the peer has flow control, and a
// stream that is being read says so.
func TestSilence(t *testing.T) {
	streams := make(chan *spdystream.Stream, 1)
	wireTest(t, true, func(s *spdystream.Stream) {
		_ = s.SendReply(http.Header{}, false)
		streams <- s
	}, func(t *testing.T, w *wire) {
		w.send(&amahi.WindowUpdateFrame{Delta: 1 << 20})
		w.send(&amahi.SynStreamFrame{StreamID: 1, Headers: amahi.HeaderBlock{{Name: "a", Value: "b"}}})
		end := readAll(<-streams)
		w.settle()
		for range 5 { // it answers
			pass(spdystream.SilenceTimeout/2 + time.Second)
			n, ping := w.pings()
			require.Equal(t, 1, n)
			w.send(ping)
		}
		pass(spdystream.SilenceTimeout - time.Second)
		require.False(t, isClosed(w.c))
		pass(2 * time.Second)
		require.True(t, isClosed(w.c))
		got := <-end
		require.ErrorIs(t, got.err, io.ErrUnexpectedEOF)
		require.ErrorIs(t, got.err, amahi.ErrPingTimeout)
	})
}

// TestSilenceOfTheOriginal: a peer without flow control may answer no PING because its program
// does not read. It is asked once, and not given up.
func TestSilenceOfTheOriginal(t *testing.T) {
	wireTest(t, true, nil, func(t *testing.T, w *wire) {
		w.send(&amahi.SynStreamFrame{StreamID: 1, Headers: amahi.HeaderBlock{{Name: "a", Value: "b"}}})
		w.settle()
		pass(time.Hour)
		n, ping := w.pings()
		require.Equal(t, 1, n)
		require.False(t, isClosed(w.c))
		w.send(ping) // its program reads again
		pass(time.Minute)
		n, _ = w.pings()
		require.Equal(t, 1, n, "it is asked again")
	})
}

// TestSilenceIsIdle: the PINGs by which a connection asks do not keep it from being idle, on
// the side that asks.
func TestSilenceIsIdle(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		s, _ := r.open()
		require.NoError(t, s.Close())
		r.client.SetIdleTimeout(5 * time.Minute)
		pass(4 * time.Minute)
		require.False(t, isClosed(r.client))
		pass(time.Minute)
		require.True(t, isClosed(r.client))
	})
	rigTest(t, nil, func(t *testing.T, r *rig) {
		r.open()
		r.client.SetIdleTimeout(5 * time.Minute)
		for range 10 {
			pass(3 * time.Minute)
			_, err := r.client.Ping()
			require.NoError(t, err, "those of the program do")
		}
	})
}

// TestSilenceTimeout: it can be switched off.
func TestSilenceTimeout(t *testing.T) {
	before := spdystream.SilenceTimeout
	defer func() { spdystream.SilenceTimeout = before }()
	spdystream.SilenceTimeout = 0
	wireTest(t, true, nil, func(t *testing.T, w *wire) {
		w.send(&amahi.WindowUpdateFrame{Delta: 1 << 20})
		w.send(&amahi.SynStreamFrame{StreamID: 1, Headers: amahi.HeaderBlock{{Name: "a", Value: "b"}}})
		w.settle()
		pass(24 * time.Hour)
		n, _ := w.pings()
		require.Zero(t, n)
		require.False(t, isClosed(w.c))
	})
}
