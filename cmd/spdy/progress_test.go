package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProgressLine(t *testing.T) {
	const mib = 1 << 20
	for _, x := range []struct {
		name        string
		done, total int64
		rate        float64
		bar         bool
		want        string
	}{
		{"a", 0, 100, 0, true, "a  [          ]    0%  0 B of 100 B"},
		{"a", 50, 100, 10, true, "a  [=====     ]   50%  50 B of 100 B  10 B/s  0:05 left"},
		{"a", 100, 100, 10, true, "a  [==========]  100%  100 B of 100 B  10 B/s"},
		{"a", 150, 100, 10, true, "a  [==========]  100%  150 B of 100 B  10 B/s"},
		{"a", 3 * mib, -1, 1.5 * mib, true, "a  3.0 MiB  1.5 MiB/s"},
		{"a", 0, 0, 0, true, "a  0 B"},
		{"a", mib, 8000 * mib, mib / 2, false, "a    0%  1.0 MiB of 7.8 GiB  512.0 KiB/s  4:26:38 left"},
		{"a-very-long-name-of-a-file.tar.gz", 1, -1, 0, true, "…f-a-file.tar.gz  1 B"},
		{"a-very-long-name-of-a-file.tar.gz", 1, -1, 0, false, "a-very-long-name-of-a-file.tar.gz  1 B"},
		{"a\x1bb", 1, -1, 0, true, `a\x1bb  1 B`},
	} {
		require.Equal(t, x.want, progressLine(x.name, x.done, x.total, x.rate, x.bar))
	}
	long := progressLine(strings.Repeat("n", 50), 1023<<30, 1024<<30, 1023<<20, true)
	require.LessOrEqual(t, len([]rune(long)), 84)
}

// TestProgressPlain prints a line a second where there is no terminal.
func TestProgressPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		p := newProgress(newConsole(&b), 1)
		stop := p.start()
		x := p.add("file", 4000)
		for range 3 {
			x.done.Add(1000)
			timer := time.NewTimer(time.Second)
			<-timer.C
			synctest.Wait()
		}
		p.remove(x)
		p.finished("file", 4000, 4*time.Second)
		stop()
		require.Equal(t, "file   25%  1000 B of 3.9 KiB  1000 B/s  0:03 left\n"+
			"file   50%  2.0 KiB of 3.9 KiB  1000 B/s  0:02 left\n"+
			"file   75%  2.9 KiB of 3.9 KiB  1000 B/s  0:01 left\n"+
			"saved file: 3.9 KiB in 4s, 1000 B/s\n", b.String())
	})
}

// TestProgressSeveral sums up several files once something is known of each.
func TestProgressSeveral(t *testing.T) {
	now := time.Now()
	p := newProgress(&console{terminal: true}, 3)
	p.meter.start(now)
	require.Empty(t, p.line(now), "nothing runs")
	a, b := p.add("a", 100), p.add("b", 100)
	a.done.Add(100)
	require.Equal(t, "0 of 3 files  100 B  100 B/s", p.line(now.Add(time.Second)))
	p.remove(a)
	c := p.add("c", 300)
	require.Contains(t, p.line(now.Add(2*time.Second)), "1 of 3 files  [==        ]   20%  100 B of 500 B")
	p.remove(b)
	p.remove(c)
	require.Empty(t, p.line(now.Add(3*time.Second)))
}

// TestMeter settles on a rate and follows its changes.
func TestMeter(t *testing.T) {
	var m meter
	now := time.Now()
	m.start(now)
	n := int64(0)
	rate := func(perSecond int64, seconds int) (r float64) {
		for range 10 * seconds {
			now = now.Add(time.Second / 10)
			n += perSecond / 10
			r = m.rate(now, n)
		}
		return r
	}
	require.InDelta(t, 1000, rate(1000, 1), 1)
	after := rate(5000, 3)
	require.Greater(t, after, 3000.0)
	require.Less(t, after, 5000.0)
	require.InDelta(t, 5000, rate(5000, 30), 10)
	require.InDelta(t, 5000, m.rate(now, n), 10, "no time has passed")
}

// TestConsole keeps the status line below what is printed, and leaves nothing of it
// behind.
func TestConsole(t *testing.T) {
	var b bytes.Buffer
	c := &console{w: &b, terminal: true}
	c.setStatus("50%")
	c.setStatus("50%")
	n, err := c.Write([]byte("a line\n"))
	require.NoError(t, err)
	require.Equal(t, len("a line\n"), n)
	c.setStatus("")
	const drawn50 = "\x1b[?7l50%\x1b[?7h"
	require.Equal(t, eraseLine+drawn50+eraseLine+"a line\n"+drawn50+eraseLine, b.String())

	b.Reset()
	c = newConsole(&b)
	require.False(t, c.terminal)
	c.setStatus("50%")
	c.Write([]byte("a line\n"))
	require.Equal(t, "a line\n", b.String())
}

func TestIsTerminal(t *testing.T) {
	require.False(t, isTerminal(&bytes.Buffer{}))
	null := nullDevice(t)
	require.False(t, isTerminal(null))
}

func TestByteCount(t *testing.T) {
	for n, want := range map[float64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1 << 20: "1.0 MiB", 1 << 30: "1.0 GiB", 1 << 40: "1.0 TiB", 1 << 50: "1024.0 TiB"} {
		require.Equal(t, want, byteCount(n))
	}
	for d, want := range map[time.Duration]string{0: "0:00", 61 * time.Second: "1:01", time.Hour + 5*time.Second: "1:00:05"} {
		require.Equal(t, want, clock(d))
	}
	for d, want := range map[time.Duration]string{1500: "2µs", 1234567: "1ms", 12345 * time.Millisecond: "12.3s", 75400 * time.Millisecond: "1m15s"} {
		require.Equal(t, want, elapsed(d))
	}
}
