package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/amahi/spdy/internal/overlay"
)

// An edit inserts text into a file of the standard library, before or after another text.
type edit struct {
	file          string // below GOROOT/src
	before, place string // place occurs exactly once; the first line identifies the position in error messages
	after         string
}

// runtimeStall is the runtime's part. usleep blocks the thread together with the scheduler's P;
// other threads continue.
const runtimeStall = `

// stallTime returns for how many microseconds somebody is to be held up, mostly 0.
func stallTime() uint32 {
	if cheaprandn(%[1]d) == 0 {
		return cheaprandn(2000)
	}
	if cheaprandn(%[2]d) == 0 {
		return cheaprandn(20000)
	}
	return 0
}

func stall() {
	if us := stallTime(); us > 0 {
		usleep(us)
	}
}

//go:linkname poll_stallTime internal/poll.stallTime
func poll_stallTime() uint32 { return stallTime() }
`

// pollStall is for sockets. As with a slow peer, the thread is free for other goroutines.
const pollStall = `func stallTime() uint32 // the runtime has it

// Stall has as many chances to be held up as it is told.
func Stall(chances int) {
	for range chances {
		if us := stallTime(); us > 0 {
			ts := syscall.NsecToTimespec(1000 * int64(us))
			syscall.Nanosleep(&ts, nil)
		}
	}
}

`

// edits returns the edits for Go 1.26. The scheduler makes random choices as under the race
// detector. A goroutine may be delayed before running, or after waking another goroutine. A dial,
// an Accept, a Read or a Write of a socket may start late, and a Write may return late.
func edits(every int) []edit {
	const (
		proc   = "runtime/proc.go"
		poll   = "internal/poll/fd_unix.go"
		dial   = "net/fd_unix.go"
		socket = "\tif !fd.isFile {\n\t\tStall(1)\n\t}\n"
	)
	return []edit{
		{file: proc, place: "const randomizeScheduler = raceenabled", after: " || true"},
		{file: proc, place: "var main_init_done chan bool\n", after: fmt.Sprintf(runtimeStall, every, 10*every)},
		{file: proc, place: "func execute(gp *g, inheritTime bool) {\n",
			after: "\tif !isSystemGoroutine(gp, false) {\n\t\tstall()\n\t}\n"},
		{file: proc, place: "func goready(gp *g, traceskip int) {\n\tsystemstack(func() {\n\t\tready(gp, traceskip, true)\n\t})\n",
			after: "\tstall()\n"},
		{file: poll, before: pollStall, place: "// FD is a file descriptor."},
		{file: poll, place: "func (fd *FD) Accept() (int, syscall.Sockaddr, string, error) {\n", after: socket},
		{file: poll, place: "func (fd *FD) Read(p []byte) (int, error) {\n", after: socket},
		{file: poll, place: "func (fd *FD) Write(p []byte) (int, error) {\n", after: socket + "\tdefer Stall(1)\n"},
		{file: dial, place: "func (fd *netFD) connect(ctx context.Context, la, ra syscall.Sockaddr) (rsa syscall.Sockaddr, ret error) {\n",
			after: fmt.Sprintf("\tpoll.Stall(%d)\n", 1+every/4)},
	}
}

// writeOverlay writes copies of the files changed by edits into dir, and returns the overlay file
// for the go command.
func writeOverlay(dir, goroot string, every int) (string, error) {
	var changes []overlay.Edit
	for _, e := range edits(every) {
		changes = append(changes, overlay.Edit{File: e.file, Old: e.place, New: e.before + e.place + e.after})
	}
	src := filepath.Join(goroot, "src")
	texts, err := overlay.Apply(src, changes)
	if _, ok := errors.AsType[*overlay.MismatchError](err); ok {
		return "", fmt.Errorf("%w in this Go: it is not one that stall knows", err)
	}
	if err != nil {
		return "", err
	}
	return overlay.Write(dir, src, texts)
}
