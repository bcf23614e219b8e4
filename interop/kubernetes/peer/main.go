// Program peer is Kubernetes at one end of a connection: client-go, or the streaming server of
// container runtimes. It is built twice, with moby/spdystream and with the replacement. The test of
// the parent package runs all combinations.
//
//	peer serve                      prints {"address":…,"library":…} and serves until its input ends
//	peer client -server ADDRESS     runs the scenarios, and prints a line of JSON for each
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"k8s.io/klog/v2"
)

func main() {
	klog.LogToStderr(true)
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "serve":
		err = serve(os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == "client":
		err = runClient(os.Args[2:])
	default:
		err = fmt.Errorf("usage: peer serve | peer client -server ADDRESS")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

// library returns the name of the implementation in this binary.
func library() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/moby/spdystream" {
			if m.Replace == nil {
				return "moby"
			}
			if strings.HasSuffix(m.Replace.Path, "compat/spdystream") {
				return "ours"
			}
		}
	}
	return "unknown"
}

func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	if err := flags.Parse(args); err != nil {
		return err
	}
	s, err := newServer()
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(hello{Address: s.address(), Library: library()}); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return s.stop()
}

// A hello is the first line printed by "peer serve".
type hello struct{ Address, Library string }

func runClient(args []string) error {
	c := client{out: json.NewEncoder(os.Stdout)}
	flags := flag.NewFlagSet("client", flag.ContinueOnError)
	flags.StringVar(&c.server, "server", "", "address of a \"peer serve\"")
	flags.Int64Var(&c.size, "size", 8<<20, "bytes of the big transfers, each way")
	flags.IntVar(&c.connections, "connections", 500, "connections that are forwarded; half of them are reset")
	flags.IntVar(&c.atOnce, "at-once", 50, "as many of them at the same time")
	flags.Uint64Var(&c.seed, "seed", 1, "of everything random")
	flags.StringVar(&c.only, "only", "", "run only the scenarios with this in their name")
	flags.StringVar(&c.row, "row", "", "run this row of TestPairings instead of the scenarios")
	flags.DurationVar(&c.patience, "patience", defaultPatience, "for one scenario")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if c.row != "" {
		return c.runRow(context.Background())
	}
	return c.run(context.Background())
}
