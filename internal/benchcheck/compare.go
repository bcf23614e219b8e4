package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A figure is the measurement of one benchmark.
type figure struct {
	Allocs float64 `json:"allocs"`         // per operation
	Bytes  float64 `json:"bytes"`          // allocated per operation
	Live   float64 `json:"live,omitempty"` // still in use, per operation
	Nanos  float64 `json:"ns"`             // per operation; printed, not judged
}

// figures are indexed by the benchmark's name, without "Benchmark" and the number of cores.
type figures map[string]figure

// tries are the figures of repeated runs.
type tries map[string][]figure

// most yields a baseline, and least the figures to compare with the baseline. Some figures vary
// between runs with goroutine scheduling and with emptied pools. A regression therefore exceeds
// everything that the baseline saw, in every run.
func (t tries) most() figures  { return t.fold(func(a, b float64) float64 { return max(a, b) }) }
func (t tries) least() figures { return t.fold(func(a, b float64) float64 { return min(a, b) }) }

func (t tries) fold(choose func(a, b float64) float64) figures {
	out := figures{}
	for name, all := range t {
		f := all[0]
		for _, g := range all[1:] {
			f = figure{choose(f.Allocs, g.Allocs), choose(f.Bytes, g.Bytes), choose(f.Live, g.Live), choose(f.Nanos, g.Nanos)}
		}
		out[name] = f
	}
	return out
}

var benchLine = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.*)$`)

// parse parses the output of go test -bench -benchmem.
func parse(out []byte) (tries, error) {
	all := tries{}
	for line := range bytes.Lines(out) {
		m := benchLine.FindStringSubmatch(strings.TrimSpace(string(line)))
		if m == nil {
			continue
		}
		f, err := parseFigure(m[2])
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		all[m[1]] = append(all[m[1]], f)
	}
	return all, nil
}

func parseFigure(text string) (f figure, err error) {
	fields := strings.Fields(text)
	for i := 0; i+1 < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return f, err
		}
		switch fields[i+1] {
		case "allocs/op":
			f.Allocs = value
		case "B/op":
			f.Bytes = value
		case "live-B/op":
			f.Live = value
		case "ns/op":
			f.Nanos = value
		}
	}
	return f, nil
}

// The margins. Small allocation counts are exact. Among many allocations, a single one may be due
// to an empty pool. Bytes are an average that includes such misses of up to 64 KiB.
const (
	fewAllocs   = 20   // up to here no additional allocation is allowed
	allocMargin = 0.03 // of the allocations beyond fewAllocs, and at least 1
	byteMargin  = 0.10 // of the bytes, and
	byteFloor   = 64   // at least 64 bytes
	missedPool  = 512  // for benchmarks with a session, whose pools may be empty
)

// A line compares one benchmark with the baseline.
type line struct {
	name     string
	old, now figure
	why      string // why the benchmark is worse, or ""
}

// compare returns the comparison of every benchmark, ordered by name. A missing benchmark is a
// regression unless some is true, when only a part was run.
func compare(old, now figures, some bool) []line {
	var lines []line
	for _, name := range slices.Sorted(maps.Keys(now)) {
		l := line{name: name, now: now[name]}
		var ok bool
		if l.old, ok = old[name]; !ok {
			l.why = "is not in the baseline"
		} else {
			l.why = worse(l.old, l.now)
		}
		lines = append(lines, l)
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, ok := now[name]; !ok && !some {
			lines = append(lines, line{name: name, old: old[name], why: "did not run"})
		}
	}
	return lines
}

func worse(old, now figure) string {
	margin := 0.0
	if old.Allocs > fewAllocs {
		margin = max(1, allocMargin*old.Allocs)
	}
	switch {
	case now.Allocs > old.Allocs+margin:
		return "more allocations"
	case more(old.Bytes, now.Bytes):
		return "more bytes"
	case more(old.Live, now.Live):
		return "more memory in use"
	}
	return ""
}

// more reports whether the increase in bytes is too large to be chance.
func more(old, now float64) bool {
	floor := float64(byteFloor)
	if old > 0 { // the benchmark allocates anyway
		floor = missedPool
	}
	return now-old > max(floor, byteMargin*old)
}

// print writes the lines and returns the number of regressions.
func print(out io.Writer, lines []line) (bad int) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "allocs/op\twas\tB/op\twas\tin use\twas\tns/op\twas\tbenchmark\t")
	for _, l := range lines {
		note := ""
		if l.why != "" {
			bad++
			note = "  <-- " + strings.ToUpper(l.why)
		}
		fmt.Fprintf(w, "%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%s%s\t\n", l.now.Allocs, l.old.Allocs,
			l.now.Bytes, l.old.Bytes, l.now.Live, l.old.Live, l.now.Nanos, l.old.Nanos, l.name, note)
	}
	w.Flush()
	return bad
}
