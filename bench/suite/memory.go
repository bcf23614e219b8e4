package main

import (
	"math"
	"net/http"
	"runtime"
	"time"
)

// idleSessions measures the cost of a session, both ends, after one request.
func idleSessions(target string, scale float64) (metrics, error) {
	n := max(int(200*scale), 10)
	s, err := serve(target, loopback, http.HandlerFunc(small))
	if err != nil {
		return nil, err
	}
	keep := make([]roundTripper, 0, n+10)
	once := func() error {
		rt, err := s.client()
		if err != nil {
			return err
		}
		keep = append(keep, rt)
		return repeatGet(rt, s.url, 1)
	}
	for range 10 { // fills shared state
		if err := once(); err != nil {
			return nil, err
		}
	}
	before := settled()
	for range n {
		if err := once(); err != nil {
			return nil, err
		}
	}
	return settled().since(before, float64(n)), nil
}

// idleStreams measures the cost of a stalled response: both ends, with the handler.
func idleStreams(target string, scale float64) (metrics, error) {
	n := max(int(2000*scale), 20)
	rt, url, err := serveOne(target, smallOrIdle)
	if err != nil {
		return nil, err
	}
	if err := repeatGet(rt, url, 10); err != nil {
		return nil, err
	}
	before := settled()
	bodies, err := openIdle(rt, url, n)
	if err != nil {
		return nil, err
	}
	after := settled()
	runtime.KeepAlive(bodies)
	return after.since(before, float64(n)), nil
}

// openers is the number of goroutines that open the sessions of a crowd.
const openers = 16

// crowd opens sessions with stalled responses on each, all in this process, and compares the
// latency of a GET on a session with the latency when that session was alone. The connections are
// in memory: two ends of 10,000 connections are more files than many systems allow a process.
func crowd(sessions, streams int) func(string, float64) (metrics, error) {
	return func(target string, scale float64) (metrics, error) {
		s, err := serve(target, inMemory(), http.HandlerFunc(smallOrIdle))
		if err != nil {
			return nil, err
		}
		n, each := max(int(float64(sessions)*scale), openers), int(math.Ceil(float64(streams)*scale))
		clients := make([]roundTripper, n)
		if clients[0], err = s.client(); err != nil {
			return nil, err
		}
		lasts := time.Duration(float64(time.Second) * scale)
		next := func() error { return repeatGet(clients[0], s.url, 1) }
		if _, err := latencies(next, lasts/4); err != nil { // warms up
			return nil, err
		}
		alone, err := latencies(next, lasts)
		if err != nil {
			return nil, err
		}
		meter := startMeter()
		err = inParallel(openers, func(i int) error {
			for ; i < n; i += openers {
				if clients[i] == nil {
					var err error
					if clients[i], err = s.client(); err != nil {
						return err
					}
				}
				if err := repeatGet(clients[i], s.url, 1); err != nil {
					return err
				}
				if _, err := openIdle(clients[i], s.url, each); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		opening, _, _ := meter.stop()
		time.Sleep(200 * time.Millisecond)
		crowded, err := latencies(next, lasts)
		if err != nil {
			return nil, err
		}
		usual := quantile(alone, 0.5).Seconds()
		now := quantile(crowded, 0.5).Seconds()
		peak := peakMiB()
		keepHeap()
		return metrics{
			"peak MiB":         peak,
			"GET alone µs":     usual * 1e6,
			"GET µs":           now * 1e6,
			"GET p99 µs":       quantile(crowded, 0.99).Seconds() * 1e6,
			"times alone":      now / usual,
			"seconds to open":  opening.Seconds(),
			"p99, times alone": quantile(crowded, 0.99).Seconds() / quantile(alone, 0.99).Seconds(),
		}, nil
	}
}
