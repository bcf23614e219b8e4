package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amahi/spdy/internal/shown"
)

// The interval of progress output: redrawn on a terminal, else a new line.
const (
	redrawEvery = 100 * time.Millisecond
	lineEvery   = time.Second
)

// A transfer is a body in transit.
type transfer struct {
	name  string
	total int64 // -1 if unknown
	done  atomic.Int64
}

// A progress shows the progress of the transfers of a get.
type progress struct {
	console *console
	jobs    int

	mu       sync.Mutex
	running  []*transfer
	complete int   // finished transfers
	before   int64 // bytes of finished transfers
	meter    meter
}

func newProgress(c *console, jobs int) *progress { return &progress{console: c, jobs: jobs} }

func (p *progress) add(name string, total int64) *transfer {
	t := &transfer{name: name, total: total}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = append(p.running, t)
	return t
}

func (p *progress) remove(t *transfer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.running, t); i >= 0 {
		p.running = slices.Delete(p.running, i, i+1)
		p.complete++
		p.before += t.done.Load()
	}
}

// finished reports that a file has been saved.
func (p *progress) finished(name string, n int64, took time.Duration) {
	rate := ""
	if took >= time.Millisecond {
		rate = fmt.Sprintf(", %s/s", byteCount(float64(n)/took.Seconds()))
	}
	fmt.Fprintf(p.console, "saved %s: %s in %s%s\n", shown.Printable(name), byteCount(float64(n)), elapsed(took), rate)
}

// start shows progress until the returned function is called.
func (p *progress) start() (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	every := lineEvery
	if p.console.terminal {
		every = redrawEvery
	}
	p.meter.start(time.Now())
	go func() { // ends when stop is called
		defer close(ended)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case now := <-ticker.C:
				p.show(now)
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
		p.console.setStatus("")
	}
}

func (p *progress) show(now time.Time) {
	line := p.line(now)
	switch {
	case line == "":
	case p.console.terminal:
		p.console.setStatus(line)
	default:
		fmt.Fprintln(p.console, line)
	}
}

// line describes the state of all transfers in one line.
func (p *progress) line(now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.running) == 0 {
		return ""
	}
	done, total := int64(0), int64(0)
	for _, t := range p.running {
		done += t.done.Load()
		if t.total < 0 || total < 0 {
			total = -1
			continue
		}
		total += t.total
	}
	rate := p.meter.rate(now, p.before+done)
	name := p.running[0].name
	if p.jobs > 1 {
		name = fmt.Sprintf("%d of %d files", p.complete, p.jobs)
		done += p.before
		if p.complete+len(p.running) < p.jobs {
			total = -1 // the size of the other files is unknown
		} else if total >= 0 {
			total += p.before
		}
	}
	return progressLine(name, done, total, rate, p.console.terminal)
}

// Narrow enough for most lines to fit 80 columns.
const (
	barWidth  = 10
	nameWidth = 16
)

// progressLine formats a line of progress. total is -1 if unknown; rate is in bytes a second, 0 if
// unknown.
func progressLine(name string, done, total int64, rate float64, bar bool) string {
	name = shown.Printable(name)
	if runes := []rune(name); bar && len(runes) > nameWidth {
		name = "…" + string(runes[len(runes)-nameWidth+1:])
	}
	parts := []string{name}
	share := -1.0
	if total > 0 {
		share = min(float64(done)/float64(total), 1)
	}
	if share >= 0 && bar {
		filled := int(share * barWidth)
		parts = append(parts, "["+strings.Repeat("=", filled)+strings.Repeat(" ", barWidth-filled)+"]")
	}
	if share >= 0 {
		parts = append(parts, fmt.Sprintf("%3d%%", int(share*100)), fmt.Sprintf("%s of %s", byteCount(float64(done)), byteCount(float64(total))))
	} else {
		parts = append(parts, byteCount(float64(done)))
	}
	if rate > 0 {
		parts = append(parts, byteCount(rate)+"/s")
		if share >= 0 && share < 1 {
			left := time.Duration(float64(total-done) / rate * float64(time.Second))
			parts = append(parts, clock(left)+" left")
		}
	}
	return strings.Join(parts, "  ")
}

// clock formats a duration as minutes and seconds, or with hours.
func clock(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// byteCount formats a number of bytes for people.
func byteCount(n float64) string {
	if n < 1024 {
		return fmt.Sprintf("%.0f B", n)
	}
	for _, unit := range []string{"KiB", "MiB", "GiB"} {
		if n /= 1024; n < 1024 {
			return fmt.Sprintf("%.1f %s", n, unit)
		}
	}
	return fmt.Sprintf("%.1f TiB", n/1024)
}

// A meter measures a rate, smoothed over some seconds.
type meter struct {
	last    time.Time
	bytes   int64
	current float64
	primed  bool
}

func (m *meter) start(now time.Time) { m.last = now }

// rate returns the current rate; n is the number of bytes since the start.
func (m *meter) rate(now time.Time, n int64) float64 {
	const memory = 3.0 // seconds
	span := now.Sub(m.last).Seconds()
	if span <= 0 {
		return m.current
	}
	fresh := float64(n-m.bytes) / span
	weight := min(span/memory, 1)
	if !m.primed {
		weight, m.primed = 1, true
	}
	m.current += weight * (fresh - m.current)
	m.last, m.bytes = now, n
	return m.current
}
