// Program suites runs the Kubernetes tests that transfer SPDY frames twice: with moby/spdystream as
// Kubernetes ships it, and with compat/spdystream in its place by a replace line. It compares the
// two runs test by test.
//
//	go run ./suites             every package of every layout
//	go run ./suites -fast       without the API server, whose first build takes minutes
//	go run ./suites -only 'cri-streaming|portforward' -v
//
// It fails if a test that passes with moby/spdystream does not pass with ours. It needs only Go and
// the module proxy. The layouts are modules in testdata: Kubernetes 0.36 moved these packages, and
// both locations are in use.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/amahi/spdy/interop/kubernetes/internal/document"
	"github.com/amahi/spdy/interop/kubernetes/internal/swap"
)

// A layout is a version of Kubernetes and the location of the packages in that version.
type layout struct {
	name     string // of the directory in testdata
	slow     bool
	packages []string
}

// layouts are all Kubernetes packages whose tests use spdystream, directly or through httpstream.
var layouts = []layout{
	{name: "0.37.2", packages: []string{
		"k8s.io/streaming/pkg/httpstream",
		"k8s.io/streaming/pkg/httpstream/spdy",
		"k8s.io/cri-streaming/pkg/streaming",
		"k8s.io/cri-streaming/pkg/streaming/portforward",
		"k8s.io/cri-streaming/pkg/streaming/remotecommand",
		"k8s.io/client-go/tools/remotecommand",
		"k8s.io/client-go/tools/portforward",
	}},
	{name: "0.35.10", packages: []string{
		"k8s.io/apimachinery/pkg/util/httpstream",
		"k8s.io/apimachinery/pkg/util/httpstream/spdy",
		"k8s.io/kubelet/pkg/cri/streaming",
		"k8s.io/kubelet/pkg/cri/streaming/portforward",
		"k8s.io/kubelet/pkg/cri/streaming/remotecommand",
		"k8s.io/client-go/tools/remotecommand",
		"k8s.io/client-go/tools/portforward",
		"k8s.io/apimachinery/pkg/util/proxy",
	}},
	{name: "0.37.2-apiserver", slow: true, packages: []string{
		"k8s.io/apiserver/pkg/util/proxy",
	}},
}

// options are the flags.
type options struct {
	root     string // of this repository
	fast     bool
	only     *regexp.Regexp
	verbose  bool
	race     bool
	count    int
	parallel int
	document string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "suites:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	o := options{}
	only := flag.String("only", "", "run only packages that match this expression; the layout is in front, as in 0.37.2/k8s.io/streaming/pkg/httpstream")
	flag.StringVar(&o.root, "root", "", "this repository; found from the working directory if empty")
	flag.BoolVar(&o.fast, "fast", false, "leave out what takes minutes to build")
	flag.BoolVar(&o.verbose, "v", false, "print the output of every test that does not pass")
	flag.BoolVar(&o.race, "race", false, "with the race detector")
	flag.IntVar(&o.count, "count", 1, "how often each test runs")
	flag.IntVar(&o.parallel, "p", 1, "packages built and tested at the same time")
	flag.StringVar(&o.document, "write", "", "Markdown file to write the table to, into its section \"suites\"")
	flag.Parse()
	o.only = regexp.MustCompile(*only)
	if o.root == "" {
		root, err := swap.FindRoot()
		if err != nil {
			return err
		}
		o.root = root
	}
	begun := time.Now()
	results, err := o.runAll(ctx)
	if err != nil {
		return err
	}
	printTable(os.Stdout, results)
	fmt.Printf("\ntook %v\n", time.Since(begun).Round(time.Second))
	if o.document != "" {
		if err := document.Write(o.document, "suites", markdown(results)); err != nil {
			return err
		}
	}
	return verdict(os.Stdout, results)
}

func (o options) runAll(ctx context.Context) ([]result, error) {
	tmp, err := os.MkdirTemp("", "suites")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	var results []result
	for _, l := range layouts {
		pick := l
		pick.packages = nil
		for _, p := range l.packages {
			if o.only.MatchString(l.name+"/"+p) && !(o.fast && l.slow) {
				pick.packages = append(pick.packages, p)
			}
		}
		if len(pick.packages) == 0 {
			continue
		}
		got, err := o.runLayout(ctx, pick, tmp)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
		results = append(results, got...)
	}
	if len(results) == 0 {
		return nil, errors.New("no package matches")
	}
	return results, nil
}
