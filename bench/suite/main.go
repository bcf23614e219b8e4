// Command suite is the program that go run ./bench runs: it compares package spdy with the
// alternatives for a Go program: golang.org/x/net/http2 and net/http for HTTP, other multiplexers
// for byte streams, zlib and HPACK for headers, and plain TCP.
//
// Every (workload, target) runs in a separate process, client and server together. Rounds are
// interleaved, so that a temporarily slow machine slows all targets. The printed figures are
// medians.
//
//	go run ./bench                  # all workloads, 7 rounds, docs/img/bench-*.svg
//	go run ./bench -write           # and the figures of docs/performance.md
//	go run ./bench -run '^raw' -rounds 9
//	go run ./bench -run '^get' -profile
//	go run ./bench -json bench.json
//	go run ./bench -from bench.json # prints and draws again, measures nothing
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

func main() {
	var o options
	var c child
	flag.StringVar(&o.run, "run", "", "run only the workloads whose names match this regular expression")
	flag.IntVar(&o.rounds, "rounds", 7, "rounds, of which the medians are printed")
	flag.Float64Var(&o.scale, "scale", 1, "do this fraction of the work of each round, for a quick look")
	flag.StringVar(&o.json, "json", "", "write the results to this file too")
	flag.StringVar(&o.from, "from", "", "measure nothing, take the results from this file")
	flag.BoolVar(&o.write, "write", false, "replace the figures in docs/performance.md; with -profile, the profiles")
	flag.BoolVar(&o.profile, "profile", false, "measure ours once, and print where time and memory go")
	flag.StringVar(&c.name, "child", "", "measure this workload/target in this process, print the metrics as JSON")
	flag.StringVar(&c.cpuprofile, "cpuprofile", "", "with -child: write a profile of the processor time to this file")
	flag.StringVar(&c.heap, "memprofile", "", "with -child: write a profile of the memory to this file")
	flag.Parse()
	if flag.NArg() > 0 {
		exitOn(fmt.Errorf("what is %q?", flag.Args()))
	}
	if c.name != "" {
		c.scale = o.scale
		exitOn(c.run())
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exitOn(o.main(ctx))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the options of the command line.
type options struct {
	run, json, from string
	rounds          int
	scale           float64
	write, profile  bool
}

// complete reports whether the figures may be written to the documentation.
func (o *options) complete() bool { return o.run == "" && o.scale == 1 }

func (o *options) main(ctx context.Context) error {
	chosen, err := o.choose()
	if err != nil {
		return err
	}
	if o.write && !o.complete() {
		return errors.New("-write needs all of the work of all workloads")
	}
	if o.profile {
		return o.profiles(ctx, chosen)
	}
	r, err := o.obtain(ctx, chosen)
	if err != nil {
		return err
	}
	if o.json != "" {
		if err := r.save(o.json); err != nil {
			return err
		}
	}
	r.print(os.Stdout)
	if !o.complete() {
		return nil
	}
	top, err := moduleDir()
	if err != nil {
		return err
	}
	if err := drawAll(r, filepath.Join(top, "docs", "img")); err != nil {
		return err
	}
	if !o.write {
		return nil
	}
	return rewrite(filepath.Join(top, "docs", "performance.md"), "figures", r.page())
}

// obtain measures, or loads earlier measurements.
func (o *options) obtain(ctx context.Context, chosen []*workload) (*report, error) {
	if o.from != "" {
		return load(o.from, chosen)
	}
	results, err := o.measure(ctx, chosen)
	if err != nil {
		return nil, err
	}
	return &report{Machine: thisMachine(), Rounds: o.rounds, Results: results}, nil
}

// choose returns the workloads that match the command line.
func (o *options) choose() ([]*workload, error) {
	match, err := regexp.Compile(o.run)
	if err != nil {
		return nil, err
	}
	var chosen []*workload
	for _, w := range workloads() {
		if match.MatchString(w.name) {
			chosen = append(chosen, w)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no workload matches %q", o.run)
	}
	return chosen, nil
}
