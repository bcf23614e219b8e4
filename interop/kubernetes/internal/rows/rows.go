// Package rows compares pairings of two libraries. A row is a use case of programs; its result has
// the number of successes, the data that arrived and the duration.
package rows

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Pairings are client and server: m is moby/spdystream, o the drop-in.
var Pairings = []string{"mm", "mo", "om", "oo"}

// A Result is the result of a pairing in a row.
type Result struct {
	Row, Pairing string
	OK, Of       int             // successes and attempts
	Digest       string          // of the data that arrived; empty if the row transfers nothing
	Times        []time.Duration // of the successful attempts
	Note         string
}

// Add adds a result to the result of the same row and pairing, or appends it.
func Add(results []Result, r Result) []Result {
	for i := range results {
		if a := &results[i]; a.Row == r.Row && a.Pairing == r.Pairing {
			a.OK, a.Of, a.Times = a.OK+r.OK, a.Of+r.Of, append(a.Times, r.Times...)
			if a.Digest != r.Digest {
				a.Digest = "differs"
			}
			return results
		}
	}
	return append(results, r)
}

// noise is the largest insignificant difference between two median times: a machine with two cores
// under other load varies by as much between runs.
const noise = 25 * time.Millisecond

// slower is the limit for the median relative to moby at both ends, in tenths.
const slower = 12

// A Verdict compares a pairing with moby at both ends.
type Verdict string

// The verdicts.
const (
	Better Verdict = "better"
	Equal  Verdict = "equal"
	Worse  Verdict = "worse"
)

// Median returns the median of the times, 0 if there are none.
func (r Result) Median() time.Duration {
	if len(r.Times) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(r.Times))[len(r.Times)/2]
}

// Judge compares a result with the result of moby at both ends. Times are compared only if the two
// succeeded equally often, because failures are fast.
func Judge(base, r Result) Verdict {
	switch {
	case r.Of != base.Of, r.OK < base.OK, r.OK == base.OK && base.OK == base.Of && r.Digest != base.Digest:
		return Worse
	case r.OK == base.OK && base.OK > 0 && longer(r.Median(), base.Median()):
		return Worse
	case r.OK > base.OK, base.OK > 0 && longer(base.Median(), r.Median()):
		return Better
	}
	return Equal
}

func longer(a, b time.Duration) bool { return a > b*slower/10 && a > b+noise }

// A Finding is a row that is worse in a pairing.
type Finding struct {
	Row, Text string
	Slow      bool // the row is only slow
}

// Slow returns the names of the rows that are only slow.
func Slow(worse []Finding) (names []string) {
	for _, f := range worse {
		if f.Slow && !slices.Contains(names, f.Row) {
			names = append(names, f.Row)
		}
	}
	return names
}

// Table compares all results, and returns the regressions.
func Table(results []Result) (table string, worse []Finding) {
	var b strings.Builder
	b.WriteString("| row | mm | mo | om | oo |\n| --- | --- | --- | --- | --- |\n")
	for _, name := range names(results) {
		base, ok := find(results, name, "mm")
		fmt.Fprintf(&b, "| %s |", name)
		for _, p := range Pairings {
			r, found := find(results, name, p)
			if !found || !ok {
				worse = append(worse, Finding{Row: name, Text: name + " in " + p + ": no result"})
				b.WriteString(" none |")
				continue
			}
			v := Judge(base, r)
			if v == Worse {
				worse = append(worse, Finding{name, fmt.Sprintf("%s in %s: %v, and mm %v", name, p, r, base), r.OK == base.OK && r.Digest == base.Digest})
			}
			if p == "mm" {
				fmt.Fprintf(&b, " %v |", r)
			} else {
				fmt.Fprintf(&b, " %s: %v |", v, r)
			}
		}
		b.WriteString("\n")
	}
	return b.String(), worse
}

// String formats the result.
func (r Result) String() string {
	s := fmt.Sprintf("%d of %d", r.OK, r.Of)
	if r.OK > 0 && len(r.Times) > 0 {
		s += fmt.Sprintf(", %v", r.Median().Round(100*time.Microsecond))
	}
	if r.Note != "" {
		s += " (" + r.Note + ")"
	}
	return s
}

// names returns the names of the rows, in order of first appearance.
func names(results []Result) (names []string) {
	for _, r := range results {
		if !slices.Contains(names, r.Row) {
			names = append(names, r.Row)
		}
	}
	return names
}

func find(results []Result, row, pairing string) (Result, bool) {
	i := slices.IndexFunc(results, func(r Result) bool { return r.Row == row && r.Pairing == pairing })
	if i < 0 {
		return Result{}, false
	}
	return results[i], true
}
