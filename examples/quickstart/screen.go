package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A screen is the output of the quickstart: a terminal, or a file or pipe that receives whole lines
// only.
type screen struct {
	out      io.Writer
	terminal bool
	checks   int
}

func newScreen(f *os.File) *screen {
	info, err := f.Stat()
	return &screen{out: f, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"}
}

func (s *screen) line(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *screen) title(n int, title string) {
	s.line("\n%d. %s", n, strings.ToUpper(title[:1])+title[1:])
}

// note prints a fact that was not checked.
func (s *screen) note(format string, args ...any) { s.line("   "+format, args...) }

// check prints a verified fact.
func (s *screen) check(format string, args ...any) {
	s.checks++
	s.line("   ok  "+format, args...)
}

// A bar shows the progress of a transfer. Write counts bytes.
type bar struct {
	s     *screen
	total int64
	done  int64
	began time.Time
	drawn time.Time // time of the last drawing on a terminal
	next  int       // percentage of the next line if the output is no terminal
}

func (s *screen) bar(total int64) *bar {
	return &bar{s: s, total: total, began: time.Now(), next: 25}
}

// frame is the minimum time between two drawings of a bar.
const frame = 50 * time.Millisecond

func (b *bar) Write(p []byte) (int, error) {
	b.done += int64(len(p))
	switch {
	case !b.s.terminal:
		for b.next < 100 && b.percent() >= b.next {
			b.s.note("%3d %%", b.next)
			b.next += 25
		}
	case time.Since(b.drawn) >= frame:
		b.drawn = time.Now()
		b.draw()
	}
	return len(p), nil
}

func (b *bar) percent() int { return int(100 * b.done / max(b.total, 1)) }

func (b *bar) draw() {
	const width = 30
	full := min(width*b.percent()/100, width)
	fmt.Fprintf(b.s.out, "\r   [%s%s] %3d %%  %s  ", strings.Repeat("#", full), strings.Repeat(".", width-full),
		b.percent(), speed(b.done, time.Since(b.began)))
}

// end removes the bar, and returns the duration of the transfer.
func (b *bar) end() time.Duration {
	if b.s.terminal {
		fmt.Fprintf(b.s.out, "\r%s\r", strings.Repeat(" ", 70))
	}
	return time.Since(b.began)
}

// bytesText formats a number of bytes.
func bytesText(n int64) string {
	switch {
	case n >= 1<<20:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/(1<<20)), ".0") + " MiB"
	case n >= 1<<10:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)/(1<<10)), ".0") + " KiB"
	}
	return fmt.Sprintf("%d bytes", n)
}

// speed formats a transfer rate.
func speed(n int64, d time.Duration) string {
	return fmt.Sprintf("%.0f MiB/s", float64(n)/(1<<20)/max(d.Seconds(), 1e-9))
}
