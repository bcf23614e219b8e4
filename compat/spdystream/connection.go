package spdystream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	amahi "github.com/amahi/spdy"

	"github.com/moby/spdystream/internal/limits"
	"github.com/moby/spdystream/spdy"
)

// What a connection allows its peer. Programs set none of it, and the original has no
// bounds at all.
const (
	unreadBudget = 16 << 20 // unread bytes of a connection
	fewStreams   = 64       // streams that have ended are looked for beyond that

	// maxStreams are the streams that the peer may have open, and those that may wait for
	// their handler to be called. The original does not look at the limit that SETTINGS
	// announce, and a refusal of a stream whose opener does not wait holds up its
	// connection: there have to be more than any program opens.
	maxStreams = 16 << 10
)

// SilenceTimeout is how long a connection bears with a network that is dead: after half of that
// time without a byte from the peer it sends a PING, and after the other half it ends, with all
// of its streams. 0 stands for ever. It is for connections that are made from then on, and must
// not be changed while others make some. The original has none.
//
// Programs that were written for the original answer no PING while they do not read a
// stream. A connection to such a peer ends only if the peer's system does not acknowledge the PING
// either, which is known on Linux, of TCP connections that are not hidden in another type.
var SilenceTimeout = time.Minute

// A Connection carries streams. Any number of goroutines may use it at once.
type Connection struct {
	conn    *watchedConn
	session *amahi.Session
	limits  limits.Set
	idle    *watch

	closeChan chan bool     // latch: the peer has said GOAWAY, or no frames are handled any more
	ended     chan struct{} // latch: the session and its network connection are gone

	mu        sync.Mutex
	serving   bool
	early     bool // the session runs although Serve has not been called
	draining  bool // shutdown runs, or has run
	closed    bool // closeChan is closed: the peer opens no more streams
	gone      bool // ended is closed
	idleEnd   bool // the idle timeout has ended the connection
	streams   map[uint32]*Stream
	enough    int           // number of streams from which on the ended ones are removed
	newcomers chan struct{} // latch of those that wait for a stream, replaced for each; nil without
	next      uint32        // the number of our next stream
	received  uint32        // the least number that the peer's next stream can have

	closeTimeout  time.Duration
	goAwayTimeout time.Duration
	lastStream    chan<- *Stream
}

// NewConnection makes a connection of a network connection, which belongs to it from
// then on. server says whether this side is the one that was dialled; it opens streams
// of even numbers then. Call Serve to run it. The error is always nil.
func NewConnection(conn net.Conn, server bool) (*Connection, error) {
	return NewConnectionWithOptions(conn, server)
}

// NewConnectionWithOptions is NewConnection with limits for the frames of the peer. One
// that breaks a limit for headers loses the stream, any other limit the connection.
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

// Serve runs the connection until it ends and calls the handler for each stream that the
// peer opens; without a handler they are refused. Both sides have to call it, usually in
// a goroutine of its own: before that no stream of the peer is accepted.
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

// run runs the session until it ends; other calls wait for the first.
func (c *Connection) run() {
	_ = c.session.Serve() // streams and Wait report how it went
	c.finish()
}

// runEarly has a stream that is opened before Serve go out at once, as the original does. What
// the peer opens still waits for Serve.
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
			go newHandler(stream) // the handler's own end
		}
	}
}

// errGoAway is why accepting stops for a moment.
var errGoAway = errors.New("spdystream: GOAWAY has come")

// untilGoAway is a context that the peer's GOAWAY ends, so that the one goroutine that
// accepts can wait for both.
type untilGoAway struct {
	context.Context
	heard <-chan struct{}
}

func (u untilGoAway) Done() <-chan struct{} { return u.heard }

// Err returns errGoAway once the GOAWAY has come.
func (u untilGoAway) Err() error {
	select {
	case <-u.heard:
		return errGoAway
	default:
		return nil
	}
}

// admit makes a Stream of what the peer has opened, or resets it and returns nil.
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

// fits reports that no header is larger than what the options allow.
func (c *Connection) fits(block amahi.HeaderBlock) bool {
	for _, field := range block {
		if uint32(max(len(field.Name), len(field.Value))) > c.limits.FieldSize {
			return false
		}
	}
	return true
}

// enterLocked adds a stream and tells those that wait for one.
func (c *Connection) enterLocked(s *Stream) {
	if len(c.streams) >= c.enough {
		c.sweepLocked()
	}
	c.streams[s.raw.ID()] = s
	c.tellNewcomersLocked()
}

// tellNewcomersLocked tells those that wait for a stream that one has come, or been refused.
func (c *Connection) tellNewcomersLocked() {
	if c.newcomers != nil {
		close(c.newcomers)
		c.newcomers = nil
	}
}

// sweepLocked removes the streams that have ended. It is called as their number doubles,
// so that each stream costs it little.
func (c *Connection) sweepLocked() {
	for id, s := range c.streams {
		if s.over() {
			delete(c.streams, id)
		}
	}
	c.enough = max(fewStreams, 2*len(c.streams))
}

// CreateStream opens a stream with the headers and returns without waiting for the
// reply, see Stream.Wait. Names may have any characters but control characters, and values all
// but NUL. parent is a stream that this one belongs to, or nil. With fin
// this side will send nothing. It waits if a peer that announces how many streams it
// takes has that many open.
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

// FindStream returns the stream with that number, which either side has opened. It waits
// for one that may still be opened, and returns nil for one that has ended or that will
// not come.
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

// PeekNextStreamId returns the number that the next stream of this side will have.
func (c *Connection) PeekNextStreamId() spdy.StreamId {
	c.mu.Lock()
	defer c.mu.Unlock()
	return spdy.StreamId(c.next)
}

// Ping measures a round trip to the peer. It fails when the connection ends.
func (c *Connection) Ping() (time.Duration, error) {
	c.runEarly()
	rtt, err := c.session.PingContext(context.Background())
	if err != nil {
		return 0, c.explain(err)
	}
	return max(rtt, 1), nil
}

// explain adds to the end of a session what the session does not know.
func (c *Connection) explain(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idleEnd && errors.Is(err, net.ErrClosed) {
		return errors.Join(errIdle, err)
	}
	return err
}
