package parity

import (
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/nethttp"
)

// rows are the rows of the table of docs/net-http.md.
func rows(t *testing.T) []nethttp.Row {
	all, err := nethttp.Rows()
	require.NoError(t, err)
	require.NotEmpty(t, all)
	return all
}

// TestPageIsGenerated: docs/net-http.md is the output of the generator.
func TestPageIsGenerated(t *testing.T) {
	want, err := nethttp.Page()
	require.NoError(t, err)
	page, err := os.ReadFile("../docs/net-http.md")
	require.NoError(t, err)
	require.Equal(t, strings.Split(want, "\n"), strings.Split(string(page), "\n"), "run go run ./internal/nethttp/page")
}

// scenarioNamed returns the scenario with the name "suite/scenario", or nil.
func scenarioNamed(name string) *scenario {
	for _, suite := range suites {
		for i, s := range suite.scenarios {
			if suite.name+"/"+s.name == name {
				return &suite.scenarios[i]
			}
		}
	}
	return nil
}

// testsOf returns the names of the tests in a folder of the module.
func testsOf(t *testing.T, dir string) map[string]bool {
	files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(dir), "*_test.go"))
	require.NoError(t, err)
	names := make(map[string]bool)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`).FindAllSubmatch(text, -1) {
			names[string(m[1])] = true
		}
	}
	return names
}

// TestRowsNameTests: each row of the table is complete and names a test that exists.
func TestRowsNameTests(t *testing.T) {
	tests := make(map[string]map[string]bool)
	seen := make(map[string]bool)
	for _, r := range rows(t) {
		name := r.Table + ": " + r.Name
		require.False(t, seen[name], "%s has two rows", name)
		seen[name] = true
		require.NotEmpty(t, r.SPDY+r.HTTP, name)
		require.NotEmpty(t, r.Tests, "%s names no test", name)
		for _, test := range r.Tests {
			if test.IsScenario() {
				require.NotNil(t, scenarioNamed(test.Name), "%s: there is no scenario %s", name, test.Name)
				continue
			}
			if tests[test.Dir] == nil {
				tests[test.Dir] = testsOf(t, test.Dir)
			}
			require.True(t, tests[test.Dir][test.Name], "%s: there is no %s", name, test)
		}
	}
	t.Logf("%d rows", len(seen))
}

// TestDifferencesNameTheirScenarios: the scenarios of a difference have an exception because of it.
func TestDifferencesNameTheirScenarios(t *testing.T) {
	for _, r := range rows(t) {
		if !slices.Contains([]string{"spdy", "http1", "http2"}, r.Table) {
			continue
		}
		for _, test := range r.Tests {
			require.True(t, test.IsScenario(), r.Name)
			s := scenarioNamed(test.Name)
			require.NotNil(t, s, test.Name)
			require.True(t, slices.ContainsFunc(s.except, func(e exception) bool { return e.why == r.Name }), "%s: %s", r.Name, test.Name)
		}
	}
}

// TestRowsAreTrue: a row that calls a behaviour equal names scenarios with the outcome of HTTP/1.1 or
// of HTTP/2, and a row with a difference gives the reason.
func TestRowsAreTrue(t *testing.T) {
	outcome := func(s *scenario, name string) []string {
		i := slices.IndexFunc(protocols, func(p protocol) bool { return p.name == name })
		return lines(s.expected(protocols[i]))
	}
	for _, r := range rows(t) {
		for _, test := range r.Tests {
			if r.SPDY != "equal" || !test.IsScenario() {
				continue
			}
			s := scenarioNamed(test.Name)
			require.NotNil(t, s, test.Name)
			require.Contains(t, [][]string{outcome(s, http1), outcome(s, http2)}, outcome(s, spdy31), "%s: %s", r.Name, test.Name)
		}
		for _, table := range nethttp.Tables {
			if table.Name == r.Table && table.Columns[0][0] == "in net/http" && r.SPDY != "equal" {
				require.NotEmpty(t, r.Why, "%s has no reason", r.Name)
			}
		}
	}
}

// namesIn are the names in backquotes of the rows of a table.
func namesIn(t *testing.T, table string) map[string]bool {
	names := make(map[string]bool)
	for _, r := range rows(t) {
		if r.Table != table {
			continue
		}
		for _, m := range regexp.MustCompile("`([A-Za-z0-9.]+)`").FindAllStringSubmatch(r.Name, -1) {
			require.False(t, names[m[1]], "%s has two rows in %s", m[1], table)
			names[m[1]] = true
		}
	}
	return names
}

// exportedOf are the names of the exported fields of a struct and of the methods of a pointer to it.
func exportedOf(p reflect.Type) map[string]bool {
	names := make(map[string]bool)
	for i := range p.NumMethod() {
		names[p.Method(i).Name] = true
	}
	if p.Kind() == reflect.Pointer {
		for i := range p.Elem().NumField() {
			if f := p.Elem().Field(i); f.IsExported() {
				names[f.Name] = true
			}
		}
	}
	return names
}

// TestRowsAreComplete: each exported field and method of the types of net/http, as of the Go that runs
// the test, has a row in the table of the type, and the table has no other names.
func TestRowsAreComplete(t *testing.T) {
	writer := exportedOf(reflect.TypeFor[http.ResponseWriter]())
	for name := range exportedOf(reflect.TypeFor[*http.ResponseController]()) {
		writer["ResponseController."+name] = true
	}
	// The optional interfaces of a ResponseWriter that net/http documents or asks for.
	for _, name := range []string{"Flusher", "Hijacker", "ReaderFrom", "CloseNotifier", "Pusher", "StringWriter"} {
		writer[name] = true
	}
	for table, want := range map[string]map[string]bool{
		"http.Server":         exportedOf(reflect.TypeFor[*http.Server]()),
		"http.Transport":      exportedOf(reflect.TypeFor[*http.Transport]()),
		"http.Request":        exportedOf(reflect.TypeFor[*http.Request]()),
		"http.Response":       exportedOf(reflect.TypeFor[*http.Response]()),
		"http.ResponseWriter": writer,
	} {
		require.Equal(t, want, namesIn(t, table), table)
	}
}
