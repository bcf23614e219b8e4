package spdystream

import (
	"bytes"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A watchedConn is a connection that knows when it was last used. While nobody asks it
// does not look at the clock.
type watchedConn struct {
	net.Conn
	heard    func() bool // the peer has said GOAWAY
	leaving  atomic.Bool // the peer has, and this side had not begun to end
	forced   atomic.Bool // the connection ends although the peer is not through
	mine     atomic.Bool // this side has begun to end the connection
	hungUp   atomic.Bool // the peer has ended it, or it is lost
	epoch    time.Time
	watchers atomic.Int32
	taken    atomic.Int64 // bytes that the network has taken
	last     atomic.Int64 // time since epoch of the last bytes either way
	moved    atomic.Int64 // and of the last that the program has read, or has had sent, see move
}

func newWatchedConn(conn net.Conn) *watchedConn {
	return &watchedConn{Conn: conn, epoch: time.Now()}
}

// Read reads from the connection.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !areQuietPings(p[:n]) {
		c.touch()
	}
	if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.hungUp.Store(true)
	}
	return n, err
}

// Write writes to the connection.
func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.taken.Add(int64(n))
	if n > 0 && !areQuietPings(p) {
		c.touch()
		if !c.leaving.Load() {
			c.move()
		}
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

// Close closes the connection, unless the peer has hung up without a GOAWAY and before this
// side has begun to end the connection. Then the original leaves it to the program to close
// its net.Conn, or to call Connection.Close: to have it closed already would make that fail.
// The peer sees the end all the same.
func (c *watchedConn) Close() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || c.mine.Load() || c.heard() || !c.hungUp.Load() {
		return c.Conn.Close()
	}
	_ = c.Conn.SetDeadline(time.Unix(1, 0)) // no call of the session waits for it any more
	return half.CloseWrite()
}

// NetConn returns the connection below, which the session asks for the bytes that its peer
// has not acknowledged.
func (c *watchedConn) NetConn() net.Conn { return c.Conn }

// areQuietPings reports whether p is nothing but PINGs by which either end has asked whether its peer
// is there, and the answers to them. A connection that carries nothing else is idle. See
// amahi.Config.PingProof for the bit.
func areQuietPings(p []byte) bool {
	for ; bytes.HasPrefix(p, pingFrame) && len(p) >= pingSize; p = p[pingSize:] {
		if p[len(pingFrame)]>>6&1 == 0 {
			return false
		}
	}
	return len(p) == 0
}

// pingFrame is how a PING of SPDY/3.1 begins; its number follows.
var pingFrame = []byte{0x80, 3, 0, 6, 0, 0, 0, 4}

const pingSize = 12

func (c *watchedConn) touch() {
	if c.watchers.Load() > 0 {
		c.last.Store(int64(time.Since(c.epoch)))
	}
}

// move notes that the program gets on with the connection: it has read something, or this
// side has sent something to a peer that has not said that it goes away.
func (c *watchedConn) move() {
	if c.watchers.Load() > 0 {
		c.moved.Store(int64(time.Since(c.epoch)))
	}
}

// A watch calls a function once when its connection has been idle for some time.
type watch struct {
	conn *watchedConn
	call func()
	last *atomic.Int64 // of conn: what counts as use

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

func (c *watchedConn) newWatch(last *atomic.Int64, call func()) *watch {
	return &watch{conn: c, last: last, call: call}
}

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
	w.last.Store(int64(time.Since(w.conn.epoch)))
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
	idle := now - max(time.Duration(w.last.Load()), w.took)
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
