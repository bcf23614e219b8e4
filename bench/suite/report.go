package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// report prints a table for each workload, and the goals.
func report(w io.Writer, results []*result) {
	for i := 0; i < len(results); {
		end := i
		for end < len(results) && results[end].work == results[i].work {
			end++
		}
		reportOne(w, results[i:end])
		i = end
	}
}

func reportOne(w io.Writer, rows []*result) {
	work := rows[0].work
	names := slices.Sorted(maps.Keys(rows[0].Median))
	fmt.Fprintf(w, "\n%s: %s\n\n", work.name, work.title)
	fmt.Fprintf(w, "| target | %s |\n| --- | %s |\n", strings.Join(names, " | "),
		strings.TrimSuffix(strings.Repeat("--- | ", len(names)), " | "))
	for _, r := range rows {
		cells := make([]string, len(names))
		for i, name := range names {
			cells[i] = figure(r.Median[name])
		}
		fmt.Fprintf(w, "| %s | %s |\n", r.Target, strings.Join(cells, " | "))
	}
	for _, g := range work.goals {
		fmt.Fprintln(w, g.verdict(rows))
	}
}

// verdict says how ours compares with what was aimed at.
func (g goal) verdict(rows []*result) string {
	ours, theirs := math.NaN(), math.NaN()
	for _, r := range rows {
		switch r.Target {
		case rows[0].work.targets[0]:
			ours = r.Median[g.metric]
		case g.against:
			theirs = r.Median[g.metric]
		}
	}
	value, unit := ours/theirs, " times "+g.against+"'s"
	if g.against == "" {
		value, unit = ours, ""
	}
	relation, met := "at most", value <= g.factor
	if g.atLeast {
		relation, met = "at least", value >= g.factor
	}
	outcome := "met"
	if !met {
		outcome = "MISSED"
	}
	return fmt.Sprintf("  %s: %.2f%s, the goal is %s %g: %s", g.metric, value, unit, relation, g.factor, outcome)
}

// figure prints three significant digits.
func figure(v float64) string {
	switch {
	case v == 0:
		return "0"
	case math.Abs(v) >= 1000:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	case math.Abs(v) >= 0.1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2g", v)
}
