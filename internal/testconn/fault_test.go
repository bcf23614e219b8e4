package testconn_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

func TestFailNthWrite(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		mustWrite(t, a, "one")
		mustWrite(t, a, "two")
		for range 2 {
			n, err := a.Write([]byte("three"))
			require.Zero(t, n)
			require.ErrorIs(t, err, testconn.ErrInjected, "broken for good")
		}
		wantRead(t, b, "onetwo")
		mustWrite(t, b, "reads go on, and so does the other end")
		wantRead(t, a, "reads go on, and so does the other end")
		require.Equal(t, 2, a.Stats().Faults)
		require.Zero(t, b.Stats().Faults)
		require.Equal(t, 4, a.Stats().Writes)
	}, testconn.First(testconn.FailAt(testconn.Fault{Op: testconn.OpWrite, Call: 3})))
}

func TestFailOnce(t *testing.T) {
	wrong := errors.New("wrong")
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		b.Fail(testconn.Fault{Op: testconn.OpRead, Call: 2, Once: true, Err: wrong})
		mustWrite(t, a, "abc")
		wantRead(t, b, "abc")
		mustWrite(t, a, "def")
		wantReadError(t, b, wrong)
		wantRead(t, b, "def") // nothing was taken
		require.Equal(t, 1, b.Stats().Faults)
	})
}

func TestShortWriteThenError(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		a.Fail(testconn.Fault{Op: testconn.OpWrite, Call: 2, Short: 3, Err: syscall.EPIPE})
		mustWrite(t, a, "whole ")
		n, err := a.Write([]byte("partial"))
		require.Equal(t, 3, n)
		require.ErrorIs(t, err, syscall.EPIPE)
		n, err = a.Write([]byte("more"))
		require.Zero(t, n)
		require.ErrorIs(t, err, syscall.EPIPE)
		wantRead(t, b, "whole par")
	})
}

func TestShortReadThenError(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		b.Fail(testconn.Fault{Op: testconn.OpRead, Call: 1, Short: 4})
		r := read(b, 100)
		r.waits(t, "a Read that moves bytes waits for them")
		mustWrite(t, a, "abcdefgh")
		r.ends(t, 4, testconn.ErrInjected)
		require.Equal(t, "abcd", string(r.buf[:4]))
	})
}

func TestFailJointly(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		mustWrite(t, a, "1")
		wantRead(t, b, "1")
		mustWrite(t, b, "3")
		wantRead(t, a, "3")
		_, err := b.Write([]byte("5"))
		require.ErrorIs(t, err, testconn.ErrInjected)
		wantReadError(t, b, testconn.ErrInjected) // any call of the end that broke
		mustWrite(t, a, "but not of the other")
		require.Zero(t, a.Stats().Faults)
	}, testconn.First(testconn.FailAt(testconn.Fault{Call: 5, Joint: true})))
}

func TestSeveralFaults(t *testing.T) {
	first, second := errors.New("first"), errors.New("second")
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		for _, f := range []testconn.Fault{
			{Call: 2, Once: true, Err: first},
			{Call: 2, Once: true, Err: second}, // its turn has passed once the first strikes
			{Call: 3, Once: true, Err: second},
			{Call: 9, Once: true, Err: second},
		} {
			f.Op = testconn.OpWrite
			a.Fail(f)
		}
		mustWrite(t, a, "1")
		_, err := a.Write([]byte("2"))
		require.ErrorIs(t, err, first)
		_, err = a.Write([]byte("3"))
		require.ErrorIs(t, err, second)
		mustWrite(t, a, "4")
		require.Equal(t, 2, a.Stats().Faults)
	})
}

func TestFaultHit(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *testconn.Conn) {
		hits := 0
		a.Fail(testconn.Fault{Op: testconn.OpWrite, Call: 2, Err: syscall.ECONNRESET, Hit: func() { hits++; a.Reset() }})
		r := read(b, 10)
		mustWrite(t, a, "x")
		r.ends(t, 1, nil)
		r = read(b, 10)
		r.waits(t, "no second byte")
		for range 2 {
			_, err := a.Write([]byte("y"))
			require.ErrorIs(t, err, syscall.ECONNRESET)
		}
		r.ends(t, 0, syscall.ECONNRESET)
		require.Equal(t, 1, hits)
	})
}

// TestSweep shows the loop that Fault is made for: it ends, and each run but the
// last has met exactly one fault.
func TestSweep(t *testing.T) {
	scenario := func(fault int) (faults int) {
		bubble(t, func(t *testing.T, a, b *testconn.Conn) {
			a.Fail(testconn.Fault{Call: fault, Joint: true, Once: true})
			for range 3 {
				a.Write([]byte("ping"))
				if b.Unread() > 0 {
					b.Read(make([]byte, 4))
				}
			}
			faults = a.Stats().Faults + b.Stats().Faults
		})
		return faults
	}
	n := 1
	for scenario(n) == 1 {
		n++
		require.Less(t, n, 100)
	}
	require.Equal(t, 7, n, "six calls can fail")
}

func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := testconn.Listen()
		var accepted net.Conn
		var err error
		ended := false
		accept := func() { accepted, err = l.Accept(); ended = true }
		go accept()
		synctest.Wait()
		require.False(t, ended)

		c1, dialErr := l.Dial(testconn.Latency(time.Second))
		require.NoError(t, dialErr)
		synctest.Wait()
		require.True(t, ended)
		require.NoError(t, err)
		require.Equal(t, c1.Peer(), accepted)
		require.Equal(t, l.Addr(), c1.RemoteAddr())
		start := time.Now()
		mustWrite(t, c1, "x")
		wantRead(t, accepted, "x")
		require.Equal(t, time.Second, time.Since(start))

		c2, dialErr := l.Dial()
		require.NoError(t, dialErr)
		c3, dialErr := l.Dial()
		require.NoError(t, dialErr)
		accept()
		require.NoError(t, err)
		require.Equal(t, c2.Peer(), accepted, "in order")

		ended = false
		require.NoError(t, l.Close())
		wantReadError(t, c3, syscall.ECONNRESET)
		go accept()
		synctest.Wait()
		require.True(t, ended)
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorIs(t, l.Close(), net.ErrClosed)
		_, dialErr = l.Dial()
		require.ErrorIs(t, dialErr, syscall.ECONNREFUSED)

		var _ io.Closer = l
	})
}

func TestListenerCloseWakesAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := testconn.Listen()
		var err error
		go func() { _, err = l.Accept() }()
		synctest.Wait()
		require.NoError(t, l.Close())
		synctest.Wait()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}
