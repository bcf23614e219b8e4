package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"
)

// A workload is something to be done, by each of its targets.
type workload struct {
	name    string
	title   string   // one line
	targets []string // the first is ours
	goals   []goal
	run     func(target string, scale float64) (metrics, error)
}

// A goal is a bound for ours.
type goal struct {
	metric  string
	against string  // the target that it is compared with; "" for none
	factor  float64 // of that target's median, or the bound itself
	atLeast bool    // else at most
}

// metrics are what one run has measured, by name and unit.
type metrics map[string]float64

// A result is what all rounds of a workload have measured for one target.
type result struct {
	Workload string               `json:"workload"`
	Target   string               `json:"target"`
	Rounds   map[string][]float64 `json:"rounds"`
	Median   metrics              `json:"median"`

	work *workload
}

// measure runs every target of every workload once a round, each in a new process.
func (o *options) measure(chosen []*workload) ([]*result, error) {
	var results []*result
	for _, w := range chosen {
		for _, target := range w.targets {
			results = append(results, &result{Workload: w.name, Target: target, Rounds: map[string][]float64{}, work: w})
		}
	}
	began := time.Now()
	for round := range o.rounds {
		for i, r := range results {
			progress(fmt.Sprintf("round %d of %d, %d of %d: %s/%s, %s so far",
				round+1, o.rounds, i+1, len(results), r.Workload, r.Target, time.Since(began).Round(time.Second)))
			m, err := spawn(r.Workload+"/"+r.Target, o.scale)
			if err != nil {
				return nil, fmt.Errorf("%s/%s: %w", r.Workload, r.Target, err)
			}
			for name, value := range m {
				r.Rounds[name] = append(r.Rounds[name], value)
			}
		}
	}
	progress("")
	for _, r := range results {
		r.Median = metrics{}
		for name, values := range r.Rounds {
			r.Median[name] = median(values)
		}
	}
	return results, nil
}

// progress replaces the line that a terminal shows; into a file it writes nothing.
func progress(line string) {
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s", line)
	}
}

// spawn measures in a process of its own.
func spawn(name string, scale float64) (metrics, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var out, complaints bytes.Buffer
	cmd := exec.Command(self, "-child", name, "-scale", strconv.FormatFloat(scale, 'g', -1, 64))
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, complaints.String())
	}
	var m metrics
	return m, json.Unmarshal(out.Bytes(), &m)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}
