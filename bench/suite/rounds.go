package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"
)

// A result holds the measurements of all rounds of a workload for a target.
type result struct {
	Workload string               `json:"workload"`
	Target   string               `json:"target"`
	Rounds   map[string][]float64 `json:"rounds"`
	Median   metrics              `json:"median"`

	work *workload
}

// measure runs every target of every workload once a round, each in a new process.
func (o *options) measure(ctx context.Context, chosen []*workload) ([]*result, error) {
	tmp, err := os.MkdirTemp("", "spdy-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	if err := buildTests(tmp); err != nil {
		return nil, err
	}
	var results []*result
	for _, w := range chosen {
		for _, target := range w.targets {
			results = append(results, &result{Workload: w.name, Target: target, Rounds: map[string][]float64{}, work: w})
		}
	}
	began := time.Now()
	for round := range o.rounds {
		for i, r := range results {
			if r.work.rounds > 0 && round >= r.work.rounds {
				continue
			}
			progress(i == 0, fmt.Sprintf("round %d of %d, %d of %d: %s/%s, %s so far",
				round+1, o.rounds, i+1, len(results), r.Workload, r.Target, time.Since(began).Round(time.Second)))
			m, err := spawn(ctx, r.Workload+"/"+r.Target, o.scale)
			if err != nil {
				return nil, fmt.Errorf("%s/%s: %w", r.Workload, r.Target, err)
			}
			for name, value := range m {
				r.Rounds[name] = append(r.Rounds[name], value)
			}
		}
	}
	progress(true, "measured in "+time.Since(began).Round(time.Second).String()+"\n")
	for _, r := range results {
		r.Median = metrics{}
		for name, values := range r.Rounds {
			r.Median[name] = median(values)
		}
	}
	return results, nil
}

// progress replaces the line on a terminal; a file gets the important lines only.
func progress(important bool, line string) {
	info, err := os.Stderr.Stat()
	switch {
	case err == nil && info.Mode()&os.ModeCharDevice != 0:
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s", line)
	case important:
		fmt.Fprintln(os.Stderr, line)
	}
}

// spawn measures in a separate process.
func spawn(ctx context.Context, name string, scale float64, more ...string) (metrics, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var out, complaints bytes.Buffer
	args := append([]string{"-child", name, "-scale", strconv.FormatFloat(scale, 'g', -1, 64)}, more...)
	cmd := exec.CommandContext(ctx, self, args...)
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
