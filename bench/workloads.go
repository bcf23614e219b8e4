package main

// workloads are all there are, in the order in which they are reported.
func workloads() []*workload {
	muxed := []string{"spdy", "spdy-unaware", "moby", "yamux", "smux"}
	return []*workload{
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
