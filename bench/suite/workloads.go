package main

// workloads are all there are, in the order in which they are reported.
func workloads() []*workload {
	plain := []string{"spdy", "h2", "http1"}
	bulk := []string{"spdy", "h2", "http1", "tcp"}
	muxedHTTP := []string{"spdy", "h2"}
	muxed := []string{"spdy", "spdy-unaware", "moby", "yamux", "smux"}
	return []*workload{
		{
			name: "get-1", title: "small GET, one at a time", targets: plain,
			goals: []goal{{metric: "/s", against: "h2", factor: 1.4, atLeast: true}, {metric: "CPU µs", against: "h2", factor: 0.7},
				{metric: "allocs", against: "h2", factor: 0.6}},
			run: smallGets(1, 20_000),
		},
		{
			name: "get-64", title: "small GET, 64 at once", targets: plain,
			goals: []goal{{metric: "/s", against: "h2", factor: 1.6, atLeast: true}, {metric: "CPU µs", against: "h2", factor: 0.65}},
			run:   smallGets(64, 40_000),
		},
		{
			name: "down-1", title: "download of 512 MiB, one stream", targets: bulk,
			goals: []goal{{metric: "MB/s", against: "h2", factor: 2.8, atLeast: true}, {metric: "MB/s", against: "http1", factor: 0.9, atLeast: true}},
			run:   download(1, 512<<20),
		},
		{
			name: "down-100", title: "download of 8 MiB on each of 100 streams", targets: plain,
			goals: []goal{{metric: "MB/s", against: "h2", factor: 2, atLeast: true}},
			run:   download(100, 8<<20),
		},
		{
			name: "up-1", title: "upload of 512 MiB, one stream", targets: bulk,
			goals: []goal{{metric: "MB/s", against: "h2", factor: 1.8, atLeast: true}},
			run:   upload(512 << 20),
		},
		{
			name: "session", title: "a session, both ends, after one request", targets: muxedHTTP,
			goals: []goal{{metric: "KiB", factor: 28}, {metric: "goroutines", factor: 4}},
			run:   idleSessions,
		},
		{
			name: "stream", title: "an answer that has begun and does not go on, both ends, with its handler", targets: muxedHTTP,
			goals: []goal{{metric: "KiB", factor: 9}},
			run:   idleStreams,
		},
		{
			name: "beside-0", title: "small GET, one at a time, with no other stream", targets: muxedHTTP,
			run: getsBeside(0),
		},
		{
			name: "beside-10000", title: "small GET, one at a time, beside 10,000 idle streams", targets: muxedHTTP,
			run: getsBeside(10_000),
		},
		{
			name: "raw-1", title: "1 GiB over one raw stream, in writes of 32 KiB", targets: rawTargets(),
			goals: []goal{{metric: "MB/s", against: "moby", factor: 1.3, atLeast: true}},
			run:   rawBulk(1, 1<<30),
		},
		{
			name: "raw-32", title: "1 GiB over 32 raw streams at once, in writes of 32 KiB", targets: rawTargets(),
			goals: []goal{{metric: "MB/s", against: "moby", factor: 1.1, atLeast: true}},
			run:   rawBulk(32, 1<<30),
		},
		{
			name: "raw-byte", title: "one byte there and back, on a raw stream", targets: rawTargets(),
			goals: []goal{{metric: "/s", against: "moby", factor: 1, atLeast: true}},
			run:   rawByte,
		},
		{
			name: "raw-idle", title: "a connection without streams, after one", targets: muxed,
			goals: []goal{{metric: "KiB an end", factor: 20}, {metric: "goroutines an end", factor: 3}},
			run:   rawIdle,
		},
	}
}
