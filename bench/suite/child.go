package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// runChild measures one target of one workload in this process.
func runChild(name string, scale float64) error {
	work, target, _ := strings.Cut(name, "/")
	for _, w := range workloads() {
		if w.name != work {
			continue
		}
		m, err := w.run(target, scale)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(m)
	}
	return fmt.Errorf("no workload %q", work)
}

// A meter measures what happens between its start and its stop, in this process.
type meter struct {
	wall    time.Time
	cpu     time.Duration
	mallocs uint64
}

func startMeter() meter {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return meter{cpu: cpuTime(), mallocs: m.Mallocs, wall: time.Now()}
}

func (s meter) stop() (wall, cpu time.Duration, mallocs uint64) {
	wall = time.Since(s.wall)
	cpu = cpuTime() - s.cpu
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return wall, cpu, m.Mallocs - s.mallocs
}

// cpuTime is the time that the processors have spent on this process, in the kernel
// too.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // cannot fail for this process
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// bulk is what moving bytes has cost.
func (s meter) bulk(n int64) metrics {
	wall, cpu, mallocs := s.stop()
	mb := float64(n) / 1e6
	return metrics{
		"MB/s":         mb / wall.Seconds(),
		"CPU ms/MB":    cpu.Seconds() * 1e3 / mb,
		"allocs/32KiB": float64(mallocs) / (float64(n) / (32 << 10)),
	}
}

// each is what n repetitions have cost.
func (s meter) each(n int64) metrics {
	wall, cpu, mallocs := s.stop()
	return metrics{
		"/s":     float64(n) / wall.Seconds(),
		"CPU µs": cpu.Seconds() * 1e6 / float64(n),
		"allocs": float64(mallocs) / float64(n),
	}
}

// live is what is in use now, in bytes of heap and stacks, after collecting garbage.
func live() (bytes float64, goroutines int) {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc + m.StackInuse), runtime.NumGoroutine()
}
