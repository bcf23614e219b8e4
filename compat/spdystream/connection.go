package spdystream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	amahi "github.com/amahi/spdy"

	"github.com/moby/spdystream/internal/limits"
	"github.com/moby/spdystream/spdy"
)

// The limits that a connection sets for the peer. Programs cannot change them; the original has no
// bounds at all.
const (
	unreadBudget = 16 << 20 // unread bytes of a connection
	fewStreams   = 64       // number of streams above which ended streams are removed

	// maxStreams is the limit of the peer's open streams, and of streams that wait for the handler
	// to be called. The original ignores the limit in SETTINGS, and refusing a stream whose opener
	// does not wait blocks the original's connection: the limit must exceed the number of streams
	// that any program opens.
	maxStreams = 16 << 10
)

// SilenceTimeout is the time after which a connection on a dead network ends. After half of the
// time without a byte from the peer the connection sends a PING; after the other half it ends, with
// all streams. 0 means no timeout. SilenceTimeout applies to connections made afterwards, and must
// not be changed while other goroutines make connections. The original has no such timeout.
//
// Programs that use the original answer no PING while they do not read a stream. A connection to
// such a peer ends only if the peer's system does not acknowledge the PING either. This is known on
// Linux only, for TCP connections that are not wrapped in another type.
var SilenceTimeout = time.Minute

// A Connection carries streams. Any number of goroutines may use a Connection at once.
type Connection struct {
	conn    *watchedConn
	session *amahi.Session
	limits  limits.Set
	idle    *watch

	closeChan chan bool     // latch: the peer has sent GOAWAY, or no more frames are handled
	ended     chan struct{} // latch: the session and the network connection have ended

	mu        sync.Mutex
	serving   bool
	early     bool        // the session runs although Serve has not been called
	draining  bool        // shutdown runs, or has run
	closed    bool        // closeChan is closed: the peer opens no more streams
	gone      bool        // ended is closed
	idleEnd   bool        // the idle timeout has ended the connection
	notice    *time.Timer // closes closeChan after Close although streams are open; nil before Close
	streams   map[uint32]*Stream
	enough    int           // number of streams at which ended streams are removed
	newcomers chan struct{} // latch of the callers that wait for a stream, replaced for each stream; nil without callers
	next      uint32        // the number of our next stream
	received  uint32        // the least possible number of the peer's next stream

	closeTimeout  time.Duration
	goAwayTimeout time.Duration
	lastStream    chan<- *Stream
}

// NewConnection makes a connection from a network connection and owns the network connection from
// then on. server is true on the side that was dialled, which opens streams with even numbers. Call
// Serve to run the connection. The error is always nil.
func NewConnection(conn net.Conn, server bool) (*Connection, error) {
	return NewConnectionWithOptions(conn, server)
}

// NewConnectionWithOptions is NewConnection with limits for the peer's frames. A frame that breaks
// a limit for headers ends the stream; a frame that breaks another limit ends the connection.
func NewConnectionWithOptions(conn net.Conn, server bool, opts ...spdy.FramerOption) (*Connection, error) {
	set := limits.Of(opts).WithDefaults()
	c := &Connection{
		conn:      newWatchedConn(conn),
		limits:    set,
		closeChan: make(chan bool),
		ended:     make(chan struct{}),
		streams:   make(map[uint32]*Stream),
		enough:    fewStreams,
		next:      1,
		received:  2,
	}
	if server {
		c.next, c.received = 2, 1
	}
	config := &amahi.Config{
		Version:         amahi.SPDY31,
		FlowControl:     amahi.FlowControlPeerUnaware,
		SpeakFirst:      true,
		KeepFrames:      true,
		LenientHeaders:  true,
		PingInterval:    SilenceTimeout / 2,
		PingTimeout:     SilenceTimeout / 2,
		PingProof:       true,
		SessionWindow:   unreadBudget,
		UnreadBudget:    unreadBudget,
		AcceptBacklog:   maxStreams,
		MaxHeaderBytes:  set.Block(),
		MaxHeaderFields: int(min(set.Fields, 1<<30)),
		MaxControlFrame: int(set.Control),

		MaxConcurrentStreams: maxStreams,

		MaxSendHeaderBytes: 1 << 30, // as much as fits in a frame: spdystream has no limit
	}
	c.session = config.RawSession(c.conn, !server)
	c.conn.heard = func() bool {
		_, ok := c.session.PeerLastGood()
		return ok
	}
	c.idle = c.conn.newWatch(&c.conn.last, c.idleTimeout)
	return c, nil
}

