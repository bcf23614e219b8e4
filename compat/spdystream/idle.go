package spdystream

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A watchedConn is a connection that records the time of last use. Without a watcher it does not
// read the clock.
type watchedConn struct {
	net.Conn
	heard    func() bool // reports whether the peer has sent GOAWAY
	leaving  atomic.Bool // the peer has sent GOAWAY before this side began to end the connection
	forced   atomic.Bool // the connection ends although the peer has not finished
	mine     atomic.Bool // this side has begun to end the connection
	hungUp   atomic.Bool // the peer has closed the connection, or the connection is lost
	epoch    time.Time
	watchers atomic.Int32
	taken    atomic.Int64 // bytes that the network has accepted
	last     atomic.Int64 // time since epoch of the last bytes in either direction
	moved    atomic.Int64 // time since epoch of the last progress, see move
	late     atomic.Bool  // read bytes are no progress while more arrive, see moveByRead
	arrived  atomic.Int64 // time since epoch of the last received bytes; unused unless late
}

func newWatchedConn(conn net.Conn) *watchedConn {
	return &watchedConn{Conn: conn, epoch: time.Now()}
}

// Read reads from the connection.
func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !areQuietPings(p[:n]) {
		c.touch()
		if c.late.Load() {
			c.arrived.Store(int64(time.Since(c.epoch)))
		}
	}
	if err != nil && !isOwnClose(err) && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.hungUp.Store(true)
	}
	return n, err
}

// isOwnClose reports whether a read failed because this side has closed the connection.
func isOwnClose(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) // of a net.Pipe
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

// CloseWrite closes our direction if the connection supports a half close. If not, the peer learns
// from our GOAWAY that this side sends nothing more. The session then waits for the peer to close,
// for a second at most: closing at once could, with TCP, destroy bytes that the peer has not read.
// CloseWrite returns ErrUnsupported, so that the session does not wait, if the peer has sent GOAWAY
// and waits for us, or if the time for the peer is over.
func (c *watchedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	if c.heard() || c.forced.Load() {
		return errors.ErrUnsupported
	}
	return nil
}

// Close closes the connection, unless the peer has closed it without a GOAWAY and before this side
// began to end the connection. In that case the original lets the program close the net.Conn, or
// call Connection.Close, and the program's Close would fail if the net.Conn were closed already.
// The peer sees the end all the same.
func (c *watchedConn) Close() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || c.mine.Load() || c.heard() || !c.hungUp.Load() {
		return c.Conn.Close()
	}
	_ = c.Conn.SetDeadline(time.Unix(1, 0)) // unblocks all calls of the session
	return half.CloseWrite()
}

// NetConn returns the underlying connection, which the session asks for the number of
// unacknowledged bytes.
func (c *watchedConn) NetConn() net.Conn { return c.Conn }

// areQuietPings reports whether p contains only the PINGs with which either end checks that the
// peer is alive, and their echoes. A connection that carries nothing else is idle. Config.PingProof
// of package github.com/amahi/spdy documents the bit.
func areQuietPings(p []byte) bool {
	for ; bytes.HasPrefix(p, pingFrame) && len(p) >= pingSize; p = p[pingSize:] {
		if p[len(pingFrame)]>>6&1 == 0 {
			return false
		}
	}
	return len(p) == 0
}

// pingFrame is the beginning of a PING of SPDY/3.1; the PING's number follows.
var pingFrame = []byte{0x80, 3, 0, 6, 0, 0, 0, 4}

const pingSize = 12

func (c *watchedConn) touch() {
	if c.watchers.Load() > 0 {
		c.last.Store(int64(time.Since(c.epoch)))
	}
}

// move records progress of the program: the program has read bytes, or this side has sent bytes to
// a peer that has not sent GOAWAY.
func (c *watchedConn) move() {
	if c.watchers.Load() > 0 {
		c.moved.Store(int64(time.Since(c.epoch)))
	}
}

// moveByRead records that the program has read bytes. A peer without flow control learns that this
// side wants to end the connection only by a GOAWAY, which ends the peer's streams: the peer might
// send, and the program read, for ever. So from late on only buffered bytes count as progress.
func (c *watchedConn) moveByRead() {
	if c.late.Load() && time.Since(c.epoch)-time.Duration(c.arrived.Load()) < farewell {
		return
	}
	c.move()
}

// A watch calls a function once when the connection has been idle for the timeout.
type watch struct {
	conn *watchedConn
	call func()
	last *atomic.Int64 // the time of conn that counts as use

	// takes returns the number of bytes that the peer has not accepted yet; nil if irrelevant. A
	// decrease counts as use, and while bytes remain the connection may be idle for slowFarewell.
	takes func() int

	mu      sync.Mutex
	left    int           // the last result of takes
	took    time.Duration // time since epoch of the last decrease of takes
	timeout time.Duration // 0 for never
	timer   *time.Timer   // nil before the first timeout
	over    bool          // stopped, or the function has been called
}

func (c *watchedConn) newWatch(last *atomic.Int64, call func()) *watch {
	return &watch{conn: c, last: last, call: call}
}

// set restarts the timeout from now; 0 stops it.
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

// look is the timer function: the connection may have been used since the timer was set.
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
