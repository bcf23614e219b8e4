// Package census counts what a process holds.
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

// A Census is what a process holds.
type Census struct {
	Goroutines, Files int
	Heap              uint64 // bytes that are reachable
}

// stuck is what client-go leaves behind when a session ends while a connection is being
// opened: a goroutine that says how its error stream has ended, to nobody.
const stuck = "portforward.(*PortForwarder).handleConnection.func1"

// stuckNow counts those.
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

// Take counts, without what client-go itself leaves behind. Idle connections of net/http are
// for the caller to close first.
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

// Exceeds reports that there is more than before; the heap does not count.
func (c Census) Exceeds(before Census) bool {
	return c.Goroutines > before.Goroutines || c.Files > before.Files
}

// String is for reports.
func (c Census) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %d KiB", c.Goroutines, c.Files, c.Heap>>10)
}

// Settle counts until there is no more than before, or patience is at its end.
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

// Stacks is what every goroutine does, those that do the same together.
func Stacks() string {
	var b bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
	return b.String()
}
