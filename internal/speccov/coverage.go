package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A test shows a rule if it passes, has no subtests, and an element of the test's name is the
// rule's id or a comma-separated list of ids:
//
//	TestSpecWindows/W5/v3.1/stream
//	TestFraming/F5,F15/unknown_control_types/client
//
// An element v2, v3 or v3.1 names the version of the protocol; the default is SPDY/3.1.

// defaultVersion is the version of tests whose names contain no version.
const defaultVersion = "3.1"

var (
	idPattern     = regexp.MustCompile(`^[A-Z][0-9]{1,2}$`)
	versionOf     = map[string]string{"v2": "2", "v3": "3", "v3.1": "3.1"}
	repeatedName  = regexp.MustCompile(`#[0-9]+$`) // the suffix that go test appends to repeated names
	errTestsFail  = errors.New("tests fail")
	errNotCovered = errors.New("rules are not covered")
)

// A Coverage is the result of a test run: the rules shown by the tests.
type Coverage struct {
	outcome map[string]string                     // of each test: pass, fail, skip
	tests   map[string]map[string]map[string]bool // by rule, then version: the tests, truncated after the id
	unknown []string                              // tests that name a rule that does not exist
	failed  []string
}

// An event is a line of go test -json.
type event struct {
	Action, Package, Test, Output string
}

// ReadTests reads the output of go test -json, for any number of packages.
func ReadTests(r io.Reader) (*Coverage, error) {
	c := &Coverage{outcome: map[string]string{}, tests: map[string]map[string]map[string]bool{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("not the output of go test -json: %w", err)
		}
		switch e.Action {
		case "pass", "fail", "skip":
			c.outcome[e.Test] = e.Action
			if e.Action == "fail" {
				c.failed = append(c.failed, strings.TrimSpace(e.Package+" "+e.Test))
			}
		case "build-fail":
			c.failed = append(c.failed, "the build")
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(c.outcome) == 0 && len(c.failed) == 0 {
		return nil, errors.New("no test has run")
	}
	c.count()
	return c, nil
}

// count records the passed tests without subtests.
func (c *Coverage) count() {
	parents := map[string]bool{}
	for name := range c.outcome {
		for i, char := range name {
			if char == '/' {
				parents[name[:i]] = true
			}
		}
	}
	known := map[string]bool{}
	for _, s := range sections {
		for _, r := range s.Rules {
			known[r.ID] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.outcome)) {
		if c.outcome[name] != "pass" || parents[name] {
			continue
		}
		for _, shown := range rulesIn(name) {
			if !known[shown.id] {
				c.unknown = append(c.unknown, fmt.Sprintf("%s: there is no rule %s", name, shown.id))
				continue
			}
			c.enter(shown)
		}
	}
}

// A showing is the part of a test's name that names a rule and a version.
type showing struct{ id, version, prefix string }

func rulesIn(test string) (found []showing) {
	elements := strings.Split(test, "/")
	version := defaultVersion
	for _, e := range elements[1:] {
		if v, ok := versionOf[repeatedName.ReplaceAllString(e, "")]; ok {
			version = v
		}
	}
	for i, e := range elements {
		ids := strings.Split(repeatedName.ReplaceAllString(e, ""), ",")
		if i == 0 || slices.ContainsFunc(ids, func(id string) bool { return !idPattern.MatchString(id) }) {
			continue
		}
		for _, id := range ids {
			found = append(found, showing{id, version, strings.Join(elements[:i+1], "/")})
		}
	}
	return found
}

func (c *Coverage) enter(s showing) {
	if c.tests[s.id] == nil {
		c.tests[s.id] = map[string]map[string]bool{}
	}
	if c.tests[s.id][s.version] == nil {
		c.tests[s.id][s.version] = map[string]bool{}
	}
	c.tests[s.id][s.version][s.prefix] = true
}

// missing returns the versions of a rule that no test has shown.
func (c *Coverage) missing(r Rule) (versions []string) {
	for _, v := range r.Versions {
		if len(c.tests[r.ID][v]) == 0 {
			versions = append(versions, v)
		}
	}
	return versions
}

// Err returns all problems: failed tests, rules without a test and without a reason, and tests that
// name no rule.
func (c *Coverage) Err() error {
	var errs []error
	for _, name := range c.failed {
		errs = append(errs, fmt.Errorf("%w: %s", errTestsFail, name))
	}
	for _, s := range sections {
		for _, r := range s.Rules {
			if versions := c.missing(r); len(versions) > 0 && r.Decision == "" {
				errs = append(errs, fmt.Errorf("%w: %s has no test for SPDY/%s", errNotCovered, r.ID, strings.Join(versions, ", SPDY/")))
			}
		}
	}
	for _, text := range c.unknown {
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}

// Markdown returns the table of all rules.
func (c *Coverage) Markdown() string {
	var b strings.Builder
	rules, pairs, shown := 0, 0, 0
	for _, s := range sections {
		for _, r := range s.Rules {
			rules++
			pairs += len(r.Versions)
			shown += len(r.Versions) - len(c.missing(r))
		}
	}
	b.WriteString(preamble)
	fmt.Fprintf(&b, "%d rules make %d pairs of a rule and a version. Tests show %d of them; the last column\nstates the reason for the rest, and where we deviate from the text.\n", rules, pairs, shown)
	for _, s := range sections {
		fmt.Fprintf(&b, "\n## %s\n\n", s.Title)
		b.WriteString("| rule | SPDY/ | what it says | tests | what peers do | decision |\n| --- | --- | --- | --- | --- | --- |\n")
		for _, r := range s.Rules {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n",
				r.ID, strings.Join(r.Versions, " "), cell(r.Text), c.testCell(r), cell(r.Peers), cell(r.Decision))
		}
	}
	return b.String()
}

const preamble = `# Rules of the protocol and the tests that show them

Generated by ` + "`go run ./internal/speccov`" + ` from the tests of the root package that passed; CI fails
if it is out of date or a rule has neither a test nor a reason. A test is about a rule if an element
of its name is the rule's id, and about SPDY/3.1 unless another element is v2 or v3. Here names end
with the id: run one with ` + "`go test -run 'TestSpecWindows/W5/'`" + `. If a version follows a name, the
test is about that version only. If the column on peers is empty, the peers obey the rule, or no
violation is known.

`

// testCell lists the tests of a rule, beginning with the tests for all versions of the rule.
func (c *Coverage) testCell(r Rule) string {
	versions := map[string][]string{} // of a test
	for _, v := range r.Versions {
		for name := range c.tests[r.ID][v] {
			versions[name] = append(versions[name], v)
		}
	}
	names := slices.Sorted(maps.Keys(versions))
	slices.SortStableFunc(names, func(a, b string) int { return len(versions[b]) - len(versions[a]) })
	for i, name := range names {
		names[i] = "`" + cell(name) + "`"
		if len(versions[name]) < len(r.Versions) {
			names[i] += " (" + strings.Join(versions[name], ", ") + ")"
		}
	}
	if missing := c.missing(r); len(missing) > 0 {
		names = append(names, "none for "+strings.Join(missing, ", "))
	}
	return strings.Join(names, ", ")
}

// cell escapes text for a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
