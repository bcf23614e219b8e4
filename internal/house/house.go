// Package house checks a module's rules about its source code, by parsing the files: which
// functions may start a goroutine, close a channel or block on a send, where a goroutine may block
// on a receive, which types may cross a channel, and which identifiers a file may use. It also
// checks that functions are short and that exported identifiers are documented. The exceptions are
// data in the test that calls Check.
package house

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Place is a function, written as "name", "(T).name" or "(*T).name", in a file whose path is
// relative to the top of the module.
type Place struct{ File, Func string }

// Rules are the limits and the exceptions. An unnecessary exception for an existing file is an
// error, too.
type Rules struct {
	MayRecover []string         // files that may call recover
	MayClose   []Place          // functions that may close a channel
	MayStart   []Place          // functions that may start a goroutine
	MaySend    []Place          // functions that may send outside a select with a default
	MayWait    []string         // files of the top folder that may receive outside a select with a default
	MayBeLong  map[Place]string // functions over MaxFunc lines, with the reason
	Layers     []Layer
	MaxFile    int // lines in a file
	MaxFunc    int // lines in a function
}

// A Layer restricts some files of a package.
type Layer struct {
	Why     string   // completes "this file imports net, but …"
	Files   []string // patterns of path.Match
	Imports []string // all allowed imports
	Names   []string // forbidden identifiers of the package
}

// Sources maps the path of a file to its text.
type Sources map[string]string

// Read reads the Go files of a module, without nested modules, testdata and hidden directories.
func Read(fsys fs.FS, root string) (Sources, error) {
	out := Sources{}
	err := fs.WalkDir(fsys, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := fs.Stat(fsys, path.Join(name, "go.mod"))
			if name != root && (nested == nil || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(name, ".go") {
			text, err := fs.ReadFile(fsys, name)
			out[name] = string(text)
			return err
		}
		return nil
	})
	return out, err
}

// isLibrary reports whether the file belongs to the library, and not to a program. Programs may
// sleep and start goroutines.
func isLibrary(file string) bool {
	return !strings.Contains(file, "/") || strings.HasPrefix(file, "internal/")
}

// A checker is a run of the rules.
type checker struct {
	Rules
	fset       *token.FileSet
	file       string
	fn         string // the function around the node
	used       map[string]bool
	payloads   map[string]bool // "dir.Type" of structs that hold a payload
	complaints []string
}

// Check returns the violations in the sources, in a fixed order.
func (r Rules) Check(src Sources) []string {
	c := &checker{Rules: r, fset: token.NewFileSet(), used: map[string]bool{}, payloads: map[string]bool{}}
	parsed := map[string]*ast.File{}
	for name, text := range src {
		f, err := parser.ParseFile(c.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			c.complaints = append(c.complaints, err.Error())
			continue
		}
		parsed[name] = f
	}
	for before := -1; before < len(c.payloads); { // a struct may hold a struct that holds bytes
		before = len(c.payloads)
		for name, f := range parsed {
			c.findPayloads(path.Dir(name), f)
		}
	}
	for name, f := range parsed {
		c.file, c.fn = name, ""
		switch {
		case strings.HasSuffix(name, "_test.go"):
			c.testFile(f)
		case isLibrary(name):
			c.libraryFile(f, src[name])
		}
	}
	c.stale(parsed)
	slices.Sort(c.complaints)
	return c.complaints
}

func (c *checker) complain(pos token.Pos, format string, args ...any) {
	p := c.fset.Position(pos)
	c.complaints = append(c.complaints, fmt.Sprintf("%s:%d: ", p.Filename, p.Line)+fmt.Sprintf(format, args...))
}

func (c *checker) testFile(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			x, _ := s.X.(*ast.Ident)
			switch {
			case x == nil:
			case x.Name == "time" && s.Sel.Name == "Sleep":
				c.complain(n.Pos(), "a test sleeps")
			case (x.Name == "t" || x.Name == "b" || x.Name == "tb") && strings.HasPrefix(s.Sel.Name, "Skip"):
				c.complain(n.Pos(), "a test skips")
			}
		}
		return true
	})
}

