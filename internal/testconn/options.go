package testconn

import "time"

// An Option configures an end of a pair.
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

// StrictClose turns a Close with unread bytes into a reset. It also resets the connection, a
// latency later, when the peer sends bytes after a Close. TCP does both, so a peer may never read
// the last bytes sent.
func StrictClose() Option { return func(c *Conn) { c.strict.Store(true) } }

// FailAt is Fail as an option. A joint fault belongs to the link, so apply the option to a single
// end: First(FailAt(Fault{Joint: true, …})).
func FailAt(f Fault) Option { return func(c *Conn) { c.Fail(f) } }

// SetWriteCap makes this end's Writes wait while n bytes from this end are unread by the peer,
// including bytes in transit. 0 removes the cap.
func (c *Conn) SetWriteCap(n int) { c.out.set(func(h *half) { h.writeCap = n }) }

// SetReadSize limits each Read of this end to n bytes. 0 removes the limit.
func (c *Conn) SetReadSize(n int) { c.in.set(func(h *half) { h.readSize = n }) }

// SetLatency delays the bytes that this end sends from now on by d. Bytes never overtake each
// other, and the line holds any number of bytes.
func (c *Conn) SetLatency(d time.Duration) { c.out.set(func(h *half) { h.latency = d }) }

// SetBandwidth limits the arrival of bytes that this end sends from now on to bytesPerSecond.
// Writes do not wait for the line, except under a write cap. 0 removes the limit.
func (c *Conn) SetBandwidth(bytesPerSecond int) {
	c.out.set(func(h *half) { h.bandwidth = bytesPerSecond })
}

// SetRecord starts or stops recording the bytes that this end writes.
func (c *Conn) SetRecord(on bool) { c.out.set(func(h *half) { h.rec = on }) }

// SetBlackHole discards everything that this end sends from now on, including a Close: Writes
// succeed until the write cap, if any, is full of lost bytes, and the peer waits. Lost bytes stay
// lost after the black hole is switched off. A dead network is a black hole at both ends.
func (c *Conn) SetBlackHole(on bool) { c.out.set(func(h *half) { h.hole, h.lost = on, 0 }) }

// SetHold holds back everything that this end sends, including bytes in transit, until it is
// switched off. Then everything arrives in order.
func (c *Conn) SetHold(on bool) { c.out.set(func(h *half) { h.hold = on }) }

func (h *half) set(f func(*half)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h)
	h.wake()
}

// Sent returns a copy of the bytes that this end wrote while recording was on. c.Peer().Sent()
// returns the peer's bytes.
func (c *Conn) Sent() []byte {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return append([]byte(nil), c.out.log...)
}

// Unread returns the number of bytes for this end that are buffered or in transit.
func (c *Conn) Unread() int {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.in.queued
}

// Stats counts the events at an end.
type Stats struct {
	Reads, Writes           int   // calls, including failed calls
	BytesRead, BytesWritten int64 // bytes transferred by the calls
	Faults                  int   // calls that failed because of a Fault
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
