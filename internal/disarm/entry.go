package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/amahi/spdy/internal/overlay"
)

// An entry is a defence to switch off.
type entry struct {
	attack string // the id of the attack, A1 to A31
	what   string // the defence in words
	file   string // the file to change, relative to the root of the module
	old    string // text that occurs exactly once in the file
	new    string // replacement of old
	also   []edit // further changes needed to switch the defence off

	// test is the argument of -test.run for a part of the attack's tests; "" means all of them. pkg
	// is the directory of the tests; "" means the root.
	test, pkg string
}

// An edit is an additional change of an entry.
type edit struct{ file, old, new string }

// entries returns the whole table. Each author of attack tests has a separate file.
func entries() []entry {
	return slices.Concat(coreEntries, restEntries, headerEntries, retryEntries, ownershipEntries, cancelEntries, windowEntries, shareEntries, healEntries, dialEntries, upgradeEntries, costEntries)
}

// edits returns all edits of the entry.
func (e *entry) edits() []edit {
	return append([]edit{{e.file, e.old, e.new}}, e.also...)
}

// pattern returns the argument of -test.run. A1 does not match A10.
func (e *entry) pattern() string {
	if e.test != "" {
		return e.test
	}
	return "^TestAttack" + e.attack + "($|[^0-9])"
}

// mutate returns the text of the changed files, with the defence off.
func (e *entry) mutate(root string) (map[string]string, error) {
	var changes []overlay.Edit
	for _, ed := range e.edits() {
		changes = append(changes, overlay.Edit{File: ed.file, Old: ed.old, New: ed.new})
	}
	return overlay.Apply(root, changes)
}

// overlay writes the changed files to work, and the overlay list for the go command.
func (e *entry) overlay(root, work string) (list string, err error) {
	changed, err := e.mutate(root)
	if err != nil {
		return "", err
	}
	return overlay.Write(work, root, changed)
}

// try runs the tests without the defence, and returns a verdict with the test that failed. An error
// means that no test failed, or that no test ran. The binary is built first, because a compile
// error proves nothing.
func (e *entry) try(root, work string, timeout time.Duration, verbose bool) (verdict string, err error) {
	list, err := e.overlay(root, work)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, e.pkg)
	binary := filepath.Join(work, "disarmed.test")
	build := exec.Command("go", "test", "-c", "-vet=off", "-overlay", list, "-o", binary, ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("does not compile: %v\n%s", err, out)
	}
	defer os.Remove(binary)
	test := exec.Command(binary, "-test.failfast", "-test.run", e.pattern(), "-test.timeout", timeout.String())
	test.Dir = dir
	test.Env = append(os.Environ(), "GOMEMLIMIT=1GiB")
	out, err := test.CombinedOutput()
	if verbose {
		os.Stdout.Write(out)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return "", err
	}
	if err == nil {
		return "", fmt.Errorf("%s passes all the same", e.pattern())
	}
	return missed(out), nil
}

var failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// missed returns the name of the first failed test, as printed by the test binary.
func missed(out []byte) string {
	all := failure.FindAllSubmatch(out, -1)
	if len(all) == 0 {
		if bytes.Contains(out, []byte("test timed out")) {
			return "hangs"
		}
		return "crashes"
	}
	longest := all[0][1]
	for _, m := range all {
		if bytes.HasPrefix(m[1], longest) {
			longest = m[1]
		}
	}
	return string(longest) + " fails"
}
