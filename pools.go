package spdy

import (
	"math"
	"sync"
	"sync/atomic"
)

// Pools bounds the memory and handlers held for peers by all sessions of a Server together, or by
// all sessions of a Transport. Config bounds one session; a thousand sessions could still exhaust
// memory. The defaults suit a machine with 1 GiB of memory. In each field 0 means the default, and
// a negative value means no bound; a value between 0 and the range of the field counts as the least
// value of the range.
//
// Of each pool a tenth is reserved for sessions that hold little of the pool, and the largest
// holders are refused first. When a pool is more than 85 percent full, the largest holder, and
// sessions holding more than half as much, are refused more: their new streams are refused with
// REFUSED_STREAM, header blocks and DATA beyond the limit cost their streams a RST_STREAM, and a
// header block still being received that would need more ends the session. Other sessions may
// acquire up to 90 percent of the pool. Sessions that hold little may acquire up to the whole pool,
// of BufferBytes up to 95 percent: the rest of BufferBytes is for new sessions. Only when this rest
// is used up too, a Server closes new connections, and dials of a Transport fail, with a
// *PoolError. While less than half of a pool is used, a session may acquire all of the rest.
//
// A session may carry the requests of many users, so within a session each stream is charged for
// its own memory. A stream whose headers take less than a quarter of the average of the session's
// streams is not refused because of the others: the pool treats the stream like a stream of another
// session. Streams that hold no less than the average of their session are reset, largest first,
// until three quarters of the pool are used. Candidates are streams of the largest session on which
// no byte has moved in either direction for a second; and, in the pool of HeaderBytes when it is
// more than 85 percent full, each stream of the largest sessions that itself holds more than 64 KiB
// (less where the pool has less than 16 MiB), whether bytes move on the stream or not. When the pool
// of UnreadBytes is more than 85 percent full, streams of the largest sessions are reset whose
// readers read less than a quarter of what arrives, or nothing for a second; ended streams count as
// well. The streams with the most bytes unread for the longest are first. Streams whose readers
// keep up are reset only if that does not free enough, in the same order and with the same 64 KiB.
// What handlers of ended sessions still hold, and the headers that handlers of ended streams hold,
// cause no resets, only refusals.
//
// The headers of one stream may use an eighth of HeaderBytes: a request that needs more is answered
// with status 431, and an answer, a push or late headers cost their stream a
// RST_STREAM(FRAME_TOO_LARGE), and the caller receives a *PoolError.
//
// Each Server and each Transport has separate pools, even with a shared Config. The sessions of an
// Upgrader are in the pools of the Server whose handler has called the Upgrader, or in the pools of
// ConfigureServer. The Pools in the Upgrader's Config have no effect then, unless the Upgrader is
// Detached. HTTP/1.1 traffic is in no pool, nor are the buffers of crypto/tls, which can be more
// than twice the memory of an idle session: a server with TLS should limit its connections too. A
// stream that the program opens on a raw session is charged only for the header blocks received on
// the stream. Server.Stats and Transport.PoolStats report the use of the pools.
//
// Detached sessions, and sessions made without a Server or a Transport, as those of an
// UpgradeDialer, of Config.RawSession and of TrackSession, share no pools, because they belong to
// no Server and no Transport when they begin. Each of them has a pool of HeaderBytes of its own,
// with the same rules. The default of its size is 16 times Config.MaxHeaderBytes if that is more
// than 128 MiB. The other fields have no effect on such a session; its windows and limits of
// streams bound the rest.
type Pools struct {
	// HeaderBytes is the size of received header blocks as stored: their bytes, 96 for each name
	// with its first value, and 32 for each further value. Over HTTP, bytes stored in two forms count
	// twice: names, Trailer, several cookies, a path with escapes. Headers of a request count until the
	// stream has ended and the handler has returned, of an answer until the stream has ended, of a
	// push until a request claims the push or the push is dropped, of a raw stream until the stream
	// has been accepted and has ended. HEADERS of a raw stream count until they are received.
	// Default 128 MiB. Range: 64 KiB and more; 0 and less see above.
	HeaderBytes int

	// UnreadBytes is received DATA that no application has read, with the memory that holds it: up
	// to 32 KiB for a body of which a part has been read. Answers count until the session, or the
	// context of the request, has ended. Default 256 MiB. Range: 64 KiB and more; 0 and less see
	// above.
	UnreadBytes int

	// BufferBytes is the other memory of sessions: 14 KiB for each session, 8 KiB for each stream
	// of the peer including the handler, the memory of frames being received, the buffers for
	// reading and sending, and the buffers of ReadFrom. While the pool is more than 85 percent full
	// (for the buffers of ReadFrom, a quarter full), sessions use buffers of at most 5 KiB, to
	// which no pool limit applies, and a frame of up to 32 KiB is received in any case. Default 192
	// MiB. Range: 64 KiB and more; 0 and less see above.
	BufferBytes int

	// Handlers is the number of handlers that run at once, and of calls of Config.AcceptPush.
	// Default 16,384. Range: 1 and more; 0 and less see above.
	Handlers int
}

