// Command benchcheck runs the benchmarks of package spdy for a fixed number of iterations and
// compares their allocations with bench/baseline.json:
//
//	go run ./internal/benchcheck            # fails if anything allocates more than before
//	go run ./internal/benchcheck -write     # makes the current figures the baseline
//
// Allocations and bytes are judged, with the margins in compare.go, because they are the same on
// every machine. Time is printed and never judged. Run the command in the top directory of the
// repository.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
)

func main() {
	var o options
	flag.BoolVar(&o.write, "write", false, "write the baseline instead of comparing with it")
	flag.StringVar(&o.baseline, "baseline", "bench/baseline.json", "the file of the baseline")
	flag.StringVar(&o.bench, "bench", ".", "run only the benchmarks that match this regular expression")
	flag.IntVar(&o.iterations, "n", 200, "iterations of each benchmark")
	flag.IntVar(&o.tries, "tries", 2, "how often each benchmark is run, the least of which counts; with -write the most")
	flag.Parse()
	if err := o.main(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "benchcheck:", err)
		os.Exit(1)
	}
}

// notOurs are benchmarks of foreign code, benchmarks that only count, and benchmarks in which the
// test connection allocates whenever one end waits for the other.
const notOurs = "HeaderWire|HeaderBlock/(zlib|hpack)|(OpenClose|Data)/memory"

type options struct {
	write             bool
	baseline, bench   string
	iterations, tries int
}

func (o *options) main(out io.Writer) error {
	all, err := o.measure()
	if err != nil {
		return err
	}
	if o.write {
		return save(o.baseline, all.most())
	}
	now := all.least()
	old, err := load(o.baseline)
	if err != nil {
		return err
	}
	lines := compare(old, now, o.bench != ".")
	if worse := print(out, lines); worse > 0 {
		return fmt.Errorf("%d of %d benchmarks allocate more than in %s, or are not in it; if that is meant, run it with -write",
			worse, len(lines), o.baseline)
	}
	return nil
}

// measure runs the benchmarks of the package in the current directory.
func (o *options) measure() (tries, error) {
	cmd := exec.Command("go", "test", "-run=^$", "-bench="+o.bench, "-skip="+notOurs, "-benchmem", "-cpu=2", "-timeout=5m",
		"-benchtime="+strconv.Itoa(o.iterations)+"x", "-count="+strconv.Itoa(o.tries), ".")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go test: %w\n%s", err, out)
	}
	now, err := parse(out)
	if err == nil && len(now) == 0 {
		err = errors.New("no benchmark has run")
	}
	return now, err
}

func save(name string, f figures) error {
	out, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(out, '\n'), 0o666)
}

func load(name string) (figures, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var f figures
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}
