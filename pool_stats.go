package spdy

import (
	"errors"
	"fmt"
	"math"
)

// ErrPoolFull is matched by errors caused by a full pool of a Server, a Transport or a session, see
// Pools.
var ErrPoolFull = errors.New("spdy: a pool is full")

// A PoolError names the pool that was full for a session. It matches ErrPoolFull. A stream that
// ends because of a full pool fails with a *StreamError wrapping the PoolError, and a session with
// a *SessionError wrapping the PoolError.
type PoolError struct {
	Pool  string // name of the field of Pools
	Limit int64  // size of the pool, in the unit of the field
}

// Error names the pool.
func (e *PoolError) Error() string {
	return fmt.Sprintf("spdy: pool %s of %d is full", e.Pool, e.Limit)
}

// Is reports whether target is ErrPoolFull.
func (e *PoolError) Is(target error) bool { return target == ErrPoolFull }

// full returns the error for a session refused more of a resource.
func (p *pools) full(r resource) *PoolError {
	return &PoolError{Pool: resourceKinds[r].name, Limit: p.of[r].limit}
}

// PoolStats is the current use of each of the Pools.
type PoolStats struct {
	HeaderBytes, UnreadBytes, BufferBytes PoolUse // in bytes
	Handlers                              PoolUse // in handlers
}

// A PoolUse is the current use of one pool. Sessions acquire bytes in steps of a few KiB and keep a
// small reserve while they are busy, so Used may be somewhat more than the bytes in use.
// BufferBytes also contains the fixed memory of each session, up to 6 KiB.
type PoolUse struct {
	Limit   int64  // -1 if the pool has no bound
	Used    int64  // gauge; 0 when all pool memory is released
	Refused uint64 // total: times a session was refused room for peer data
	Reset   uint64 // total: streams reset to make room
}

// stats returns the current use; zero values if the pools were never made.
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
