package spdy

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInflowTake(t *testing.T) {
	f := newInflow(100)
	require.True(t, f.take(60))
	require.False(t, f.take(41), "one byte too many (SPEC W12)")
	require.Equal(t, inflow{size: 100, avail: 40}, f, "a refused frame is not charged")
	require.True(t, f.take(0), "an empty frame needs no window")
	require.True(t, f.take(40), "exactly what is left")
	require.True(t, f.take(0), "an empty frame passes a closed window (SPEC W4)")
	require.False(t, f.take(1))
}

func TestInflowConsume(t *testing.T) {
	f := newInflow(100)
	require.True(t, f.take(100))
	require.Zero(t, f.consume(24), "below a quarter")
	require.EqualValues(t, 25, f.consume(1), "a quarter")
	require.Equal(t, inflow{size: 100, avail: 25}, f)
	require.EqualValues(t, 75, f.consume(75), "more than a quarter goes at once")
	require.Equal(t, newInflow(100), f, "everything has been returned")
}

func TestInflowSettle(t *testing.T) {
	f := newInflow(100)
	require.True(t, f.take(10))
	require.Zero(t, f.consume(10))
	require.EqualValues(t, 10, f.settle())
	require.Zero(t, f.settle(), "nothing is granted twice")
	require.Equal(t, newInflow(100), f)
}

// TestInflowTiny checks that a quarter of a window below four bytes is a byte,
// not nothing.
func TestInflowTiny(t *testing.T) {
	f := newInflow(3)
	require.True(t, f.take(1))
	require.Zero(t, f.consume(0), "nothing consumed, nothing granted")
	require.EqualValues(t, 1, f.consume(1))
}

func TestOutflow(t *testing.T) {
	f := outflow{avail: defaultWindow}
	f.spend(60000)
	require.EqualValues(t, 5536, f.avail)
	require.True(t, f.grow(16384-defaultWindow), "INITIAL_WINDOW_SIZE may lower it below zero (SPEC T12)")
	require.EqualValues(t, 5536-49152, f.avail)
	require.True(t, f.grow(maxWindow), "a negative window has more room")
	require.EqualValues(t, maxWindow+5536-49152, f.avail)

	f = outflow{avail: 1}
	require.False(t, f.grow(maxWindow), "2^31 (SPEC W6, W7)")
	require.Equal(t, outflow{avail: 1}, f, "a refused update changes nothing")
	require.True(t, f.grow(maxWindow-1), "2^31-1 exactly")
	require.EqualValues(t, maxWindow, f.avail)
}
