package spdy

import (
	"math"
	"sync"
	"sync/atomic"
)

// Pools bounds what all sessions of a Server together, or all sessions of a Transport, keep
// for their peers. Config bounds one session; a thousand of them would still be too much.
// The defaults suit a machine with 1 GiB of memory. In each field 0 means the default, and a
// negative value that there is no bound; a value between 0 and the range of the field counts as the
// least one in it.
//
// Of each pool a tenth is kept for sessions that hold little of it, and what holds most gives
// way first. When a pool is more than 85 percent full, the session that holds most of it, and those that
// hold more than half as much, get no more: their new streams are refused with
// REFUSED_STREAM, header blocks and DATA beyond it cost their streams a RST_STREAM, and
// a header block that is coming in and would need it ends the session. Other sessions get their share up to 90 percent, and
// those that hold little up to the whole pool, of BufferBytes up to 95 percent: the rest is for new
// sessions. Only when that is used up too, a Server closes new connections, and dials of a
// Transport fail, with a *PoolError.
// While less than half of a pool is used, a session may have all of the rest.
//
// A session may carry the requests of many users, so within it each stream pays for what it holds
// itself. A stream whose headers take less than a quarter of what the streams of its session hold on
// average is not refused for the others: it is treated like one of another session. What
// gives way are streams that hold no less than the average of their session, those that hold most
// first, until three quarters of the pool are used: streams of the session that holds most of which no byte has moved
// in either direction for a second; and, in the pools of HeaderBytes and UnreadBytes when they are more than 85 percent
// full, all streams of the sessions that hold most which hold more than 64 KiB, less where a pool
// has less than 16 MiB, whether bytes of them move or not. The headers of one stream may take an eighth of
// HeaderBytes: a request that needs more is answered with status 431, and an answer, a push or
// late headers cost their stream a RST_STREAM(FRAME_TOO_LARGE), and its caller a *PoolError.
//
// Each Server and each Transport has pools of its own, also if they share a Config. The sessions of
// an Upgrader are in the pools of the Server whose handler has called it, or of ConfigureServer,
// whatever the Pools in the Upgrader's Config, unless the Upgrader is Detached; then, like sessions
// that were made without a Server or a Transport, as those of an UpgradeDialer, of Config.RawSession
// and of TrackSession, they are in no pool: nothing that has pools knows of them when they begin. What goes
// over HTTP/1.1 is in no pool either. Streams that a program opens on a raw session are its own cost.
// Server.Stats and Transport.PoolStats tell what is used.
type Pools struct {
	// HeaderBytes are header blocks of peers, as they are kept: their bytes, 96 for each name
	// with its first value, and 32 for each further value. Those of a request count until its stream
	// has ended and its handler has returned, of an answer until its stream has ended, of a
	// push until a request gets it or it is dropped. Default 128 MiB. Range: 64 KiB and more; 0 and less
	// see above.
	HeaderBytes int

	// UnreadBytes is DATA that no application has read; answers until their session, or the
	// context of their request, has ended. Default 256 MiB. Range: 64 KiB and more; 0 and less
	// see above.
	UnreadBytes int

	// BufferBytes is what else sessions take: 14 KiB for each, 4 KiB for each stream of the peer with
	// its handler, and the memory of frames that are coming in. Default 192 MiB. Range: 64 KiB and
	// more; 0 and less see above.
	BufferBytes int

	// Handlers is the number of handlers that run at once, and of calls of
	// Config.AcceptPush. Default 16,384. Range: 1 and more; 0 and less see above.
	Handlers int
}

// A resource is what sessions keep for their peers, and what there is a pool of.
type resource uint8

// The resources, in the order of the fields of Pools.
const (
	heldHeaders resource = iota
	heldUnread
	heldBuffers
	heldHandlers
	resources
)

// A resourceKind is what differs between resources. All sizes are in bytes, or in handlers.
type resourceKind struct {
	name     string // of the field of Pools
	standard int64  // the default
	least    int64  // the smallest pool
	little   int64  // what a session that holds little may hold at least
	free     int64  // what a session has without the pool: sessionTakes covers it
	grain    int64  // the steps in which a session takes from the pool
	idle     int64  // what a session may keep of the pool although it does not use it
	spares   bool   // a part of the pool is kept for new sessions
}

