package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// writeTables prints what a soak has come to, in Markdown.
func writeTables(w io.Writer, r *result) {
	fmt.Fprintf(w, "| of | what | before | at most | after |\n| --- | --- | --- | --- | --- |\n")
	for _, p := range []picture{r.Relay, r.Origin} {
		row := func(what string, before, peak, after any) {
			fmt.Fprintf(w, "| %s | %s | %v | %v | %v |\n", p.name, what, before, peak, after)
		}
		size := func(n uint64) string { return fmt.Sprintf("%.1f MiB", mib(n)) }
		row("heap in use after a collection", size(p.before.Heap), size(p.peak.Heap), size(p.after.Heap))
		row("resident memory", size(p.before.RSS), size(p.peak.RSS), size(p.after.RSS))
		row("goroutines", p.before.Goroutines, p.peak.Goroutines, p.after.Goroutines)
		row("file descriptors", p.before.Files, p.peak.Files, p.after.Files)
		for _, gauge := range slices.Sorted(maps.Keys(p.before.Gauges)) {
			row(gauge, p.before.Gauges[gauge], p.peak.Gauges[gauge], p.after.Gauges[gauge])
		}
	}
	fmt.Fprintf(w, "\n| counted by | what | how often |\n| --- | --- | --- |\n")
	counts := func(who string, of map[string]int64) {
		named := maps.Clone(of)
		if named == nil {
			named = make(map[string]int64)
		}
		for _, name := range neverCounts {
			named[name] += 0
		}
		for _, name := range slices.SortedFunc(maps.Keys(named), func(a, b string) int {
			return strings.Compare(strings.TrimSpace(a), strings.TrimSpace(b))
		}) {
			label := name
			if why, ok := strings.CutPrefix(name, "  "); ok {
				label = "of those broken off: " + why
			}
			fmt.Fprintf(w, "| %s | %s | %d |\n", who, label, named[name])
		}
	}
	counts("clients", r.Clients)
	counts("relay", r.Relay.after.Counts)
	counts("origin", r.Origin.after.Counts)
	done := make(map[string]int64)
	for _, e := range r.Events {
		done[e.What]++
	}
	for _, what := range slices.Sorted(maps.Keys(done)) {
		fmt.Fprintf(w, "| the soak | %s | %d |\n", what, done[what])
	}
}
