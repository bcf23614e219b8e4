package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The test binary is its own victim, as the command is.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "-victim" {
		if runVictim(os.Args[2]) != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// One attack on everybody whom it is made for, from the first byte to the table.
func TestAttackIsMeasured(t *testing.T) {
	var one []attack
	for _, a := range attacks {
		if a.id == "A1" {
			one = append(one, a)
		}
	}
	results := measure(one, 1)
	require.Len(t, results, 3)
	for _, r := range results {
		require.NotContains(t, r.outcome, "failed", r.victim)
		require.Positive(t, r.sent)
		require.Positive(t, r.times)
	}
	require.Contains(t, results[0].outcome, "GOAWAY(PROTOCOL_ERROR)")
	page := report(results, 1)
	require.Equal(t, 2+len(results), strings.Count(page, "\n|"))
}

// A victim that dies is an outcome.
func TestDeadVictim(t *testing.T) {
	_, err := withVictim("nobody", func(string) error { return nil })
	require.ErrorIs(t, err, errDied)
	require.Contains(t, playOnce(&attacks[0], "nobody").outcome, "failed")
}

// What another suite has put into the page stays there.
func TestWritePage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(path, []byte("old\n"+strangers+"theirs\n"), 0o666))
	require.NoError(t, writePage(path, "new\n"))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "new\n"+strangers+"theirs\n", string(text))
}

func TestEveryAttackHasVictims(t *testing.T) {
	for _, a := range attacks {
		require.NotEmpty(t, a.victims, a.id)
		require.True(t, (a.play == nil) != (a.many == nil), a.id)
	}
}

func TestFigures(t *testing.T) {
	require.Equal(t, "1 time", count(1, "time"))
	require.Equal(t, "1,234,567 times", count(1234567, "time"))
	require.Equal(t, "0 B", size(-5))
	require.Equal(t, "10 KiB", size(10<<10))
	require.Equal(t, "10 MiB", size(10<<20))
}
