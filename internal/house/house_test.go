package house_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/house"
)

// bites are pieces of source with the rule that each must fall foul of; an empty
// complaint means that it must not.
var bites = []struct{ name, file, source, complaint string }{
	{"recover", "session.go", "func f() { defer func() { recover() }() }", "f calls recover"},
	{"recover in its place", "server.go", "func f() { defer func() { _ = recover() }() }", ""},
	{"a clock to wait for", "a.go", "func f() { <-time.After(1) }", "f uses time.After"},
	{"a sleep", "internal/x/a.go", "var nap = time.Sleep", "uses time.Sleep"},
	{"a tick", "a.go", "func f() { <-time.Tick(1) }", "f uses time.Tick"},
	{"a timer is fine", "wait.go", "func f() { <-time.NewTimer(1).C; time.AfterFunc(1, f) }", ""},
	{"an example may sleep", "examples/a.go", "func F() { go f(); <-time.After(1) }", ""},
	{"a test may not", "examples/a_test.go", "var nap = time.Sleep", "a test sleeps"},
	{"a test may wait", "a_test.go", "func F() { go f(); <-time.After(1) }", ""},
	{"a test that skips", "a_test.go", "func TestX(t *testing.T) { t.SkipNow() }", "a test skips"},
	{"a test that logs", "a_test.go", "func TestX(t *testing.T) { t.Log(x.Skip) }", ""},
	{"a close", "a.go", "func (a *A) stop() { close(a.c) }", "(*A).stop closes a channel"},
	{"a close on the list", "latch.go", "func (a *A[T]) set() { close(a.c) }", ""},
	{"a close in another function", "latch.go", "func (a *A[T]) set() { close(a.c) }; func (a A[T]) unset() { close(a.c) }", "(A).unset closes"},
	{"a close by a pair of types", "latch.go", "func (a *A[K, V]) set() { close(a.c) }", ""},
	{"a close after the list's", "latch.go", "func (a *A) set() { close(a.c) }\nvar f = func() { close(c) }", "latch.go:3:  closes a channel"},
	{"a method called close", "a.go", "func f() { x.close(); y.recover() }", ""},
	{"a condition", "a.go", "type a struct { c sync.Cond }", "sync.Cond"},
	{"a new condition", "a.go", "var c = sync.NewCond(nil)", "sync.NewCond"},
	{"bytes on a channel", "a.go", "func f() { _ = make(chan []byte) }", "carries a payload"},
	{"a pointer to bytes", "a.go", "var c <-chan *[]byte", "carries a payload"},
	{"a string", "a.go", "var c chan string", "carries a payload"},
	{"a frame", "a.go", "var c chan frame", "carries a payload: frame"},
	{"a pointer to a frame", "a.go", "type t struct { c chan<- *DataFrame }", "carries a payload: DataFrame"},
	{"someone's frame", "internal/x/a.go", "var c chan spdy.Frame", "carries a payload: Frame"},
	{"a buffer", "a.go", "var c chan *bytes.Buffer", "carries a payload: Buffer"},
	{"a struct around bytes", "a.go", "var c chan chunk; type outer struct { c chunk }; type chunk struct { n int; p []byte }", "carries a payload: chunk"},
	{"a struct around that", "a.go", "var c chan outer; type outer struct { c chunk }; type chunk struct { p []byte }", "carries a payload: outer"},
	{"a struct without a name", "a.go", "var c chan struct { p []byte }", "carries a payload"},
	{"a struct of numbers", "a.go", "var c chan pair; type pair struct { a, b int }", ""},
	{"a type in a function", "a.go", "func f() { type chunk struct { p []byte }; _ = make(chan chunk) }", "carries a payload: chunk"},
	{"a type of bytes", "a.go", "var c chan chunk; type chunk []byte", "carries a payload: chunk"},
	{"small things", "a.go", "var a chan struct{}; var b chan error; var c chan *Stream; type Stream struct { buf []byte }\n", "Stream is exported"},
	{"small things alone", "a.go", "var a chan struct{}; var b chan error; var c chan *stream; type stream struct { buf []byte }\n", ""},
	{"an undocumented function", "a.go", "func F() {}", "F is exported and has no comment"},
	{"an undocumented method", "a.go", "// A T is.\ntype T int\nfunc (t *T) F() {}", "F is exported and has no comment"},
	{"a method nobody can see", "a.go", "type t int; func (t) F() {}", ""},
	{"an undocumented type", "a.go", "type T int", "T is exported and has no comment"},
	{"an undocumented constant", "a.go", "const (\n\tA = 1 // fine\n\tB = 2\n)", "B is exported and has no comment"},
	{"a documented group", "a.go", "// The letters.\nconst (\n\tA = 1\n\tB = 2\n)\n// F's comment.\nfunc F() {}", ""},
	{"an undocumented variable", "a.go", "var A, b = 1, 2", "A is exported and has no comment"},
	{"the comment of another", "a.go", "// G does this.\nfunc F() {}", "the comment of F begins with other words"},
	{"a comment that comes to it late", "a.go", "// This is what F does.\nfunc F() {}", "the comment of F begins with other words"},
	{"a long function", "a.go", "func f() {\n" + strings.Repeat("\n", 9) + "}", "f has 11 lines, more than 10"},
	{"a function that just fits", "a.go", "func f() {\n" + strings.Repeat("\n", 8) + "}", ""},
	{"a long function on the list", "table.go", "func table() {\n" + strings.Repeat("\n", 9) + "}", ""},
	{"a long file", "a.go", strings.Repeat("\n", 100), "the file has 101 lines, more than 100"},
	{"a file that just fits", "a.go", strings.Repeat("\n", 99), ""},
	{"a goroutine", "a.go", "func f() { go f() }", "f starts a goroutine"},
	{"a goroutine of a group", "a.go", "func f() { wg.Go(f) }", "f starts a goroutine"},
	{"a goroutine on the list", "latch.go", "func start() { go start() }", ""},
	{"a send", "a.go", "func f() { c <- 1 }", "f sends on a channel"},
	{"a send in a select", "a.go", "func f() { select { case c <- 1: case <-done: } }", "f sends on a channel"},
	{"a post", "a.go", "func f() { select { case c <- 1: default: } }", ""},
	{"a send after a post", "a.go", "func f() { select { case c <- 1: c <- 2; default: c <- 3 } }", "f sends on a channel"},
	{"a send on the list", "latch.go", "func post() { c <- 1 }", ""},
	{"a wait", "a.go", "func f() { x := <-c }", "f waits for a channel by itself"},
	{"a wait in a select", "a.go", "func f() { select { case x, ok := <-c: case <-done: } }", "f waits for a channel by itself"},
	{"a look at a latch", "a.go", "func f() { select { case x := <-c: default: } }", ""},
	{"a wait after a look", "a.go", "func f() { select { case <-c: <-d; default: } }", "f waits for a channel by itself"},
	{"a wait in its place", "wait.go", "func f() { select { case <-c: case <-done: } }", ""},
	{"a wait of a tool", "internal/x/a.go", "func f() { <-c }", ""},
	{"an import of another layer", "pure_one.go", "import \"net\"", "imports net, but it is pure"},
	{"an import of the layer", "pure_one.go", "import \"fmt\"", ""},
	{"an import outside it", "impure.go", "import \"net\"", ""},
	{"a name of another layer", "pure_one.go", "func f(s *Session) {}", "names Session, but it is pure"},
	{"the method of a name", "pure_one.go", "var f = Session.Close", "names Session, but it is pure"},
	{"the method of its method", "pure_one.go", "var f = Session.A.B", "names Session, but it is pure"},
	{"the field of a field of that name", "pure_one.go", "var f = x.Session.B", ""},
	{"a field of that name", "pure_one.go", "var f = x.Session", ""},
	{"an exception that is not needed", "latch.go", "func post() {}", "latch.go: post needs no exception (send)"},
	{"what is not Go", "a.go", "func {", "expected"},
}

