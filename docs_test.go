package spdy_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// What the README shows as Go is what example_test.go runs, and what it tells to
// type is there.
func TestReadme(t *testing.T) {
	readme, examples := readFile(t, "README.md"), readFile(t, "example_test.go")
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readme, -1)
	require.Len(t, blocks, 2, "a server and a client")
	for _, block := range blocks {
		require.Contains(t, examples, "\n"+block[1], "not in example_test.go")
	}
	for _, m := range regexp.MustCompile(`go run (\./[a-z/-]+)`).FindAllStringSubmatch(readme, -1) {
		require.FileExists(t, filepath.Join(m[1], "main.go"))
	}
}

func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	pages = append(pages, "README.md", "certs/README.md")
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for _, page := range pages {
		for _, m := range link.FindAllStringSubmatch(readFile(t, page), -1) {
			_, err := os.Stat(filepath.Join(filepath.Dir(page), m[1]))
			require.NoError(t, err, page)
		}
	}
}

// A code is what the source of the package has in it, as the docs write it.
type code struct {
	known map[string]bool // functions, types, methods, fields
	waits []string        // fields that are a channel or a mutex, as T.f
}

func readCode(t *testing.T) code {
	t.Helper()
	c := code{known: make(map[string]bool)}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		c.known[name] = true
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range f.Decls {
			c.add(decl)
		}
	}
	return c
}

func (c *code) add(decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			c.known[d.Name.Name] = true
			return
		}
		recv, pattern := d.Recv.List[0].Type, "(%s).%s"
		if star, ok := recv.(*ast.StarExpr); ok {
			recv, pattern = star.X, "(*%s).%s"
		}
		typ := recv.(*ast.Ident).Name
		c.known[fmt.Sprintf(pattern, typ, d.Name.Name)] = true
		c.known[typ+"."+d.Name.Name] = true
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				c.known[s.Name.Name] = true
				if st, ok := s.Type.(*ast.StructType); ok {
					c.addFields(s.Name.Name, st)
				}
			case *ast.ValueSpec:
				for _, name := range s.Names {
					c.known[name.Name] = true
				}
			}
		}
	}
}

func (c *code) addFields(typ string, st *ast.StructType) {
	for _, field := range st.Fields.List {
		for _, name := range field.Names {
			full := typ + "." + name.Name
			c.known[full] = true
			_, channel := field.Type.(*ast.ChanType)
			sel, _ := field.Type.(*ast.SelectorExpr)
			if channel || sel != nil && (sel.Sel.Name == "Mutex" || sel.Sel.Name == "RWMutex") {
				c.waits = append(c.waits, full)
			}
		}
	}
}

// docs/architecture.md is true to the code as far as a machine can tell: what it
// names exists, and it leaves out no goroutine, channel or lock.
func TestArchitectureNamesWhatIsThere(t *testing.T) {
	page, c := readFile(t, "docs/architecture.md"), readCode(t)
	names := regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(page, -1)
	require.NotEmpty(t, names)
	ours := regexp.MustCompile(`^(\(\*\w+\)\.\w+|\w+\.go|[A-Za-z]\w*\.\w+|[a-z]+[A-Z]\w*)$`)
	foreign := regexp.MustCompile(`^(http|context|time|io|conn|Body|net)\.|^internal/`)
	for _, m := range names {
		if ours.MatchString(m[1]) && !foreign.MatchString(m[1]) {
			require.True(t, c.known[m[1]], "there is no %s", m[1])
		}
	}
	for _, place := range mayStart {
		if strings.HasPrefix(place.File, "internal/") { // which is no part of the library
			continue
		}
		require.Contains(t, page, "`"+place.Func+"`", "a goroutine")
	}
	require.NotEmpty(t, c.waits)
	for _, name := range c.waits {
		require.Contains(t, page, "`"+name+"`", "a channel or a lock")
	}
}

// What docs/net-http.md puts beside the names of others is exported.
func TestNetHTTPPageNamesWhatIsThere(t *testing.T) {
	page, c := readFile(t, "docs/net-http.md"), readCode(t)
	for _, part := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(page, -1) {
		for _, m := range regexp.MustCompile(`\bspdy\.(SPDY31|[A-Z]\w*(?:\.[A-Z]\w*)?)`).FindAllStringSubmatch(part[1], -1) {
			require.True(t, c.known[m[1]], "there is no %s", m[0])
		}
		if m := regexp.MustCompile(`^(Config|Session)\.[A-Z]\w*`).FindString(part[1]); m != "" {
			require.True(t, c.known[m], "there is no %s", m)
		}
	}
}
