package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// options are the parameters of a soak.
type options struct {
	duration time.Duration // duration of the abuse
	every    time.Duration // interval between samples
	clients  int           // number of client processes
	workers  int           // workers per client
	seed     uint64
	log      io.Writer // progress
}

const (
	askTime    = 20 * time.Second        // for the reply of a running child
	sampleTime = 1500 * time.Millisecond // the same while some processes are stopped
	settleTime = time.Minute             // for all processes to return to the baseline
	dwell      = 10 * time.Second        // settings.Dwell
)

// enough is the duration from which a soak must have exercised everything.
const enough = 30 * time.Second

// An event is a fault inflicted on the processes.
type event struct {
	At   time.Duration
	What string
}

// A point is a sample with a time.
type point struct {
	At     time.Duration
	Who    string
	Sample *sample
}

// A soak is one run.
type soak struct {
	options
	relay, origin *process
	random        *rand.Rand
	began         time.Time

	mu      sync.Mutex
	running []*process       // the client processes
	held    []bool           // true while a fault is inflicted on the client
	started int              // number of client processes started
	sum     map[string]int64 // counts of ended clients
	notes   []string
	points  []point
	events  []event
}

// A result is the outcome of a soak.
type result struct {
	Relay, Origin picture
	Clients       map[string]int64
	Points        []point
	Events        []event
	Bad           []string // failures; empty if there were none
	Took          time.Duration
}

// run runs the whole soak. It returns an error if the soak could not be run; failures found are in
// the result.
func (k *soak) run(ctx context.Context) (*result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k.random = rand.New(rand.NewPCG(k.seed, 0))
	k.sum = make(map[string]int64)
	fmt.Fprintf(k.log, "seed %d\n", k.seed)
	if err := k.begin(ctx); err != nil {
		return nil, err
	}
	defer k.killAll()
	before, err := k.baseline(ctx)
	if err != nil {
		return nil, err
	}
	k.began = time.Now()
	k.calm(ctx)
	k.abuse(ctx)
	k.dismiss(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	after, bad := k.settle(ctx, before)
	if len(bad) == 0 { // so that all tunnels are up
		if err := k.verify(ctx); err != nil {
			bad = append(bad, err.Error())
		}
		var still []string
		after, still = k.settle(ctx, before)
		bad = append(bad, still...)
	}
	k.calm(ctx)
	return k.conclude(ctx, before, after, bad), nil
}

// begin starts the relay and the origin.
func (k *soak) begin(ctx context.Context) (err error) {
	set := k.settings("relay", k.seed)
	if k.relay, err = startProcess("relay", set); err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if _, err := k.relay.sample(limit, "sample"); err != nil {
		k.relay.kill()
		return err
	}
	if k.origin, err = startProcess("origin", k.settings("origin", k.seed)); err != nil {
		k.relay.kill()
	}
	return err
}

// settings returns the settings of a child; only the relay's lack the relay's addresses.
func (k *soak) settings(role string, seed uint64) settings {
	set := settings{
		Role: role, Seed: seed, Workers: k.workers, Dwell: dwell,
		Patience: min(2*time.Minute, max(k.duration/2, 30*time.Second)),
	}
	if k.relay != nil {
		s := k.relay.lastSample()
		set.Plain, set.Secure, set.Inner, set.Cert = s.Plain, s.Secure, s.Inner, s.Cert
	}
	return set
}

// both returns the two long-lived processes, in the order of pair.
func (k *soak) both() [2]*process { return [2]*process{k.relay, k.origin} }

// pair samples both processes at rest.
func (k *soak) pair(ctx context.Context) (s [2]*sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for i, p := range k.both() {
		one, failed := p.sample(ctx, "rest")
		s[i], err = one, errors.Join(err, failed)
	}
	return s, err
}

// calm waits a short time without load, for the chart.
func (k *soak) calm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, k.duration/60)
	defer cancel()
	for k.sampleAll(context.WithoutCancel(ctx), "rest"); pause(ctx, k.every/2); {
		k.sampleAll(context.WithoutCancel(ctx), "rest")
	}
}

