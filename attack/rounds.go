package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// A result is the result of an attack on a victim.
type result struct {
	attack  *attack
	victim  string
	outcome string
	sent    int64 // bytes
	cost    cost
	times   float64 // CPU time, as a multiple of the CPU time for as many honest bytes; 0 if unknown
}

// measure plays each attack for the given number of rounds, and returns the medians in the order of
// the list.
func measure(chosen []attack, rounds int) (results []result) {
	for i := range chosen {
		a := &chosen[i]
		plays := make([][]result, len(a.victims))
		var waiting sync.WaitGroup // for attacks that only wait
		for v, victim := range a.victims {
			plays[v] = make([]result, rounds)
			for n := range rounds {
				if a.id == "A23" {
					waiting.Go(func() { plays[v][n] = playOnce(a, victim) })
				} else {
					plays[v][n] = playOnce(a, victim)
				}
			}
		}
		waiting.Wait()
		for _, all := range plays {
			r := median(all)
			if honest := honestCost(r.victim, r.sent, rounds); honest > 0 {
				r.times = float64(r.cost.CPU) / float64(honest)
			}
			results = append(results, r)
		}
	}
	return results
}

// honestCost is the CPU time that n bytes of an honest peer cost a victim, including the
// connection; 0 if unknown.
func honestCost(victim string, n int64, rounds int) time.Duration {
	var all []time.Duration
	for range rounds {
		c, err := withVictim(victim, func(addr string) error { return beHonest(addr, victim, n) })
		if err == nil {
			all = append(all, c.CPU)
		} else {
			fmt.Fprintf(os.Stderr, "attack: %d honest bytes to %s: %v\n", n, victim, err)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// playOnce plays an attack on a fresh victim. A failure becomes the outcome.
func playOnce(a *attack, victim string) result {
	r := result{attack: a, victim: victim}
	chunks, err := a.chunks(victim)
	if err != nil {
		r.outcome = "failed: " + err.Error()
		return r
	}
	c, err := withVictim(victim, func(addr string) (err error) {
		if a.many != nil {
			r.outcome, r.sent, err = a.many(addr, victim)
			return err
		}
		w, err := dialVictim(addr, victim, a.deaf)
		if err != nil {
			return err
		}
		defer w.conn.Close()
		w.out.Reset() // the greeting is among the prepared chunks
		w.send(chunks)
		if a.deaf { // to learn the victim's reaction
			pause(200 * time.Millisecond)
			go w.listen() // ends with the connection
		}
		r.outcome, r.sent = w.outcome(), w.sent
		return nil
	})
	if err != nil {
		r.outcome = "failed: " + err.Error()
	}
	r.cost = c
	return r
}

// made holds the prepared attacks, by attack and victim.
var made = map[string][]chunk{}

// chunks prepares an attack, once. Only attacks with separate connections, which need no
// preparation, run in parallel.
func (a *attack) chunks(victim string) ([]chunk, error) {
	if a.play == nil {
		return nil, nil
	}
	key := a.what + victim
	if made[key] == nil {
		clear(made) // the chunks of the previous attack
		var err error
		if made[key], err = prepare(a, victim); err != nil {
			return nil, err
		}
	}
	return made[key], nil
}

// median returns the median of each figure; the outcome is from the round with the median CPU time.
func median(all []result) result {
	by := func(f func(r result) int64) int64 {
		values := make([]int64, len(all))
		for i, r := range all {
			values[i] = f(r)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	slices.SortStableFunc(all, func(a, b result) int { return cmp.Compare(a.cost.CPU, b.cost.CPU) })
	m := all[len(all)/2]
	m.cost.Heap = by(func(r result) int64 { return r.cost.Heap })
	m.cost.Goroutines = by(func(r result) int64 { return r.cost.Goroutines })
	return m
}

// deathAfter is how long a victim may run before it is killed.
const deathAfter = 30 * time.Second

var errDied = errors.New("the victim died")

// withVictim starts a victim, and measures it while f runs.
func withVictim(name string, f func(addr string) error) (c cost, err error) {
	self, err := os.Executable()
	if err != nil {
		return c, err
	}
	cmd := exec.Command(self, "-victim", name)
	cmd.Env = append(os.Environ(), "GOMEMLIMIT=2GiB")
	in, err := cmd.StdinPipe()
	if err != nil {
		return c, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return c, err
	}
	if err := cmd.Start(); err != nil {
		return c, err
	}
	defer cmd.Wait()
	defer in.Close()
	defer time.AfterFunc(deathAfter, func() { _ = cmd.Process.Kill() }).Stop()
	lines := bufio.NewReader(out)
	addr, err := lines.ReadString('\n')
	if err != nil {
		return c, errDied
	}
	if _, err := io.WriteString(in, "begin\n"); err != nil {
		return c, errDied
	}
	if _, err := lines.ReadString('\n'); err != nil {
		return c, errDied
	}
	if err := f(addr[:len(addr)-1]); err != nil {
		return c, err
	}
	if _, err := io.WriteString(in, "end\n"); err != nil {
		return c, errDied
	}
	if err := json.NewDecoder(lines).Decode(&c); err != nil {
		return c, errDied
	}
	return c, nil
}
