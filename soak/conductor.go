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

// options say how a soak is done.
type options struct {
	duration time.Duration // of the abuse
	every    time.Duration // between two samples
	clients  int           // processes
	workers  int           // in each
	seed     uint64
	log      io.Writer // progress
}

const (
	askTime    = 20 * time.Second        // for an answer of a child that runs
	sampleTime = 1500 * time.Millisecond // the same while some are stopped
	settleTime = time.Minute             // for all to come back to what it was
	dwell      = 10 * time.Second        // settings.Dwell
)

// enough is how long a soak goes on at least that is to have done everything.
const enough = 30 * time.Second

// An event is something that was done to the processes.
type event struct {
	At   time.Duration
	What string
}

// A point is a sample with the time it was taken at.
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
	running []*process       // the clients
	held    []bool           // of which something is being done
	started int              // client processes
	sum     map[string]int64 // counts of those that are no more
	notes   []string
	points  []point
	events  []event
}

// A result is what a soak has come to.
type result struct {
	Relay, Origin picture
	Clients       map[string]int64
	Points        []point
	Events        []event
	Bad           []string // what was wrong; empty if nothing was
	Took          time.Duration
}

// run does all of it. An error says that it could not be done; what it found is in the result.
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

// settings are those of a child; only the relay is not told where the relay is.
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

// both are the two processes that last, in the order of pair.
func (k *soak) both() [2]*process { return [2]*process{k.relay, k.origin} }

// pair samples both while they rest.
func (k *soak) pair(ctx context.Context) (s [2]*sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for i, p := range k.both() {
		one, failed := p.sample(ctx, "rest")
		s[i], err = one, errors.Join(err, failed)
	}
	return s, err
}

// calm lets a little time pass in which nothing happens, for the picture.
func (k *soak) calm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, k.duration/60)
	defer cancel()
	for k.sampleAll(context.WithoutCancel(ctx), "rest"); pause(ctx, k.every/2); {
		k.sampleAll(context.WithoutCancel(ctx), "rest")
	}
}

// baseline waits for the tunnels, warms everything up, and tells what it is like then.
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

// verify runs a client that asks for everything once, without any trouble.
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

// settle waits for both to come back to what they were, and says what has not.
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
	k.running = nil // they are not to be sampled any more
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

// bury keeps what a client has counted.
func (k *soak) bury(s *sample) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, n := range s.Counts {
		k.sum[name] += n
	}
	k.notes = append(k.notes, s.Notes...)
}

// note is a thing that must not be.
func (k *soak) note(text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sum[wrong]++
	k.notes = append(k.notes, text)
}

// conclude judges, and ends the two that are left.
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

// dump prints the goroutines of both, to find out what is left.
func (k *soak) dump(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for _, p := range k.both() {
		if a, err := p.ask(limit, "dump"); err == nil {
			fmt.Fprintf(k.log, "goroutines of the %s:\n%s\n", p.name, a.Text)
		}
	}
}

// killAll ends whatever is still there.
func (k *soak) killAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range slices.Concat(k.running, []*process{k.relay, k.origin}) {
		if p != nil {
			p.kill()
		}
	}
}
