package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

// A census is what a process holds.
type census struct {
	Goroutines, Files int
	Heap              uint64 // bytes that are reachable
}

// takeCensus counts. Idle connections of net/http are for the caller to close first.
func takeCensus() census {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c := census{Goroutines: runtime.NumGoroutine(), Heap: m.HeapAlloc}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		c.Files = len(fds)
	}
	return c
}

func (c census) exceeds(before census) bool {
	return c.Goroutines > before.Goroutines || c.Files > before.Files
}

func (c census) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %d KiB", c.Goroutines, c.Files, c.Heap>>10)
}

// settle counts until there is no more than before, or patience is at its end.
func settle(ctx context.Context, before census, count func() (census, error)) (census, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := count()
		if err != nil || !now.exceeds(before) {
			return now, err
		}
		select {
		case <-ctx.Done():
			return now, fmt.Errorf("left over: %v, and there were %v", now, before)
		case <-tick.C:
		}
	}
}

// stacks is what every goroutine does, those that do the same together.
func stacks() string {
	var b bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1)
	return b.String()
}
