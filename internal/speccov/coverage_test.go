package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// jsonOf is what go test -json says of tests with the given outcomes.
func jsonOf(t *testing.T, lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		action, name, _ := strings.Cut(line, " ")
		require.NoError(t, json.NewEncoder(&b).Encode(event{Action: action, Package: "p", Test: name}))
	}
	return b.String()
}

func read(t *testing.T, lines ...string) *Coverage {
	c, err := ReadTests(strings.NewReader(jsonOf(t, lines...)))
	require.NoError(t, err)
	return c
}

func TestRules(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sections {
		for i, r := range s.Rules {
			require.Regexp(t, idPattern, r.ID)
			require.False(t, seen[r.ID], r.ID)
			seen[r.ID] = true
			require.NotEmpty(t, r.Versions, r.ID)
			require.True(t, i == 0 || s.Rules[i-1].ID[:1] == r.ID[:1], "%s is in the wrong section", r.ID)
			require.True(t, strings.HasSuffix(r.Text, "."), r.ID)
		}
	}
	// SPEC.md section 4 has so many of each.
	for letter, n := range map[string]int{"F": 16, "H": 18, "S": 14, "R": 13, "D": 11, "X": 7, "T": 19, "P": 5, "G": 10, "W": 21, "U": 20, "C": 4, "M": 16} {
		for i := range n {
			require.True(t, seen[fmt.Sprint(letter, i+1)], "%s%d", letter, i+1)
		}
	}
	require.Len(t, seen, 174)
}

func TestNames(t *testing.T) {
	for name, want := range map[string][]showing{
		"TestW5":                         nil, // the function's name is no element
		"TestA/W5":                       {{"W5", "3.1", "TestA/W5"}},
		"TestA/W5/v2":                    {{"W5", "2", "TestA/W5"}},
		"TestA/v3/W5/x":                  {{"W5", "3", "TestA/v3/W5"}},
		"TestA/F5,F15/some_types/client": {{"F5", "3.1", "TestA/F5,F15"}, {"F15", "3.1", "TestA/F5,F15"}},
		"TestA/W5#01/v3.1#02":            {{"W5", "3.1", "TestA/W5#01"}},
		"TestA/W5_and_more":              nil,
		"TestA/w5":                       nil,
		"TestA/W5,more":                  nil,
	} {
		require.Equal(t, want, rulesIn(name), name)
	}
}

func TestCounting(t *testing.T) {
	c := read(t,
		"pass TestA/W7/v3.1", // a parent
		"pass TestA/W7/v3.1/x",
		"pass TestA/W9/v2/x", // not a version of it
		"pass TestA",
		"skip TestA/W13",
		"pass TestA/C1", // in 3.1 by its name, but 3.0 is what it covers
		"run TestA/W21",
	)
	got := map[string][]string{}
	for _, s := range sections {
		for _, r := range s.Rules {
			if len(c.missing(r)) < len(r.Versions) {
				got[r.ID] = c.missing(r)
			}
		}
	}
	require.Equal(t, map[string][]string{"W7": nil}, got)
	require.ErrorIs(t, c.Err(), errNotCovered)
	require.NotErrorIs(t, c.Err(), errTestsFail)
	require.ErrorContains(t, c.Err(), "F1 has no test for SPDY/2, SPDY/3, SPDY/3.1")
	require.NotContains(t, c.Err().Error(), "C1 ", "there is a reason for that")
}

func TestFailures(t *testing.T) {
	require.ErrorIs(t, read(t, "fail TestA/W7").Err(), errTestsFail)
	require.ErrorContains(t, read(t, "pass TestA/W99").Err(), "there is no rule W99")
	require.ErrorIs(t, read(t, "build-fail ").Err(), errTestsFail)
	for _, text := range []string{"", "no JSON\n", jsonOf(t, "output TestA")} {
		_, err := ReadTests(strings.NewReader(text))
		require.Error(t, err, text)
	}
}

