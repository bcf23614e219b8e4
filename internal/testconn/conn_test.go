package testconn_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/amahi/spdy/internal/testconn"
)

func TestNettest(t *testing.T) {
	for name, opts := range map[string][]testconn.Option{
		"default":   nil,
		"write cap": {testconn.WriteCap(4 << 10)},
		"split":     {testconn.ReadSize(100), testconn.WriteCap(64 << 10)},
		"latency":   {testconn.Latency(100 * time.Microsecond), testconn.WriteCap(64 << 10)},
		"recorded":  {testconn.Record(), testconn.WriteCap(16)},
	} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				a, b := testconn.Pair(opts...)
				return a, b, func() { a.Close(); b.Close() }, nil
			})
		})
	}
}

// bubble runs f with a new pair in fake time and closes the pair.
func bubble(t *testing.T, f func(t *testing.T, a, b *testconn.Conn), opts ...testconn.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a, b := testconn.Pair(opts...)
		defer b.Close()
		defer a.Close()
		f(t, a, b)
	})
}

// pass lets d of the bubble's time go by.
func pass(d time.Duration) { <-time.NewTimer(d).C }

// A call is a Read or Write that runs beside the test.
type call struct {
	n    int
	err  error
	buf  []byte
	done chan struct{}
}

func read(c net.Conn, n int) *call {
	r := &call{buf: make([]byte, n), done: make(chan struct{})}
	go func() { defer close(r.done); r.n, r.err = c.Read(r.buf) }()
	return r
}

func write(c net.Conn, p []byte) *call {
	r := &call{done: make(chan struct{})}
	go func() { defer close(r.done); r.n, r.err = c.Write(p) }()
	return r
}

func (r *call) ended() bool {
	synctest.Wait()
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (r *call) waits(t *testing.T, why string) {
	t.Helper()
	require.False(t, r.ended(), why)
}

func (r *call) ends(t *testing.T, n int, err error) {
	t.Helper()
	require.True(t, r.ended(), "the call still waits")
	require.Equal(t, n, r.n)
	if err == nil {
		require.NoError(t, r.err)
	} else {
		require.ErrorIs(t, r.err, err)
	}
}

func mustWrite(t *testing.T, c net.Conn, s string) {
	t.Helper()
	n, err := c.Write([]byte(s))
	require.NoError(t, err)
	require.Equal(t, len(s), n)
}

// wantRead checks what one Read returns.
func wantRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	buf := make([]byte, 1000)
	n, err := c.Read(buf)
	require.NoError(t, err)
	require.Equal(t, want, string(buf[:n]))
}

func wantReadError(t *testing.T, c net.Conn, want error) {
	t.Helper()
	n, err := c.Read(make([]byte, 1000))
	require.Zero(t, n)
	require.ErrorIs(t, err, want)
}

func TestUnlimitedBuffer(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		data := make([]byte, 3<<20+17)
		rand.NewChaCha8([32]byte{1}).Read(data)
		for p := data; len(p) > 0; { // sizes around every boundary there is
			n := min(len(p), []int{1, 511, 512, 513, 8 << 10, 8<<10 + 1, 64 << 10, 64<<10 + 1, 1 << 20}[len(p)%9])
			mustWrite(t, a, string(p[:n]))
			p = p[n:]
		}
		require.Equal(t, len(data), b.Unread())
		got := make([]byte, len(data))
		_, err := io.ReadFull(b, got)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
		require.Zero(t, b.Unread())
		read(b, 1).waits(t, "nothing is left")
		a.CloseWrite()
	})
}

func TestWriteCap(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		w := write(a, []byte("0123456789"))
		w.waits(t, "four of ten bytes fit")
		require.Equal(t, 4, b.Unread())
		wantRead(t, b, "0123")
		w.waits(t, "eight of ten bytes are out")
		a.SetWriteCap(6)
		w.ends(t, 10, nil)
		wantRead(t, b, "456789")
		w = write(b, make([]byte, 1<<20))
		w.ends(t, 1<<20, nil) // the other direction has no cap
	}, testconn.First(testconn.WriteCap(4)))
}

func TestWritesDoNotMix(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		w1 := write(a, []byte("aaaaaaaa"))
		w1.waits(t, "over the cap")
		w2 := write(a, []byte("bbbbbbbb"))
		w2.waits(t, "behind the first")
		got := make([]byte, 16)
		_, err := io.ReadFull(b, got)
		require.NoError(t, err)
		require.Equal(t, "aaaaaaaabbbbbbbb", string(got))
		w1.ends(t, 8, nil)
		w2.ends(t, 8, nil)
	}, testconn.WriteCap(3), testconn.ReadSize(2))
}

