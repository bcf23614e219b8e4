package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain lets the workloads of a test run in processes of their own, which are this
// program once more.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "-child" {
		main()
		return
	}
	os.Exit(m.Run())
}

// Every target of every workload does its work. How fast is not for a test to say.
func TestWorkloads(t *testing.T) {
	for _, w := range workloads() {
		t.Run(w.name, func(t *testing.T) {
			o := options{rounds: 1, scale: 0.02}
			results, err := o.measure([]*workload{w})
			require.NoError(t, err)
			require.Len(t, results, len(w.targets))
			for _, r := range results {
				require.NotEmpty(t, r.Median, r.Target)
				for name := range results[0].Median {
					require.Contains(t, r.Median, name, r.Target)
				}
			}
			for _, g := range w.goals {
				require.NotContains(t, g.verdict(results), "NaN", g.metric)
			}
		})
	}
}

func TestMedian(t *testing.T) {
	require.Equal(t, 2.0, median([]float64{3, 1, 2}))
	require.Equal(t, 2.5, median([]float64{4, 1, 2, 3}))
}

func TestVerdict(t *testing.T) {
	work := &workload{targets: []string{"a", "b"}}
	rows := []*result{
		{Target: "a", Median: metrics{"x": 3}, work: work},
		{Target: "b", Median: metrics{"x": 2}, work: work},
	}
	for _, tt := range []struct {
		goal goal
		want string
	}{
		{goal{metric: "x", against: "b", factor: 1.5, atLeast: true}, "met"},
		{goal{metric: "x", against: "b", factor: 1.6, atLeast: true}, "MISSED"},
		{goal{metric: "x", against: "b", factor: 1.4}, "MISSED"},
		{goal{metric: "x", factor: 3}, "met"},
		{goal{metric: "x", factor: 2.9}, "MISSED"},
	} {
		require.Contains(t, tt.goal.verdict(rows), tt.want, "%+v", tt.goal)
	}
}
