package main

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/amahi/spdy/internal/nethttp/suite/hook"
)

//go:embed excluded.txt
var excludedText string

// parseExcluded reads lines of a name, a tab and a reason; # starts a comment.
func parseExcluded(text string) (map[string]string, error) {
	excluded := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, _ := strings.Cut(line, "\t")
		if reason == "" || excluded[name] != "" {
			return nil, fmt.Errorf("excluded.txt: %q has no reason, or two", name)
		}
		excluded[name] = reason
	}
	return excluded, nil
}

// A verdict compares the results over HTTP/2 and SPDY.
type verdict struct {
	total, passed, excluded int
	complaints              []string
}

func (v *verdict) add(w verdict) {
	v.total += w.total
	v.passed += w.passed
	v.excluded += w.excluded
	v.complaints = append(v.complaints, w.complaints...)
}

// compare runs the tests over HTTP/2, and then over SPDY those that have passed.
func (r runner) compare(pattern string, tries int, excluded map[string]string) (verdict, error) {
	if pattern == "" {
		pattern = "."
	}
	wanted, err := r.passing(pattern, tries)
	if err != nil {
		return verdict{}, err
	}
	results := make(map[string]string)
	logs := make(map[string]string)
	ask := func(names []string, timeout string) error {
		if len(names) == 0 {
			return nil
		}
		outcomes, err := r.run(hook.SPDY, tops(names), timeout)
		got := settle(hook.SPDY, outcomes)
		for _, name := range names {
			results[name], logs[name] = got[name], logOf(name, outcomes)
		}
		return err
	}
	var left, out []string
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if excluded[name] != "" {
			out = append(out, name)
		} else {
			left = append(left, name)
		}
	}
	if err := ask(out, briefTimeout); err != nil {
		return verdict{}, err
	}
	for try := 1; try <= tries && len(left) > 0; try++ {
		if err := ask(left, timeout); err != nil {
			return verdict{}, err
		}
		again := slices.DeleteFunc(slices.Clone(left), func(name string) bool { return results[name] == "pass" })
		if try > 1 {
			fmt.Printf("%s: run %d of %s\n", r.path, try, strings.Join(left, " "))
		}
		left = again
	}
	return judge(r.path, results, logs, excluded), nil
}

// passing returns the tests that pass over HTTP/2 in one of several tries.
func (r runner) passing(pattern string, tries int) (map[string]bool, error) {
	passed := make(map[string]bool)
	patience := timeout
	for range tries {
		outcomes, err := r.run(hook.HTTP2, pattern, patience)
		if err != nil {
			return nil, err
		}
		var left []string
		for name, result := range settle(hook.HTTP2, outcomes) {
			switch {
			case result == "pass":
				passed[name] = true
			case result == "fail" && !passed[name]:
				left = append(left, name)
			}
		}
		if len(left) == 0 {
			break
		}
		slices.Sort(left)
		fmt.Printf("%s: over HTTP/2 fail %s\n", r.path, strings.Join(left, " "))
		pattern, patience = tops(left), briefTimeout
	}
	return passed, nil
}

// logOf returns the output of a test and its subtests.
func logOf(name string, outcomes map[string]*outcome) string {
	var b strings.Builder
	for _, test := range slices.Sorted(maps.Keys(outcomes)) {
		if test == name || strings.HasPrefix(test, name+"/") {
			b.WriteString(strings.Join(outcomes[test].output, ""))
		}
	}
	return b.String()
}

// judge counts the results over SPDY of tests that pass over HTTP/2.
func judge(path string, results, logs, excluded map[string]string) verdict {
	v := verdict{total: len(results)}
	for _, name := range slices.Sorted(maps.Keys(results)) {
		result, reason := results[name], excluded[name]
		switch {
		case result == "pass" && reason != "":
			v.passed++
			v.complaints = append(v.complaints, fmt.Sprintf("%s %s passes, but is excluded: %s", path, name, reason))
		case result == "pass":
			v.passed++
		case reason != "":
			v.excluded++
			fmt.Printf("%s %s is excluded: %s\n", path, name, reason)
		default:
			if result == "" {
				result = "did not run"
			}
			v.complaints = append(v.complaints, fmt.Sprintf("%s %s: %s\n%s", path, name, result, logs[name]))
		}
	}
	return v
}
