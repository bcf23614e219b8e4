package document

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSections(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	text := "before\n<!-- begin a -->\nold\n<!-- end a -->\nafter\n<!-- begin b -->\n<!-- end b -->\n"
	require.NoError(t, os.WriteFile(page, []byte(text), 0o600))
	require.NoError(t, Write(page, "a", "new\nlines\n"))
	require.NoError(t, Write(page, "b", "b\n"))
	got, err := os.ReadFile(page)
	require.NoError(t, err)
	require.Equal(t, "before\n<!-- begin a -->\nnew\nlines\n<!-- end a -->\nafter\n<!-- begin b -->\nb\n<!-- end b -->\n", string(got))
	section, err := Section(page, "a")
	require.NoError(t, err)
	require.Equal(t, "new\nlines\n", section)
	require.Error(t, Write(page, "c", "x"))
	_, err = Section(page, "c")
	require.Error(t, err)
}
