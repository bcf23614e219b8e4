package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What comes out compiles. The command finds that too, but takes minutes, and nobody
// runs it for each change.
func TestCompiles(t *testing.T) {
	root, err := moduleRoot()
	require.NoError(t, err)
	fset := token.NewFileSet()
	packages, imports := load(t, root, fset)
	for _, e := range entries() {
		changed, err := e.mutate(root)
		require.NoError(t, err)
		for dir, goFiles := range packages {
			if !touches(changed, dir) {
				continue
			}
			err := check(fset, imports, root, dir, goFiles, changed)
			require.NoError(t, err, "%s: %s", e.attack, e.what)
		}
	}
}

// The check finds what a compiler would.
func TestCheck(t *testing.T) {
	fset := token.NewFileSet()
	file := func(text string) error {
		return check(fset, importer.Default(), ".", ".", []string{"a.go"}, map[string]string{"a.go": text})
	}
	require.NoError(t, file("package m\n\nfunc f() { x := 1; _ = x }\n"))
	require.ErrorContains(t, file("package m\n\nfunc f() { x := 1 }\n"), "declared and not used")
	require.Error(t, file("package m\n\nfunc f() {\n"))
}

// load finds the packages of the root module that entries change, by directory from the
// root, with the names of their files, and an importer of what they need.
func load(t *testing.T, root string, fset *token.FileSet) (map[string][]string, types.Importer) {
	dirs := make(map[string]bool)
	for _, e := range entries() {
		for _, ed := range e.edits() {
			dirs[filepath.Dir(ed.file)] = true
		}
	}
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles"}
	for dir := range dirs {
		args = append(args, "./"+dir)
	}
	list := exec.Command("go", args...)
	list.Dir, list.Stderr = root, os.Stderr
	out, err := list.Output()
	require.NoError(t, err)
	packages, exports := make(map[string][]string), make(map[string]string)
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p struct {
			ImportPath, Dir, Export string
			GoFiles                 []string
		}
		require.NoError(t, dec.Decode(&p))
		exports[p.ImportPath] = p.Export
		if dir, err := filepath.Rel(root, p.Dir); err == nil && dirs[dir] {
			packages[dir] = p.GoFiles
		}
	}
	require.Len(t, packages, len(dirs), "every changed directory is a package of the root module")
	return packages, importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
}

// touches says whether a changed file is in dir.
func touches(changed map[string]string, dir string) bool {
	for file := range changed {
		if filepath.Dir(file) == dir {
			return true
		}
	}
	return false
}

// check type-checks a package with its changed files in place of those that are there.
func check(fset *token.FileSet, imports types.Importer, root, dir string, goFiles []string, changed map[string]string) error {
	var files []*ast.File
	for _, name := range goFiles {
		var text any // from the file itself
		if c, ok := changed[filepath.Join(dir, name)]; ok {
			text = c
		}
		f, err := parser.ParseFile(fset, filepath.Join(root, dir, name), text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	conf := types.Config{Importer: imports}
	_, err := conf.Check(dir, fset, files, nil)
	return err
}
