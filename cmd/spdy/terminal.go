package main

import (
	"io"
	"os"
	"sync"
)

// isTerminal reports whether w is a terminal: a character device other than the null device.
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

// A console prints lines of several goroutines. On a terminal a status line below them is redrawn
// in place. The lock is held across writes, which keeps lines whole and the status line last.
type console struct {
	terminal bool

	mu     sync.Mutex
	w      io.Writer
	status string // text of the last line, on a terminal
}

func newConsole(w io.Writer) *console {
	return &console{w: w, terminal: isTerminal(w)}
}

// Control sequences of ECMA-48 and DEC. Without wrapping, a status line that is too long for the
// terminal is cut off; a wrapped line could not be redrawn.
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

// setStatus shows a status line, or removes the line if s is empty. Only a terminal has a status
// line.
func (c *console) setStatus(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.terminal || s == c.status {
		return
	}
	c.status = s
	_, _ = io.WriteString(c.w, eraseLine+drawn(s)) // a lost terminal is not an error
}

func drawn(status string) string {
	if status == "" {
		return ""
	}
	return wrapOff + status + wrapOn
}
