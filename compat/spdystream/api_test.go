package spdystream_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// realModule makes TestAPI write testdata/api.txt from the original:
//
//	go test -run TestAPI . -args -real $(go env GOMODCACHE)/github.com/moby/spdystream@v0.5.1
var realModule = flag.String("real", "", "directory of github.com/moby/spdystream v0.5.1, to write testdata/api.txt from")

const apiFile = "testdata/api.txt"

// TestAPI compares what this module exports with what the original does: every constant
// and its value, every variable, function, type, field and method, with their types. A
// program that compiles with one compiles with the other.
func TestAPI(t *testing.T) {
	if *realModule != "" {
		require.NoError(t, os.WriteFile(apiFile, []byte(api(t, *realModule)), 0o644))
	}
	want, err := os.ReadFile(apiFile)
	require.NoError(t, err)
	theirs, ours := strings.Split(string(want), "\n"), strings.Split(api(t, "."), "\n")
	require.Greater(t, len(theirs), 150)
	require.Empty(t, without(theirs, ours), "missing here")
	require.Equal(t, additions, without(ours, theirs), "not in the original")
}

// additions are what the original does not have. A program that uses one needs the drop-in.
var additions = []string{"var SilenceTimeout time.Duration"}

// without returns the lines that are in a and not in b.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(line string) bool { return slices.Contains(b, line) })
}

// api describes the packages that other modules can import.
func api(t *testing.T, dir string) string {
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", exportData(t)).(types.ImporterFrom)
	local := &localImporter{dir: dir, fset: fset, others: imports, done: map[string]*types.Package{}}
	var out strings.Builder
	for _, path := range []string{modulePath, modulePath + "/spdy"} {
		pkg, err := local.ImportFrom(path, dir, 0)
		require.NoError(t, err)
		fmt.Fprintf(&out, "package %s // import %q\n", pkg.Name(), path)
		for _, line := range describe(pkg) {
			fmt.Fprintln(&out, line)
		}
	}
	return out.String()
}

// exportData finds what the compiler knows of the packages of the standard library.
func exportData(t *testing.T) func(path string) (io.ReadCloser, error) {
	list, err := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}", "net/http").Output()
	require.NoError(t, err)
	files := make(map[string]string)
	for line := range strings.Lines(string(list)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) {
		if files[path] == "" { // what is used inside of functions only
			return nil, fs.ErrNotExist
		}
		return os.Open(files[path])
	}
}

const modulePath = "github.com/moby/spdystream"

// A localImporter imports the packages of a module from its directory, and stands in for
// packages of other modules, of which nothing is exported here, with empty ones.
type localImporter struct {
	dir    string
	fset   *token.FileSet
	others types.ImporterFrom
	done   map[string]*types.Package
}

func (l *localImporter) Import(path string) (*types.Package, error) {
	return l.ImportFrom(path, l.dir, 0)
}

func (l *localImporter) ImportFrom(path, dir string, mode types.ImportMode) (*types.Package, error) {
	rest, ours := strings.CutPrefix(path, modulePath)
	switch {
	case l.done[path] != nil:
		return l.done[path], nil
	case strings.Contains(path, ".") && !ours:
		stub := types.NewPackage(path, filepath.Base(path))
		stub.MarkComplete()
		return stub, nil
	case !ours:
		pkg, err := l.others.ImportFrom(path, dir, mode)
		if err != nil {
			return types.NewPackage(path, filepath.Base(path)), nil
		}
		return pkg, nil
	}
	names, err := filepath.Glob(filepath.Join(l.dir, filepath.FromSlash(rest), "*.go"))
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(l.fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	// What is missing in stubs is an error inside of functions, and no matter here.
	conf := types.Config{Importer: l, IgnoreFuncBodies: true, Error: func(error) {}}
	checked, _ := conf.Check(path, l.fset, files, nil)
	l.done[path] = checked
	return checked, nil
}

// describe lists what a package exports, one thing a line.
func describe(pkg *types.Package) (lines []string) {
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		switch o := obj.(type) {
		case *types.Const:
			lines = append(lines, fmt.Sprintf("const %s %s = %s", name, text(o.Type()), o.Val().ExactString()))
		case *types.Var:
			lines = append(lines, fmt.Sprintf("var %s %s", name, text(o.Type())))
		case *types.Func:
			lines = append(lines, fmt.Sprintf("func %s%s", name, signature(o.Signature())))
		case *types.TypeName:
			lines = append(lines, describeType(o)...)
		}
	}
	return lines
}

func describeType(o *types.TypeName) (lines []string) {
	switch u := o.Type().Underlying().(type) {
	case *types.Struct:
		lines = append(lines, fmt.Sprintf("type %s struct", o.Name()))
		for f := range u.Fields() {
			if f.Exported() {
				lines = append(lines, fmt.Sprintf("field %s.%s %s embedded=%v", o.Name(), f.Name(), text(f.Type()), f.Embedded()))
			}
		}
		lines = append(lines, fmt.Sprintf("comparable %s %v", o.Name(), types.Comparable(u)))
	case *types.Interface:
		lines = append(lines, fmt.Sprintf("type %s interface", o.Name()))
		for m := range u.Methods() {
			if m.Exported() {
				lines = append(lines, fmt.Sprintf("method %s.%s%s", o.Name(), m.Name(), signature(m.Signature())))
			} else {
				lines = append(lines, fmt.Sprintf("closed %s", o.Name()))
			}
		}
		return lines
	default:
		lines = append(lines, fmt.Sprintf("type %s %s", o.Name(), text(u)))
	}
	methods := types.NewMethodSet(types.NewPointer(o.Type()))
	var names []string
	for i := range methods.Len() {
		m := methods.At(i)
		if m.Obj().Exported() {
			byValue := types.NewMethodSet(o.Type()).Lookup(m.Obj().Pkg(), m.Obj().Name()) != nil
			names = append(names, fmt.Sprintf("method %s.%s%s value=%v", o.Name(), m.Obj().Name(), signature(m.Type().(*types.Signature)), byValue))
		}
	}
	slices.Sort(names)
	return append(lines, names...)
}

// text writes a type with the paths of packages.
func text(t types.Type) string {
	if s, ok := t.(*types.Signature); ok {
		return "func" + signature(s)
	}
	return types.TypeString(t, nil)
}

// signature writes a signature without the names of parameters, which are nobody's
// business.
func signature(s *types.Signature) string {
	list := func(tuple *types.Tuple) string {
		var all []string
		for v := range tuple.Variables() {
			all = append(all, text(v.Type()))
		}
		return "(" + strings.Join(all, ", ") + ")"
	}
	variadic := ""
	if s.Variadic() {
		variadic = "..."
	}
	return variadic + list(s.Params()) + " " + list(s.Results())
}
