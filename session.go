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

// A Session is one SPDY connection. Two goroutines serve it and wait only for the network: the
// receiver reads frames and delivers them to their streams, and the sender writes the streams'
// pending data, in rounds, the most urgent first.
//
// A session may be client or server on either end of a connection. NewServerSession on a dialled
// connection and NewClientSession on an accepted connection form the reverse tunnel of a server
// behind NAT.
//
// All methods may be called by any number of goroutines at once.
type Session struct {
	// Immutable once the session is running.
	conn    net.Conn
	client  bool
	version Version
	secure  bool // the connection is TLS
	agreed  bool // TLS has negotiated a version of SPDY
	conf    *Config
	app     application
	log     *logSink
	unaware *unawareness   // nil if the peer is expected to implement flow control
	pooled  *pooledSession // the session's entry in a Transport; nil if it has none
	alive   *keepalive     // nil if the configuration sets no time limits

	wake chan struct{} // doorbell for the sender: "there is work for the wire"

	// Receiver only.
	in      reader
	inflate *headerDecompressor
	tls     *tls.ConnectionState // known once the first frame has arrived
	stalls  stallShare           // time that the receiver has waited for readers

	// Sender only.
	deflate     *headerCompressor
	parcel      *[]byte // payload to write after the batch; nil if there is none
	parcelFrame []byte  // the part of parcel to write

	end    ending   // guarded by mu, except the latches
	flow   credit   // the flow-control manager; has its own locking rules
	floods floods   // the peer's budgets; has its own locking rules
	stats  counters // has its own locking rules
	ledger *ledger  // the session's share of the pools, see poolsOfSession; nil if there are none; the pointer is immutable

	frameLog   atomic.Pointer[FrameLog] // see frameLogger
	sentBlocks *[]sentBlock             // sender only; nil until a hook or log needs the headers
	hooks      *streamHooks             // guarded by mu; nil if the Trace has none

	// Guarded by mu, which is never held while waiting.
	mu         sync.Mutex
	started    bool // Serve has been called
	silent     bool // the peer is to send first, see Upgrader; the receiver clears it and may read it without mu
	deserted   bool // sender only: a single stream has more to send, see scheduler.deserted
	writing    bool // the sender is writing to the connection, or about to
	met        bool // the peer's first frame has arrived completely
	probed     bool // the wait for the server's first frame has begun, see probeLocked
	upgrades   upgradeTerms
	owner      *upgrades // the server that the session belongs to, see TrackSession; nil if none
	streams    map[uint32]*Stream
	peerLimit  uint32 // the peer's MAX_CONCURRENT_STREAMS
	nextPing   uint32
	nextID     uint32  // id of the next stream that we open
	lastPeerID uint32  // highest id that the peer has opened
	lastGood   uint32  // highest id that the peer has opened and we have accepted
	finished   idRing  // streams on which the peer may send no more DATA: it has sent FIN or RST_STREAM
	answered   *idRing // ids of streams that were never opened and that we have answered with RST_STREAM; nil before the first

	peerStreams int           // slots held by the peer's streams, and by their handlers
	peerOpen    int           // the peer's streams that have not ended
	handlers    *handlerQueue // nil unless the session serves HTTP; the pointer is immutable
	ourStreams  int           // slots held by our streams, and granted to openers
	leftover    []*Stream     // ended streams with unread bytes, see leaveUnreadLocked
	shed        *shedder      // nil unless Config.ShedAfter is set; immutable
	resetSlots  resetSlots    // the slots of ourStreams whose streams have been reset
	openers     openerQueue
	rawKept     *rawKept   // nil before the first header block of a raw stream
	limitProof  limitProof // whether the peer knows the stream limit

	control []byte       // control frames ready to send
	batch   uint64       // number of times the sender has collected control
	headers *headerQueue // immutable
	turn    headerTurn
	sched   scheduler
	pings   map[uint32]pingWaiter
}

