package spdy_test

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What go doc shows has a comment: every exported function, type, method, constant and
// variable, every field of a struct and method of an interface, and the package.
func TestEverythingExportedIsDocumented(t *testing.T) {
	dirs := publicPackages(t)
	require.Contains(t, dirs, ".")
	require.Contains(t, dirs, "spdytest")
	names := 0
	for _, dir := range dirs {
		c := checkDocs(t, dir)
		names += c.names
		for _, complaint := range c.complaints {
			t.Errorf("%s: %s", dir, complaint)
		}
	}
	require.Greater(t, names, 200, "all of them are looked at")
}

// publicPackages are the directories of this module that others can import.
func publicPackages(t *testing.T) (dirs []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		name := d.Name()
		_, nested := os.Stat(filepath.Join(path, "go.mod"))
		if path != "." && (nested == nil || name == "internal" || name == "testdata" || strings.HasPrefix(name, ".")) {
			return filepath.SkipDir
		}
		files, err := filepath.Glob(filepath.Join(path, "*.go"))
		if err != nil {
			return err
		}
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly)
			if err != nil {
				return err
			}
			if f.Name.Name != "main" && !strings.HasSuffix(file, "_test.go") {
				dirs = append(dirs, path)
				break
			}
		}
		return nil
	}))
	return dirs
}

// A docCheck goes through a package.
type docCheck struct {
	names      int
	complaints []string
}

func checkDocs(t *testing.T, dir string) *docCheck {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		require.NoError(t, err)
		files = append(files, f)
	}
	pkg, err := doc.NewFromFiles(fset, files, "github.com/amahi/spdy/"+dir)
	require.NoError(t, err)
	c := new(docCheck)
	c.name("the package", pkg.Doc)
	c.values(pkg.Consts)
	c.values(pkg.Vars)
	c.funcs("", pkg.Funcs)
	for _, typ := range pkg.Types {
		c.name(typ.Name, typ.Doc)
		c.values(typ.Consts)
		c.values(typ.Vars)
		c.funcs("", typ.Funcs)
		c.funcs(typ.Name+".", typ.Methods)
		for _, spec := range typ.Decl.Specs {
			c.members(typ.Name, spec.(*ast.TypeSpec).Type)
		}
	}
	return c
}

// name notes an exported name with its comment.
func (c *docCheck) name(name, comment string) {
	c.names++
	if strings.TrimSpace(comment) == "" {
		c.complaints = append(c.complaints, name+" has no comment")
	}
}

func (c *docCheck) funcs(prefix string, funcs []*doc.Func) {
	for _, f := range funcs {
		c.name(prefix+f.Name, f.Doc)
		if first, _, _ := strings.Cut(f.Doc, " "); f.Doc != "" && first != f.Name {
			c.complaints = append(c.complaints, fmt.Sprintf("the comment on %s%s begins with %q", prefix, f.Name, first))
		}
	}
}

// values checks constants or variables. What is said of a group is said of each of
// them.
func (c *docCheck) values(groups []*doc.Value) {
	for _, group := range groups {
		for _, spec := range group.Decl.Specs {
			s := spec.(*ast.ValueSpec)
			for _, name := range s.Names {
				if name.IsExported() {
					c.name(name.Name, group.Doc+s.Doc.Text()+s.Comment.Text())
				}
			}
		}
	}
}

// members checks the fields of a struct, or the methods of an interface. Fields that
// are declared together share their comment, and so do those that follow each other
// without an empty line or a comment in between.
func (c *docCheck) members(typ string, expr ast.Expr) {
	var list *ast.FieldList
	switch t := expr.(type) {
	case *ast.StructType:
		list = t.Fields
	case *ast.InterfaceType:
		list = t.Methods
	default:
		return
	}
	for _, field := range list.List {
		for _, name := range field.Names {
			if name.IsExported() {
				c.name(typ+"."+name.Name, field.Doc.Text()+field.Comment.Text())
			}
		}
	}
}

// Every identifier that a user begins with has an example that runs.
func TestEntryPointsHaveExamples(t *testing.T) {
	have := make(map[string]bool)
	for _, dir := range publicPackages(t) {
		for _, e := range examplesOf(t, dir) {
			require.True(t, e.Output != "" || e.EmptyOutput, "Example%s does not run: it says no Output", e.Name)
			have[e.Name] = true
		}
	}
	for _, name := range entryPoints {
		require.True(t, have[name], "there is no Example%s", name)
	}
}

func examplesOf(t *testing.T, dir string) []*doc.Example {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	var files []*ast.File
	for _, name := range names {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		files = append(files, f)
	}
	return doc.Examples(files...)
}

// entryPoints are the examples that there have to be, by what follows "Example" in their
// names.
var entryPoints = []string{
	"", "Server", "Server_Shutdown", "Server_Stats", "Server_ServeTLS",
	"Client", "Client_Shutdown", "NewClientConn", "Transport", "ConfigureTransport",
	"NewServerSession", "NewClientSession", "Session_RoundTrip", "Session_NewStreamProxy", "Session_PingContext",
	"Session_Shutdown", "Session_Stats", "Config", "Config_acceptPush", "Trace", "FrameLog",
	"NewRawSession", "Session_OpenStream", "Upgrader", "UpgradeDialer",
	"Stream_Push", "Stream_Request", "StreamError", "SettingsStore", "PriorityFor", "WithPriority",
	"Framer", "NewRecorder", "NewHeaderBlock",
}

func init() { slices.Sort(entryPoints) }
