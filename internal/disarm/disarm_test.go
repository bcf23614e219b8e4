package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every text that is to be replaced is there, exactly once, so that a change of the
// library that moves a defence is noticed where it is made.
func TestTexts(t *testing.T) {
	root, err := moduleRoot()
	require.NoError(t, err)
	for _, e := range entries() {
		require.Regexp(t, `^A([1-9]|[12][0-9]|3[01])$`, e.attack)
		require.NotEmpty(t, e.what, e.attack)
		for _, ed := range e.edits() {
			require.NotEqual(t, ed.old, ed.new, "%s: %s", e.attack, e.what)
		}
		_, err := e.mutate(root)
		require.NoError(t, err, "%s: %s", e.attack, e.what)
	}
}

func TestPattern(t *testing.T) {
	e := entry{attack: "A1"}
	require.Regexp(t, e.pattern(), "TestAttackA1DeclaredCounts")
	require.NotRegexp(t, e.pattern(), "TestAttackA10UnreadStreams")
	e.test = "^TestOther$"
	require.Equal(t, "^TestOther$", e.pattern())
}

// What the command is for: it tells a test that misses its defence from one that does
// not, and from a change that does not compile.
func TestTry(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o666))
	}
	write("go.mod", "module m\n\ngo 1.25\n")
	write("a.go", "package m\n\nfunc safe() bool { return true }\n\nfunc unused() bool { return true }\n")
	write("a_test.go", `package m

import "testing"

func TestAttackA1(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		if !safe() {
			t.Error("it does harm")
		}
	})
}
`)
	t.Setenv("GOWORK", "off")
	t.Setenv("GOFLAGS", "")
	try := func(old, new string) (string, error) {
		e := entry{attack: "A1", file: "a.go", old: old, new: new}
		return e.try(root, filepath.Join(t.TempDir(), "work"), 1<<36, false)
	}
	verdict, err := try("safe() bool { return true }", "safe() bool { return false }")
	require.NoError(t, err)
	require.Equal(t, "TestAttackA1/server fails", verdict)
	_, err = try("unused() bool { return true }", "unused() bool { return false }")
	require.ErrorContains(t, err, "passes all the same")
	_, err = try("safe() bool { return true }", "safe() bool { return nothing }")
	require.ErrorContains(t, err, "does not compile")
	_, err = try("true", "false")
	require.ErrorContains(t, err, "2 times")
	text, err := os.ReadFile(filepath.Join(root, "a.go"))
	require.NoError(t, err)
	require.Contains(t, string(text), "safe() bool { return true }", "the tree stays as it is")
}