// An application is the protocol that a session carries: HTTP or any other. The session handles
// only streams, header blocks and bytes.
type application interface {
	// accept accepts a stream that the peer has opened. The receiver calls it, so it must not
	// block. A non-nil error refuses the stream with the error's status. Once accept has returned
	// nil, the application must call st.release when the work for the stream is over.
	accept(st *Stream, h HeaderBlock) *StreamError

	// headers is called by the receiver after h, the block of a HEADERS frame, has been added to
	// st.late. It must not block.
	headers(st *Stream, h HeaderBlock)

	// goingAway is called when the session begins to drain. It must not block.
	goingAway()

	// makeRoom is called by the receiver before it waits for bytes to be read, or refuses a stream
	// because of too many unread bytes. The application discards a dispensable item; makeRoom
	// reports false if there is none. It must not block.
	makeRoom() bool
}

// NewServerSession prepares a session that serves the peer's streams with the server's handler.
// Call Serve to run it. A nil server, or a server without a handler, serves http.DefaultServeMux.
// The server's other fields for requests and connections apply: DisableGeneralOptionsHandler, the
// timeouts, MaxHeaderBytes, ErrorLog, and ConnState for http.StateActive and http.StateIdle.
func NewServerSession(conn net.Conn, server *http.Server) *Session {
	return (*Config)(nil).ServerSession(conn, server)
}

// NewClientSession prepares a session that opens streams. Call Serve to run it, usually in a new
// goroutine.
func NewClientSession(conn net.Conn) *Session {
	return (*Config)(nil).ClientSession(conn)
}

// ServerSession is NewServerSession with a configuration. The protocol negotiated by a TLS
// connection applies if the handshake is complete; a Server completes it.
func (c *Config) ServerSession(conn net.Conn, server *http.Server) *Session {
	app := newHTTPServerApp(server)
	app.states = newConnReporter(app.server, conn)
	return newSession(conn, false, c.dialect(conn), c.serving(app.server), app)
}

// ClientSession is NewClientSession with a configuration. The protocol negotiated by a TLS
// connection applies if the handshake is complete; NewClientConn completes it.
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
		s.shutdown(err) // before the session runs: Serve, and every other call, returns the error
	}
	return s
}

// setUpSession creates a session with a complete configuration.
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
	s.ledger = newLedger(s, conf.poolsOfSession())
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

// announce queues the frames that open our side of the session: SETTINGS with the values that
// differ from the protocol's defaults, and the larger session window (SPEC W21).
func (s *Session) announce() {
	if s.client {
		s.returnSettings()
	}
	s.announceLocked(0)
}

// announceLocked is announce without the settings that a server has asked us to keep. extra is
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

// Serve runs the session until it ends: the sender in a new goroutine, the receiver on the caller's
// goroutine. It returns nil if the session ended in an orderly way, otherwise a *SessionError or
// the error of the connection. A second call only waits for the first.
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

// ring wakes the sender. Callers hold no lock, since hooks may be called.
func (s *Session) ring() {
	s.ringLocked()
	s.tellHooks()
}

// ringLocked is ring for callers that hold mu. The sender calls the hooks later.
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

// Version returns the dialect of the session. While a server does not know whether the client
// speaks SPDY/3 or SPDY/3.1, Version returns SPDY3.
func (s *Session) Version() Version {
	s = s.made()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flow.doubt != nil {
		return SPDY3
	}
	return s.version
}

// layers iterates over a connection and the connections below it: TLS, read-ahead, a program's
// wrappers. It stops after eight layers, in case of a cycle.
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

// A tlsConn is any connection with a TLS state: *tls.Conn, or the connection of a different TLS
// stack.
type tlsConn interface{ ConnectionState() tls.ConnectionState }

// connectionState returns the TLS state of a connection, or nil without TLS.
func connectionState(conn net.Conn) *tls.ConnectionState {
	if c, ok := conn.(tlsConn); ok {
		state := c.ConnectionState()
		return &state
	}
	return nil
}
