package main

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

func readPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../" + page)
	require.NoError(t, err)
	return string(text)
}

// What the page states is held: no input costs more for each byte that was sent. And none costs
// more than twice as much when it is twice as long.
func TestBounds(t *testing.T) {
	most, err := stated(readPage(t))
	require.NoError(t, err)
	const copies = 3
	once, err := measureAll(copies, 5)
	require.NoError(t, err)
	twice, err := measureAll(copies, 10)
	require.NoError(t, err)
	for i, row := range twice {
		name := []any{row.input.frame, row.input.what, row.role, row.version}
		require.LessOrEqual(t, row.kept, most.kept, name)
		require.LessOrEqual(t, row.allocs, most.allocs, name)
		before, after := once[i].allocs*float64(once[i].sent), row.allocs*float64(row.sent)
		require.Less(t, after, 2.2*before+200, name)
	}
}

// The page has what the command would write: a line for each input, and the pools.
func TestPage(t *testing.T) {
	text := readPage(t)
	require.Equal(t, pools(), generated(text, "pools"))
	lines := generated(text, "figures")
	for _, r := range []role{server, client} {
		for _, in := range inputs {
			if in.role == "" || in.role == r {
				require.Contains(t, lines, "| "+in.frame+" | "+in.what+" | "+string(r)+" |")
			}
		}
	}
	require.Len(t, regexp.MustCompile("(?m)^[|] [A-Zu]").FindAllString(lines, -1), lineCount(), "and no other")
}

func lineCount() (n int) {
	for _, in := range inputs {
		n++
		if in.role == "" {
			n++
		}
	}
	return n
}

// Every type of frame of a version is measured, in both roles.
func TestEveryFrame(t *testing.T) {
	since := map[string]func(spdy.Version) bool{
		"SYN_STREAM": always, "SYN_REPLY": always, "RST_STREAM": always, "SETTINGS": always, "NOOP": v2, "PING": always,
		"GOAWAY": always, "HEADERS": always, "WINDOW_UPDATE": notV2, "CREDENTIAL": notV2, "DATA": always, "unknown": always,
	}
	for frame, exists := range since {
		for _, v := range versions {
			for _, r := range []role{server, client} {
				measured := slices.ContainsFunc(inputs, func(in input) bool {
					return in.frame == frame && (in.role == "" || in.role == r) && in.only(v)
				})
				require.Equal(t, exists(v), measured, "%s, %v, %v", frame, v, r)
			}
		}
	}
	for _, in := range inputs {
		require.Contains(t, since, in.frame)
	}
}

// Replacing what has been generated leaves the rest of a page as it is.
func TestReplace(t *testing.T) {
	begins, ends := marks("pools")
	next, err := replace("a\n"+begins+"old\n"+ends+"b\n", "pools", "new\n")
	require.NoError(t, err)
	require.Equal(t, "a\n"+begins+"new\n"+ends+"b\n", next)
	require.Equal(t, "new\n", generated(next, "pools"))
	_, err = replace(next, "figures", "new\n")
	require.Error(t, err)
}
