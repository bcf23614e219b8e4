// Package nethttp holds the table of the behaviours of net/http: the behaviour, the same in this
// library or the difference with its reason, and the tests that show it. docs/net-http.md is
// generated from the table, by go run ./internal/nethttp/page. The suite in parity checks the table.
package nethttp

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Row is a behaviour of net/http.
type Row struct {
	Table string // the name of the Table that the row belongs to
	Name  string // the names of net/http in backquotes, a difference as in parity, or a behaviour
	HTTP  string // what net/http does, where Name does not say it
	HTTP2 string // the behaviour of x/net/http2, where a table compares that too
	SPDY  string // "equal", "yes", "no", or the difference
	Why   string // the reason of the difference
	Tests []Test
}

// A Test shows the behaviour of a row.
type Test struct {
	Dir  string // relative to the root of the module, "" for the root
	Name string // a function, or in parity a suite and a scenario
}

// IsScenario reports whether the test is a scenario of the suite in parity.
func (t Test) IsScenario() bool { return t.Dir == "parity" && strings.Contains(t.Name, "/") }

// String is the test as on the page.
func (t Test) String() string {
	if t.Dir == "" || t.IsScenario() {
		return t.Name
	}
	return t.Dir + "." + t.Name
}

// A Table is a table of the page: the heads of the columns with the field of Row below each.
type Table struct {
	Name    string
	Columns [][2]string
}

// Tables are the tables of the page. A row of the file rows.txt names one of these.
var Tables = []Table{
	{"http.Server", [][2]string{{"of http.Server", "name"}, {"in spdy.Server", "spdy"}, {"", "why"}, {"test", "test"}}},
	{"http.Transport", [][2]string{{"of http.Transport", "name"}, {"in spdy.Transport", "spdy"}, {"", "why"}, {"test", "test"}}},
	{"http.Request", [][2]string{{"of http.Request", "name"}, {"ours", "spdy"}, {"", "why"}, {"test", "test"}}},
	{"http.Response", [][2]string{{"of http.Response", "name"}, {"ours", "spdy"}, {"", "why"}, {"test", "test"}}},
	{"http.ResponseWriter", [][2]string{{"of http.ResponseWriter", "name"}, {"ours", "spdy"}, {"", "why"}, {"test", "test"}}},
	{"retries", [][2]string{{"", "name"}, {"HTTP/1.1 of `net/http`", "http"}, {"`golang.org/x/net/http2`", "http2"}, {"`spdy.Transport`, `ConfigureTransport`", "spdy"}, {"test", "test"}}},
	{"spdy", [][2]string{{"difference", "name"}, {"behaviour", "spdy"}, {"reason", "why"}, {"test", "test"}}},
	{"http1", [][2]string{{"difference", "name"}, {"HTTP/1.1 alone", "http"}, {"test", "test"}}},
	{"http2", [][2]string{{"difference", "name"}, {"HTTP/2 alone", "http"}, {"test", "test"}}},
	{"serving", behaviours},
	{"request at the handler", behaviours},
	{"response of the handler", behaviours},
	{"sending", behaviours},
	{"response at the client", behaviours},
	{"httptest", behaviours},
}

// behaviours are the columns of the tables by the code of net/http.
var behaviours = [][2]string{{"in net/http", "name"}, {"ours", "spdy"}, {"reason", "why"}, {"test", "test"}}

var (
	//go:embed rows.txt
	rows string

	//go:embed page.txt
	page string
)

// Rows are all rows, in the order of the file.
func Rows() ([]Row, error) { return parse(rows) }

// Page is the text of docs/net-http.md.
func Page() (string, error) {
	all, err := Rows()
	if err != nil {
		return "", err
	}
	var missing []string
	text := regexp.MustCompile(`(?m)^<table (.*)>$`).ReplaceAllStringFunc(page, func(line string) string {
		name := strings.TrimSuffix(strings.TrimPrefix(line, "<table "), ">")
		i := slices.IndexFunc(Tables, func(t Table) bool { return t.Name == name })
		if i < 0 {
			missing = append(missing, name)
			return line
		}
		return Tables[i].text(all)
	})
	for _, t := range Tables {
		if !strings.Contains(page, "\n<table "+t.Name+">\n") {
			missing = append(missing, t.Name)
		}
	}
	if missing != nil {
		return "", fmt.Errorf("the page and Tables disagree about the tables %q", missing)
	}
	return text, nil
}

// text is the table in Markdown.
func (t *Table) text(all []Row) string {
	var b strings.Builder
	line := func(cell func(column [2]string) string) {
		for _, c := range t.Columns {
			b.WriteString(strings.TrimRight("| "+cell(c), " ") + " ")
		}
		b.WriteString("|\n")
	}
	line(func(c [2]string) string { return c[0] })
	line(func([2]string) string { return "---" })
	for _, r := range all {
		if r.Table == t.Name {
			line(func(c [2]string) string { return r.cell(c[1]) })
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// cell is a field of the row.
func (r *Row) cell(field string) string {
	switch field {
	case "name":
		return r.Name
	case "http":
		return r.HTTP
	case "http2":
		return r.HTTP2
	case "spdy":
		return r.SPDY
	case "why":
		return r.Why
	}
	var names []string
	for _, t := range r.Tests {
		names = append(names, "`"+t.String()+"`")
	}
	return strings.Join(names, ", ")
}

// parse reads rows: "[table]" begins a table, an empty line ends a row, the first line of a row is
// the name, and further lines begin with the name of a field.
func parse(text string) ([]Row, error) {
	var all []Row
	table, open := "", false
	for i, line := range strings.Split(text, "\n") {
		name, isTable := strings.CutPrefix(line, "[")
		switch {
		case line == "":
			open = false
		case !open && isTable:
			table = strings.TrimSuffix(name, "]")
			if !slices.ContainsFunc(Tables, func(t Table) bool { return t.Name == table }) {
				return nil, fmt.Errorf("rows.txt:%d: there is no table %q", i+1, table)
			}
		case !open:
			all, open = append(all, Row{Table: table, Name: line}), true
		default:
			if err := all[len(all)-1].set(line); err != nil {
				return nil, fmt.Errorf("rows.txt:%d: %w", i+1, err)
			}
		}
	}
	return all, nil
}

// set sets the field that a line of the file names.
func (r *Row) set(line string) error {
	field, text, _ := strings.Cut(line, ": ")
	to := map[string]*string{"http": &r.HTTP, "http2": &r.HTTP2, "spdy": &r.SPDY, "why": &r.Why}[field]
	switch {
	case text == "":
		return fmt.Errorf("%q has no text", line)
	case field == "test":
		r.Tests = append(r.Tests, parseTest(text))
		return nil
	case to == nil || *to != "":
		return fmt.Errorf("%q is no field, or the second of the name", field)
	case strings.Contains(text, "|"):
		return fmt.Errorf("%q would end the cell", line)
	}
	*to = text
	return nil
}

// parseTest splits the name of a test, such as "parity/status/201", "tests/ends.TestMatrix" or
// "TestModel".
func parseTest(text string) Test {
	if name, ok := strings.CutPrefix(text, "parity/"); ok {
		return Test{"parity", name}
	}
	if i := strings.LastIndex(text, ".Test"); i >= 0 {
		return Test{text[:i], text[i+1:]}
	}
	return Test{"", text}
}
