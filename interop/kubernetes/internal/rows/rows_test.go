package rows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestJudge(t *testing.T) {
	second := []time.Duration{time.Second}
	base := Result{Row: "a", Pairing: "mm", OK: 2, Of: 3, Times: second}
	for want, list := range map[Verdict][]Result{
		Worse: {
			{OK: 1, Of: 3, Times: second}, {OK: 2, Of: 2, Times: second},
			{OK: 2, Of: 3, Times: []time.Duration{1201 * time.Millisecond}},
		},
		Equal: {
			{OK: 2, Of: 3, Times: second, Digest: "of a part"},
			{OK: 2, Of: 3, Times: []time.Duration{time.Second, 1200 * time.Millisecond, time.Minute}},
		},
		Better: {{OK: 3, Of: 3, Times: second}, {OK: 2, Of: 3, Times: []time.Duration{time.Millisecond}}},
	} {
		for _, r := range list {
			require.Equal(t, want, Judge(base, r), "%+v", r)
		}
	}
	require.Equal(t, Worse, Judge(Result{OK: 1, Of: 1, Digest: "x"}, Result{OK: 1, Of: 1, Digest: "y"}))
	require.Equal(t, Better, Judge(Result{Of: 1}, Result{OK: 1, Of: 1, Times: second}))
}

func TestTable(t *testing.T) {
	var all []Result
	for _, p := range Pairings {
		all = append(all, Result{Row: "a", Pairing: p, OK: 1, Of: 1})
	}
	table, worse := Table(all)
	require.Contains(t, table, "| a | 1 of 1 | equal: 1 of 1 |")
	require.Empty(t, worse)
	all[2].OK = 0
	_, worse = Table(all)
	require.Len(t, worse, 1)
	require.Empty(t, Slow(worse))
	all[2].OK, all[2].Times = 1, []time.Duration{time.Second}
	_, worse = Table(all)
	require.Equal(t, []string{"a"}, Slow(worse))
	_, worse = Table(all[:2])
	require.Len(t, worse, 2, "no result")
}
