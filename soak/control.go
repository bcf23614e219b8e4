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

// settings are passed to a new child in the environment.
type settings struct {
	Role    string // "origin", "relay" or "client"
	Seed    uint64 // seed of all random choices
	Workers int    // client only: number of concurrent workers
	Verify  bool   // client only: request everything once, then end

	Dwell    time.Duration // time after which a silent or unresponsive peer is disconnected
	Patience time.Duration // time after which a client counts an exchange as hung

	// The relay's addresses and trusted certificate. A relay reports the addresses in the first
	// sample.
	Plain, Secure, Inner string
	Cert                 []byte
}

// childEnv holds the settings; a process with this variable is a child.
const childEnv = "SPDY_SOAK_CHILD"

// A command is a line from the parent to a child, and an answer is the child's reply. Every command
// has exactly one answer.
type command struct {
	ID int
	Op string // "sample", "rest", "dump", "quit" or one of the role's own
}

type answer struct {
	ID     int
	Sample *sample `json:",omitempty"`
	Text   string  `json:",omitempty"`
}

// A sample is the state of a process at one moment. The parent adds the operating system's figures
// for memory and descriptors.
type sample struct {
	Heap       uint64           // bytes of heap in use, after garbage collection
	Goroutines int              //
	Gauges     map[string]int64 // values that rise and fall
	Counts     map[string]int64 // values that only grow
	Windows    []window         // windows of the tunnels
	Notes      []string         // reasons for failures

	Plain, Secure, Inner string // addresses of a relay
	Cert                 []byte

	RSS   uint64 // resident memory in bytes
	Files int    // number of descriptors
}

// A window holds the remaining and the initial size of a session's windows.
type window struct {
	Tunnel         int
	Unread         int64
	Send, SendFull int64
	Recv, RecvFull int64
}

// addGauges adds the resources in use by a session or a server to the gauges, under names with a
// prefix.
func addGauges(to map[string]int64, prefix string, streams spdy.StreamStates, openers int, unread, unsent int64) {
	to[prefix+" streams"] += int64(streams.Total())
	to[prefix+" waiting openers"] += int64(openers)
	to[prefix+" unread bytes"] += unread
	to[prefix+" unsent bytes"] += unsent
}

// A role is one of the programs that a child can be.
type role interface {
	// start starts the role's work, which ends when ctx ends.
	start(ctx context.Context) error

	// sample adds the role's own values.
	sample(s *sample)

	// do runs a command of the role, without waiting long.
	do(op string)

	// finished is closed when the role has no more work.
	finished() <-chan struct{}
}

// runChild is the program of a child. It ends after the command "quit" or at the end of input, at
// the latest when the parent has died.
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
			return nil // the parent has closed the pipe, or has died
		}
		a := answer{ID: c.ID}
		switch c.Op {
		case "rest":
			debug.FreeOSMemory() // so that the operating system counts only memory in use
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

// takeSample first collects garbage, twice: the contents of a sync.Pool survive one collection.
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

// peak sets s to the maximum of each value in two samples.
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

// pause waits for d and returns true, or returns false as soon as ctx has ended.
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

// childSettings returns the settings of a child, and whether this process is a child.
func childSettings() (text string, child bool) { return os.LookupEnv(childEnv) }