var resourceKinds = [resources]resourceKind{
	heldHeaders:  {"HeaderBytes", 128 << 20, 64 << 10, 8 << 10, 2 << 10, 4 << 10, 0, false},
	heldUnread:   {"UnreadBytes", 256 << 20, 64 << 10, 16 << 10, 4 << 10, 16 << 10, 0, false},
	heldBuffers:  {"BufferBytes", 192 << 20, 64 << 10, 4 * sessionTakes, 0, 4 << 10, sessionTakes + streamTakes, true},
	heldHandlers: {"Handlers", 16 << 10, 1, 4, 0, 1, 0, false},
}

const (
	// sessionTakes is what a session takes while nothing comes: its state, the history of its
	// decompressor, the stacks of its goroutines and what it has free of each pool.
	sessionTakes = 14 << 10
	// streamTakes is what a stream of the peer takes without its headers and its bytes, with
	// the stack of its handler.
	streamTakes = 4 << 10
	// slackGrains is how many grains of a pool a busy session keeps although it does not use
	// them, so that few streams touch what all sessions share.
	slackGrains = 4
)

// pools are the pools of a Server or of a Transport.
type pools struct {
	of    [resources]pool // immutable but for what is in each
	short atomic.Bool     // a pool may be nearly full, see Session.relieve
}

// A pool is what all sessions together may have of a resource.
type pool struct {
	limit  int64 // immutable; math.MaxInt64 if there is none
	little int64 // what a session holds little by; immutable
	modest int64 // a stream that holds more than that is large; immutable
	spare  int64 // what is kept for new sessions; immutable

	used    atomic.Int64
	leaving atomic.Int64  // what of used are headers of streams that have been reset to make room, see Stream.leaving
	refused atomic.Uint64 // times that somebody did not get what he asked for
	reset   atomic.Uint64 // streams that were reset to make room

	mu    sync.Mutex
	ranks [maxRank + 1]*holder // those that hold more than little, by the logarithm of how much; rings; guarded by mu
}

// maxRank is the highest rank of a holder.
const maxRank = 62

// A holder is the place of a session in a pool of which it has once held more than little.
type holder struct {
	s    *Session
	size atomic.Int64 // what the session holds
	rank atomic.Int32 // that of the ring it is in, 0 if it is in none; pool.mu is held when it changes

	next, prev *holder // in that ring; guarded by pool.mu
}

// newPools makes pools with their defaults.
func newPools(c *Config) *pools {
	var conf Pools
	if c != nil {
		conf = c.Pools
	}
	p := new(pools)
	for r, n := range [resources]int{conf.HeaderBytes, conf.UnreadBytes, conf.BufferBytes, conf.Handlers} {
		p.of[r].init(&resourceKinds[r], int64(n))
	}
	return p
}

func (p *pool) init(k *resourceKind, limit int64) {
	switch {
	case limit < 0:
		p.limit = math.MaxInt64
	case limit == 0:
		p.limit = k.standard
	default:
		p.limit = max(limit, k.least)
	}
	if k.spares {
		p.spare = p.limit / 20
	}
	p.little = min(max(p.limit/(16<<10), k.little), max(p.limit/10, 1))
	p.modest = min(max(p.limit/256, p.little), mostModest)
}

// mostModest is what a stream may hold of any pool without being large.
const mostModest = 64 << 10

// share is what the headers of one stream may take of the pool: they cost their own stream then,
// and not those of others.
func (p *pool) share() int64 { return p.limit / 8 }

// crowdedAt is how much of the pool is used when it is nearly full.
func (p *pool) crowdedAt() int64 { return p.limit - p.limit/20*3 - p.limit%20*3/20 }

// An asker is who asks for more of a pool.
type asker struct {
	held   int64 // what its session has of the pool
	modest bool  // it is for a stream that holds much less than the others of the session
}

