package testconn

import "time"

// An Option sets up one end of a pair.
type Option func(*Conn)

// First restricts options to the first end that Pair returns.
func First(opts ...Option) Option { return only(0, opts) }

// Second restricts options to the second end that Pair returns.
func Second(opts ...Option) Option { return only(1, opts) }

func only(side int, opts []Option) Option {
	return func(c *Conn) {
		if c.side == side {
			for _, o := range opts {
				o(c)
			}
		}
	}
}

// WriteCap is SetWriteCap as an option.
func WriteCap(n int) Option { return func(c *Conn) { c.SetWriteCap(n) } }

// ReadSize is SetReadSize as an option.
func ReadSize(n int) Option { return func(c *Conn) { c.SetReadSize(n) } }

// Latency is SetLatency as an option.
func Latency(d time.Duration) Option { return func(c *Conn) { c.SetLatency(d) } }

// Bandwidth is SetBandwidth as an option.
func Bandwidth(bytesPerSecond int) Option { return func(c *Conn) { c.SetBandwidth(bytesPerSecond) } }

// Record is SetRecord(true) as an option.
func Record() Option { return func(c *Conn) { c.SetRecord(true) } }

// StrictClose makes a Close with bytes unread a reset, and draws one for what the peer sends
// after a Close, a latency later, which is what TCP does and why a peer may never read what was sent just
// before.
func StrictClose() Option { return func(c *Conn) { c.strict.Store(true) } }

// FailAt is Fail as an option. A joint fault belongs to the link, so it is given to
// one end only: First(FailAt(Fault{Joint: true, …})).
func FailAt(f Fault) Option { return func(c *Conn) { c.Fail(f) } }

// SetWriteCap makes this end's Writes wait while n of its bytes are unread by the
// peer, those under way included. 0 removes the cap.
func (c *Conn) SetWriteCap(n int) { c.out.set(func(h *half) { h.writeCap = n }) }

// SetReadSize makes each of this end's Reads return at most n bytes. 0 removes the limit.
func (c *Conn) SetReadSize(n int) { c.in.set(func(h *half) { h.readSize = n }) }

// SetLatency makes what this end sends from now on arrive d later. Bytes never
// overtake each other, and the line holds any number of them.
func (c *Conn) SetLatency(d time.Duration) { c.out.set(func(h *half) { h.latency = d }) }

// SetBandwidth makes what this end sends from now on arrive no faster than that
// many bytes a second. Writes do not wait for it; with a write cap they do. 0
// removes the limit.
func (c *Conn) SetBandwidth(bytesPerSecond int) {
	c.out.set(func(h *half) { h.bandwidth = bytesPerSecond })
}

// SetRecord starts or stops the recording of what this end writes.
func (c *Conn) SetRecord(on bool) { c.out.set(func(h *half) { h.rec = on }) }

// SetBlackHole makes everything this end sends from now on vanish, its Close
// included: Writes succeed (until the write cap, if there is one, is full of
// bytes that nobody will read) and the peer waits. What vanished stays lost when it
// is switched off. A dead network is a black hole at both ends.
func (c *Conn) SetBlackHole(on bool) { c.out.set(func(h *half) { h.hole, h.lost = on, 0 }) }

// SetHold keeps everything this end sends, and what is under way, from arriving
// until it is switched off; then it all arrives in order.
func (c *Conn) SetHold(on bool) { c.out.set(func(h *half) { h.hold = on }) }

func (h *half) set(f func(*half)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h)
	h.wake()
}

// Sent returns a copy of what this end has written while recording was on. What the
// peer has written is c.Peer().Sent().
func (c *Conn) Sent() []byte {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return append([]byte(nil), c.out.log...)
}

// Unread returns how many bytes for this end are buffered or under way.
func (c *Conn) Unread() int {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.in.queued
}

// Stats counts what happened at one end.
type Stats struct {
	Reads, Writes           int   // calls, failed ones included
	BytesRead, BytesWritten int64 // bytes that the calls returned
	Faults                  int   // calls that a Fault made fail
}

// Stats returns the counters of this end.
func (c *Conn) Stats() Stats {
	s := c.link.stats(c)
	c.in.mu.Lock()
	s.BytesRead = c.in.bytesRead
	c.in.mu.Unlock()
	c.out.mu.Lock()
	s.BytesWritten = c.out.bytesWritten
	c.out.mu.Unlock()
	return s
}
