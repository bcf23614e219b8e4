package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// The faults inflicted on processes and connections. The deck holds each fault as often as it
// occurs per round of the deck.
const (
	killClient    = "client killed"
	stopClient    = "client stopped"
	stopLong      = "client stopped for long"
	stopRelay     = "relay stopped"
	stopOrigin    = "origin stopped"
	cutTunnel     = "tunnel cut"
	replaceTunnel = "tunnel replaced"
	cutClient     = "client's connection cut"
)

var abuses = []string{
	killClient, killClient, killClient, stopClient, stopClient, stopClient, stopClient, stopLong, stopRelay, stopOrigin,
	cutTunnel, cutTunnel, cutTunnel, replaceTunnel, replaceTunnel, replaceTunnel, cutClient, cutClient, cutClient,
}

// abusePause is the time between two faults. The whole deck is dealt twice a minute.
const abusePause = 1500 * time.Millisecond

// abuse runs clients and inflicts faults of real networks on all processes, until the duration is
// over. Everything started by abuse has ended when abuse returns.
func (k *soak) abuse(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, k.duration)
	defer cancel()
	k.running, k.held = make([]*process, k.clients), make([]bool, k.clients)
	for i := range k.running {
		k.restart(i)
	}
	var all sync.WaitGroup
	all.Go(func() { k.watch(ctx) })
	var deck []int
	for pause(ctx, abusePause) {
		if len(deck) == 0 {
			deck = k.random.Perm(len(abuses))
		}
		what, who, span := abuses[deck[0]], k.random.IntN(k.clients), time.Duration(k.random.Int64N(int64(time.Second)))
		deck = deck[1:]
		k.happened(what)
		all.Go(func() { k.inflict(ctx, what, who, span) })
	}
	all.Wait()
}

// inflict inflicts one fault. span is a random fraction of a second.
func (k *soak) inflict(ctx context.Context, what string, who int, span time.Duration) {
	switch what {
	case killClient:
		if p := k.claim(who); p != nil {
			p.kill()
			k.bury(p.lastSample())
			k.restart(who)
		}
	case stopClient, stopLong:
		d := span * 4
		if what == stopLong {
			d += 20 * time.Second // longer than the relay tolerates
		}
		if p := k.claim(who); p != nil {
			p.stopFor(ctx, d)
			k.putBack(who, p)
		}
	case stopRelay:
		k.relay.stopFor(ctx, 2*span)
	case stopOrigin:
		k.origin.stopFor(ctx, 2*span)
	case cutTunnel:
		k.tell(ctx, k.origin, "cut")
	case replaceTunnel:
		k.tell(ctx, k.origin, "replace")
	case cutClient:
		k.tell(ctx, k.relay, "cut")
	}
}

// tell sends a command to a process. A stopped process may not receive it.
func (k *soak) tell(ctx context.Context, p *process, op string) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if _, err := p.ask(ctx, op); err != nil && ctx.Err() == nil {
		k.note(err.Error())
	}
}

// claim reserves client i, unless another fault is being inflicted on it.
func (k *soak) claim(i int) *process {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[i] {
		return nil
	}
	k.held[i] = true
	return k.running[i]
}

// putBack ends the reservation of claim.
func (k *soak) putBack(i int, p *process) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held[i], k.running[i] = false, p
}

// restart starts client i.
func (k *soak) restart(i int) {
	k.mu.Lock()
	k.started++
	seed := k.seed + uint64(k.started)
	k.mu.Unlock()
	p, err := startProcess(fmt.Sprintf("client %d", i+1), k.settings("client", seed))
	if err != nil {
		k.note(err.Error())
		return
	}
	k.putBack(i, p)
}

func (k *soak) happened(what string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, event{At: time.Since(k.began), What: what})
}

// watch samples all processes periodically.
func (k *soak) watch(ctx context.Context) {
	tick := time.NewTicker(k.every)
	defer tick.Stop()
	for n := 0; ; n++ {
		k.sampleAll(ctx, "sample")
		if n%max(1, int(10*time.Second/k.every)) == 0 {
			k.progress()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (k *soak) sampleAll(ctx context.Context, op string) {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	k.mu.Lock()
	all := []*process{k.relay, k.origin}
	for _, p := range k.running {
		if p != nil {
			all = append(all, p)
		}
	}
	k.mu.Unlock()
	at := time.Since(k.began)
	var asked sync.WaitGroup
	for _, p := range all {
		asked.Go(func() {
			s, _ := p.sample(ctx, op) // a stopped or dying process returns a partial sample
			if s.RSS == 0 {
				return
			}
			k.mu.Lock()
			k.points = append(k.points, point{At: at, Who: p.name, Sample: s})
			k.mu.Unlock()
		})
	}
	asked.Wait()
}

// progress prints the counts so far.
func (k *soak) progress() {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := make(map[string]int64)
	for name, n := range k.sum {
		now[name] = n
	}
	for _, p := range k.running {
		if p != nil {
			for name, n := range p.lastSample().Counts {
				now[name] += n
			}
		}
	}
	relay, origin := k.relay.lastSample(), k.origin.lastSample()
	fmt.Fprintf(k.log, "%5.0f s: %d requests, %d completed, %d abandoned, %d broken off; relay %d goroutines, %.1f MiB; origin %d, %.1f MiB\n",
		time.Since(k.began).Seconds(), now[requests], now[completed], now[abandoned], now[broken],
		relay.Goroutines, mib(relay.Heap), origin.Goroutines, mib(origin.Heap))
	for _, name := range neverCounts {
		if n := now[name] + relay.Counts[name] + origin.Counts[name]; n > 0 {
			fmt.Fprintf(k.log, "         %s: %d\n", name, n)
		}
	}
}

func mib(n uint64) float64 { return float64(n) / (1 << 20) }