// A resource is a kind of memory, or the handlers, held by sessions for their peers. Each resource
// has a pool.
type resource uint8

// The resources, in the order of the fields of Pools.
const (
	heldHeaders resource = iota
	heldUnread
	heldBuffers
	heldHandlers
	resources
)

// A resourceKind holds the parameters of a resource. All sizes are in bytes, or in handlers.
type resourceKind struct {
	name     string // of the field of Pools
	standard int64  // the default
	least    int64  // the smallest pool
	little   int64  // lower bound of the amount up to which a session holds little
	free     int64  // amount that a session may hold without charge: sessionTakes includes it
	grain    int64  // the steps in which a session acquires from the pool
	idle     int64  // the unused amount that a session may keep of the pool
	spares   bool   // a part of the pool is reserved for new sessions
}

var resourceKinds = [resources]resourceKind{
	heldHeaders:  {"HeaderBytes", 128 << 20, 64 << 10, 8 << 10, 2 << 10, 4 << 10, 0, false},
	heldUnread:   {"UnreadBytes", 256 << 20, 64 << 10, 16 << 10, 4 << 10, 16 << 10, 0, false},
	heldBuffers:  {"BufferBytes", 192 << 20, 64 << 10, 4 * sessionTakes, 0, 4 << 10, sessionTakes + streamTakes, true},
	heldHandlers: {"Handlers", 16 << 10, 1, 4, 0, 1, 0, false},
}

const (
	// sessionTakes is the memory of an idle session: state, decompressor history, goroutine stacks
	// and the free amounts of each pool.
	sessionTakes = 14 << 10
	// streamTakes is the memory of a stream of the peer without headers and body, with the stack of
	// the handler and the answerBuffer of the response.
	streamTakes = 8 << 10
	// slackGrains is the number of unused grains of a pool that a busy session keeps, so that few
	// streams touch the shared counters.
	slackGrains = 4
)

// pools are the pools of a Server or of a Transport.
type pools struct {
	of    [resources]pool // the array is immutable, the pools in it are not
	short atomic.Bool     // a pool may be nearly full, see Session.relieve

	// watched is the time, since epoch, at which the sessions began to time reads, 0 if they do not
	// time them: see watchReads.
	watched atomic.Int64
}

// A pool is the amount of a resource that all sessions together may hold.
type pool struct {
	limit  int64 // immutable; math.MaxInt64 if there is no limit
	little int64 // a session that holds up to this amount holds little; immutable
	modest int64 // a stream that holds more is large; immutable
	spare  int64 // reserved for new sessions; immutable

	used    atomic.Int64
	leaving atomic.Int64  // the part of used that is free when handlers of ended streams and sessions return
	refused atomic.Uint64 // times an asker was refused
	reset   atomic.Uint64 // streams reset to make room

	mu    sync.Mutex
	ranks *ranks // nil before the first holder of more than little; guarded by mu
}

