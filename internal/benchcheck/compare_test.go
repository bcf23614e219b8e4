package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const output = `goos: linux
BenchmarkA/x-2         200    1500 ns/op   4.5 MB/s   7 B/op   2 allocs/op
BenchmarkA/x-2         200    1400 ns/op   4.5 MB/s   9 B/op   1 allocs/op
BenchmarkB             200      12 ns/op   8000 live-B/op  100 B/op   30 allocs/op
PASS
`

func TestParse(t *testing.T) {
	all, err := parse([]byte(output))
	require.NoError(t, err)
	b := figure{Allocs: 30, Bytes: 100, Live: 8000, Nanos: 12}
	require.Equal(t, figures{"A/x": {Allocs: 1, Bytes: 7, Nanos: 1400}, "B": b}, all.least())
	require.Equal(t, figures{"A/x": {Allocs: 2, Bytes: 9, Nanos: 1500}, "B": b}, all.most())
	_, err = parse([]byte("BenchmarkA 200 x ns/op\n"))
	require.Error(t, err)
}

func TestWorse(t *testing.T) {
	for _, tt := range []struct {
		old, now figure
		worse    bool
	}{
		{figure{}, figure{Nanos: 1e9}, false},
		{figure{}, figure{Allocs: 1}, true},
		{figure{Allocs: 20}, figure{Allocs: 21}, true},
		{figure{Allocs: 21}, figure{Allocs: 22}, false},
		{figure{Allocs: 21}, figure{Allocs: 23}, true},
		{figure{Allocs: 9}, figure{Allocs: 3}, false},
		{figure{}, figure{Bytes: 64}, false},
		{figure{}, figure{Bytes: 65}, true},
		{figure{Bytes: 10_000}, figure{Bytes: 11_000}, false},
		{figure{Bytes: 10_000}, figure{Bytes: 11_001}, true},
		{figure{Bytes: 600}, figure{Bytes: 1112}, false},
		{figure{Bytes: 600}, figure{Bytes: 1113}, true},
		{figure{Live: 8000}, figure{Live: 8800}, false},
		{figure{Live: 8000}, figure{Live: 8801}, true},
	} {
		require.Equal(t, tt.worse, worse(tt.old, tt.now) != "", "%+v", tt)
	}
}

func TestCompare(t *testing.T) {
	old := figures{"a": {Allocs: 1}, "b": {Allocs: 1}}
	now := figures{"a": {Allocs: 1}, "c": {Allocs: 1}}
	var out strings.Builder
	require.Equal(t, 2, print(&out, compare(old, now, false)), "one is new, one is gone")
	require.Contains(t, out.String(), "DID NOT RUN")
	require.Contains(t, out.String(), "IS NOT IN THE BASELINE")
	require.Equal(t, 1, print(&out, compare(old, now, true)), "only some have been run")
	require.Zero(t, print(&out, compare(old, old, false)))
}

func TestSaved(t *testing.T) {
	name := filepath.Join(t.TempDir(), "baseline.json")
	f := figures{"a/b": {Allocs: 1, Bytes: 2, Live: 3, Nanos: 4.5}}
	require.NoError(t, save(name, f))
	got, err := load(name)
	require.NoError(t, err)
	require.Equal(t, f, got)
	_, err = load(name + ".gone")
	require.Error(t, err)
}
