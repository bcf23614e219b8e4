//go:build !linux

package main

import (
	"errors"
	"os"
	"os/exec"
)

// Only Linux is known to tell all that is measured, and everything is the same elsewhere: a
// soak on another system stops at once.
const (
	sigStop = noSignal("stop")
	sigCont = noSignal("continue")
)

type noSignal string

func (noSignal) Signal() {}

func (s noSignal) String() string { return string(s) }

var _ os.Signal = sigStop

func tied(*exec.Cmd) {}

func measure(int) (rss uint64, files int, err error) {
	return 0, 0, errors.New("the soak needs Linux: it reads /proc")
}
