package strangers

import (
	"slices"
	"sync"
	"time"
)

// A meter records when strangers want bytes in a direction, and computes the fair share of an
// honest user.
type meter struct {
	rate   float64 // of the link, bytes a second
	honest int     // users who want bytes all the time
	pace   float64 // upper bound of each user's demand, bytes a second; 0 is no limit

	mu    sync.Mutex
	wants []span
}

// A span is a time in which a stranger wants bytes.
type span struct{ from, to time.Time }

// want begins a span and returns the function that ends it. Bytes in flight at the end still
// use the link, so the span is a round trip longer.
func (m *meter) want() (end func()) {
	from := time.Now()
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.wants = append(m.wants, span{from, time.Now().Add(roundTrip)})
	}
}

// fair returns the bytes that an honest user may expect between two moments: an equal part of
// the link at every moment, up to the pace.
func (m *meter) fair(from, to time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum, at := 0.0, from
	for _, next := range append(m.edges(from, to), to) {
		share := m.rate / float64(m.honest+m.wanting(at))
		if m.pace > 0 {
			share = min(share, m.pace)
		}
		sum += share * next.Sub(at).Seconds()
		at = next
	}
	return sum
}

// edges returns, in order, the moments between from and to at which the number of strangers
// changes.
func (m *meter) edges(from, to time.Time) (edges []time.Time) {
	for _, s := range m.wants {
		for _, t := range []time.Time{s.from, s.to} {
			if t.After(from) && t.Before(to) {
				edges = append(edges, t)
			}
		}
	}
	slices.SortFunc(edges, time.Time.Compare)
	return slices.CompactFunc(edges, time.Time.Equal)
}

// wanting returns the number of strangers that want bytes from a moment on.
func (m *meter) wanting(at time.Time) (n int) {
	for _, s := range m.wants {
		if !s.from.After(at) && s.to.After(at) {
			n++
		}
	}
	return n
}
