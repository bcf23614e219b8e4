package main

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// Every target of every workload does its work, and every chart finds its figures. How
// fast is not for a test to say.
func TestWorkloads(t *testing.T) {
	o := options{rounds: 1, scale: 0.02}
	results, err := o.measure(t.Context(), workloads())
	require.NoError(t, err)
	r := &report{Machine: thisMachine(), Rounds: 1, Results: results}
	require.Equal(t, len(workloads()), len(r.works()))
	for _, w := range workloads() {
		rows := r.rows(w)
		require.Len(t, rows, len(w.targets), w.name)
		for _, row := range rows {
			require.NotEmpty(t, row.Median, "%s/%s", w.name, row.Target)
			for name := range rows[0].Median {
				require.Contains(t, row.Median, name, "%s/%s", w.name, row.Target)
			}
		}
	}
	for _, v := range r.verdicts() {
		require.False(t, math.IsNaN(v.Value) || math.IsNaN(v.Ratio), "%+v", v)
	}
	drawn := 0
	for _, c := range charts {
		for _, g := range c.groups {
			for _, target := range c.targets {
				if g.variant != "" {
					target += "+" + g.variant
				}
				rows := slices.DeleteFunc(r.rows(&workload{name: g.workload}), func(row *result) bool { return row.Target != target })
				for _, row := range rows { // TCP does not do all of them
					require.Contains(t, row.Median, g.metric, "%s: %s", c.file, target)
				}
				drawn += len(rows)
			}
		}
	}
	require.Greater(t, drawn, 30)
	dir := t.TempDir()
	require.NoError(t, drawAll(r, dir))
	for _, c := range charts {
		require.FileExists(t, filepath.Join(dir, c.file))
	}
	saved := filepath.Join(dir, "bench.json")
	require.NoError(t, r.save(saved))
	again, err := load(saved, workloads())
	require.NoError(t, err)
	require.Equal(t, r.page(), again.page())
}

// A profile of each kind of workload can be had.
func TestProfiles(t *testing.T) {
	for _, w := range workloads() {
		if w.name == "get-1" || w.name == "session" || w.name == "header-block" {
			dir := t.TempDir()
			cpu, heap := filepath.Join(dir, "cpu"), filepath.Join(dir, "heap")
			require.NoError(t, buildTests(dir))
			_, err := spawn(t.Context(), w.name+"/"+w.targets[0], 0.1, "-cpuprofile", cpu, "-memprofile", heap)
			require.NoError(t, err)
			index := "alloc_space"
			if w.idle {
				index = "inuse_space"
			}
			_, err = topOf(t.Context(), heap, index)
			require.NoError(t, err)
		}
	}
}

func TestTopLine(t *testing.T) {
	out := `Type: cpu
Showing nodes accounting for 960ms, 82.05% of 1170ms total
      flat  flat%   sum%        cum   cum%
     300ms 25.64% 25.64%      300ms 25.64%  internal/runtime/syscall.Syscall6
  512.25kB  7.69% 33.33%      190ms 16.24%  github.com/amahi/spdy.(*Session).assemble (inline)
         0     0% 33.33%      190ms 16.24%  main.main
`
	require.Equal(t, "`syscall.Syscall6` 25.64 %, `spdy.(*Session).assemble` 7.69 %", topLine(out))
}

func TestMedian(t *testing.T) {
	require.Equal(t, 2.0, median([]float64{3, 1, 2}))
	require.Equal(t, 2.5, median([]float64{4, 1, 2, 3}))
}

func TestVerdict(t *testing.T) {
	work := &workload{name: "w", targets: []string{"a", "b"}}
	r := &report{Results: []*result{
		{Workload: "w", Target: "a", Median: metrics{"x": 3}, work: work},
		{Workload: "w", Target: "a+1", Median: metrics{"x": 6}, work: work},
		{Workload: "w", Target: "b", Median: metrics{"x": 2}, work: work},
	}}
	for _, tt := range []struct {
		goal goal
		met  bool
	}{
		{goal{metric: "x", against: "b", factor: 1.5, atLeast: true}, true},
		{goal{metric: "x", against: "b", factor: 1.6, atLeast: true}, false},
		{goal{metric: "x", against: "b", factor: 1.4}, false},
		{goal{metric: "x", factor: 3}, true},
		{goal{metric: "x", factor: 2.9}, false},
		{goal{metric: "x", ours: "a+1", against: "a", factor: 2}, true},
		{goal{metric: "x", ours: "a+1", against: "a", factor: 1.9}, false},
		{goal{metric: "y", factor: 1}, false}, // not measured is not met
	} {
		require.Equal(t, tt.met, r.verdict(work, tt.goal).Met, "%+v", tt.goal)
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 3: "3", 1234567.8: "1,234,568", 12345: "12,345", 123.4: "123", 12.34: "12.3", 1.234: "1.23", 0.0123: "0.012", -1500: "-1,500",
	} {
		require.Equal(t, want, figure(v))
	}
}

func TestReplaced(t *testing.T) {
	page := "a\n<!-- bench:x -->\nold\n<!-- bench:end -->\nb\n<!-- bench:y -->\n<!-- bench:end -->\n"
	out, err := replaced(page, "x", "new\n")
	require.NoError(t, err)
	require.Equal(t, strings.Replace(page, "old", "new", 1), out)
	_, err = replaced(page, "z", "")
	require.Error(t, err)
	_, err = replaced("<!-- bench:x -->\n", "x", "")
	require.Error(t, err)
}

func TestParseBench(t *testing.T) {
	m, err := parseBench([]byte("goos: linux\nBenchmarkX/y-2 \t 100\t 1500 ns/op\t 7 B/op\t 0 allocs/op\nPASS\n"),
		map[string]string{"µs/op": "µs", "allocs/op": "allocs"})
	require.NoError(t, err)
	require.Equal(t, metrics{"µs": 1.5, "allocs": 0}, m)
	_, err = parseBench([]byte("PASS\n"), nil)
	require.Error(t, err)
}
