// Disarm proves that each attack test of this module needs the defence that it is about.
// It switches the defences of a table off, one at a time, in a copy of one source file
// that the compiler gets instead (go build -overlay; the tree stays as it is), runs the
// attack's tests, and wants them to fail.
//
//	go run ./internal/disarm            # all of them
//	go run ./internal/disarm -run A4    # those of one attack
//	go run ./internal/disarm -list      # says what it would do
//
// It prints a line for each and a summary, and exits 1 if a test passes without its
// defence, if a text that is to be replaced is not found exactly once, or if what comes
// out does not compile.
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

// run goes through the table. Its error says how many entries did not do what they are
// for.
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

// moduleRoot is where the go.mod above the working directory is.
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
