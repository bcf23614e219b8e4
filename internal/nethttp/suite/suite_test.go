package main

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/nethttp/suite/hook"
	"github.com/amahi/spdy/internal/overlay"
)

// TestEdits applies the edits to the tests of the installed Go. The suites themselves run in
// .ci/full.
func TestEdits(t *testing.T) {
	var c command
	require.NoError(t, c.look())
	for _, s := range suites(c.version) {
		texts, err := overlay.Apply(c.goroot+"/src", s.edits)
		require.NoError(t, err)
		texts["hooks"] = s.hooks
		for file, text := range texts {
			_, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution)
			require.NoError(t, err)
		}
		_, err = s.writeOverlay(t.TempDir(), c.goroot, c.module)
		require.NoError(t, err)
		_, err = s.writeOverlay(t.TempDir(), t.TempDir(), c.module)
		require.ErrorContains(t, err, "not those the harness knows")
	}
}

// TestSettle counts a test once for the protocol under test, and ignores tests of other protocols.
func TestSettle(t *testing.T) {
	output := strings.Join([]string{
		`{"Action":"start","Package":"p"}`,
		`{"Action":"run","Test":"TestA"}`,
		`{"Action":"output","Test":"TestA/h1","Output":"x\n"}`,
		`{"Action":"pass","Test":"TestA/h1"}`,
		`{"Action":"output","Test":"TestA/h2/sub","Output":"    a.go:1: ` + mark + `TestA/h2/sub\n"}`,
		`{"Action":"fail","Test":"TestA/h2/sub"}`,
		`{"Action":"fail","Test":"TestA/h2"}`,
		`{"Action":"output","Test":"TestB","Output":"    b.go:1: ` + mark + `TestB\n"}`,
		`{"Action":"pass","Test":"TestB"}`,
		`{"Action":"output","Test":"TestC/case/h2","Output":"` + mark + `TestC/case/h2\n"}`,
		`{"Action":"skip","Test":"TestC/case/h2"}`,
		`{"Action":"pass","Test":"TestD"}`,
	}, "\n")
	outcomes := make(map[string]*outcome)
	require.NoError(t, read(strings.NewReader(output), outcomes))
	require.Equal(t, map[string]string{"TestA/spdy": "fail", "TestB": "pass", "TestC/case/spdy": "skip"}, settle(hook.HTTP2, outcomes))
	require.Equal(t, "^(TestA|TestB|TestC)$", tops([]string{"TestB", "TestA/spdy", "TestC/case/spdy", "TestA/other/spdy"}))
	require.Error(t, read(strings.NewReader("panic\n"), outcomes))
}

// TestJudge complains about a failure that is not excluded, and about an excluded test that passes.
func TestJudge(t *testing.T) {
	results := map[string]string{"TestA": "pass", "TestB": "fail", "TestC": "fail", "TestD": "pass", "TestE": ""}
	excluded, err := parseExcluded("# comment\n\nTestC\ta reason\nTestD\tanother\n")
	require.NoError(t, err)
	v := judge("p", results, map[string]string{"TestB": "its output"}, excluded)
	require.Equal(t, verdict{total: 5, passed: 2, excluded: 1, complaints: []string{
		"p TestB: fail\nits output", "p TestD passes, but is excluded: another", "p TestE: did not run\n",
	}}, v)
	for _, bad := range []string{"TestA\n", "TestA\ta\nTestA\tb\n"} {
		_, err := parseExcluded(bad)
		require.Error(t, err)
	}
	_, err = parseExcluded(excludedText)
	require.NoError(t, err)
}