func TestReadSize(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		mustWrite(t, a, "abcdefg")
		wantRead(t, b, "abc")
		b.SetReadSize(1)
		wantRead(t, b, "d")
		b.SetReadSize(0)
		wantRead(t, b, "efg")
		mustWrite(t, b, "abcdefg")
		wantRead(t, a, "abcdefg")
	}, testconn.Second(testconn.ReadSize(3)))
}

func TestLatency(t *testing.T) {
	const ms = time.Millisecond
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		start := time.Now()
		mustWrite(t, a, "one")
		pass(10 * ms)
		mustWrite(t, a, "two") // under way together with the first: the line is a pipeline
		a.SetLatency(0)
		mustWrite(t, a, "three") // must not overtake the second
		require.NoError(t, a.CloseWrite())
		mustWrite(t, b, "back")

		wantRead(t, b, "one")
		require.Equal(t, 100*ms, time.Since(start))
		wantRead(t, b, "twothree")
		require.Equal(t, 110*ms, time.Since(start))
		wantReadError(t, b, io.EOF)
		require.Equal(t, 110*ms, time.Since(start))
		wantRead(t, a, "back") // long there
	}, testconn.First(testconn.Latency(100*ms)))
}

func TestLatencyOfTheEnd(t *testing.T) {
	const ms = time.Millisecond
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		start := time.Now()
		require.NoError(t, a.Close())
		w := write(b, []byte("abcd"))
		w.waits(t, "b does not know yet that nobody reads")
		pass(50*ms - 1)
		w.waits(t, "b does not know yet")
		pass(1)
		w.ends(t, 3, syscall.EPIPE)
		wantReadError(t, b, io.EOF)
		require.Equal(t, 50*ms, time.Since(start))
	}, testconn.First(testconn.Latency(50*ms)), testconn.WriteCap(3))
}

func TestBandwidth(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		start := time.Now()
		mustWrite(t, a, string(make([]byte, 100_000)))
		require.Zero(t, time.Since(start), "a Write does not wait for the line")
		_, err := io.ReadFull(b, make([]byte, 50_000))
		require.NoError(t, err)
		require.InDelta(t, time.Second/2, time.Since(start), float64(20*time.Millisecond))
		_, err = io.ReadFull(b, make([]byte, 50_000))
		require.NoError(t, err)
		require.InDelta(t, time.Second, time.Since(start), float64(time.Microsecond))

		pass(time.Second) // an idle line saves nothing up
		start = time.Now()
		mustWrite(t, a, string(make([]byte, 1000)))
		wantRead(t, b, string(make([]byte, 1000)))
		require.Equal(t, 10*time.Millisecond, time.Since(start))
	}, testconn.Bandwidth(100_000))
}

func TestHold(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		mustWrite(t, a, "early ")
		a.SetHold(true)
		mustWrite(t, a, "late")
		require.NoError(t, a.CloseWrite())
		r := read(b, 100)
		r.waits(t, "all is held")
		pass(time.Hour)
		r.waits(t, "all is held for as long as it takes")
		a.SetHold(false)
		r.ends(t, 10, nil)
		wantReadError(t, b, io.EOF)
	})
}

func TestBlackHole(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		mustWrite(t, a, "before")
		a.SetBlackHole(true)
		mustWrite(t, a, "lost")
		wantRead(t, b, "before")
		r := read(b, 10)
		pass(time.Hour)
		r.waits(t, "nothing arrives")
		mustWrite(t, b, "the other way")
		wantRead(t, a, "the other way")

		w := write(a, make([]byte, 100))
		pass(time.Hour)
		w.waits(t, "the cap is full of bytes that nobody will read")
		a.SetBlackHole(false)
		w.ends(t, 100, nil)
		r.ends(t, 4, nil) // 4 + 96 were lost; these came after
	}, testconn.First(testconn.WriteCap(100)))
}

func TestBlackHoleSwallowsClose(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		mustWrite(t, b, "unread")
		a.SetBlackHole(true)
		require.NoError(t, a.Close())
		r := read(b, 10)
		pass(time.Hour)
		r.waits(t, "b has not heard of it")
		mustWrite(t, b, "still fine")
		require.NoError(t, b.Close())
		r.ends(t, 0, net.ErrClosed)
	}, testconn.StrictClose())
}

func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		mustWrite(t, b, "unread")
		mustWrite(t, a, "last words")
		mine := read(a, 1)
		mine.ends(t, 1, nil)
		require.NoError(t, a.Close())

		_, err := b.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE)
		wantRead(t, b, "last words")
		wantReadError(t, b, io.EOF)
		_, err = b.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err, "bare, as io.Reader asks")

		wantReadError(t, a, net.ErrClosed)
		_, err = a.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.ErrorIs(t, a.Close(), net.ErrClosed)
		require.ErrorIs(t, a.CloseWrite(), net.ErrClosed)
		require.ErrorIs(t, a.SetDeadline(time.Now()), net.ErrClosed)
	})
}

