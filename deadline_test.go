package spdy

import (
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func (d *deadline) hasPassed() bool {
	synctest.Wait()
	select {
	case <-d.wait():
		return true
	default:
		return false
	}
}

func TestDeadline(t *testing.T) {
	story(t, "none", func(t *testing.T) {
		var none *deadline
		require.Nil(t, none.wait())
		require.NoError(t, none.err())
		none.stop()
		d := new(deadline)
		require.False(t, d.hasPassed())
		require.NoError(t, d.err())
	})
	story(t, "in the future", func(t *testing.T) {
		d := new(deadline)
		d.set(time.Now().Add(time.Second))
		latch := d.wait()
		<-time.After(time.Second - 1)
		require.False(t, d.hasPassed())
		require.NoError(t, d.err())
		<-time.After(1)
		require.True(t, d.hasPassed())
		require.ErrorIs(t, d.err(), os.ErrDeadlineExceeded)
		<-latch
	})
	story(t, "now and in the past", func(t *testing.T) {
		for _, at := range []time.Time{time.Now(), time.Now().Add(-time.Hour), time.Unix(0, 1)} {
			d := new(deadline)
			d.set(at)
			require.True(t, d.hasPassed())
			d.set(at)
			require.True(t, d.hasPassed(), "setting it again is no second close")
		}
	})
	story(t, "moved later", func(t *testing.T) {
		d := new(deadline)
		d.set(time.Now().Add(time.Second))
		latch := d.wait()
		d.set(time.Now().Add(time.Minute))
		<-time.After(time.Second)
		require.False(t, d.hasPassed(), "the first time no longer counts")
		<-time.After(59 * time.Second)
		require.True(t, d.hasPassed())
		<-latch // who waits since the first time hears of it too
	})
	story(t, "moved earlier", func(t *testing.T) {
		d := new(deadline)
		d.set(time.Now().Add(time.Minute))
		latch := d.wait()
		d.set(time.Now().Add(time.Second))
		<-time.After(time.Second)
		require.True(t, d.hasPassed())
		<-latch
	})
	story(t, "removed", func(t *testing.T) {
		d := new(deadline)
		d.set(time.Now().Add(time.Second))
		d.set(time.Time{})
		<-time.After(time.Hour)
		require.False(t, d.hasPassed())
	})
	story(t, "renewed after it passed", func(t *testing.T) {
		d := new(deadline)
		d.set(time.Unix(0, 1))
		require.True(t, d.hasPassed())
		d.set(time.Now().Add(time.Second))
		require.False(t, d.hasPassed())
		require.NoError(t, d.err())
		<-time.After(time.Second)
		require.True(t, d.hasPassed())
		d.set(time.Time{})
		require.False(t, d.hasPassed())
	})
	story(t, "late timer", func(t *testing.T) {
		d := new(deadline)
		d.set(time.Now().Add(time.Second))
		move := d.moves
		d.set(time.Now().Add(time.Hour))
		d.expire(move) // as a timer does that fired while set held the lock
		require.False(t, d.hasPassed(), "an outdated timer counts for nothing")
	})
	story(t, "stopped", func(t *testing.T) {
		d := new(deadline)
		d.set(time.Now().Add(time.Second))
		d.stop()
		<-time.After(time.Minute)
		require.False(t, d.hasPassed())
	})
}

// TestDeadlineOfEndedStream: no timer outlives the stream, which it would keep in memory, as
// when a client resets a stream before its handler begins.
func TestDeadlineOfEndedStream(t *testing.T) {
	set := map[string]func(st *Stream, at time.Time){
		"reading": func(st *Stream, at time.Time) { require.NoError(t, st.SetReadDeadline(at)) },
		"writing": func(st *Stream, at time.Time) { require.NoError(t, st.SetWriteDeadline(at)) },
		"answer":  func(st *Stream, at time.Time) { st.limitAnswer(at) },
	}
	for name, set := range set {
		for _, early := range []bool{false, true} {
			story(t, fmt.Sprint(name, ", set before the end: ", early), func(t *testing.T) {
				p := newPeer(t, asServer)
				st := p.theirs("theirs", 1, 0)
				if early {
					set(st, time.Now().Add(time.Hour))
				}
				p.sendRst(1, RstCancel)
				p.hasEnded("reset", st)
				for range 2 {
					set(st, time.Now().Add(time.Hour))
				}
				for _, d := range []*deadline{st.readDeadline.Load(), st.writeDeadline.Load()} {
					require.True(t, d == nil || d.timer == nil)
				}
				next := p.theirs("another", 3, 0)
				shareDeadline(&st.readDeadline, &next.readDeadline)
				require.NoError(t, st.SetReadDeadline(time.Now().Add(time.Second)))
				p.startRead(next, 1).pending("its successor shares the deadline")
				p.advance(time.Second)
				require.ErrorIs(t, next.readDeadline.Load().err(), os.ErrDeadlineExceeded)
			})
		}
	}
}

// TestFirstDeadlineBesideSuccessor: a first deadline that is set while the stream's request moves
// to a successor limits the successor.
func TestFirstDeadlineBesideSuccessor(t *testing.T) {
	story(t, "", func(t *testing.T) {
		var first, next limit
		d := first.make() // as setDeadline on a stream that has ended
		shareDeadline(&first, &next)
		d.stopUnlessShared()
		d.set(time.Now().Add(time.Second))
		<-time.NewTimer(time.Second).C
		synctest.Wait()
		require.ErrorIs(t, next.err(), os.ErrDeadlineExceeded)
		next.Load().stop() // as the successor ends
		d.set(time.Now().Add(time.Second))
		require.Nil(t, d.timer)
	})
}
