package main

import (
	"time"

	"github.com/amahi/spdy/internal/testconn"
)

// A workload is a task that each target performs.
type workload struct {
	name    string
	title   string   // one line
	targets []string // the first is ours
	goals   []goal
	rounds  int  // maximum number of rounds, for slow workloads that vary little; 0 for all
	idle    bool // the workload measures memory
	run     func(target string, scale float64) (metrics, error)
}

// A goal is a bound for ours.
type goal struct {
	metric  string
	ours    string  // the target that must reach the goal; "" for the workload's first
	against string  // the target to compare with; "" for a fixed bound
	factor  float64 // multiple of that target's median, or the bound itself
	atLeast bool    // the factor is a minimum, else a maximum
}

// metrics are the measurements of a run, by name and unit.
type metrics map[string]float64

// A long path has a round trip of 100 ms at 1 Gbit/s, and buffers 32 MiB, more than is in flight,
// as networks do.
const (
	longRTT   = 100 * time.Millisecond
	longSpeed = 125_000_000 // bytes a second
	longQueue = 32 << 20
)

// workloads returns all workloads, in the order of the report.
func workloads() []*workload {
	all := append(requests(), bulks()...)
	all = append(all, memories()...)
	all = append(all, headers()...)
	return append(all, raws()...)
}

var (
	plain = []string{"spdy", "h2", "http1"}
	bulk  = []string{"spdy", "h2", "http1", "tcp"}
	muxed = []string{"spdy", "h2"}
)

// none is the bound for a number of allocations that should be 0: allocations that happen once in a
// run, divided by the number of repetitions, may show.
const none = 0.05

func requests() []*workload {
	return []*workload{
		{
			name: "get-1", title: "small GET, one at a time", targets: plain,
			goals: []goal{{metric: "/s", against: "h2", factor: 1.4, atLeast: true},
				{metric: "CPU µs", against: "h2", factor: 0.7}, {metric: "allocs", against: "h2", factor: 0.6}},
			run: smallGets(1, 8_000),
		},
		{
			name: "get-64", title: "small GET, 64 at once", targets: plain,
			goals: []goal{{metric: "/s", against: "h2", factor: 1.6, atLeast: true}, {metric: "CPU µs", against: "h2", factor: 0.65}},
			run:   smallGets(64, 25_000),
		},
		{
			name: "beside-idle", title: "small GET beside other idle streams of the session",
			targets: []string{"spdy", "spdy+100", "spdy+10000", "h2", "h2+100", "h2+10000"},
			goals: []goal{{metric: "CPU µs", ours: "spdy+100", against: "spdy", factor: 1.15},
				{metric: "CPU µs", ours: "spdy+10000", against: "spdy", factor: 1.15}},
			run: getsBeside(6_000),
		},
		{
			name: "beside-bulk", title: "small GET beside 20 downloads, by priority",
			targets: []string{"spdy", "spdy+equal", "h2", "h2+equal"},
			goals:   []goal{{metric: "p99 ms", against: "h2", factor: 0.5}},
			run:     getsBesideBulk(20, 1500*time.Millisecond),
		},
	}
}

func bulks() []*workload {
	return []*workload{
		{
			name: "down-1", title: "download of 512 MiB, one stream", targets: bulk,
			goals: []goal{{metric: "MB/s", against: "h2", factor: 2.8, atLeast: true},
				{metric: "MB/s", against: "http1", factor: 0.9, atLeast: true}, {metric: "allocs/32KiB", factor: none}},
			run: download(1, 512<<20),
		},
		{
			name: "down-100", title: "download of 8 MiB on each of 100 streams", targets: plain,
			goals: []goal{{metric: "MB/s", against: "h2", factor: 2, atLeast: true}},
			run:   download(100, 8<<20),
		},
		{
			name: "up-1", title: "upload of 512 MiB, one stream", targets: bulk,
			goals: []goal{{metric: "MB/s", against: "h2", factor: 1.8, atLeast: true}, {metric: "allocs/32KiB", factor: none}},
			run:   upload(512 << 20),
		},
		{
			name: "long-path", title: "download over 100 ms and 1 Gbit/s, one stream", targets: plain,
			goals:  []goal{{metric: "of the path, grown", factor: 0.9, atLeast: true}},
			rounds: 3,
			run: longPath(inMemory(testconn.Latency(longRTT/2), testconn.Bandwidth(longSpeed), testconn.WriteCap(longQueue)),
				longSpeed, 5*time.Second),
		},
	}
}

