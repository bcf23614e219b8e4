package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test program be run again as the children of a soak.
func TestMain(m *testing.M) {
	if text, child := childSettings(); child {
		if err := runChild(text, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "soak:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestSoak soaks for a few seconds, and shows the result again from its file.
func TestSoak(t *testing.T) {
	dir := t.TempDir()
	kept, svg := filepath.Join(dir, "result.json"), filepath.Join(dir, "soak.svg")
	var out, log bytes.Buffer
	ok, err := runParent(t.Context(), []string{"-for", "4s", "-clients", "2", "-workers", "6", "-svg", svg, "-json", kept}, &out, &log)
	require.NoError(t, err, "%s", &log)
	require.True(t, ok, "%s", &log)
	require.FileExists(t, svg)
	require.Contains(t, out.String(), "| relay | goroutines |")
	require.Contains(t, log.String(), "seed ")

	var again bytes.Buffer
	ok, err = runParent(t.Context(), []string{"-again", kept}, &again, &log)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, out.String(), again.String())
}

// TestMeasure: what the system tells of a process is what is there.
func TestMeasure(t *testing.T) {
	_, before, err := measure(os.Getpid())
	require.NoError(t, err)
	l := new(leaky)
	l.do("file")
	rss, after, err := measure(os.Getpid())
	require.NoError(t, err)
	require.GreaterOrEqual(t, after, before+leaks/2)
	require.Greater(t, rss, uint64(1<<20))
	for _, f := range l.files {
		require.NoError(t, f.Close())
	}
	_, _, err = measure(-1)
	require.Error(t, err)
}
