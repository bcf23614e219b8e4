package prose

import (
	"cmp"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// The limits leave room: net/http and golang.org/x/net have 3 of "what", 14 of "come" and "go", 19 of "its", and 427 of
// the last group.
var groups = []Group{
	{strings.Fields("what whatever"), 10},
	{strings.Fields("who whom whoever nobody somebody anybody"), 5},
	{strings.Fields("come comes came coming go goes going gone"), 16},
	{strings.Fields("say says said tell tells told"), 8},
	{strings.Fields("take takes taken took give gives given gave"), 22},
	{strings.Fields("its"), 30},
	{strings.Fields("one ones"), 28},
	{strings.Fields("what whatever who whom whose whoever which that those these this it its one ones they them their " +
		"nobody somebody anybody another other others such each either both"), 500},
}

// Comments and pages name what they are about.
func TestLimits(t *testing.T) {
	all, files, err := Tree(groups, os.DirFS("../.."))
	require.NoError(t, err)
	require.Greater(t, all.Words, 50_000, "the whole repository")
	for i, g := range groups {
		n := all.Per10000(i)
		t.Logf("%5.1f of %3.0f: %s", n, g.Limit, g.Words[0])
		if n <= g.Limit {
			continue
		}
		worst := slices.SortedFunc(maps.Keys(files), func(a, b string) int { return cmp.Compare(files[b].Of[i], files[a].Of[i]) })
		t.Errorf("%.1f of %v per 10,000 words, more than %v; most in %v", n, g.Words, g.Limit, worst[:5])
	}
}

func TestTree(t *testing.T) {
	tree := fstest.MapFS{
		"a.go":            {Data: []byte("// Package a is what it is.\npackage a\n\n//go:what\nvar what = `what` /* what */\n")},
		"a_test.go":       {Data: []byte("// what\npackage a\n")},
		"testdata/b.go":   {Data: []byte("// what\npackage b\n")},
		".git/b.go":       {Data: []byte("// what\npackage b\n")},
		"docs/page.md":    {Data: []byte("What is `what`, [that](what.md)?\n\n| what |\n\n```\nwhat\n```\n\n    what\n")},
		"docs/picture.go": {Data: []byte("package docs\n")},
	}
	all, files, err := Tree([]Group{{Words: []string{"what"}}, {Words: []string{"it", "that"}}}, tree)
	require.NoError(t, err)
	require.Equal(t, map[string]Counts{
		"a.go":            {Words: 7, Of: []int{2, 1}},
		"docs/page.md":    {Words: 3, Of: []int{1, 1}},
		"docs/picture.go": {Of: []int{0, 0}},
	}, files)
	require.Equal(t, Counts{Words: 10, Of: []int{3, 2}}, all)
	require.InDelta(t, 3000, all.Per10000(0), 0.1)
}
