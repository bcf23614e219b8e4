// Nethttp runs the tests of net/http and net/http/httptest over SPDY.
//
//	go run ./internal/nethttp/suite                      # all tests
//	go run ./internal/nethttp/suite -run TestServeFile   # these, with the output of failures
//
// Many tests of net/http use both client and server, and run over HTTP/1.1 and HTTP/2. Nethttp
// compiles the tests of the installed Go with edits (go test -overlay; the installation is
// unchanged) that configure servers and transports by two functions in the package hook. The tests
// then run twice: over HTTP/2 by golang.org/x/net/http2, and over SPDY by ConfigureServer and
// ConfigureTransport. Each test that passes over HTTP/2 has to pass over SPDY too, unless
// excluded.txt names the test with a reason. The last line of the output counts the tests.
//
// The exit status is 1 if another test fails over SPDY, or if an excluded test passes. A test that
// fails gets two more chances, because some tests of net/http depend on timing.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	_ "github.com/amahi/spdy/internal/nethttp/suite/hook" // compiled into the tests; keeps go vet aware of it
)

func main() {
	var c command
	flag.StringVar(&c.pattern, "run", "", "run only tests whose names match this regular expression")
	flag.IntVar(&c.tries, "tries", 3, "how often a failing test runs over SPDY")
	flag.StringVar(&c.build, "build", "", "further arguments of go test -c, separated by spaces, such as -race")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: nethttp [-run regexp] [-tries n] [-build arguments]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 || c.tries < 1 {
		flag.Usage()
		os.Exit(2)
	}
	ok, err := c.do()
	if err != nil {
		fmt.Fprintln(os.Stderr, "nethttp:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// A command is one run of the program.
type command struct {
	pattern, build string
	tries          int

	module, goroot, version string
}

// do runs the suites and prints the count. It returns false if a test has the wrong result.
func (c *command) do() (bool, error) {
	if err := c.look(); err != nil {
		return false, err
	}
	excluded, err := parseExcluded(excludedText)
	if err != nil {
		return false, err
	}
	dir, err := os.MkdirTemp("", "nethttp")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	var all verdict
	for i, s := range suites(c.version) {
		v, err := c.suite(s, filepath.Join(dir, fmt.Sprint(i)), excluded)
		if err != nil {
			return false, fmt.Errorf("%s: %w", s.path, err)
		}
		all.add(v)
	}
	for _, line := range all.complaints {
		fmt.Println(line)
	}
	fmt.Printf("%s: %d of %d tests that x/net/http2 passes pass over SPDY, %d excluded\n",
		c.version, all.passed, all.total, all.excluded)
	return len(all.complaints) == 0, nil
}

// look determines where the module and Go are.
func (c *command) look() error {
	out, err := exec.Command("go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	env := strings.Fields(string(out))
	if len(env) != 2 {
		return fmt.Errorf("go env: %q", env)
	}
	c.goroot, c.version = env[0], env[1]
	out, err = exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	c.module = strings.TrimSpace(string(out))
	if _, none := os.Stat(filepath.Join(c.module, "internal", "nethttp", "suite")); err != nil || none != nil {
		return errors.New("nethttp has to run in the module of this repository")
	}
	return nil
}

// suite builds and runs the tests of a package.
func (c *command) suite(s subject, dir string, excluded map[string]string) (verdict, error) {
	overlay, err := s.writeOverlay(dir, c.goroot, c.module)
	if err != nil {
		return verdict{}, err
	}
	binary := filepath.Join(dir, "suite.test")
	args := []string{"test", "-c", "-vet=off", "-overlay", overlay, "-o", binary}
	build := exec.Command("go", append(append(args, strings.Fields(c.build)...), s.path)...)
	build.Dir = c.module
	if out, err := build.CombinedOutput(); err != nil {
		return verdict{}, fmt.Errorf("the tests do not compile: %w\n%s", err, out)
	}
	r := runner{binary: binary, dir: filepath.Join(c.goroot, "src", filepath.FromSlash(s.path)), path: s.path}
	return r.compare(c.pattern, c.tries, excluded)
}
