package says

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// beginnings are first bytes that could be the header of a frame of SPDY, whose payload does not
// arrive. As SPDY, AMQP is a DATA frame, and Telnet a control frame of an unknown version.
func beginnings(v spdy.Version) map[string][]byte {
	return map[string][]byte{
		"AMQP":     []byte("AMQP\x00\x00\x09\x01"),
		"Telnet":   []byte("\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23\xff\xfd\x27"),
		"SETTINGS": append(control(v, 4, 12), 0, 0, 0, 1),
		"control":  control(v, 99, 12),
	}
}

// control is the header of a control frame.
func control(v spdy.Version, typ, length int) []byte {
	wire := byte(3)
	if v == spdy.SPDY2 {
		wire = 2
	}
	return []byte{0x80, wire, 0, byte(typ), 0, byte(length >> 16), byte(length >> 8), byte(length)}
}

// answer reads from a client until it waits, and then writes p.
func answer(peer net.Conn, p []byte) {
	peer.Read(make([]byte, 1))
	go io.Copy(io.Discard, peer)
	synctest.Wait()
	peer.Write(p)
	synctest.Wait()
}

// A server that begins a frame and becomes silent fails a request after the limit, as a server that
// sends nothing does: the bytes may be another protocol's. A server that hangs up there fails it at
// once. The error has the bytes.
func TestAttackA23Incomplete(t *testing.T) {
	for name := range beginnings(spdy.SPDY31) {
		for limit, conf := range map[time.Duration]spdy.Config{30 * time.Second: {}, 7 * time.Second: {FirstFrameTimeout: 7 * time.Second}} {
			bubble.InVersions(t, name+"/silent for "+limit.String(), func(t *testing.T, v spdy.Version) {
				first := beginnings(v)[name]
				s, peer := client(v, conf)
				go answer(peer, first)
				begun := time.Now()
				_, err := s.RoundTrip(get())
				require.Equal(t, limit, time.Since(begun))
				wantIncomplete(t, err, first)
				var timeout net.Error
				require.True(t, errors.As(err, &timeout) && timeout.Timeout())
				peer.Close()
			})
		}
		bubble.InVersions(t, name+"/hangs up", func(t *testing.T, v spdy.Version) {
			for _, n := range []int{5, 8} {
				first := beginnings(v)[name][:n]
				s, peer := client(v, spdy.Config{})
				go func() {
					answer(peer, first)
					peer.Close()
				}()
				begun := time.Now()
				_, err := s.RoundTrip(get())
				require.Zero(t, time.Since(begun), "at once")
				wantIncomplete(t, err, first)
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			}
		})
	}
}

func wantIncomplete(t *testing.T, err error, first []byte) {
	t.Helper()
	var e *spdy.NotSPDYError
	require.ErrorAs(t, err, &e)
	require.Equal(t, first, e.First)
	require.ErrorContains(t, err, "has not completed a frame and may not speak SPDY")
}

// A large first frame may arrive slowly, but not as slowly as bytes that only keep a client waiting.
// After the first frame a response may take any time.
func TestFirstFrameIsSlow(t *testing.T) {
	for name, test := range map[string]struct {
		speed int // bytes in a second
		fits  bool
	}{"slow": {600, true}, "too slow": {100, false}} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			const length = 60_000
			s, peer := client(v, spdy.Config{})
			written := make(chan struct{})
			go func() {
				defer close(written)
				answer(peer, control(v, 99, length))
				for range length / test.speed {
					bubble.Pass(time.Second + time.Millisecond) // never at the instant of the session's timer
					if _, err := peer.Write(bytes.Repeat([]byte{1}, test.speed)); err != nil {
						return // the session has ended
					}
				}
			}()
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			_, err := s.RoundTrip(get().WithContext(ctx))
			if test.fits {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.NoError(t, s.Err())
			} else {
				var e *spdy.NotSPDYError
				require.ErrorAs(t, err, &e)
			}
			peer.Close()
			<-s.Done()
			<-written
		})
	}
}
