package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
)

// A report holds all measurements of a run.
type report struct {
	Machine machine   `json:"machine"`
	Rounds  int       `json:"rounds"`
	Results []*result `json:"results"`
	Goals   []verdict `json:"goals"`
}

// A machine describes the machine of the measurements.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	System string `json:"system"`
	Go     string `json:"go"`
}

func thisMachine() machine {
	m := machine{CPU: "?", Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version()}
	info, _ := os.ReadFile("/proc/cpuinfo") // on systems with that file
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System += ", kernel " + strings.TrimSpace(string(release))
	}
	return m
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores; %s; %s", m.CPU, m.Cores, m.System, m.Go)
}

// save writes the report as JSON.
func (r *report) save(name string) error {
	r.Goals = r.verdicts()
	out, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(out, '\n'), 0o666)
}

// load reads a report of save, restricted to the given workloads.
func load(name string, chosen []*workload) (*report, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var known []*result
	for _, w := range chosen {
		for _, row := range r.Results {
			if row.Workload == w.name && slices.Contains(w.targets, row.Target) {
				row.work = w
				known = append(known, row)
			}
		}
	}
	r.Results = known
	return &r, nil
}

// rows returns the results of a workload.
func (r *report) rows(w *workload) []*result {
	return slices.DeleteFunc(slices.Clone(r.Results), func(row *result) bool { return row.Workload != w.name })
}

// works returns the workloads that have results, in order.
func (r *report) works() []*workload {
	var all []*workload
	for _, row := range r.Results {
		if !slices.Contains(all, row.work) {
			all = append(all, row.work)
		}
	}
	return all
}

// median returns NaN for a missing measurement.
func (r *report) median(workload, target, metric string) float64 {
	for _, row := range r.Results {
		if value, ok := row.Median[metric]; ok && row.Workload == workload && row.Target == target {
			return value
		}
	}
	return math.NaN()
}

// A verdict compares ours with a goal.
type verdict struct {
	Workload string  `json:"workload"`
	Title    string  `json:"title"`
	Metric   string  `json:"metric"`
	Ours     string  `json:"ours"` // the target
	Value    float64 `json:"value"`
	Against  string  `json:"against,omitempty"` // the other target, if any
	Ratio    float64 `json:"ratio,omitempty"`   // Value divided by the other target's value
	Goal     string  `json:"goal"`
	Met      bool    `json:"met"`
}

func (r *report) verdicts() []verdict {
	var all []verdict
	for _, w := range r.works() {
		for _, g := range w.goals {
			all = append(all, r.verdict(w, g))
		}
	}
	return all
}

func (r *report) verdict(w *workload, g goal) verdict {
	v := verdict{Workload: w.name, Title: w.title, Metric: g.metric, Ours: g.ours, Against: g.against}
	if v.Ours == "" {
		v.Ours = w.targets[0]
	}
	v.Value = r.median(w.name, v.Ours, g.metric)
	held, sign, times := v.Value, "≤", ""
	if g.against != "" {
		v.Ratio = v.Value / r.median(w.name, g.against, g.metric)
		held, times = v.Ratio, " × "+label(g.against)
	}
	v.Met = held <= g.factor
	if g.atLeast {
		sign, v.Met = "≥", held >= g.factor
	}
	v.Goal = sign + " " + figure(g.factor) + times
	return v
}

// labels are the long names of targets.
var labels = map[string]string{"h2": "x/net/http2", "http1": "HTTP/1.1", "tcp": "TCP", "hpack": "HPACK", "zlib": "zlib 6",
	"safe": "CompressSafe", "full": "CompressFull", "none": "CompressNone", "raw": "uncompressed"}

func label(target string) string {
	name, variant := kind(target)
	if l, ok := labels[name]; ok {
		name = l
	}
	if variant != "" {
		return name + " + " + variant
	}
	return name
}

// summary writes the table of the goals.
func (r *report) summary(w io.Writer) {
	fmt.Fprintln(w, "| workload | measured | ours | x/net/http2 | others | ratio | target | |")
	fmt.Fprintln(w, "| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, v := range r.verdicts() {
		theirs, others := "–", []string(nil)
		_, variant := kind(v.Ours)
		for _, row := range r.Results {
			value, ok := row.Median[v.Metric]
			name, rowVariant := kind(row.Target)
			switch {
			case row.Workload != v.Workload || !ok || row.Target == v.Ours:
			case name == "h2" && rowVariant == variant:
				theirs = figure(value)
			case row.Target == v.Against || slices.Contains([]string{"http1", "tcp"}, row.Target):
				others = append(others, label(row.Target)+" "+figure(value))
			}
		}
		ratio, outcome := "", "met"
		if v.Against != "" {
			ratio = figure(v.Ratio)
		}
		if !v.Met {
			outcome = "**MISSED**"
		}
		what := v.Title
		if _, variant := kind(v.Ours); variant != "" {
			what += ", + " + variant
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s |\n",
			what, v.Metric, figure(v.Value), theirs, strings.Join(others, ", "), ratio, v.Goal, outcome)
	}
}

// details writes a table of all measurements of a workload.
func (r *report) details(out io.Writer, w *workload) {
	rows := r.rows(w)
	names := slices.Sorted(maps.Keys(rows[0].Median))
	fmt.Fprintf(out, "| %s | %s |\n| --- |%s\n", w.name, strings.Join(names, " | "), strings.Repeat(" --- |", len(names)))
	for _, row := range rows {
		cells := make([]string, len(names))
		for i, name := range names {
			cells[i] = figure(row.Median[name])
		}
		fmt.Fprintf(out, "| %s | %s |\n", label(row.Target), strings.Join(cells, " | "))
	}
}

// print writes everything for a terminal.
func (r *report) print(out io.Writer) {
	for _, w := range r.works() {
		fmt.Fprintf(out, "\n%s: %s\n\n", w.name, w.title)
		r.details(out, w)
	}
	fmt.Fprintf(out, "\nMedians of %d rounds on %s.\n\n", r.Rounds, r.Machine)
	r.summary(out)
}

// figure prints three significant digits.
func figure(v float64) string {
	abs := math.Abs(v)
	switch {
	case math.IsNaN(v):
		return "–"
	case v == math.Trunc(v) && abs < 1e6 || abs >= 100:
		return thousands(v)
	case abs >= 10:
		return fmt.Sprintf("%.1f", v)
	case abs >= 0.05:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// thousands prints a whole number as 12,345.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", math.Abs(v))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if v < 0 {
		s = "-" + s
	}
	return s
}
