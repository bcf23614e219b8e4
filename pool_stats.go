package spdy

import (
	"errors"
	"fmt"
	"math"
)

// ErrPoolFull is what errors match that come of a pool of a Server or a Transport being
// full, see Pools.
var ErrPoolFull = errors.New("spdy: a pool is full")

// A PoolError says which pool was full for a session. It matches ErrPoolFull. Streams that end
// because of it fail with a *StreamError, and sessions with a *SessionError, that wraps it.
type PoolError struct {
	Pool  string // name of the field of Pools
	Limit int64  // what the pool has, in the unit of that field
}

// Error names the pool.
func (e *PoolError) Error() string {
	return fmt.Sprintf("spdy: pool %s of %d is full", e.Pool, e.Limit)
}

// Is reports whether target is ErrPoolFull.
func (e *PoolError) Is(target error) bool { return target == ErrPoolFull }

// full is the error of a session that does not get more of a resource.
func (p *pools) full(r resource) *PoolError {
	return &PoolError{Pool: resourceKinds[r].name, Limit: p.of[r].limit}
}

// PoolStats says what is used of each of the Pools.
type PoolStats struct {
	HeaderBytes, UnreadBytes, BufferBytes PoolUse // in bytes
	Handlers                              PoolUse // in handlers
}

// A PoolUse says what is used of one pool. Sessions take bytes in steps of a few KiB and
// keep a little while they are busy, so Used may be somewhat more than there is. What a session
// holds of its own besides, up to 6 KiB, is in BufferBytes.
type PoolUse struct {
	Limit   int64  // -1 if the pool has no bound
	Used    int64  // gauge; 0 when nothing is kept
	Refused uint64 // total: times that a session did not get what its peer wanted it to keep
	Reset   uint64 // total: streams that were reset to make room
}

// stats returns what is used; nothing of pools that were never made.
func (p *pools) stats() (t PoolStats) {
	if p == nil {
		return t
	}
	for r, use := range [resources]*PoolUse{&t.HeaderBytes, &t.UnreadBytes, &t.BufferBytes, &t.Handlers} {
		of := &p.of[r]
		*use = PoolUse{Limit: of.limit, Used: of.used.Load(), Refused: of.refused.Load(), Reset: of.reset.Load()}
		if of.limit == math.MaxInt64 {
			use.Limit = -1
		}
	}
	return t
}
