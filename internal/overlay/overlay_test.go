package overlay

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestApply edits a file twice, and rejects edits that do not match.
func TestApply(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "p"), 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(root, "p", "a.go"), []byte("one two two\n"), 0o666))

	texts, err := Apply(root, []Edit{
		{File: "p/a.go", Old: "one", New: "three"},
		{File: "p/a.go", Old: "three two", New: "four two"},
		{File: "p/a.go", Old: "two", New: "2", All: true},
	})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"p/a.go": "four 2 2\n"}, texts)

	for _, e := range []Edit{{File: "p/a.go", Old: "two"}, {File: "p/a.go", Old: "six\nseven", All: true}} {
		_, err = Apply(root, []Edit{e})
		require.ErrorAs(t, err, new(*MismatchError))
	}
	require.EqualError(t, err, `p/a.go has "six" 0 times`)
	_, err = Apply(root, []Edit{{File: "p/b.go", Old: "one"}})
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestWrite reads the list that the go command would read.
func TestWrite(t *testing.T) {
	root, dir := t.TempDir(), filepath.Join(t.TempDir(), "new")
	other := filepath.Join(t.TempDir(), "b.go")
	name, err := Write(dir, root, map[string]string{"p/a.go": "a", other: "b"})
	require.NoError(t, err)
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	var list struct{ Replace map[string]string }
	require.NoError(t, json.Unmarshal(content, &list))
	require.Len(t, list.Replace, 2)
	for path, want := range map[string]string{filepath.Join(root, "p", "a.go"): "a", other: "b"} {
		text, err := os.ReadFile(list.Replace[path])
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
}
