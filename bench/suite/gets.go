package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// smallGets sends small GETs, atOnce of them in parallel.
func smallGets(atOnce int, total int64) func(string, float64) (metrics, error) {
	return func(target string, scale float64) (metrics, error) {
		rt, url, err := serveOne(target, small)
		if err != nil {
			return nil, err
		}
		n := int64(float64(total)*scale) / int64(atOnce)
		if err := inParallel(atOnce, func(int) error { return repeatGet(rt, url, n/10+1) }); err != nil {
			return nil, err
		}
		meter := startMeter()
		if err := inParallel(atOnce, func(int) error { return repeatGet(rt, url, n) }); err != nil {
			return nil, err
		}
		return meter.each(n * int64(atOnce)), nil
	}
}

func repeatGet(rt roundTripper, url string, n int64) error {
	for range n {
		if err := wantBytes(rt, url, int64(len(hello))); err != nil {
			return err
		}
	}
	return nil
}

func wantBytes(rt roundTripper, url string, n int64) error {
	got, err := get(rt, url)
	if err == nil && got != n {
		err = fmt.Errorf("%d bytes instead of %d", got, n)
	}
	return err
}

// openIdle requests n responses that begin and then stall.
func openIdle(rt roundTripper, url string, n int) ([]io.Closer, error) {
	bodies := make([]io.Closer, n)
	for i := range bodies {
		req, err := http.NewRequest(http.MethodGet, url+"idle", nil)
		if err != nil {
			return nil, err
		}
		res, err := rt.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		bodies[i] = res.Body
	}
	return bodies, nil
}

// getsBeside sends small GETs, one at a time, beside stalled responses. The number after the plus
// sign in the target's name is the number of stalled responses.
func getsBeside(total int64) func(string, float64) (metrics, error) {
	return func(target string, scale float64) (metrics, error) {
		name, variant := kind(target)
		idle, _ := strconv.Atoi(variant) // 0 without a number
		rt, url, err := serveOne(name, smallOrIdle)
		if err != nil {
			return nil, err
		}
		if _, err := openIdle(rt, url, idle); err != nil {
			return nil, err
		}
		n := int64(float64(total) * scale)
		if name == "h2" && idle > 1000 { // each GET is ten times slower there
			n /= 4
		}
		if err := repeatGet(rt, url, n/10+1); err != nil {
			return nil, err
		}
		meter := startMeter()
		if err := repeatGet(rt, url, n); err != nil {
			return nil, err
		}
		return meter.each(n), nil
	}
}

// getsBesideBulk measures the latency of small GETs beside endless downloads on the same
// connection. With the variant "equal" all have the same priority, else the GET has the highest
// priority and the downloads the lowest.
func getsBesideBulk(downloads int, lasts time.Duration) func(string, float64) (metrics, error) {
	return func(target string, scale float64) (metrics, error) {
		name, variant := kind(target)
		rt, url, err := serveOne(name, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/bulk" {
				small(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/octet-stream")
			_ = send(w, 1<<62) // until the process ends
		})
		if err != nil {
			return nil, err
		}
		urgent, patient := uint8(0), uint8(7)
		if variant == "equal" {
			urgent, patient = 3, 3
		}
		request := func(path string, priority uint8) (*http.Request, error) {
			req, err := http.NewRequest(http.MethodGet, url+path, nil)
			if err != nil {
				return nil, err
			}
			return urgency(name, req, priority), nil
		}
		var moved atomic.Int64
		for range downloads {
			req, err := request("bulk", patient)
			if err != nil {
				return nil, err
			}
			res, err := rt.RoundTrip(req)
			if err != nil {
				return nil, err
			}
			go count(res.Body, &moved)
		}
		next := func() error {
			req, err := request("", urgent)
			if err == nil {
				_, err = exchange(rt, req)
			}
			return err
		}
		if _, err := latencies(next, lasts/8); err != nil { // until the windows have grown
			return nil, err
		}
		before, meter := moved.Load(), startMeter()
		took, err := latencies(next, time.Duration(float64(lasts)*scale))
		if err != nil {
			return nil, err
		}
		wall, _, _ := meter.stop()
		return metrics{
			"p50 ms":    quantile(took, 0.5).Seconds() * 1e3,
			"p99 ms":    quantile(took, 0.99).Seconds() * 1e3,
			"bulk MB/s": float64(moved.Load()-before) / 1e6 / wall.Seconds(),
		}, nil
	}
}

// count reads to the end and counts the bytes.
func count(r io.Reader, n *atomic.Int64) {
	buf := make([]byte, 32<<10)
	for {
		k, err := r.Read(buf)
		n.Add(int64(k))
		if err != nil {
			return
		}
	}
}

// latencies repeats f for some time, at least 20 times, and returns the durations.
func latencies(f func() error, lasts time.Duration) ([]time.Duration, error) {
	var took []time.Duration
	for end := time.Now().Add(lasts); len(took) < 20 || time.Now().Before(end); {
		began := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

func quantile(took []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// longPath measures an endless download over a path: the fraction of the path's bandwidth in use,
// over the whole time and over the second half, when windows have grown.
func longPath(over network, bytesPerSecond float64, lasts time.Duration) func(string, float64) (metrics, error) {
	return func(target string, scale float64) (metrics, error) {
		s, err := serve(target, over, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			_ = send(w, 1<<62) // until the client closes
		}))
		if err != nil {
			return nil, err
		}
		rt, err := s.client()
		if err != nil {
			return nil, err
		}
		half := time.Duration(float64(lasts) * scale / 2)
		ctx, cancel := context.WithTimeout(context.Background(), 10*lasts) // in case no bytes arrive
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
		if err != nil {
			return nil, err
		}
		meter := startMeter()
		began := time.Now()
		res, err := rt.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		first, err := readUntil(res.Body, began.Add(half))
		if err != nil {
			return nil, err
		}
		middle := time.Now()
		second, err := readUntil(res.Body, middle.Add(half))
		if err != nil {
			return nil, err
		}
		end := time.Now()
		_, cpu, _ := meter.stop()
		of := func(n int64, d time.Duration) float64 { return float64(n) / d.Seconds() / bytesPerSecond }
		return metrics{
			"of the path, grown":   of(second, end.Sub(middle)),
			"of the path, overall": of(first+second, end.Sub(began)),
			"CPU ms/MB":            cpu.Seconds() * 1e3 / (float64(first+second) / 1e6),
		}, nil
	}
}

// readUntil reads as fast as bytes arrive until the time is reached.
func readUntil(r io.Reader, end time.Time) (n int64, err error) {
	buf := make([]byte, 32<<10)
	for time.Now().Before(end) {
		k, err := r.Read(buf)
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