// take takes n more. It reports false if the asker does not get it.
func (p *pool) take(shared *pools, by asker, n int64) bool {
	after := p.used.Add(n)
	if after <= p.crowdedAt() {
		return true
	}
	shared.short.Store(true)
	limit := p.limit - p.limit/10
	switch {
	case after-n <= p.limit/2:
		limit = p.limit
	case by.held+n <= p.little:
		limit = p.limit - p.spare
	case by.modest: // large streams of its session give way, see Session.relieve
	case rankOf(by.held+n) >= p.topRank():
		limit = p.crowdedAt()
	}
	if after <= limit {
		return true
	}
	p.used.Add(-n)
	p.refused.Add(1)
	return false
}

// rankOf is the rank of a session that holds so much.
func rankOf(size int64) (rank int) {
	for size > 1 {
		size >>= 1
		rank++
	}
	return rank
}

// topRank is the rank of the session that holds most; 0 if all hold little.
func (p *pool) topRank() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settleLocked()
	for rank := maxRank; rank > 0; rank-- {
		if p.ranks[rank] != nil {
			return rank
		}
	}
	return 0
}

// most returns sessions that hold most, none if all hold little; the first ones hold half as much as
// any other, or more. Each of those of a rank has its turn.
func (p *pool) most(atMost int) (all []*Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settleLocked()
	for rank := maxRank; rank > 0; rank-- {
		first := p.ranks[rank]
		if first == nil {
			continue
		}
		p.ranks[rank] = first.next
		for h := first; len(all) < atMost; {
			all = append(all, h.s)
			if h = h.next; h == first {
				break
			}
		}
	}
	return all
}

// settleLocked moves holders of the highest rank down that hold less by now. That a session takes
// more is noted at once, and that it gives something back only here, so that streams which come and go touch
// nothing that sessions share.
func (p *pool) settleLocked() {
	const atMost = 32
	moves := 0
	for rank := maxRank; rank > 0; rank-- {
		for h := p.ranks[rank]; h != nil; h = p.ranks[rank] {
			if moves++; moves > atMost || p.rankOf(h) >= rank {
				return
			}
			p.unlinkLocked(h)
			p.placeLocked(h)
		}
	}
}

// rankOf is the rank that a holder should have, 0 if it holds little.
func (p *pool) rankOf(h *holder) int {
	if size := h.size.Load(); size > p.little {
		return rankOf(size)
	}
	return 0
}

// hold notes what a session holds by now. h is what the last call returned for it, nil before the
// first.
func (p *pool) hold(s *Session, h *holder, size int64) *holder {
	if h == nil {
		if size <= p.little {
			return nil
		}
		h = &holder{s: s}
	}
	h.size.Store(size)
	if p.rankOf(h) > int(h.rank.Load()) {
		p.mu.Lock()
		p.unlinkLocked(h)
		p.placeLocked(h)
		p.mu.Unlock()
	}
	return h
}

// forget takes out what a session holds that has ended: it cannot give way.
func (p *pool) forget(h *holder) {
	if h != nil {
		p.mu.Lock()
		p.unlinkLocked(h)
		p.mu.Unlock()
	}
}

// placeLocked puts a holder, which is in no ring, where it belongs. Its session may take more
// meanwhile, and relies on the rank then.
func (p *pool) placeLocked(h *holder) {
	for {
		rank := p.rankOf(h)
		if rank > 0 {
			p.linkLocked(h, rank)
		}
		if p.rankOf(h) <= rank {
			return
		}
		p.unlinkLocked(h)
	}
}

// linkLocked enters a holder into a ring.
func (p *pool) linkLocked(h *holder, rank int) {
	h.rank.Store(int32(rank))
	first := p.ranks[rank]
	if first == nil {
		h.next, h.prev = h, h
		p.ranks[rank] = h
		return
	}
	h.next, h.prev = first, first.prev
	h.prev.next, h.next.prev = h, h
}

// unlinkLocked takes a holder out of its ring, if it is in one.
func (p *pool) unlinkLocked(h *holder) {
	rank := h.rank.Swap(0)
	switch {
	case rank == 0:
		return
	case h.next == h:
		p.ranks[rank] = nil
	default:
		h.prev.next, h.next.prev = h.next, h.prev
		if p.ranks[rank] == h {
			p.ranks[rank] = h.next
		}
	}
	h.next, h.prev = nil, nil
}
