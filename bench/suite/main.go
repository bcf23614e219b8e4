// Command bench compares package spdy with what a Go program would otherwise use:
// golang.org/x/net/http2 and net/http for HTTP, other multiplexers for streams of
// bytes, and plain TCP.
//
// Every (workload, target) runs in a process of its own, client and server together,
// over loopback; rounds are interleaved, so that a machine that is slow for a while
// is slow for all; what is printed are medians.
//
//	go run ./bench                 # all workloads, 7 rounds
//	go run ./bench -run '^raw' -rounds 9
//	go run ./bench -json bench.json
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
)

func main() {
	opts := options{}
	flag.StringVar(&opts.run, "run", "", "run only the workloads whose names match this regular expression")
	flag.IntVar(&opts.rounds, "rounds", 7, "rounds, of which the medians are printed")
	flag.Float64Var(&opts.scale, "scale", 1, "do this fraction of the work of each round, for a quick look")
	flag.StringVar(&opts.json, "json", "", "write the results to this file too")
	child := flag.String("child", "", "for internal use: measure WORKLOAD/TARGET and print the outcome")
	flag.Parse()
	if *child != "" {
		exitOn(runChild(*child, opts.scale))
		return
	}
	exitOn(opts.main())
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	run, json string
	rounds    int
	scale     float64
}

func (o *options) main() error {
	match, err := regexp.Compile(o.run)
	if err != nil {
		return err
	}
	var chosen []*workload
	for _, w := range workloads() {
		if match.MatchString(w.name) {
			chosen = append(chosen, w)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no workload matches %q", o.run)
	}
	results, err := o.measure(chosen)
	if err != nil {
		return err
	}
	report(os.Stdout, results)
	if o.json == "" {
		return nil
	}
	out, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(out, '\n'), 0o666)
}