func (c *checker) libraryFile(f *ast.File, text string) {
	if n := strings.Count(text, "\n"); n > c.MaxFile {
		c.complain(f.Package, "the file has %d lines, more than %d", n, c.MaxFile)
	}
	c.layer(f)
	for _, d := range f.Decls {
		c.fn = ""
		if fn, ok := d.(*ast.FuncDecl); ok {
			c.fn = funcName(fn)
			from, to := c.fset.Position(fn.Pos()).Line, c.fset.Position(fn.End()).Line
			if n := to - from + 1; n > c.MaxFunc && !c.allowed("long", c.longPlaces()) {
				c.complain(fn.Pos(), "%s has %d lines, more than %d", c.fn, n, c.MaxFunc)
			}
		}
		c.documented(d)
		polite := map[ast.Node]bool{} // sends and receives in a select with a default
		ast.Inspect(d, func(n ast.Node) bool { c.node(n, polite); return true })
	}
}

func (c *checker) node(n ast.Node, polite map[ast.Node]bool) {
	switch n := n.(type) {
	case *ast.SelectStmt:
		collectPolite(n, polite)
	case *ast.SendStmt:
		if !polite[n] && !c.allowed("send", c.MaySend) {
			c.complain(n.Pos(), "%s sends on a channel and may wait", c.fn)
		}
	case *ast.UnaryExpr:
		if n.Op == token.ARROW && !polite[n] && !strings.Contains(c.file, "/") && !slices.Contains(c.MayWait, c.file) {
			c.complain(n.Pos(), "%s waits for a channel by itself", c.fn)
		}
	case *ast.GoStmt:
		c.starts(n)
	case *ast.ChanType:
		if what := c.payload(path.Dir(c.file), n.Value); what != "" {
			c.complain(n.Pos(), "a channel carries a payload: %s", what)
		}
	case *ast.SelectorExpr:
		c.selector(n)
	case *ast.CallExpr:
		c.call(n)
	}
}

func (c *checker) call(n *ast.CallExpr) {
	switch fun := n.Fun.(type) {
	case *ast.Ident:
		if fun.Name == "recover" && !slices.Contains(c.MayRecover, c.file) {
			c.complain(n.Pos(), "%s calls recover", c.fn)
		}
		if fun.Name == "close" && !c.allowed("close", c.MayClose) {
			c.complain(n.Pos(), "%s closes a channel", c.fn)
		}
	case *ast.SelectorExpr: // above all, the method of sync.WaitGroup
		if fun.Sel.Name == "Go" {
			c.starts(n)
		}
	}
}

func (c *checker) starts(n ast.Node) {
	if !c.allowed("start", c.MayStart) {
		c.complain(n.Pos(), "%s starts a goroutine", c.fn)
	}
}

func (c *checker) selector(n *ast.SelectorExpr) {
	if x, ok := n.X.(*ast.Ident); ok {
		switch name := x.Name + "." + n.Sel.Name; name {
		case "time.After", "time.Sleep", "time.Tick":
			c.complain(n.Pos(), "%s uses %s", c.fn, name)
		case "sync.Cond", "sync.NewCond":
			c.complain(n.Pos(), "%s: nothing that waits may be outside a select", name)
		}
	}
}

// collectPolite records the sends and receives of a select with a default.
func collectPolite(s *ast.SelectStmt, polite map[ast.Node]bool) {
	hasDefault := slices.ContainsFunc(s.Body.List, func(cc ast.Stmt) bool { return cc.(*ast.CommClause).Comm == nil })
	for _, cc := range s.Body.List {
		if comm := cc.(*ast.CommClause).Comm; comm != nil && hasDefault {
			ast.Inspect(comm, func(n ast.Node) bool {
				polite[n] = true
				return true
			})
		}
	}
}

// frameName matches the names of the codec's structs.
var frameName = regexp.MustCompile(`(?i)frame$`)

// findPayloads records the struct types of a file that hold bytes or a frame.
func (c *checker) findPayloads(dir string, f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		ts, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if st, ok := ts.Type.(*ast.StructType); ok {
			for _, field := range st.Fields.List {
				if c.payload(dir, field.Type) != "" {
					c.payloads[dir+"."+ts.Name.Name] = true
				}
			}
		} else if c.payload(dir, ts.Type) != "" {
			c.payloads[dir+"."+ts.Name.Name] = true
		}
		return true
	})
}

// payload returns the kind of payload that a type is, or "". A pointer to a struct that holds bytes
// is not a payload: *Stream may cross a channel. A frame may not, with or without a pointer.
func (c *checker) payload(dir string, t ast.Expr) string {
	switch t := t.(type) {
	case *ast.ArrayType:
		return "a slice or an array"
	case *ast.StarExpr:
		if id, ok := t.X.(*ast.Ident); ok && !frameName.MatchString(id.Name) {
			return ""
		}
		return c.payload(dir, t.X)
	case *ast.ParenExpr:
		return c.payload(dir, t.X)
	case *ast.SelectorExpr:
		if name := t.Sel.Name; frameName.MatchString(name) || slices.Contains([]string{"Buffer", "Buffers", "Reader"}, name) {
			return name
		}
	case *ast.StructType:
		for _, f := range t.Fields.List {
			if what := c.payload(dir, f.Type); what != "" {
				return what
			}
		}
	case *ast.Ident:
		if t.Name == "string" || frameName.MatchString(t.Name) || c.payloads[dir+"."+t.Name] {
			return t.Name
		}
	}
	return ""
}