// ranks are the holders of more than little, by the logarithm of their size: rings.
type ranks [maxRank + 1]*holder

// maxRank is the highest rank of a holder.
const maxRank = 62

// A holder is the entry of a session in a pool, made once the session has held more than little.
type holder struct {
	s    *Session
	size atomic.Int64 // amount the session holds
	rank atomic.Int32 // of the holder's ring, 0 if in none; pool.mu is held when rank changes

	next, prev *holder // in the holder's ring; guarded by pool.mu
}

// newPools makes the pools with the sizes of c, or with the defaults.
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

// poolsOfSession returns the pools for a session: those of the Server or Transport that creates it,
// or else a pool of header bytes for this session alone, nil if that has no bound either. The
// windows and limits of Config bound the other memory of a session.
func (c *Config) poolsOfSession() *pools {
	own := c.Pools.HeaderBytes
	switch {
	case c.shared != nil:
		return c.shared
	case own < 0:
		return nil
	case own == 0:
		own = int(min(max(resourceKinds[heldHeaders].standard, ownPoolFactor*int64(c.MaxHeaderBytes)), math.MaxInt))
	}
	return newPools(&Config{Pools: Pools{HeaderBytes: own, UnreadBytes: -1, BufferBytes: -1, Handlers: -1}})
}

// ownPoolFactor times MaxHeaderBytes is the size of the pool of header bytes of a session without a
// Server or Transport, if that is more than the default: one stream may use an eighth of the pool.
const ownPoolFactor = 16

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

// mostModest is the most a stream may hold of any pool without being large.
const mostModest = 64 << 10

// share is the part of the pool that the headers of one stream may use. Beyond that part the
// headers cost their own stream, not other streams.
func (p *pool) share() int64 { return p.limit / 8 }

// crowdedAt is the use above which the pool is nearly full.
func (p *pool) crowdedAt() int64 { return p.limit - p.limit/20*3 - p.limit%20*3/20 }

// An asker describes a request for more of a pool.
type asker struct {
	held   int64 // amount the asker's session holds of the pool
	modest bool  // for a stream that holds much less than the other streams of the session
}

// take acquires n more. It reports false if the asker is refused.
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
	case by.modest: // large streams of its session are reset, see Session.relieve
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

// rankOf returns the rank of a session that holds size.
func rankOf(size int64) (rank int) {
	for size > 1 {
		size >>= 1
		rank++
	}
	return rank
}

// topRank returns the rank of the largest session; 0 if all sessions hold little.
func (p *pool) topRank() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ranks == nil {
		return 0
	}
	p.settleLocked()
	for rank := maxRank; rank > 0; rank-- {
		if p.ranks[rank] != nil {
			return rank
		}
	}
	return 0
}

// most returns at most atMost of the largest sessions, none if all hold little. The first of them
// hold at least half as much as any other session. Sessions of equal rank take turns.
func (p *pool) most(atMost int) (all []*Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ranks == nil {
		return nil
	}
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

// settleLocked moves shrunken holders of the highest rank down. Growth is recorded at once, and
// shrinking only here, so that short-lived streams touch no shared state.
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

// rankOf returns the rank of a holder by size, 0 if the holder holds little.
func (p *pool) rankOf(h *holder) int {
	if size := h.size.Load(); size > p.little {
		return rankOf(size)
	}
	return 0
}

// hold records the current amount of a session. h is the result of the last call for the session,
// nil before the first.
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

// forget removes the entry of an ended session, which can release nothing more.
func (p *pool) forget(h *holder) {
	if h != nil {
		p.mu.Lock()
		p.unlinkLocked(h)
		p.mu.Unlock()
	}
}

// placeLocked puts a holder, which is in no ring, into the ring of its rank. The session may grow
// concurrently and rely on the stored rank, so placeLocked checks the rank again.
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

// linkLocked adds a holder to a ring.
func (p *pool) linkLocked(h *holder, rank int) {
	if p.ranks == nil {
		p.ranks = new(ranks)
	}
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

// unlinkLocked removes a holder from its ring, if any.
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
