package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/amahi/spdy"
)

// settings are what a child is told when it is started, in the environment.
type settings struct {
	Role    string // "origin", "relay" or "client"
	Seed    uint64 // of everything that is random
	Workers int    // of a client: how many things it does at once
	Verify  bool   // of a client: ask once for everything there is, and end

	Dwell    time.Duration // how long a peer may be silent or deaf before it is given up
	Patience time.Duration // how long a client waits before it takes something for hung

	// Where the relay is, and what makes its certificate trusted. A relay says where
	// it listens in its first sample.
	Plain, Secure, Inner string
	Cert                 []byte
}

// childEnv holds the settings; a process that has them is a child.
const childEnv = "SPDY_SOAK_CHILD"

// A command is a line that the parent writes to a child, and an answer one that comes
// back. Each command has one answer.
type command struct {
	ID int
	Op string // "sample", "rest", "dump", "quit" or one of the role's own
}

type answer struct {
	ID     int
	Sample *sample `json:",omitempty"`
	Text   string  `json:",omitempty"`
}

// A sample is what a process is like at one moment. Memory and descriptors as the system
// counts them are added by the parent.
type sample struct {
	Heap       uint64           // bytes of heap in use, after collecting garbage
	Goroutines int              //
	Gauges     map[string]int64 // that go up and down
	Counts     map[string]int64 // that only grow
	Windows    []window         // of the tunnels
	Notes      []string         // reasons for what must not be

	Plain, Secure, Inner string // where a relay listens
	Cert                 []byte

	RSS   uint64 // bytes of memory
	Files int    // descriptors
}

// A window is what is left of a session's windows, and what was there when it began.
type window struct {
	Tunnel         int
	Unread         int64
	Send, SendFull int64
	Recv, RecvFull int64
}

// addGauges adds up what a session or a server has in use, under names with a prefix.
func addGauges(to map[string]int64, prefix string, streams spdy.StreamStates, openers int, unread, unsent int64) {
	to[prefix+" streams"] += int64(streams.Total())
	to[prefix+" waiting openers"] += int64(openers)
	to[prefix+" unread bytes"] += unread
	to[prefix+" unsent bytes"] += unsent
}

// A role is one of the programs that a child can be.
type role interface {
	// start begins to work; what it starts ends when ctx does.
	start(ctx context.Context) error

	// sample adds what the role knows of itself.
	sample(s *sample)

	// do obeys a command of its own, without waiting long.
	do(op string)

	// finished is closed when the role has nothing more to do.
	finished() <-chan struct{}
}

// runChild is the program of a child. It ends when its input does, which is at the latest
// when its parent has died, or after the command "quit".
func runChild(text string, in io.Reader, out io.Writer) error {
	var set settings
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	roles := map[string]func() role{
		"origin": func() role { return newOrigin(set) },
		"relay":  func() role { return newRelay(set) },
		"client": func() role { return newClients(set) },
	}
	r := roles[set.Role]()
	if err := r.start(ctx); err != nil {
		return err
	}
	lines := json.NewDecoder(bufio.NewReader(in))
	answers := json.NewEncoder(out)
	for {
		var c command
		if err := lines.Decode(&c); err != nil {
			return nil // the parent has closed the pipe, or is no more
		}
		a := answer{ID: c.ID}
		switch c.Op {
		case "rest":
			debug.FreeOSMemory() // so that what the system counts is what is in use
			a.Sample = takeSample(r)
		case "sample":
			a.Sample = takeSample(r)
		case "dump":
			var b strings.Builder
			pprof.Lookup("goroutine").WriteTo(&b, 1)
			a.Text = b.String()
		case "quit":
			cancel()
			<-r.finished()
			a.Sample = takeSample(r)
		default:
			r.do(c.Op)
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
		if c.Op == "quit" {
			return nil
		}
	}
}

// takeSample collects garbage first, twice: what is in a sync.Pool survives one time.
func takeSample(r role) *sample {
	s := &sample{Gauges: make(map[string]int64)}
	r.sample(s)
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.Heap, s.Goroutines = m.HeapAlloc, runtime.NumGoroutine()
	return s
}

// peak keeps the largest of everything in two samples.
func (s *sample) peak(o *sample) {
	s.Heap, s.RSS = max(s.Heap, o.Heap), max(s.RSS, o.RSS)
	s.Goroutines, s.Files = max(s.Goroutines, o.Goroutines), max(s.Files, o.Files)
	s.Gauges = maps.Clone(s.Gauges)
	if s.Gauges == nil {
		s.Gauges = make(map[string]int64)
	}
	for name, n := range o.Gauges {
		s.Gauges[name] = max(s.Gauges[name], n)
	}
}

// pause lets time pass; it returns false as soon as ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// childSettings says whether this process is a child.
func childSettings() (text string, child bool) { return os.LookupEnv(childEnv) }