func TestCloseWakesEveryone(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		ra, wa := read(a, 1), write(a, make([]byte, 10))
		wb := write(b, make([]byte, 10))
		ra.ends(t, 1, nil)
		ra = read(a, 0) // takes nothing, waits for nothing
		ra.ends(t, 0, nil)
		wa.waits(t, "cap")
		wb.waits(t, "cap")
		require.NoError(t, a.Close())
		wa.ends(t, 5, net.ErrClosed)
		wb.ends(t, 6, syscall.EPIPE)
	}, testconn.WriteCap(5))
}

func TestStrictClose(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		mustWrite(t, a, "a GOAWAY that b will not see")
		mustWrite(t, b, "unread")
		require.NoError(t, a.Close())
		wantReadError(t, b, syscall.ECONNRESET)
		wantReadError(t, a, net.ErrClosed)
	}, testconn.StrictClose())
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		mustWrite(t, a, "nothing was unread")
		require.NoError(t, a.Close())
		wantRead(t, b, "nothing was unread")
		wantReadError(t, b, io.EOF)
	}, testconn.StrictClose())
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		mustWrite(t, a, string(make([]byte, 10<<10))) // takes ten seconds
		require.NoError(t, a.Close())
		pass(2 * time.Second)
		require.Positive(t, b.Unread())
		mustWrite(t, b, "late") // meets a closed end
		wantReadError(t, b, syscall.ECONNRESET)
		require.Zero(t, b.Unread())
	}, testconn.StrictClose(), testconn.First(testconn.Bandwidth(1<<10)))
}

func TestCloseWrite(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		mustWrite(t, a, "request")
		require.NoError(t, a.CloseWrite())
		_, err := a.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE)
		wantRead(t, b, "request")
		wantReadError(t, b, io.EOF)
		mustWrite(t, b, "answer")
		wantRead(t, a, "answer")
		require.NoError(t, a.CloseWrite(), "twice is harmless")
		require.NoError(t, a.Close())
		_, err = a.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestReset(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		mustWrite(t, a, "lost")
		wb := write(b, make([]byte, 2000))
		wb.waits(t, "cap")

		b.Reset()
		wb.ends(t, 1000, syscall.ECONNRESET)
		require.Zero(t, a.Unread())
		require.Zero(t, b.Unread())
		wantReadError(t, a, syscall.ECONNRESET)
		wantReadError(t, b, syscall.ECONNRESET)
		var sys *os.SyscallError
		_, err := a.Read(make([]byte, 1))
		require.ErrorAs(t, err, &sys, "as package net reports it")
		_, err = a.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.NoError(t, a.Close())
		a.Reset()
		wantReadError(t, a, net.ErrClosed)
		wantReadError(t, b, syscall.ECONNRESET)
	}, testconn.WriteCap(1000))
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		r := read(a, 1)
		r.waits(t, "nothing there")
		b.Reset()
		r.ends(t, 0, syscall.ECONNRESET) // however long the line is
	}, testconn.Latency(time.Hour))
}

// TestResetIsOneStep: an end that closes as soon as it hears of a reset does not make the
// other end read io.EOF, whoever is first.
func TestResetIsOneStep(t *testing.T) {
	for i := range 2000 {
		a, b := testconn.Pair(testconn.StrictClose())
		ended := make(chan error, 1)
		go func() {
			_, err := b.Read(make([]byte, 2))
			_, late := b.Write([]byte("x")) // by which time it is over
			ended <- errors.Join(err, late)
			b.Close()
		}()
		if i%2 == 0 {
			a.Reset()
		} else {
			_, err := a.Peer().Write([]byte("unread"))
			require.NoError(t, err)
			require.NoError(t, a.Close())
		}
		_, err := a.Read(make([]byte, 1))
		if i%2 == 0 {
			require.ErrorIs(t, err, syscall.ECONNRESET)
		} else {
			require.ErrorIs(t, err, net.ErrClosed)
		}
		err = <-ended
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.NotErrorIs(t, err, io.EOF)
		require.NotErrorIs(t, err, syscall.EPIPE)
	}
}

func TestDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		start := time.Now()
		require.NoError(t, a.SetDeadline(start.Add(time.Second)))
		_, err := a.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		var ne net.Error
		require.True(t, errors.As(err, &ne) && ne.Timeout())
		require.Equal(t, time.Second, time.Since(start))
		n, err := a.Write([]byte("x"))
		require.Zero(t, n)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)

		require.NoError(t, a.SetDeadline(time.Time{}))
		r, w := read(a, 1), write(a, make([]byte, 9))
		pass(time.Hour)
		r.waits(t, "no deadline any more")
		w.waits(t, "no deadline any more")
		require.NoError(t, a.SetReadDeadline(time.Now()))
		r.ends(t, 0, os.ErrDeadlineExceeded)
		w.waits(t, "the read deadline is not its own")
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Minute)))
		pass(time.Minute)
		w.ends(t, 4, os.ErrDeadlineExceeded)
		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Minute)))
		mustWrite(t, b, "in time")
		wantRead(t, a, "in time")
	}, testconn.First(testconn.WriteCap(4)))
}

func TestRecordAndStats(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		mustWrite(t, a, "hello ")
		mustWrite(t, a, "world")
		mustWrite(t, b, "hi")
		_, err := io.ReadFull(b, make([]byte, 11))
		require.NoError(t, err)
		require.Equal(t, "hello world", string(a.Sent()))
		require.Equal(t, "hi", string(a.Peer().Sent()))
		a.SetRecord(false)
		mustWrite(t, a, "secret")
		require.Equal(t, "hello world", string(a.Sent()))
		require.Equal(t, testconn.Stats{Writes: 3, BytesWritten: 17}, a.Stats())
		require.Equal(t, testconn.Stats{Writes: 1, BytesWritten: 2, Reads: 2, BytesRead: 11}, b.Stats())
	}, testconn.Record(), testconn.Second(testconn.ReadSize(10)))
}

func TestAddrs(t *testing.T) {
	a, b := testconn.Pair()
	assert.Equal(t, "192.0.2.1:49152", a.LocalAddr().String())
	assert.Equal(t, "192.0.2.2:443", a.RemoteAddr().String())
	assert.Equal(t, a.LocalAddr(), b.RemoteAddr())
	assert.Equal(t, "tcp", b.LocalAddr().Network())
}

// TestManyWriters moves bytes with every kind of disturbance at once, from several
// goroutines, and lets the race detector look.
func TestManyWriters(t *testing.T) {
	const writers, rounds, size = 8, 50, 3000
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				for range rounds {
					_, err := a.Write(bytes.Repeat([]byte{byte(i)}, size))
					assert.NoError(t, err)
				}
			})
		}
		wg.Go(func() {
			for i := range 100 {
				pass(time.Millisecond)
				b.SetReadSize(i * 10)
				a.SetHold(i%2 == 0)
				a.SetLatency(time.Duration(i%3) * time.Millisecond)
				a.Stats()
				b.Unread()
			}
		})
		var counts [writers]int
		block := make([]byte, size)
		for range writers * rounds {
			_, err := io.ReadFull(b, block)
			require.NoError(t, err)
			require.Equal(t, block[:size-1], block[1:], "the bytes of one Write stay together")
			counts[block[0]]++
		}
		wg.Wait()
		for _, n := range counts {
			require.Equal(t, rounds, n)
		}
	}, testconn.First(testconn.WriteCap(10_000), testconn.Bandwidth(10<<20)))
}

func TestBulkHash(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		const size = 64 << 20
		sum := func(r io.Reader) [32]byte {
			h := sha256.New()
			_, err := io.Copy(h, r)
			assert.NoError(t, err)
			return [32]byte(h.Sum(nil))
		}
		source := func(seed byte) io.Reader {
			return io.LimitReader(rand.NewChaCha8([32]byte{seed}), size)
		}
		var wg sync.WaitGroup
		for i, c := range []*testconn.Conn{a, b} {
			wg.Go(func() {
				_, err := io.Copy(struct{ io.Writer }{c}, source(byte(i)))
				assert.NoError(t, err)
				assert.NoError(t, c.CloseWrite())
			})
			wg.Go(func() { assert.Equal(t, sum(source(byte(i))), sum(c.Peer())) })
		}
		wg.Wait()
	}, testconn.WriteCap(256<<10))
}

func BenchmarkBulk(b *testing.B) {
	for name, opts := range map[string][]testconn.Option{
		"unlimited": nil,
		"cap 256K":  {testconn.WriteCap(256 << 10)},
		"latency":   {testconn.WriteCap(4 << 20), testconn.Latency(time.Microsecond)},
	} {
		b.Run(name, func(b *testing.B) {
			c, s := testconn.Pair(opts...)
			const size = 64 << 10
			b.SetBytes(size)
			b.ReportAllocs()
			done := make(chan struct{})
			go func() {
				defer close(done)
				io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{s}, make([]byte, 32<<10))
			}()
			p := make([]byte, size)
			for b.Loop() {
				c.Write(p)
			}
			c.Close()
			<-done
		})
	}
}
