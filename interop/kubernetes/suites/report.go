package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// printTable prints one line for each package.
func printTable(w io.Writer, results []result) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "\t\tmoby\t\t\t\t\tours\t\t\t\t\t")
	fmt.Fprintln(tw, "layout\tpackage\ttests\tpassed\tfailed\tskipped\ts\ttests\tpassed\tfailed\tskipped\ts\t")
	for _, r := range results {
		fmt.Fprintf(tw, "%s\t%s\t", r.layout, r.pkg)
		for _, t := range []tally{r.moby, r.ours} {
			if t.outcome != "pass" && len(t.tests) == 0 {
				fmt.Fprint(tw, "did not build\t\t\t\t\t")
				continue
			}
			fmt.Fprintf(tw, "%d\t%d\t%d\t%d\t%.1f\t", len(t.tests), t.count("pass"), t.count("fail"), t.count("skip"), t.seconds)
		}
		fmt.Fprintln(tw)
	}
	tw.Flush()
}

// verdict prints the tests that moby passes and ours fails, and the packages that fail with moby.
// It returns an error for regressions.
func verdict(w io.Writer, results []result) error {
	worse := 0
	for _, r := range results {
		for _, name := range r.worse() {
			fmt.Fprintf(w, "WORSE: %s %s %s\n", r.layout, r.pkg, name)
			worse++
		}
		if r.moby.outcome != "pass" {
			fmt.Fprintf(w, "note: %s %s does not pass with moby/spdystream either\n", r.layout, r.pkg)
		}
		if len(r.moby.tests) == 0 {
			return fmt.Errorf("%s %s: no test ran with moby/spdystream", r.layout, r.pkg)
		}
	}
	if worse > 0 {
		return fmt.Errorf("%d tests pass with moby/spdystream and not with compat/spdystream", worse)
	}
	fmt.Fprintln(w, "every test that passes with moby/spdystream passes with compat/spdystream")
	return nil
}

// markdown returns the table for the document: counts without times, so that repeated runs write
// the same text.
func markdown(results []result) string {
	var b strings.Builder
	b.WriteString("| Kubernetes | package | tests | with moby | with ours |\n| --- | --- | --- | --- | --- |\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s | `%s` | %d | %s | %s |\n", strings.TrimSuffix(r.layout, "-apiserver"), r.pkg, len(r.moby.tests), r.moby, r.ours)
	}
	return b.String()
}

// String returns "all pass", or the counts.
func (t tally) String() string {
	failed, skipped := t.count("fail"), t.count("skip")
	switch {
	case t.outcome == "pass" && skipped == 0:
		return "all pass"
	case t.outcome == "pass":
		return fmt.Sprintf("%d pass, %d skipped", t.count("pass"), skipped)
	}
	return fmt.Sprintf("**%d fail**, %d pass, %d skipped", failed, t.count("pass"), skipped)
}
