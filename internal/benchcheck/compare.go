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

// A figure is what one benchmark has measured.
type figure struct {
	Allocs float64 `json:"allocs"`         // an operation
	Bytes  float64 `json:"bytes"`          // an operation, allocated
	Live   float64 `json:"live,omitempty"` // an operation, bytes that stay in use
	Nanos  float64 `json:"ns"`             // an operation; for people, not judged
}

// figures are by the benchmark's name, without "Benchmark" and the number of cores.
type figures map[string]figure

// tries are figures that have been measured several times.
type tries map[string][]figure

// most is what a baseline is made of, and least what is compared with it. How goroutines
// meet, and when pools are emptied, makes some figures differ from run to run; so what
// is worse is beyond all that the baseline has seen, whenever it is tried.
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

// parse reads the output of go test -bench -benchmem.
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

// The margins. Few allocations are counted exactly; of many, one may be that of a pool
// that was empty. Bytes are an average in which such a miss, of up to 64 KiB, shows.
const (
	fewAllocs   = 20   // up to here none more is allowed
	allocMargin = 1    // beyond it one is
	byteMargin  = 0.10 // of the bytes, and
	byteFloor   = 64   // at least so many
	missedPool  = 512  // for what goes through a session, whose pools may be empty
)

// A line compares one benchmark.
type line struct {
	name     string
	old, now figure
	why      string // it is worse, or ""
}

// compare says what is worse now, in the order of the names. A benchmark that is gone
// is worse too unless only some have been run.
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
		margin = allocMargin
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

// more reports whether so many bytes more cannot be chance.
func more(old, now float64) bool {
	floor := float64(byteFloor)
	if old > 0 { // it allocates anyway
		floor = missedPool
	}
	return now-old > max(floor, byteMargin*old)
}

// print writes the lines and returns how many are worse.
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