func memories() []*workload {
	return []*workload{
		{
			name: "session", title: "a session, both ends, after one request", targets: muxed,
			goals: []goal{{metric: "KiB", factor: 28}, {metric: "goroutines", factor: 4}},
			idle:  true, run: idleSessions,
		},
		{
			name: "stream", title: "an open, idle answer, both ends, with its handler", targets: muxed,
			goals: []goal{{metric: "KiB", factor: 9}},
			idle:  true, run: idleStreams,
		},
		{
			name: "crowd-streams", title: "100,000 idle answers over 100 sessions",
			targets: []string{"spdy"}, // x/net/http2 needs minutes to open so many
			goals:   []goal{{metric: "peak MiB", factor: 2048}, {metric: "times alone", factor: 3}},
			rounds:  3, idle: true,
			run: crowd(100, 1000),
		},
		{
			name: "crowd-sessions", title: "10,000 sessions with an idle answer each", targets: muxed,
			goals:  []goal{{metric: "peak MiB", factor: 2048}, {metric: "times alone", factor: 3}},
			rounds: 3, idle: true,
			run: crowd(10_000, 1),
		},
	}
}

func headers() []*workload {
	return []*workload{
		{
			name: "header-bytes", title: "headers of 500 requests and answers on the wire",
			targets: []string{"safe", "full", "none", "raw", "zlib", "hpack"},
			goals: []goal{{metric: "B", ours: "safe", against: "hpack", factor: 1.3},
				{metric: "B", ours: "full", against: "zlib", factor: 1}},
			rounds: 1, // always the same
			run: packageBench("BenchmarkHeaderWire", map[string]string{
				"requests-B": "requests B", "responses-B": "answers B", "wire-B": "B"}),
		},
		{
			name: "header-block", title: "header block of 470 bytes, encode and decode",
			targets: []string{"safe", "full", "none", "zlib", "hpack"},
			goals:   []goal{{metric: "µs", factor: 1.5}, {metric: "allocs", factor: 0}},
			run:     packageBench("BenchmarkHeaderBlock", map[string]string{"µs/op": "µs", "allocs/op": "allocs", "wire-B/op": "B"}),
		},
	}
}

func raws() []*workload {
	muxers := []string{"spdy", "spdy-unaware", "moby", "yamux", "smux"}
	all := append(muxers[:len(muxers):len(muxers)], "tcp")
	return []*workload{
		{
			name: "raw-1", title: "512 MiB over one raw stream, in writes of 32 KiB", targets: all,
			goals: []goal{{metric: "MB/s", against: "moby", factor: 1.3, atLeast: true}, {metric: "allocs/32KiB", factor: none}},
			run:   rawBulk(1, 512<<20),
		},
		{
			name: "raw-32", title: "512 MiB over 32 raw streams at once, in writes of 32 KiB", targets: all,
			goals: []goal{{metric: "MB/s", against: "moby", factor: 1.1, atLeast: true}},
			run:   rawBulk(32, 512<<20),
		},
		{
			name: "raw-byte", title: "one byte there and back, on a raw stream", targets: all,
			goals: []goal{{metric: "/s", against: "moby", factor: 1, atLeast: true}},
			run:   rawByte(5_000),
		},
		{
			name: "raw-idle", title: "an end of a connection without streams, after one", targets: muxers,
			goals: []goal{{metric: "KiB", factor: 20}, {metric: "goroutines", factor: 3}},
			idle:  true, run: rawIdle,
		},
	}
}
