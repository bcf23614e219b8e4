// Disarm proves that each attack test of this module depends on the corresponding defence. It
// switches off the defences of a table, one at a time, in a copy of a source file that replaces the
// original during compilation (go build -overlay; the tree is unchanged). Then it runs the attack's
// tests and expects them to fail.
//
//	go run ./internal/disarm            # all entries
//	go run ./internal/disarm -run A4    # the entries of one attack
//	go run ./internal/disarm -list      # prints the entries without running them
//
// It prints a line per entry and a summary. It exits with 1 if a test passes without the defence,
// if a text to replace does not occur exactly once, or if the changed code does not compile.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	only := flag.String("run", "", "attacks to look at, a regular expression; all of the id has to match")
	list := flag.Bool("list", false, "say what there is, and run nothing")
	verbose := flag.Bool("v", false, "print what the tests print")
	timeout := flag.Duration("timeout", 3*time.Minute, "how long the tests of one entry may take; a test that hangs has failed")
	flag.Parse()
	if err := run(os.Stdout, *only, *list, *verbose, *timeout); err != nil {
		fmt.Fprintln(os.Stderr, "disarm:", err)
		os.Exit(1)
	}
}

// run runs all entries of the table. The error contains the number of entries that failed.
func run(out io.Writer, only string, list, verbose bool, timeout time.Duration) error {
	wanted, err := regexp.Compile("^(?:" + only + ")$")
	if err != nil {
		return err
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "disarm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	killed, bad := 0, 0
	for i, e := range entries() {
		if only != "" && !wanted.MatchString(e.attack) {
			continue
		}
		if list {
			fmt.Fprintf(out, "%-4s %s: %s\n", e.attack, e.file, e.what)
			continue
		}
		began := time.Now()
		verdict, err := e.try(root, filepath.Join(work, fmt.Sprint(i)), timeout, verbose)
		if err != nil {
			bad++
			verdict = "SURVIVED: " + err.Error()
		} else {
			killed++
		}
		fmt.Fprintf(out, "%-4s %-10s %s: %s (%.0f s)\n", e.attack, "off:", e.what, verdict, time.Since(began).Seconds())
	}
	if list {
		return nil
	}
	fmt.Fprintf(out, "%d defences were missed when they were off, %d were not\n", killed, bad)
	if bad > 0 {
		return fmt.Errorf("%d entries failed", bad)
	}
	if killed == 0 {
		return fmt.Errorf("no attack matches %q", only)
	}
	return nil
}

// moduleRoot returns the directory of the go.mod at or above the working directory.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", fmt.Errorf("not inside a module")
	}
	return filepath.Dir(mod), nil
}