// baseline waits for the tunnels, warms up all processes, and returns their samples at rest.
func (k *soak) baseline(ctx context.Context) (s [2]*sample, err error) {
	limit, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		if s, err = k.pair(limit); err != nil {
			return s, err
		}
		if n := int64(len(tunnelVersions)); s[0].Gauges["tunnels"] == n && s[1].Gauges["tunnels"] == n {
			break
		}
		pause(limit, 50*time.Millisecond)
	}
	idle := s
	if err := k.verify(ctx); err != nil {
		return s, err
	}
	s, bad := k.settle(ctx, idle)
	if len(bad) > 0 {
		return s, fmt.Errorf("before anything was abused: %s", strings.Join(bad, "; "))
	}
	return s, nil
}

// verify runs a client that requests everything once, without faults.
func (k *soak) verify(ctx context.Context) error {
	set := k.settings("client", k.seed)
	set.Verify = true
	p, err := startProcess("verifier", set)
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, set.Patience)
	defer cancel()
	for {
		s, err := p.sample(limit, "sample")
		if err != nil {
			p.kill()
			return err
		}
		if s.Gauges["finished"] > 0 {
			break
		}
		pause(limit, 50*time.Millisecond)
	}
	s, err := p.quit(limit)
	if err != nil {
		return err
	}
	if s.Counts[completed] != s.Counts[requests] {
		return fmt.Errorf("nothing was in the way, and of %d requests %d were completed: %v %q",
			s.Counts[requests], s.Counts[completed], s.Counts, s.Notes)
	}
	return nil
}

// settle waits for both processes to return to the baseline, and reports the values that have not.
func (k *soak) settle(ctx context.Context, before [2]*sample) (after [2]*sample, bad []string) {
	limit, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		var err error
		if after, err = k.pair(ctx); err != nil {
			return after, []string{err.Error()}
		}
		bad = slices.Concat(notBack("relay", before[0], after[0]), notBack("origin", before[1], after[1]),
			windowsLeft(after[0], after[1]))
		if len(bad) == 0 || !pause(limit, 250*time.Millisecond) {
			return after, bad
		}
	}
}

// dismiss ends the clients: half of them in order, the others with SIGKILL.
func (k *soak) dismiss(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	k.mu.Lock()
	all := slices.Clone(k.running)
	k.running = nil // no longer sampled
	k.mu.Unlock()
	for i, p := range all {
		if p == nil {
			continue
		}
		if i%2 == 0 {
			p.kill()
			k.bury(p.lastSample())
			continue
		}
		s, err := p.quit(limit)
		k.bury(s)
		if err != nil {
			k.note("a client does not end: " + err.Error())
		}
	}
}

// bury adds up the counts of an ended client.
func (k *soak) bury(s *sample) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, n := range s.Counts {
		k.sum[name] += n
	}
	k.notes = append(k.notes, s.Notes...)
}

// note records a failure.
func (k *soak) note(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sum[wrong]++
	k.notes = append(k.notes, text)
}

// conclude judges the soak, and ends the relay and the origin.
func (k *soak) conclude(ctx context.Context, before, after [2]*sample, bad []string) *result {
	if len(bad) > 0 {
		k.dump(ctx)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	bad = append(bad, judgeCounts(k.sum, after[0].Counts, after[1].Counts)...)
	if k.duration >= enough {
		bad = append(bad, shownNothing(k.sum)...)
	}
	for _, text := range slices.Concat(k.notes, after[0].Notes, after[1].Notes) {
		bad = append(bad, "  "+text)
	}
	limit, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for _, p := range k.both() {
		if _, err := p.quit(limit); err != nil {
			bad = append(bad, err.Error())
		}
	}
	r := &result{Clients: k.sum, Points: k.points, Events: k.events, Bad: bad, Took: time.Since(k.began)}
	r.Relay = picture{Name: "relay", Before: before[0], Peak: new(sample), After: after[0]}
	r.Origin = picture{Name: "origin", Before: before[1], Peak: new(sample), After: after[1]}
	for _, p := range k.points {
		switch p.Who {
		case "relay":
			r.Relay.Peak.peak(p.Sample)
		case "origin":
			r.Origin.Peak.peak(p.Sample)
		}
	}
	return r
}

// dump prints the goroutines of both processes, to find leaks.
func (k *soak) dump(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for _, p := range k.both() {
		if a, err := p.ask(limit, "dump"); err == nil {
			fmt.Fprintf(k.log, "goroutines of the %s:\n%s\n", p.name, a.Text)
		}
	}
}

// killAll kills all remaining processes.
func (k *soak) killAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range slices.Concat(k.running, []*process{k.relay, k.origin}) {
		if p != nil {
			p.kill()
		}
	}
}