// Serve runs the connection until the end and calls the handler for each stream that the peer
// opens. Without a handler the streams are refused. Both sides must call Serve, usually in a
// separate goroutine; before the call no stream of the peer is accepted.
func (c *Connection) Serve(newHandler StreamHandler) {
	c.mu.Lock()
	first, early := !c.serving, c.early
	c.serving = true
	c.mu.Unlock()
	switch {
	case first && early: // another goroutine runs the session
		c.accept(newHandler)
	case first:
		go c.accept(newHandler) // ends with the session
	}
	c.run()
}

// run runs the session until the end; other calls wait for the first.
func (c *Connection) run() {
	_ = c.session.Serve() // streams and Wait report the outcome
	c.finish()
}

// runEarly starts the session so that a stream opened before Serve is sent at once, as in the
// original. Streams of the peer still wait for Serve.
func (c *Connection) runEarly() {
	c.mu.Lock()
	early := !c.serving && !c.early
	c.early = c.early || early
	c.mu.Unlock()
	if early {
		go c.run() // ends with the session
	}
}

// accept calls the handler for each stream, until the session ends.
func (c *Connection) accept(newHandler StreamHandler) {
	ctx := context.Context(untilGoAway{context.Background(), c.session.PeerGoAway()})
	for {
		raw, err := c.session.AcceptStream(ctx)
		switch {
		case errors.Is(err, errGoAway):
			ctx = context.Background()
			c.goneAway()
			continue
		case err != nil:
			c.closeStreams()
			return
		}
		stream := c.admit(raw)
		switch {
		case stream == nil:
		case newHandler == nil:
			stream.refuse()
		default:
			go newHandler(stream) // ends with the handler
		}
	}
}

// errGoAway interrupts AcceptStream when a GOAWAY has arrived.
var errGoAway = errors.New("spdystream: GOAWAY has come")

// untilGoAway is a context that ends with the peer's GOAWAY, so that the accepting goroutine can
// wait for both a stream and a GOAWAY.
type untilGoAway struct {
	context.Context
	heard <-chan struct{}
}

func (u untilGoAway) Done() <-chan struct{} { return u.heard }

// Err returns errGoAway once the GOAWAY has arrived.
func (u untilGoAway) Err() error {
	select {
	case <-u.heard:
		return errGoAway
	default:
		return nil
	}
}

