package tunnel

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amahi/spdy"
)

// A Policy decides what happens to an origin's existing tunnels when the origin opens another
// tunnel. An origin does so after losing a connection without the proxy noticing.
type Policy int

const (
	// Replace drains the older tunnels: they receive no new requests and end after the last
	// response. Replace is the default.
	Replace Policy = iota

	// Newest keeps the older tunnels, up to maxTunnels, and uses the newest; if the newest is lost,
	// the previous tunnel is used.
	Newest

	// Refuse rejects the new tunnel while another tunnel exists.
	Refuse
)

// maxTunnels is the number of tunnels with the same name that Newest keeps.
const maxTunnels = 4

var policyNames = []string{"replace", "newest", "refuse"}

// ParsePolicy returns the policy with the given name: "replace", "newest" or "refuse".
func ParsePolicy(name string) (Policy, error) {
	if i := slices.Index(policyNames, name); i >= 0 {
		return Policy(i), nil
	}
	return 0, fmt.Errorf("%q is none of %q", name, policyNames)
}

// String returns the policy's name.
func (p Policy) String() string { return policyNames[p] }

// errTaken is the reason why Refuse rejects a tunnel.
var errTaken = errors.New("there is a tunnel with this name already")

// errClosing is the reason why a closing proxy rejects a tunnel.
var errClosing = errors.New("the proxy is closing")

// A tunnel is a connection of an origin.
type tunnel struct {
	name    string
	remote  string
	session *spdy.Session

	number   int // sequence number among all tunnels of the proxy
	since    time.Time
	draining bool // guarded by registry.mu

	running atomic.Int64 // requests
	served  atomic.Int64 // finished requests
	bytes   atomic.Int64 // of responses
}

func (t *tunnel) ended() bool {
	select {
	case <-t.session.Done():
		return true
	default:
		return false
	}
}

// A registry holds the tunnels by the names of the origins.
type registry struct {
	policy Policy

	mu      sync.Mutex
	closed  bool
	opened  int
	tunnels map[string][]*tunnel // oldest first
}

// add registers a tunnel, and returns the older tunnels that must be drained.
func (r *registry) add(t *tunnel) (old []*tunnel, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosing
	}
	var active []*tunnel
	for _, other := range r.tunnels[t.name] {
		if !other.draining && !other.ended() {
			active = append(active, other)
		}
	}
	switch {
	case r.policy == Refuse && len(active) > 0:
		return nil, errTaken
	case r.policy == Replace:
		old = active
	case len(active) >= maxTunnels:
		old = active[:len(active)-maxTunnels+1]
	}
	for _, other := range old {
		other.draining = true
	}
	if r.tunnels == nil {
		r.tunnels = make(map[string][]*tunnel)
	}
	r.opened++
	t.number, t.since = r.opened, time.Now()
	r.tunnels[t.name] = append(r.tunnels[t.name], t)
	return old, nil
}

// remove removes a tunnel that has ended.
func (r *registry) remove(t *tunnel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := slices.DeleteFunc(r.tunnels[t.name], func(other *tunnel) bool { return other == t })
	if len(left) == 0 {
		delete(r.tunnels, t.name)
		return
	}
	r.tunnels[t.name] = left
}

// pick returns the newest tunnel that accepts requests, or nil.
func (r *registry) pick(name string) *tunnel {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range slices.Backward(r.tunnels[name]) {
		if !t.draining && !t.ended() {
			return t
		}
	}
	return nil
}

// close refuses further tunnels and returns the existing tunnels.
func (r *registry) close() []*tunnel {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	return r.all()
}

// all returns the tunnels by name, the oldest first.
func (r *registry) all() []*tunnel {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*tunnel
	for _, tunnels := range r.tunnels {
		all = append(all, tunnels...)
	}
	slices.SortFunc(all, func(a, b *tunnel) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.number, b.number))
	})
	return all
}
