package says

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// settingsOf is an empty SETTINGS frame with a version number.
func settingsOf(wire byte) []byte {
	return []byte{0x80, wire, 0, 4, 0, 0, 0, 4, 0, 0, 0, 0}
}

// limits are the time limits for a server's first frame, and the configurations that set them.
var limits = map[time.Duration]spdy.Config{30 * time.Second: {}, 7 * time.Second: {FirstFrameTimeout: 7 * time.Second}}

// A server that completes frames of another version, and then is silent, fails a request after the
// limit. The error names the version.
func TestAttackA23OtherVersion(t *testing.T) {
	for limit, conf := range limits {
		for theirs := byte(1); theirs <= 4; theirs++ {
			name := fmt.Sprintf("version %d/%v", theirs, limit)
			bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
				if theirs == control(v, 4, 0)[1] {
					return // the session's own
				}
				s, peer := client(v, conf)
				go answer(peer, append(settingsOf(theirs), settingsOf(theirs)...))
				begun := time.Now()
				_, err := s.RoundTrip(get())
				require.Equal(t, limit, time.Since(begun))
				wantOther(t, err, fmt.Sprintf("SPDY/%d", theirs))
				advice := "; Config.Version chooses"
				if theirs == 1 || theirs == 4 {
					advice = "; no Config.Version"
				}
				require.ErrorContains(t, err, "not SPDY/"+v.String()[len("spdy/"):]+advice)
				peer.Close()
			})
		}
	}
}

// Frames of another version do not extend the limit, however many bytes they have: only a first
// frame that is still incomplete may be slow.
func TestOtherVersionKeepsSending(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s, peer := client(v, spdy.Config{})
		written := make(chan struct{})
		go func() {
			defer close(written)
			answer(peer, settingsOf(4))
			frame := append([]byte{0x80, 4, 0, 99, 0, 0, 2, 0}, make([]byte, 512)...)
			for range 60 {
				bubble.Pass(time.Second + time.Millisecond) // never at the instant of the session's timer
				if _, err := peer.Write(frame); err != nil {
					return // the session has ended
				}
			}
		}()
		begun := time.Now()
		_, err := s.RoundTrip(get())
		require.Equal(t, 30*time.Second, time.Since(begun))
		wantOther(t, err, "SPDY/4")
		peer.Close()
		<-written
	})
}

// A complete DATA frame does not end the limit, because many protocols begin with bytes that could
// be one.
func TestAttackA23FirstData(t *testing.T) {
	for limit, conf := range limits {
		bubble.InVersions(t, limit.String(), func(t *testing.T, v spdy.Version) {
			s, peer := client(v, conf)
			go answer(peer, []byte("AMQP\x00\x00\x00\x04\x00\x00\x00\x00"))
			begun := time.Now()
			_, err := s.RoundTrip(get())
			require.Equal(t, limit, time.Since(begun))
			var e *spdy.NotSPDYError
			require.ErrorAs(t, err, &e)
			require.Equal(t, "AMQP", string(e.First[:4]))
			var timeout net.Error
			require.True(t, errors.As(err, &timeout) && timeout.Timeout())
			peer.Close()
		})
	}
}

// A frame of the session's version ends the limit, also behind frames of another version.
func TestOwnVersionBehindAnother(t *testing.T) {
	for limit, conf := range limits {
		bubble.InVersions(t, limit.String(), func(t *testing.T, v spdy.Version) {
			s, peer := client(v, conf)
			go answer(peer, append(settingsOf(4), settingsOf(control(v, 4, 0)[1])...))
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			_, err := s.RoundTrip(get().WithContext(ctx))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NoError(t, s.Err())
			peer.Close()
			<-s.Done()
		})
	}
}

// A server of HTTP gives a client up that completes frames of another version only, after the ten
// seconds of a first frame.
func TestAttackA23ClientOfAnotherVersion(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		ours, peer := net.Pipe()
		s := bubble.Quiet(spdy.Config{}, v).ServerSession(ours, nil)
		go io.Copy(io.Discard, peer)
		go peer.Write(settingsOf(4))
		begun := time.Now()
		err := s.Serve()
		require.Equal(t, 10*time.Second, time.Since(begun))
		var timeout net.Error
		require.True(t, errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
		peer.Close()
	})
}

// The first frame decides: behind a frame of the session's version, frames of versions that never
// existed are skipped.
func TestNoVersionBehindOwn(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s, peer := client(v, spdy.Config{})
		go func() {
			f := spdy.NewFramer(peer, peer, v)
			f.WriteFrame(&spdy.SettingsFrame{})
			peer.Write([]byte("\xef\xbb\x00\x06\x00\x00\x00\x05Hello"))
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					return
				}
				if ping, ok := frame.(*spdy.PingFrame); ok {
					f.WriteFrame(ping)
				}
			}
		}()
		_, err := s.PingContext(context.Background())
		require.NoError(t, err)
		peer.Close()
		<-s.Done()
	})
}

// A Framer knows another protocol by its first bytes too.
func TestFramerOfNoVersion(t *testing.T) {
	for _, v := range bubble.Versions {
		ours, peer := net.Pipe()
		go io.WriteString(peer, "\xef\xbb\xbfHello")
		_, err := spdy.NewFramer(nil, ours, v).ReadFrame()
		wantOther(t, err, "")
		peer.Close()
	}
}
