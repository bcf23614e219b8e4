// Package census counts a process's goroutines, files and memory.
package census

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

// A Census is the resource use of a process.
type Census struct {
	Goroutines, Files int
	Heap              uint64 // reachable bytes
}

// stuck is a goroutine that client-go leaks when a session ends while a connection is being opened.
// The goroutine blocks while reporting the end of the error stream, since nothing receives the
// report.
const stuck = "portforward.(*PortForwarder).handleConnection.func1"

// stuckNow counts the stuck goroutines.
func stuckNow() (n int) {
	for _, record := range strings.Split(Stacks(), "\n\n") {
		if strings.Contains(record, stuck) && !strings.Contains(record, "io.ReadAll") {
			count, _, _ := strings.Cut(record, " @")
			m, _ := strconv.Atoi(strings.TrimSpace(count))
			n += m
		}
	}
	return n
}

// Take returns a census without the goroutines leaked by client-go itself. The caller must close
// idle connections of net/http first.
func Take() Census {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c := Census{Goroutines: runtime.NumGoroutine() - stuckNow(), Heap: m.HeapAlloc}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		c.Files = len(fds)
	}
	return c
}

// Exceeds reports whether c has more goroutines or files than before; the heap is ignored.
func (c Census) Exceeds(before Census) bool {
	return c.Goroutines > before.Goroutines || c.Files > before.Files
}

// String formats the census for reports.
func (c Census) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %d KiB", c.Goroutines, c.Files, c.Heap>>10)
}

// Settle counts until no more remains than before, or until ctx ends.
func Settle(ctx context.Context, before Census, count func() (Census, error)) (Census, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := count()
		if err != nil || !now.Exceeds(before) {
			return now, err
		}
		select {
		case <-ctx.Done():
			return now, fmt.Errorf("left over: %v, and there were %v", now, before)
		case <-tick.C:
		}
	}
}

// Stacks returns the stacks of all goroutines, with equal stacks grouped.
func Stacks() string {
	var b bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
	return b.String()
}
