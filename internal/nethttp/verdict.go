package main

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/amahi/spdy/internal/nethttp/hook"
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
	outcomes, err := r.run(hook.HTTP2, pattern)
	if err != nil {
		return verdict{}, err
	}
	wanted := settle(hook.HTTP2, outcomes)
	maps.DeleteFunc(wanted, func(_, result string) bool { return result != "pass" })
	results := make(map[string]string)
	logs := make(map[string]string)
	left := slices.Sorted(maps.Keys(wanted))
	for try := 1; try <= tries && len(left) > 0; try++ {
		outcomes, err := r.run(hook.SPDY, tops(left))
		if err != nil {
			return verdict{}, err
		}
		got := settle(hook.SPDY, outcomes)
		for _, name := range left {
			results[name], logs[name] = got[name], logOf(name, outcomes)
			if try > 1 && got[name] == "pass" {
				fmt.Printf("%s %s passed in run %d\n", r.path, name, try)
			}
		}
		left = slices.DeleteFunc(left, func(name string) bool {
			return results[name] == "pass" || excluded[name] != ""
		})
	}
	return judge(r.path, results, logs, excluded), nil
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
