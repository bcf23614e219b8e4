package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// writeTables prints the result of a soak, in Markdown.
func writeTables(w io.Writer, r *result) {
	fmt.Fprintf(w, "| of | what | before | at most | after |\n| --- | --- | --- | --- | --- |\n")
	for _, p := range []picture{r.Relay, r.Origin} {
		row := func(what string, before, peak, after any) {
			fmt.Fprintf(w, "| %s | %s | %v | %v | %v |\n", p.Name, what, before, peak, after)
		}
		size := func(n uint64) string { return fmt.Sprintf("%.1f MiB", mib(n)) }
		row("heap in use after a collection", size(p.Before.Heap), size(p.Peak.Heap), size(p.After.Heap))
		row("resident memory", size(p.Before.RSS), size(p.Peak.RSS), size(p.After.RSS))
		row("goroutines", p.Before.Goroutines, p.Peak.Goroutines, p.After.Goroutines)
		row("file descriptors", p.Before.Files, p.Peak.Files, p.After.Files)
		for _, gauge := range slices.Sorted(maps.Keys(p.Before.Gauges)) {
			row(gauge, p.Before.Gauges[gauge], p.Peak.Gauges[gauge], p.After.Gauges[gauge])
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
	counts("relay", r.Relay.After.Counts)
	counts("origin", r.Origin.After.Counts)
	done := make(map[string]int64)
	for _, e := range r.Events {
		done[e.What]++
	}
	for _, what := range slices.Sorted(maps.Keys(done)) {
		fmt.Fprintf(w, "| the soak | %s | %d |\n", what, done[what])
	}
}
