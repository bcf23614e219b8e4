package spdy

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// programs are parts of tests that need a process of their own: the test binary
// runs itself with programEnv set to the name of one.
var programs = map[string]func(){}

const programEnv = "SPDY_TEST_PROGRAM"

// chunksOut is how many chunks are not in their pools. Tests that have given everything
// back compare it with what it was; others leave unread bytes to the garbage collector.
var chunksOut atomic.Int64

// leakPatience is how long goroutines that have been told to end may take.
const leakPatience = 5 * time.Second

// TestMain runs the tests and then checks that none of them has left a goroutine
// behind. In a synctest bubble that is checked for each test by itself; this is for
// those that use real sockets.
func TestMain(m *testing.M) {
	if run := programs[os.Getenv(programEnv)]; run != nil {
		run()
		os.Exit(0)
	}
	countChunk = func(out int) { chunksOut.Add(int64(out)) }
	before := goroutineStacks()
	code := m.Run()
	if left := awaitGoroutines(before, leakPatience); len(left) > 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "FAIL: %d goroutines outlive the tests:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// awaitGoroutines waits until no goroutine is left that is not in before, and
// returns the stacks of those that stay.
func awaitGoroutines(before map[string]string, patience time.Duration) []string {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		var left []string
		for id, stack := range goroutineStacks() {
			if _, old := before[id]; !old {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return nil
		}
		select {
		case <-limit.C:
			return left
		default:
			runtime.Gosched()
		}
	}
}

// goroutineStacks returns the stacks of all goroutines but the caller's and those
// that the runtime and package testing keep, by the goroutine's number.
func goroutineStacks() map[string]string {
	buf := make([]byte, 1<<20)
	for n := runtime.Stack(buf, true); n == len(buf); n = runtime.Stack(buf, true) {
		buf = make([]byte, 2*len(buf))
	}
	stacks := make(map[string]string)
	for i, stack := range strings.Split(string(bytes.TrimRight(buf, "\x00")), "\n\n") {
		id, _, ok := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		switch {
		case i == 0 || !ok: // the caller comes first
		case strings.Contains(stack, "testing.(*T).Run"),
			strings.Contains(stack, "testing.tRunner"),
			strings.Contains(stack, "testing.(*M)"),
			strings.Contains(stack, "os/signal."),
			strings.Contains(stack, "runtime.ensureSigM"),
			strings.Contains(stack, "testing.(*F)"):
		default:
			stacks[id] = stack
		}
	}
	return stacks
}

// TestLeakCheck shows that the check of TestMain finds a goroutine that stays.
func TestLeakCheck(t *testing.T) {
	before := goroutineStacks()
	release := make(chan struct{})
	go func() { <-release }()
	if left := awaitGoroutines(before, 10*time.Millisecond); len(left) != 1 || !strings.Contains(left[0], "TestLeakCheck") {
		t.Errorf("a goroutine that waits is not reported: %q", left)
	}
	close(release)
	if left := awaitGoroutines(before, leakPatience); len(left) != 0 {
		t.Errorf("a goroutine that has ended is reported: %q", left)
	}
}