// allTests names one test for each rule and version.
func allTests() (lines []string) {
	for _, s := range sections {
		for _, r := range s.Rules {
			for _, v := range r.Versions {
				lines = append(lines, "pass TestAll/"+r.ID+"/v"+v)
			}
		}
	}
	return lines
}

func TestMarkdown(t *testing.T) {
	c := read(t, append(allTests(), "pass TestB/W7,W5/x", "pass TestB/v2/F1")...)
	require.NoError(t, c.Err())
	text := c.Markdown()
	require.Contains(t, text, "| W7 | 3.1 | A session window beyond 2^31-1 ends the session. | `TestAll/W7`, `TestB/W7,W5` |")
	require.Contains(t, text, "| `TestAll/W5`, `TestB/W7,W5` (3.1) |")
	require.Contains(t, text, "| `TestAll/F1`, `TestB/v2/F1` (2) |")
	require.Equal(t, text, c.Markdown())
	cells := regexp.MustCompile(`(?m)^\|.*\|$`).FindAllString(text, -1)
	for _, line := range cells {
		require.Equal(t, 7, strings.Count(line, "|"), line)
	}
	require.Len(t, cells, 174+2*len(sections))
	require.Contains(t, read(t, "pass TestA").Markdown(), "| none for 2, 3, 3.1 |")
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	doc, saved := filepath.Join(dir, "docs", "out.md"), filepath.Join(dir, "tests.json")
	text := jsonOf(t, allTests()...)
	require.NoError(t, os.WriteFile(saved, []byte(text), 0o644))
	var stderr bytes.Buffer
	do := func(args ...string) error {
		return run(append([]string{"-o", doc}, args...), strings.NewReader(text), &stderr)
	}
	require.ErrorIs(t, do("-json", saved, "-check"), os.ErrNotExist, "nothing is committed")
	require.NoError(t, do("-json", saved))
	require.NoError(t, do("-json", "-", "-check"))
	b, err := os.ReadFile(doc)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(doc, bytes.Replace(b, []byte("TestAll/W7"), []byte("TestOld/W7"), 1), 0o644))
	require.ErrorContains(t, do("-json", saved, "-check"), "TestOld/W7", "it is stale")
	for _, more := range []string{"more\n", "\nmore\n"} {
		require.NoError(t, os.WriteFile(doc, append(bytes.Clone(b), more...), 0o644))
		require.ErrorContains(t, do("-json", saved, "-check"), "out of date")
	}
	require.NoError(t, os.WriteFile(doc, b[:len(b)/2], 0o644))
	require.Error(t, do("-json", saved, "-check"))

	text = jsonOf(t, allTests()[1:]...)
	require.ErrorIs(t, do("-json", "-"), errNotCovered, "it is written all the same")
	require.ErrorIs(t, do("-json", "-", "-check"), errNotCovered)
	require.Error(t, do("-json", filepath.Join(dir, "none")))
	require.Error(t, do("-none"))
	_, err = gather("-", io.LimitReader(strings.NewReader(text), 100), &stderr)
	require.Error(t, err)
}

// TestRunTests runs the tests of a module made for it.
func TestRunTests(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("GOWORK", "off")
	write := func(name, text string) { require.NoError(t, os.WriteFile(name, []byte(text), 0o644)) }
	write("go.mod", "module m\n\ngo 1.25\n")
	test := func(body string) string {
		return "package m\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) { t.Run(\"W7/v3.1\", func(t *testing.T) { " + body + " }) }\n"
	}
	write("m_test.go", test(""))
	c, err := runTests(io.Discard)
	require.NoError(t, err)
	require.Len(t, c.tests["W7"]["3.1"], 1)
	write("m_test.go", test("t.Fail()"))
	c, err = runTests(io.Discard)
	require.NoError(t, err)
	require.ErrorIs(t, c.Err(), errTestsFail)
	write("m_test.go", test("this is no Go"))
	c, err = runTests(io.Discard)
	if err == nil {
		err = c.Err()
	}
	require.Error(t, err)
}
