package strangers

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A fair share follows the number of strangers who want bytes at each moment.
func TestFairShare(t *testing.T) {
	at := func(seconds float64) time.Time { return time.Unix(0, int64(seconds*1e9)) }
	m := &meter{rate: 100, honest: 4}
	require.InDelta(t, 250, m.fair(at(0), at(10)), 1e-6)
	m.wants = []span{{at(-1), at(5)}, {at(2), at(4)}, {at(20), at(30)}}
	// 0–2 and 4–5: five users; 2–4: six; 5–10: four
	require.InDelta(t, 3*20+2*100.0/6+5*25, m.fair(at(0), at(10)), 1e-6)
	m.pace = 10
	require.InDelta(t, 100, m.fair(at(0), at(10)), 1e-6)
}

// Every figure out of bounds is a fault; figures at the bound are not.
func TestVerdictFaults(t *testing.T) {
	good := Verdict{Share: leastShare, Ping: roundTrip + pingSlack, Sessions: 1}
	require.Empty(t, good.Faults())
	for name, spoil := range map[string]func(*Verdict){
		"cut":      func(v *Verdict) { v.Cut = 1 },
		"share":    func(v *Verdict) { v.Share -= 0.01 },
		"ping":     func(v *Verdict) { v.Ping++ },
		"silent":   func(v *Verdict) { v.Silent = true },
		"sessions": func(v *Verdict) { v.Sessions = 2 },
		"none":     func(v *Verdict) { v.Sessions = 0 },
		"ended":    func(v *Verdict) { v.Ended = true },
		"left":     func(v *Verdict) { v.Left = 1 },
		"error":    func(v *Verdict) { v.Errors = []error{errStuck} },
	} {
		v := good
		spoil(&v)
		require.Len(t, v.Faults(), 1, name)
	}
	pooled := good
	pooled.Sessions, pooled.Dials = 2, true
	require.Empty(t, pooled.Faults())
}

// A transfer succeeds only with the whole pattern, in order, and a clean end.
func TestTransferReceives(t *testing.T) {
	const length = 100_000
	text := make([]byte, length)
	newPattern(3).Read(text)
	receive := func(s string, end error) error {
		tr := &transfer{number: 3, length: length}
		return tr.receive(io.MultiReader(strings.NewReader(s), failing{end}))
	}
	whole := string(text)
	require.NoError(t, receive(whole, io.EOF))
	require.Error(t, receive(whole[1:], io.EOF))
	require.ErrorContains(t, receive(whole[:length-1], io.EOF), "clean end")
	require.Error(t, receive(whole+"x", io.EOF))
	require.ErrorIs(t, receive(whole[:500]+whole[501:], io.EOF), errWrongByte)
	lost := errors.New("lost")
	require.ErrorIs(t, receive(whole, lost), lost)
}

// A leaked goroutine is a fault of the deed and does not end the test binary.
func TestLeftGoroutineIsAFault(t *testing.T) {
	leaky := Way{Open: func(s *Stage) (*Road, error) {
		go func() { <-make(chan struct{}) }()
		return nil, errors.New("no way")
	}}
	var v Verdict
	t.Run("play", func(t *testing.T) { v = playInBubble(t, leaky, Deed{}) })
	require.ErrorContains(t, v.Errors[len(v.Errors)-1], "blocked goroutines remain")
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
