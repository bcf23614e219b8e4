package spdy

import (
	"crypto/tls"
	"iter"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A Session is one SPDY connection. Two goroutines serve it and wait for nothing
// but the network: the receiver reads frames and hands them to their streams,
// the sender writes what the streams have ready, in rounds, the most urgent first.
//
// A session does not care who dialled. NewServerSession on a dialled connection
// and NewClientSession on an accepted one is the reverse tunnel of a server
// behind NAT.
//
// All methods may be called by any number of goroutines at once.
type Session struct {
	// Immutable once the session runs.
	conn    net.Conn
	client  bool
	version Version
	secure  bool // the connection is TLS
	agreed  bool // TLS has negotiated a version of SPDY
	conf    *Config
	app     application
	log     *logSink
	unaware *unawareness   // nil if the peer is expected to do flow control
	pooled  *pooledSession // its place in a Transport, nil if it has none
	alive   *keepalive     // nil if the configuration watches nothing

	wake chan struct{} // doorbell for the sender: "there is work for the wire"

	// Receiver only.
	in      reader
	inflate *headerDecompressor
	tls     *tls.ConnectionState // known once the first frame has come
	stalls  stallShare           // what the receiver has waited for readers

	// Sender only.
	deflate     *headerCompressor
	parcel      *[]byte // to be written behind the batch; nil if nothing is
	parcelFrame []byte  // what of it

	end    ending   // guarded by mu, but the latches
	flow   credit   // the flow-control manager; has its own rules
	floods floods   // the budgets of the peer; has its own rules
	stats  counters // has its own rules
	ledger *ledger  // what it has of the pools of its owner, nil if there are none; the pointer is immutable

	frameLog   atomic.Pointer[FrameLog] // see frameLogger
	sentBlocks *[]sentBlock             // sender only; nil until somebody wants to see headers
	hooks      *streamHooks             // guarded by mu; nil if the Trace has none

	// Guarded by mu, which nobody holds while waiting for anything.
	mu         sync.Mutex
	started    bool // Serve has been called
	silent     bool // the peer is to speak first, see Upgrader; the receiver ends it and may look without mu
	deserted   bool // for the sender alone: one stream alone has more to send, see scheduler.deserted
	writing    bool // the sender writes to the connection, or is about to
	met        bool // the peer's first frame has come
	probed     bool // the wait for the server's first frame has begun, see probeLocked
	upgrades   upgradeTerms
	owner      *upgrades // the server that the session belongs to, see TrackSession; nil if none
	streams    map[uint32]*Stream
	peerLimit  uint32 // MAX_CONCURRENT_STREAMS of the peer
	nextPing   uint32
	nextID     uint32  // of the next stream that we open
	lastPeerID uint32  // highest id the peer opened
	lastGood   uint32  // highest id the peer opened that we accepted
	finished   idRing  // streams on which no DATA of the peer may follow: it sent FIN or RST_STREAM
	answered   *idRing // nil before the first of the streams that were never opened, and that we have answered with RST_STREAM

	peerStreams int           // slots taken by streams of the peer, and by their handlers
	peerOpen    int           // streams of the peer that have not ended
	handlers    *handlerQueue // nil unless the session serves HTTP; the pointer is immutable
	ourStreams  int           // slots taken by our streams, and granted to openers
	leftover    []*Stream     // streams that have ended with unread bytes, see leaveUnreadLocked
	shed        *shedder      // nil unless Config.ShedAfter is set; immutable
	resetSlots  resetSlots    // those of ourStreams whose streams have been reset
	openers     openerQueue
	rawKept     *rawKept   // nil until a raw stream has had a header block
	limitProof  limitProof // whether the peer knows how many streams it may open

	control []byte       // control frames that are ready to go
	batch   uint64       // counts how often the sender has taken control
	headers *headerQueue // immutable
	turn    headerTurn
	sched   scheduler
	pings   map[uint32]pingWaiter
}

// An application is what a session carries: HTTP or anything else. The session
// knows streams, header blocks and bytes only.
type application interface {
	// accept takes a stream that the peer opened. It is called by the receiver
	// and must not block. A non-nil error refuses the stream with its status.
	// Once accept has returned nil, the application must call st.release when
	// its work for the stream is over.
	accept(st *Stream, h HeaderBlock) *StreamError

	// headers is called by the receiver when h, the block of a HEADERS frame, has been
	// added to st.late. It must not block.
	headers(st *Stream, h HeaderBlock)

	// goingAway is called when the session begins to drain. It must not block.
	goingAway()

	// makeRoom is called by the receiver before it waits for bytes to be read, or refuses a
	// stream because too many are unread: the application discards something that it can
	// do without, and reports false if there is nothing. It must not block.
	makeRoom() bool
}

// NewServerSession prepares a session that answers the streams its peer opens
// with the server's handler. Call Serve to run it. A nil server, or one without
// a handler, serves http.DefaultServeMux. Of its other fields those apply that are
// about requests and connections: DisableGeneralOptionsHandler, the timeouts,
// MaxHeaderBytes, ErrorLog, and ConnState for http.StateActive and http.StateIdle.
func NewServerSession(conn net.Conn, server *http.Server) *Session {
	return (*Config)(nil).ServerSession(conn, server)
}

// NewClientSession prepares a session that opens streams. Call Serve, usually in
// a goroutine of its own, to run it.
func NewClientSession(conn net.Conn) *Session {
	return (*Config)(nil).ClientSession(conn)
}

// ServerSession is NewServerSession with a configuration. What a TLS connection has
// negotiated counts if its handshake is complete, which a Server sees to.
func (c *Config) ServerSession(conn net.Conn, server *http.Server) *Session {
	app := newHTTPServerApp(server)
	app.states = newConnReporter(app.server, conn)
	return newSession(conn, false, c.dialect(conn), c.serving(app.server), app)
}

// ClientSession is NewClientSession with a configuration. What a TLS connection has
// negotiated counts if its handshake is complete, which NewClientConn sees to.
func (c *Config) ClientSession(conn net.Conn) *Session {
	return newSession(conn, true, c.dialect(conn), c, newHTTPClientApp(c))
}

func newSession(conn net.Conn, client bool, v Version, c *Config, app application) *Session {
	if conn == nil {
		s := setUpSession(noConn{}, client, v, c.withDefaults(client, receives(app)), app)
		s.shutdown(errNoConn)
		return s
	}
	s := setUpSession(conn, client, v, c.withDefaults(client, receives(app)), app)
	if err := c.check(receives(app)); err != nil {
		s.shutdown(err) // before it runs: Serve, and every other call, returns the error
	}
	return s
}

// setUpSession makes a session with a configuration that is complete.
func setUpSession(conn net.Conn, client bool, v Version, conf *Config, app application) *Session {
	s := &Session{
		conn: conn, client: client, version: v, conf: conf, app: app,
		log:       newLogSink(conf.Logger),
		wake:      make(chan struct{}, 1),
		end:       newEnding(),
		streams:   make(map[uint32]*Stream),
		nextID:    2,
		nextPing:  2,
		peerLimit: assumedMaxStreams,
		batch:     1,
		headers:   &headerQueue{flush: flushers{batch: 1}},
		sched:     newScheduler(),
	}
	s.handlers = newHandlerQueue(app, conf.MaxConcurrentStreams)
	if q, ok := app.(*acceptQueue); ok {
		orDefault(&q.limit, conf.AcceptBacklog)
	}
	s.floods.init(conf, time.Now())
	if client {
		s.nextID, s.nextPing = 1, 1
	}
	if state := connectionState(conn); state != nil {
		s.secure = true
		_, s.agreed = versionOf(state.NegotiatedProtocol)
	}
	s.in.conn = conn
	s.frameLog.Store(conf.FrameLog)
	s.hooks = newStreamHooks(conf.Trace)
	s.inflate = newHeaderDecompressor(v)
	s.flow.init(conf, v)
	s.ledger = newLedger(s, conf.shared)
	s.in.ledger = s.ledger
	s.shed = s.newShedder()
	s.alive = newKeepalive(s)
	s.in.alive = s.alive
	if s.isRaw() && conf.FlowControl == FlowControlPeerUnaware {
		s.beUnaware()
	} else {
		s.announce()
	}
	return s
}

// announce queues the frames that open our side of the session: SETTINGS with
// what differs from the protocol's defaults, and the larger session window
// (SPEC W21).
func (s *Session) announce() {
	if s.client {
		s.returnSettings()
	}
	s.announceLocked(0)
}

// announceLocked is announce without the settings that a server has asked for. extra is
// added to the session window.
func (s *Session) announceLocked(extra int64) {
	entries := []Setting{{ID: SettingMaxConcurrentStreams, Value: uint32(s.conf.MaxConcurrentStreams)}}
	if s.client && s.conf.AcceptPush == nil && !s.isRaw() {
		entries[0].Value = 0 // SPEC U16
	}
	if s.version.streamFlowControl() {
		entries = append(entries, Setting{ID: SettingInitialWindowSize, Value: uint32(s.conf.StreamWindow)})
	}
	s.control = appendSettings(s.control, s.version, 0, entries)
	if s.version.sessionFlowControl() {
		s.control = appendGrant(s.control, s.version, 0, s.flow.in.size-defaultWindow+extra)
	}
}

// Serve runs the session until it ends: the sender in a goroutine of its own, the
// receiver on the caller's. It returns nil if the session ended in an orderly
// way, else a *SessionError or the error of the connection. A second call only
// waits for the first.
func (s *Session) Serve() (err error) {
	s = s.made()
	s.mu.Lock()
	first := !s.started && !s.end.lost
	s.started = true
	s.mu.Unlock()
	if first {
		s.traceStart()
		s.alive.start()
		go s.sender()
		s.receiver()
	}
	<-s.end.senderEnd
	if first {
		s.traceEnd()
		s.leaveServer()
		s.closeLedger()
	}
	if err := s.Err(); err != ErrSessionClosed {
		return err
	}
	return nil
}

// ring wakes the sender. Nobody holds a lock, since hooks may be called.
func (s *Session) ring() {
	s.ringLocked()
	s.tellHooks()
}

// ringLocked is ring for those who hold mu. It leaves the hooks to the sender.
func (s *Session) ringLocked() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// LocalAddr returns the local address of the connection.
func (s *Session) LocalAddr() net.Addr { return s.made().conn.LocalAddr() }

// RemoteAddr returns the address of the peer.
func (s *Session) RemoteAddr() net.Addr { return s.made().conn.RemoteAddr() }

// Version returns the dialect that the session speaks. A server that was not told
// whether its client speaks SPDY/3 or SPDY/3.1 answers SPDY3 until it knows better.
func (s *Session) Version() Version {
	s = s.made()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flow.doubt != nil {
		return SPDY3
	}
	return s.version
}

// layers are a connection and those below it: TLS, what has been read ahead, what a program
// wraps it in. A cycle of them has an end.
func layers(conn net.Conn) iter.Seq[net.Conn] {
	return func(yield func(net.Conn) bool) {
		for range 8 {
			if conn == nil || !yield(conn) {
				return
			}
			c, ok := conn.(interface{ NetConn() net.Conn })
			if !ok {
				return
			}
			conn = c.NetConn()
		}
	}
}

// A tlsConn is any connection that can tell its TLS state: *tls.Conn, or another
// TLS stack's.
type tlsConn interface{ ConnectionState() tls.ConnectionState }

// connectionState takes the TLS state of a connection that has one.
func connectionState(conn net.Conn) *tls.ConnectionState {
	if c, ok := conn.(tlsConn); ok {
		state := c.ConnectionState()
		return &state
	}
	return nil
}
