package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

func nullDevice(t testing.TB) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// TestPing pings a server in each dialect, with and without TLS.
func TestPing(t *testing.T) {
	h := func(http.ResponseWriter, *http.Request) {}
	plain, secure := newSite(t, h), newTLSSite(t, h, allProtocols()...)
	echo := regexp.MustCompile(`(?m)^echo from 127\.0\.0\.1:\d+: seq=(\d+) time=\d+\.\d+ ms$`)
	for _, v := range dialects {
		for _, args := range [][]string{{plain.addr}, {"-tls", "-cacert", secure.ca, secure.addr}, {"-k", secure.url}} {
			args = append([]string{"ping", "-c", "3", "-i", "1ms", "-version", v.String()}, args...)
			r := tool(t, "", args...)
			require.Equal(t, exitOK, r.code, r.stderr)
			require.Empty(t, r.stderr)
			require.True(t, strings.HasPrefix(r.stdout, "PING "), r.stdout)
			require.Contains(t, r.stdout, ") "+v.String()+"\n")
			require.Len(t, echo.FindAllString(r.stdout, -1), 3, r.stdout)
			require.Contains(t, r.stdout, "\n3 pings sent, 3 echoed, 0% loss, time ")
			require.Regexp(t, `round trip min/avg/max/stddev = \d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3}/\d+\.\d{3} ms\n$`, r.stdout)
		}
	}
}

// TestPingVerbose says in the end what has gone over the connection.
func TestPingVerbose(t *testing.T) {
	s := newSite(t, func(http.ResponseWriter, *http.Request) {})
	r := tool(t, "", "ping", "-v", "-c", "2", "-i", "1ms", s.addr)
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Regexp(t, `^\* `+s.addr+`: 0 streams, round trip \d+\.\d+ms
\* sent     \d+ bytes in 5 frames: 0 bytes of data, headers of 0 bytes in 0
\* received \d+ bytes in \d frames: 0 bytes of data, headers of 0 bytes in 0
$`, r.stderr)
}

func TestWriteStats(t *testing.T) {
	var s spdy.SessionStats
	s.StreamsOpened, s.StreamsAccepted, s.RoundTrip = 3, 1, 1234567
	s.Sent.Resets[spdy.RstCancel], s.Sent.Resets[0] = 2, 1
	s.Received.Resets[spdy.RstRefusedStream] = 1
	s.Received.Bytes, s.Received.Frames[spdy.FrameRstStream] = 16, 1
	var out bytes.Buffer
	writeStats(&out, "host:80", s)
	require.Equal(t, `* host:80: 3 streams, 1 refused, 1 pushed, round trip 1.235ms
* sent     0 bytes in 0 frames: 0 bytes of data, headers of 0 bytes in 0, 1 RST_STREAM of unknown status, 2 RST_STREAM CANCEL
* received 16 bytes in 1 frame: 0 bytes of data, headers of 0 bytes in 0, 1 RST_STREAM REFUSED_STREAM
`, out.String())
}

// TestPingInterrupted prints the summary after Ctrl-C too, and that is no failure.
func TestPingInterrupted(t *testing.T) {
	s := newSite(t, func(http.ResponseWriter, *http.Request) {})
	r := start(t, strings.NewReader(""), "ping", "-i", "1h", s.addr)
	r.stdout.await(t, "seq=1")
	r.interrupt()
	require.Equal(t, exitOK, r.wait(t), r.stderr)
	require.Contains(t, r.stdout.String(), "\n1 ping sent, 1 echoed, 0% loss")
}

// TestPingSilence waits for a server that does not answer, and fails.
func TestPingSilence(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // connections wait in its backlog
	require.NoError(t, err)
	defer ln.Close()
	r := tool(t, "", "ping", "-c", "2", "-i", "1ms", "-W", "20ms", ln.Addr().String())
	require.Equal(t, exitFailure, r.code)
	require.Empty(t, r.stderr)
	require.Contains(t, r.stdout, ": seq=2 within 20ms\n")
	require.Contains(t, r.stdout, "\n2 pings sent, 0 echoed, 100% loss")
	require.NotContains(t, r.stdout, "round trip")
}

// TestPingLost ends with the connection: with a summary, and a failure in words.
func TestPingLost(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		if c, err := ln.Accept(); err == nil {
			c.Close()
		}
	}()
	r := tool(t, "", "ping", "-c", "3", "-i", "1ms", ln.Addr().String())
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "spdy ping: ")
	require.Contains(t, r.stdout, "ping statistics")
}

// TestPinger follows the schedule: a ping each interval, late ones are given up after
// the wait, and Ctrl-C ends it at once, in the middle of an interval and of a wait.
func TestPinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		begun := time.Now()
		trips := []time.Duration{20 * time.Millisecond, 40 * time.Millisecond, time.Minute, 60 * time.Millisecond}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var out bytes.Buffer
		p := &pinger{pingOptions: pingOptions{interval: time.Second, wait: 2500 * time.Millisecond}, out: &out, name: "peer"}
		p.ping = func(ctx context.Context) (time.Duration, error) {
			at = append(at, time.Since(begun))
			trip := time.Hour
			if len(trips) > 0 {
				trip, trips = trips[0], trips[1:]
			}
			timer := time.NewTimer(trip)
			defer timer.Stop()
			select {
			case <-timer.C:
				return trip, nil
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			}
		}
		time.AfterFunc(6*time.Second, cancel)
		require.NoError(t, p.run(ctx))
		// The third takes 2.5 s to fail, the fourth follows at once, the fifth is
		// interrupted and does not count.
		require.Equal(t, []time.Duration{0, time.Second, 2 * time.Second, 4500 * time.Millisecond, 5500 * time.Millisecond}, at)
		require.Equal(t, 6*time.Second, time.Since(begun))
		p.summary("peer:1")
		require.Equal(t, `echo from peer: seq=1 time=20.00 ms
echo from peer: seq=2 time=40.00 ms
no echo from peer: seq=3 within 2.5s
echo from peer: seq=4 time=60.00 ms

--- peer:1 ping statistics ---
4 pings sent, 3 echoed, 25% loss, time 6000 ms
round trip min/avg/max/stddev = 20.000/40.000/60.000/16.330 ms
`, out.String())
	})
}

func TestPingerFails(t *testing.T) {
	lost := errors.New("lost")
	p := &pinger{pingOptions: pingOptions{interval: time.Hour, wait: time.Hour}, out: nullDevice(t)}
	p.ping = func(context.Context) (time.Duration, error) { return 0, lost }
	require.ErrorIs(t, p.run(t.Context()), lost)
	require.Equal(t, int64(1), p.stats.sent)
	require.Zero(t, p.stats.stddev())
}

func TestMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.000 ms", 1234567: "1.235 ms", 12345678: "12.35 ms", 123456789: "123.5 ms", 12345678901: "12346 ms",
	} {
		require.Equal(t, want, milliseconds(d))
	}
}
