package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// report is a page with the table.
func report(results []result, rounds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# What attacks cost

Made by `+"`go -C attack run . -write`"+`; the ids are those of [SECURITY.md](../SECURITY.md). Every victim is a process of
its own with the defaults of its library, and its attacker another on the same machine (%s, %d CPUs), by way of
loopback. What a flood sends is made beforehand, at most %d MiB; it goes on for %v unless the victim ends it. Heap is what lies on the victim's heap at the
most, garbage that is not yet collected with it, above what was there before; goroutines likewise. CPU is the time of the
victim's process, user and kernel, and "honest" how many times what the same victim spends on one connection whose peer
sends as many bytes as one body, and is answered. Figures are medians of %d rounds.

A victim that "survived" has put up with all of it, one that is "still at it" was too slow for that and had not objected
by then; whether that was cheap the other columns say.

| attack | what was sent | victim | sent | ended | heap | goroutines | CPU | honest |
| --- | --- | --- | ---: | --- | ---: | ---: | ---: | ---: |
`, runtime.Version(), runtime.NumCPU(), mostPrepared>>20, patience, rounds)
	for _, r := range results {
		times := "-"
		if r.times > 0 {
			times = fmt.Sprintf("%.1f", r.times)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %v | %s |\n", r.attack.id, r.attack.what, r.victim, size(r.sent),
			strings.ReplaceAll(r.outcome, "|", "/"), size(r.cost.Heap), thousands(max(r.cost.Goroutines, 0)), r.cost.CPU.Round(time.Millisecond), times)
	}
	return b.String()
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return thousands(max(n, 0)) + " B"
}