var rules = house.Rules{
	MayRecover: []string{"server.go"},
	MayClose:   []house.Place{{File: "latch.go", Func: "(*A).set"}},
	MayStart:   []house.Place{{File: "latch.go", Func: "start"}},
	MayWait:    []string{"wait.go"},
	MaySend:    []house.Place{{File: "latch.go", Func: "post"}},
	MayBeLong:  map[house.Place]string{{File: "table.go", Func: "table"}: "a table"},
	Layers:     []house.Layer{{Why: "it is pure", Files: []string{"pure*.go"}, Imports: []string{"fmt"}, Names: []string{"Session"}}},
	MaxFile:    100,
	MaxFunc:    10,
}

func TestRulesBite(t *testing.T) {
	for _, b := range bites {
		t.Run(b.name, func(t *testing.T) {
			var got []string
			for _, g := range rules.Check(house.Sources{b.file: "package p\n" + b.source}) {
				// latch.go has more exceptions than one case makes use of.
				if b.complaint != "" || !strings.HasPrefix(g, "latch.go: ") {
					got = append(got, g)
				}
			}
			if b.complaint == "" {
				require.Empty(t, got)
			} else {
				require.Contains(t, strings.Join(got, "\n"), b.complaint)
			}
		})
	}
}

func TestExceptions(t *testing.T) {
	all := "package p; func (a *A) set() { close(a.c) }; func start() { go start() }; func post() { c <- 1 }"
	require.Empty(t, rules.Check(house.Sources{"latch.go": all}))
	require.Empty(t, rules.Check(house.Sources{"other.go": "package p"}), "files that do not exist need no exceptions yet")
	require.Equal(t, []string{
		"latch.go: (*A).set needs no exception (close)",
		"latch.go: post needs no exception (send)",
		"latch.go: start needs no exception (start)",
		"table.go: table needs no exception (long)",
	}, rules.Check(house.Sources{"latch.go": "package p", "table.go": "package p"}))

	more := rules
	more.MayBeLong = map[house.Place]string{{File: "none.go", Func: "none"}: ""}
	require.Equal(t, []string{"none.go: none is long for no reason"}, more.Check(house.Sources{}))
}

func TestRead(t *testing.T) {
	file := &fstest.MapFile{Data: []byte("package p")}
	got, err := house.Read(fstest.MapFS{
		"a.go": file, "internal/x/b.go": file, "go.mod": file, "c.txt": file, "bench/go.mod": file, "bench/d.go": file,
		"testdata/e.go": file, ".ci/f.go": file, "examples/g/h.go": file,
	}, ".")
	require.NoError(t, err)
	require.Equal(t, house.Sources{"a.go": "package p", "internal/x/b.go": "package p", "examples/g/h.go": "package p"}, got)
}
