package spdystream

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A watchedConn is a connection that knows when it was last used. While nobody asks it
// does not look at the clock.
type watchedConn struct {
	net.Conn
	heard    func() bool // the peer has said GOAWAY
	forced   atomic.Bool // the connection ends although the peer is not through
	epoch    time.Time
	watchers atomic.Int32
	last     atomic.Int64 // time since epoch of the last bytes either way
}

func newWatchedConn(conn net.Conn) *watchedConn {
	return &watchedConn{Conn: conn, epoch: time.Now()}
}

// Read reads from the connection.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.touch()
	}
	return n, err
}

// Write writes to the connection.
func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.touch()
	}
	return n, err
}

// CloseWrite closes our direction if the connection can do that. If it cannot, the peer
// learns from our GOAWAY that nothing comes any more: the session waits for it to close,
// for a second at most, as it would anyway, because to close at once could cost the peer,
// with TCP, what it has not read. A peer that has said GOAWAY itself waits for us, and
// with one that has had its time there is nothing to wait for.
func (c *watchedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	if c.heard() || c.forced.Load() {
		return errors.ErrUnsupported
	}
	return nil
}

// NetConn returns the connection below, which the session asks for the bytes that its peer
// has not acknowledged.
func (c *watchedConn) NetConn() net.Conn { return c.Conn }

func (c *watchedConn) touch() {
	if c.watchers.Load() > 0 {
		c.last.Store(int64(time.Since(c.epoch)))
	}
}

// A watch calls a function once when its connection has been idle for some time.
type watch struct {
	conn *watchedConn
	call func()

	// What the peer has still to take; nil if that does not matter. Less of it is use, and
	// while there is some the connection may be idle for slowFarewell.
	takes func() int

	mu      sync.Mutex
	left    int           // what takes has said last
	took    time.Duration // time since epoch of when it last said less than before
	timeout time.Duration // 0 for never
	timer   *time.Timer   // nil before the first timeout
	over    bool          // stopped, or the function has been called
}

func (c *watchedConn) newWatch(call func()) *watch { return &watch{conn: c, call: call} }

// set starts to count from now; 0 stops.
func (w *watch) set(timeout time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	timeout = max(timeout, 0)
	if (timeout > 0) != (w.timeout > 0) {
		w.conn.watchers.Add(map[bool]int32{true: 1, false: -1}[timeout > 0])
	}
	w.timeout = timeout
	switch {
	case timeout == 0:
		if w.timer != nil {
			w.timer.Stop()
		}
		return
	case w.timer == nil:
		w.timer = time.AfterFunc(timeout, w.look)
	default:
		w.timer.Reset(timeout)
	}
	w.conn.last.Store(int64(time.Since(w.conn.epoch)))
}

// look is what the timer does: the connection may have been used meanwhile.
func (w *watch) look() {
	left := 0
	if w.takes != nil {
		left = w.takes()
	}
	w.mu.Lock()
	if w.over || w.timeout == 0 {
		w.mu.Unlock()
		return
	}
	now := time.Since(w.conn.epoch)
	if left < w.left {
		w.took = now
	}
	w.left = left
	limit := w.timeout
	if left > 0 {
		limit = max(limit, slowFarewell)
	}
	idle := now - max(time.Duration(w.conn.last.Load()), w.took)
	if idle < limit {
		w.timer.Reset(min(limit-idle, w.timeout))
		w.mu.Unlock()
		return
	}
	w.endLocked()
	w.mu.Unlock()
	w.call()
}

// stop ends the watch for good.
func (w *watch) stop() {
	w.mu.Lock()
	w.endLocked()
	w.mu.Unlock()
}

func (w *watch) endLocked() {
	if w.timeout > 0 {
		w.conn.watchers.Add(-1)
	}
	w.over, w.timeout = true, 0
	if w.timer != nil {
		w.timer.Stop()
	}
}
