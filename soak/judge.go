package main

import (
	"fmt"
	"maps"
	"slices"
	"sort"
)

// heapMargin is the allowed growth of the heap: memory that maps and the runtime do not release,
// and the contents of pools.
const heapMargin = 2 << 20

// A picture holds samples of a long-lived process: before, at the peak, and after.
type picture struct {
	Name                string
	Before, Peak, After *sample
}

// notBack lists the values of a process that have not returned to the baseline. The list is empty
// if all have.
func notBack(name string, before, after *sample) (bad []string) {
	complain := func(what string, was, is any) {
		bad = append(bad, fmt.Sprintf("%s: %s: %v before, %v after", name, what, was, is))
	}
	if after.Goroutines > before.Goroutines {
		complain("goroutines", before.Goroutines, after.Goroutines)
	}
	if after.Files > before.Files {
		complain("file descriptors", before.Files, after.Files)
	}
	if after.Heap > before.Heap+heapMargin {
		complain("bytes of heap", before.Heap, after.Heap)
	}
	for _, gauge := range slices.Sorted(maps.Keys(before.Gauges)) {
		if after.Gauges[gauge] != before.Gauges[gauge] {
			complain(gauge, before.Gauges[gauge], after.Gauges[gauge])
		}
	}
	return bad
}

// windowsLeft compares the windows of the tunnels as both ends count them. When no bytes are in
// transit, both ends agree, and less than a quarter of the window is not granted again. Any other
// result is lost credit, with which a tunnel slowly stalls.
func windowsLeft(relay, origin *sample) (bad []string) {
	byTunnel := func(s *sample) []window {
		w := slices.Clone(s.Windows)
		sort.Slice(w, func(i, j int) bool { return w[i].Tunnel < w[j].Tunnel })
		return w
	}
	a, b := byTunnel(relay), byTunnel(origin)
	if len(a) != len(b) {
		return []string{fmt.Sprintf("the relay has %d tunnels, the origin %d", len(a), len(b))}
	}
	for i := range a {
		if a[i].Tunnel != b[i].Tunnel {
			return []string{"relay and origin have different tunnels"}
		}
		if a[i].Send != b[i].Recv || a[i].Recv != b[i].Send {
			bad = append(bad, fmt.Sprintf("tunnel %d: windows differ: relay sends %d and receives %d, origin receives %d and sends %d",
				a[i].Tunnel, a[i].Send, a[i].Recv, b[i].Recv, b[i].Send))
		}
		for _, w := range []window{a[i], b[i]} {
			if w.Unread != 0 {
				bad = append(bad, fmt.Sprintf("tunnel %d: %d bytes unread of streams that are no more", w.Tunnel, w.Unread))
			}
			if w.RecvFull > 0 && w.Recv < w.RecvFull-w.RecvFull/4 {
				bad = append(bad, fmt.Sprintf("tunnel %d: %d bytes are left of a window of %d", w.Tunnel, w.Recv, w.RecvFull))
			}
		}
	}
	return bad
}

// mustHappen are the counts that must not be zero for a soak to be meaningful.
var mustHappen = []string{completed, abandoned, broken, acked, pings, sessions, connsCut, rawStreams, pushes, overlaps}

// shownNothing lists the counts of mustHappen that are zero after a soak that ran long enough.
func shownNothing(clients map[string]int64) (bad []string) {
	for _, name := range mustHappen {
		if clients[name] == 0 {
			bad = append(bad, "clients: "+name+": none, so that nothing was shown")
		}
	}
	return bad
}

// judgeCounts lists the forbidden counts that are not zero. clients is the sum over all client
// processes.
func judgeCounts(clients, relay, origin map[string]int64) (bad []string) {
	for who, counts := range map[string]map[string]int64{"clients": clients, "relay": relay, "origin": origin} {
		for _, name := range neverCounts {
			if n := counts[name]; n != 0 {
				bad = append(bad, fmt.Sprintf("%s: %s: %d", who, name, n))
			}
		}
	}
	slices.Sort(bad)
	if got, said := origin[uploadsWhole], clients[acked]; got < said {
		bad = append(bad, fmt.Sprintf("%d uploads were acknowledged, the origin has only %d", said, got))
	}
	return bad
}
