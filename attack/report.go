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

Made by `+"`go -C attack run . -write`"+`; the ids are those of [SECURITY.md](../SECURITY.md). Each victim is a separate process
with the defaults of the library. The attacker is another process on the same machine (%s, %d CPUs), connected over
loopback. The bytes of a flood are prepared beforehand, at most %d MiB. The flood lasts %v unless the victim ends it.

Heap is the peak of the victim's heap, uncollected garbage included, minus the heap before the attack. Goroutines are
counted the same way. CPU is the user and kernel time of the victim's process. "Honest" is the ratio of that time to the
time the same victim spends on a connection whose peer sends as many bytes as a single body and gets a response. Figures are
medians of %d rounds.

A victim that "survived" processed the whole attack. A victim that is "still at it" was too slow to finish and had not
rejected the attack by then. The other columns show the cost.

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
