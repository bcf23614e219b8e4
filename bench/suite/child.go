package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"
)

// A child is one measurement: a target of a workload in this process.
type child struct {
	name             string // workload/target
	scale            float64
	cpuprofile, heap string // files for profiles; "" for no profile
}

// profiles holds the profile files of the current child.
var profiles child

// run measures, and writes the metrics as JSON.
func (c child) run() error {
	work, target, _ := strings.Cut(c.name, "/")
	profiles = c
	if c.heap != "" {
		runtime.MemProfileRate = 16 << 10
	}
	for _, w := range workloads() {
		if w.name != work {
			continue
		}
		m, err := w.run(target, c.scale)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(m)
	}
	return fmt.Errorf("no workload %q", work)
}

// A meter measures this process from start to stop.
type meter struct {
	wall    time.Time
	cpu     time.Duration
	mallocs uint64
	profile *os.File
}

func startMeter() meter {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := meter{mallocs: m.Mallocs}
	if profiles.cpuprofile != "" {
		var err error
		if s.profile, err = os.Create(profiles.cpuprofile); err == nil {
			err = pprof.StartCPUProfile(s.profile)
		}
		orPanic(err)
	}
	s.cpu, s.wall = cpuTime(), time.Now()
	return s
}

func (s meter) stop() (wall, cpu time.Duration, mallocs uint64) {
	wall = time.Since(s.wall)
	cpu = cpuTime() - s.cpu
	if s.profile != nil {
		pprof.StopCPUProfile()
		orPanic(s.profile.Close())
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	keepHeap()
	return wall, cpu, m.Mallocs - s.mallocs
}

// keepHeap writes the memory profile, if requested; a later profile replaces an earlier profile.
func keepHeap() {
	if profiles.heap == "" {
		return
	}
	runtime.GC() // the profile shows the state at the last collection
	f, err := os.Create(profiles.heap)
	orPanic(err)
	orPanic(pprof.Lookup("heap").WriteTo(f, 0))
	orPanic(f.Close())
}

// orPanic handles errors that occur only if the child was started wrongly.
func orPanic(err error) {
	if err != nil {
		panic(err)
	}
}

// cpuTime returns the processor time of this process, including kernel time.
func cpuTime() time.Duration {
	var u syscall.Rusage
	orPanic(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMiB returns the peak resident size of this process.
func peakMiB() float64 {
	var u syscall.Rusage
	orPanic(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	unit := 1024.0 // Linux counts in KiB
	if runtime.GOOS == "darwin" {
		unit = 1
	}
	return float64(u.Maxrss) * unit / (1 << 20)
}

// bulk returns the cost of moving n bytes.
func (s meter) bulk(n int64) metrics {
	wall, cpu, mallocs := s.stop()
	mb := float64(n) / 1e6
	return metrics{
		"MB/s":         mb / wall.Seconds(),
		"CPU ms/MB":    cpu.Seconds() * 1e3 / mb,
		"allocs/32KiB": float64(mallocs) / (float64(n) / (32 << 10)),
	}
}

// each returns the cost of n repetitions.
func (s meter) each(n int64) metrics {
	wall, cpu, mallocs := s.stop()
	return metrics{
		"/s":     float64(n) / wall.Seconds(),
		"CPU µs": cpu.Seconds() * 1e6 / float64(n),
		"allocs": float64(mallocs) / float64(n),
	}
}

// memory is the memory and the goroutines in use.
type memory struct {
	heap, stacks, goroutines float64 // bytes, bytes, number
}

// live returns the memory in use now, after garbage collection.
func live() memory {
	for range 3 {
		runtime.GC()
	}
	keepHeap()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return memory{float64(m.HeapAlloc), float64(m.StackInuse), float64(runtime.NumGoroutine())}
}

// settled is live after started work has ended.
func settled() memory {
	time.Sleep(200 * time.Millisecond)
	return live()
}

// since returns the increase since before for each of n items.
func (m memory) since(before memory, n float64) metrics {
	stacks := (m.stacks - before.stacks) / n / 1024
	return metrics{
		"KiB":             (m.heap-before.heap)/n/1024 + stacks,
		"of which stacks": stacks,
		"goroutines":      (m.goroutines - before.goroutines) / n,
	}
}
