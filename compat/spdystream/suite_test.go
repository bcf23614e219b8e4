package spdystream_test

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// internals are the tests of the original that use what it does not export, and why they say
// nothing about another implementation. All others have to pass.
var internals = map[string]string{
	"TestGoAwayRace": "puts a function into the original's handler of DATA frames; faults_test.go has the fault",

	"TestNewFramerWithOptions":                                 "looks at the fields of a Framer; limits_test.go shows the limits",
	"TestHeaderParsing":                                        "calls the original's own reader of header blocks",
	"TestCreateParseSynStreamFrameCompressionDisable":          "switches compression off by a field of the Framer",
	"TestCreateParseSynReplyFrameCompressionDisable":           "switches compression off by a field of the Framer",
	"TestCreateParseHeadersFrame":                              "switches compression off by a field of the Framer",
	"TestReadFrameRejectsOversizedControlFrame":                "sets a limit by a field of the Framer; framer_test.go does so by the option",
	"TestParseHeaderValueBlockRejectsHeaderCountOverLimit":     "calls the original's own reader of header blocks; framer_test.go has the limit",
	"TestParseHeaderValueBlockRejectsHeaderFieldSizeOverLimit": "calls the original's own reader of header blocks; framer_test.go has the limit",
}

// differs are the tests of the original that may fail, and why that is meant.
var differs = map[string]string{
	"TestUnexpectedRemoteConnectionClosed":        "wants io.EOF of a stream whose connection was lost; here that is an error, see doc.go",
	"TestClientConnectionStopsServingAfterGoAway": "the same, behind the peer's GOAWAY",
	"TestMultipleSPDYFrames":                      "wants the length in a frame that another goroutine is writing, which is a data race",
	"TestReadMalformedZlibHeader":                 "wants to hear of a header block in a frame of SPDY/2, which is refused for its version",
	"TestNoZeroStreamId":                          "is skipped by the original",
}

// TestOriginalSuite runs the original's own tests, from the module cache, with the drop-in in its
// place.
func TestOriginalSuite(t *testing.T) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/spdystream")
	list.Dir = filepath.Join("..", "..", "interop")
	list.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	out, err := list.CombinedOutput()
	require.NoError(t, err, "%s", out)
	theirs := strings.TrimSpace(string(out))

	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(".")))
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	left := make(map[string]bool)
	for _, sub := range []string{".", "spdy"} {
		ours, err := filepath.Glob(filepath.Join(dir, sub, "*_test.go"))
		require.NoError(t, err)
		for _, path := range ours {
			require.NoError(t, os.Remove(path))
		}
	}
	for _, path := range []string{"spdy_test.go", "spdy/spdy_test.go", "spdy/options_test.go"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), withoutInternals(t, filepath.Join(theirs, path), left), 0o644))
	}
	for name := range internals {
		require.True(t, left[name], "the original has no %s", name)
	}
	run := func(args ...string) (string, error) {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	text, err := run("mod", "edit", "-replace", "github.com/amahi/spdy="+root)
	require.NoError(t, err, text)
	// Some of its tests rely on a machine that is not busy: each has to pass in one of five rounds. A
	// round that ends early does not count: a test that fails while a goroutine of the test still
	// reports failures ends the whole program.
	const all = ""
	failed := map[string]bool{all: true}
	for round := 0; round < 5 && len(failed) > 0; round++ {
		text, _ = run("test", "-v", "-vet=off", "-count=1", ".", "./spdy")
		results := regexp.MustCompile(`(?m)^--- (\w+): (\w+) `).FindAllStringSubmatch(text, -1)
		if len(results) != originalTests-len(internals) && strings.Contains(text, "panic: Fail in goroutine after") {
			continue
		}
		require.Len(t, results, originalTests-len(internals), text)
		again := make(map[string]bool)
		for _, r := range results {
			if r[1] != "PASS" && differs[r[2]] == "" && (failed[all] || failed[r[2]]) {
				again[r[2]] = true
			}
		}
		failed = again
	}
	require.Empty(t, failed, text)
}

// originalTests is how many tests v0.5.1 has in those files.
const originalTests = 42

// withoutInternals returns a file of the original's without the tests that use internals, and notes
// their names.
func withoutInternals(t *testing.T, path string, left map[string]bool) []byte {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, nil, 0)
	require.NoError(t, err)
	kept := file.Decls[:0]
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && internals[f.Name.Name] != "" {
			left[f.Name.Name] = true
			continue
		}
		kept = append(kept, decl)
	}
	file.Decls = kept
	dropUnusedImports(file)
	var out bytes.Buffer
	require.NoError(t, format.Node(&out, fset, file))
	return out.Bytes()
}

// dropUnusedImports makes imports that nothing uses any more blank ones.
func dropUnusedImports(file *ast.File) {
	used := make(map[string]bool)
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok {
				used[id.Name] = true
			}
		}
		return true
	})
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		if spec.Name == nil && !used[path[strings.LastIndex(path, "/")+1:]] {
			spec.Name = ast.NewIdent("_")
		}
	}
}