// admit makes a Stream of a stream that the peer has opened, or resets the stream and returns nil.
func (c *Connection) admit(raw *amahi.RawStream) *Stream {
	if !c.fits(raw.Header()) {
		_ = raw.Reset(amahi.RstFrameTooLarge)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.received = raw.ID() + 2
		c.tellNewcomersLocked()
		return nil
	}
	s := newStream(c, raw, httpHeader(raw.Header()))
	s.replied = make(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	s.parent = c.streams[raw.Parent()]
	c.received = raw.ID() + 2
	c.enterLocked(s)
	return s
}

// fits reports whether no header is larger than the options allow.
func (c *Connection) fits(block amahi.HeaderBlock) bool {
	for _, field := range block {
		if uint32(max(len(field.Name), len(field.Value))) > c.limits.FieldSize {
			return false
		}
	}
	return true
}

// enterLocked adds a stream and wakes the callers that wait for a stream.
func (c *Connection) enterLocked(s *Stream) {
	if len(c.streams) >= c.enough {
		c.sweepLocked()
	}
	c.streams[s.raw.ID()] = s
	c.tellNewcomersLocked()
}

// tellNewcomersLocked wakes the callers that wait for a stream: a stream was added or refused.
func (c *Connection) tellNewcomersLocked() {
	if c.newcomers != nil {
		close(c.newcomers)
		c.newcomers = nil
	}
}

// sweepLocked removes ended streams. It runs as the number of streams doubles, so that the cost for
// each stream is small.
func (c *Connection) sweepLocked() {
	for id, s := range c.streams {
		if s.over() {
			delete(c.streams, id)
		}
	}
	c.enough = max(fewStreams, 2*len(c.streams))
}

// CreateStream opens a stream with the headers and returns without waiting for the reply, see
// Stream.Wait. Names may contain any characters except control characters, values any except NUL.
// parent is the stream that the new stream belongs to, or nil. With fin this side sends nothing
// more. CreateStream blocks while the peer's announced limit of open streams is reached.
func (c *Connection) CreateStream(headers http.Header, parent *Stream, fin bool) (*Stream, error) {
	block, err := headerBlock(headers)
	if err != nil {
		return nil, err
	}
	options := amahi.StreamOptions{Fin: fin}
	if parent != nil {
		if parent.conn != c {
			return nil, errNoParent
		}
		options.Parent = parent.raw
	}
	if err := c.overError(); err != nil {
		return nil, err
	}
	c.runEarly()
	raw, err := c.session.OpenStream(context.Background(), block, options)
	if err != nil {
		return nil, c.explain(err)
	}
	s := newStream(c, raw, headers)
	s.parent = parent
	if fin {
		s.half = halfClosed
	}
	c.mu.Lock()
	c.next = max(c.next, raw.ID()+2)
	c.enterLocked(s)
	c.mu.Unlock()
	s.flush()
	return s, nil
}

// FindStream returns the stream with the given number, opened by either side. It waits for a stream
// that may still be opened. It returns nil for a stream that has ended or can no longer be opened.
func (c *Connection) FindStream(streamId uint32) *Stream {
	for {
		c.mu.Lock()
		s, coming := c.streams[streamId], c.received
		if streamId%2 == c.next%2 {
			coming = c.next
		}
		if s != nil || streamId < coming || c.closed {
			c.mu.Unlock()
			if s != nil && s.over() {
				return nil
			}
			return s
		}
		if c.newcomers == nil {
			c.newcomers = make(chan struct{})
		}
		newcomers := c.newcomers
		c.mu.Unlock()
		select {
		case <-newcomers:
		case <-c.closeChan:
		}
	}
}

// PeekNextStreamId returns the number of this side's next stream.
func (c *Connection) PeekNextStreamId() spdy.StreamId {
	c.mu.Lock()
	defer c.mu.Unlock()
	return spdy.StreamId(c.next)
}

// Ping measures a round trip to the peer. It fails when the connection ends.
func (c *Connection) Ping() (time.Duration, error) {
	if err := c.overError(); err != nil {
		return 0, err
	}
	c.runEarly()
	rtt, err := c.session.PingContext(context.Background())
	if err != nil {
		return 0, c.explain(err)
	}
	return max(rtt, 1), nil
}

// overError returns the error of a call that sends a frame, if the connection has ended before the
// call: io.EOF if the peer has closed the network connection, as in the original, else an error that
// matches io.EOF and the reason. If this program has closed the connection, the text is that of
// net.ErrClosed, by which programs recognise the case.
func (c *Connection) overError() error {
	select {
	case <-c.session.Done():
	default:
		return nil
	}
	reason := c.explain(c.session.Err())
	switch {
	case c.conn.hungUp.Load() && !c.conn.mine.Load():
		return io.EOF
	case errors.Is(reason, errIdle):
	case isOwnClose(reason):
		reason = net.ErrClosed
	}
	return &overError{reason}
}

// explain adds the idle timeout, which the session does not know, to the session's error.
func (c *Connection) explain(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idleEnd && errors.Is(err, net.ErrClosed) {
		return errors.Join(errIdle, err)
	}
	return err
}
