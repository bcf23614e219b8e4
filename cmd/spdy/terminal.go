package main

import (
	"io"
	"os"
	"sync"
)

// isTerminal reports whether w is a terminal: a character device that is not the
// null device.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// A console is where several goroutines print lines, with a status line below that
// is redrawn in place if it is a terminal. Its lock is held across the writes,
// since that is what keeps lines whole and the status line last.
type console struct {
	terminal bool

	mu     sync.Mutex
	w      io.Writer
	status string // what the last line shows, on a terminal
}

func newConsole(w io.Writer) *console {
	return &console{w: w, terminal: isTerminal(w)}
}

// Control sequences of ECMA-48 and DEC. Without wrapping, a status line that is too
// long for the terminal is cut off and not spread over several lines that could
// not be redrawn.
const (
	eraseLine = "\r\x1b[K"
	wrapOff   = "\x1b[?7l"
	wrapOn    = "\x1b[?7h"
)

// Write prints whole lines above the status line.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status == "" {
		return c.w.Write(p)
	}
	b := append([]byte(eraseLine), p...)
	if _, err := c.w.Write(append(b, drawn(c.status)...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// setStatus shows a status line, or removes it if s is empty. What is no terminal
// has none.
func (c *console) setStatus(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.terminal || s == c.status {
		return
	}
	c.status = s
	_, _ = io.WriteString(c.w, eraseLine+drawn(s)) // a lost terminal is nobody's loss
}

func drawn(status string) string {
	if status == "" {
		return ""
	}
	return wrapOff + status + wrapOn
}