// documented checks the comments of exported declarations.
func (c *checker) documented(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && exportedReceiver(d) {
			c.doc(d.Pos(), d.Name.Name, d.Doc)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					c.doc(s.Pos(), s.Name.Name, cmp.Or(s.Doc, d.Doc))
				}
			case *ast.ValueSpec: // a comment above a group, or beside a value, is sufficient
				for _, name := range s.Names {
					if name.IsExported() && cmp.Or(s.Doc, s.Comment, d.Doc) == nil {
						c.complain(name.Pos(), "%s is exported and has no comment", name.Name)
					}
				}
			}
		}
	}
}

func (c *checker) doc(pos token.Pos, name string, doc *ast.CommentGroup) {
	words := strings.Fields(doc.Text())
	if len(words) == 0 {
		c.complain(pos, "%s is exported and has no comment", name)
		return
	}
	for _, w := range words[:min(2, len(words))] { // "Name does", "A Name is", "Name's"
		if strings.TrimSuffix(strings.Trim(w, ".,:;"), "'s") == name {
			return
		}
	}
	c.complain(pos, "the comment of %s begins with other words", name)
}

func exportedReceiver(d *ast.FuncDecl) bool {
	return d.Recv == nil || ast.IsExported(strings.Trim(receiver(d), "(*)"))
}

func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	return receiver(d) + "." + d.Name.Name
}

// receiver returns "(T)" or "(*T)", without type parameters.
func receiver(d *ast.FuncDecl) string {
	t, star := d.Recv.List[0].Type, ""
	if s, ok := t.(*ast.StarExpr); ok {
		t, star = s.X, "*"
	}
	switch g := t.(type) {
	case *ast.IndexExpr:
		t = g.X
	case *ast.IndexListExpr:
		t = g.X
	}
	return "(" + star + t.(*ast.Ident).Name + ")"
}

// layer checks the imports and the names of a file that belongs to a layer.
func (c *checker) layer(f *ast.File) {
	for _, l := range c.Layers {
		if !slices.ContainsFunc(l.Files, func(p string) bool { ok, _ := path.Match(p, c.file); return ok }) {
			continue
		}
		for _, imp := range f.Imports {
			if name, _ := strconv.Unquote(imp.Path.Value); !slices.Contains(l.Imports, name) {
				c.complain(imp.Pos(), "imports %s, but %s", name, l.Why)
			}
		}
		var visit func(ast.Node) bool
		visit = func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok { // x.Stream is a field or belongs to another package
				ast.Inspect(s.X, visit)
				return false
			}
			c.name(n, l)
			return true
		}
		ast.Inspect(f, visit)
	}
}

func (c *checker) name(n ast.Node, l Layer) {
	if id, ok := n.(*ast.Ident); ok && slices.Contains(l.Names, id.Name) {
		c.complain(n.Pos(), "names %s, but %s", id.Name, l.Why)
	}
}

// allowed reports whether the current function is in a list of exceptions, and marks the exception
// as used.
func (c *checker) allowed(list string, places []Place) bool {
	if !slices.Contains(places, Place{c.file, c.fn}) {
		return false
	}
	c.used[list+c.file+c.fn] = true
	return true
}

func (c *checker) longPlaces() (out []Place) {
	for p := range c.MayBeLong {
		out = append(out, p)
	}
	return out
}

// stale reports unnecessary exceptions for existing files.
func (c *checker) stale(parsed map[string]*ast.File) {
	for list, places := range map[string][]Place{"close": c.MayClose, "start": c.MayStart, "send": c.MaySend, "long": c.longPlaces()} {
		for _, p := range places {
			if parsed[p.File] != nil && !c.used[list+p.File+p.Func] {
				c.complaints = append(c.complaints, fmt.Sprintf("%s: %s needs no exception (%s)", p.File, p.Func, list))
			}
		}
	}
	for p, why := range c.MayBeLong {
		if why == "" {
			c.complaints = append(c.complaints, fmt.Sprintf("%s: %s is long for no reason", p.File, p.Func))
		}
	}
}
