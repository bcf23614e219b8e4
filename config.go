package spdy

import (
	"log/slog"
	"math"
	"net/http"
	"time"
)

// Config tunes sessions. The zero value and a nil *Config select the defaults. A Config must not be
// changed once a session, client or server uses it.
//
// The last sentence on each number is its range. For numbers other than times, 0 and less mean the
// default unless the field's comment differs, and any other value outside the range is clamped to
// the range. No single number is an error, but some combinations are a *ConfigError, see
// MaxConcurrentStreams. A time between 0 and its range counts as one millisecond.
type Config struct {
	// StreamWindow is the number of bytes of a stream that the peer may send before the application
	// has read them. Values below 64 KiB, the protocol's initial window, mean 64 KiB: SETTINGS are
	// not acknowledged, so a smaller window could not be enforced (SPEC W11). Default 256 KiB.
	// Range: 64 KiB to 2^31-1; half of that on raw sessions and on clients that accept pushes,
	// which need the windows of two streams.
	StreamWindow int

	// MaxStreamWindow limits the automatic growth of a stream's window, in bytes. A window grows
	// while the application reads as fast as bytes arrive and the window limits the peer: on a path
	// of 100 ms, 256 KiB allow 2.6 MB/s. Windows grow from the part of SessionWindow not needed by
	// new streams. On the side that opens streams, windows also grow from the windows of up to half
	// of the unopened streams, and fewer streams are opened while those windows are lent. A single
	// stream gets at most half of the pool, and less as the pool empties. A value of at most
	// StreamWindow disables growth. Default 16 MiB. Range: 1 to 2^31-1.
	MaxStreamWindow int

	// SessionWindow is the number of bytes that the peer may send on all streams of a session
	// before applications have read them. So it bounds the session's unread bytes. It covers the
	// windows of all streams that may be open, and a pool from which windows grow, so that unread
	// streams do not block other streams. If SessionWindow is set and related fields are not, they
	// are derived from SessionWindow. Unread bytes of ended streams are charged to the pool. When
	// the pool is used up, fewer streams may be open.
	//
	// SPDY/3 has no session window, and SPDY/2 has no windows at all. There a session that reaches
	// the bound resets streams with FLOW_CONTROL_ERROR: first streams without recent reads, the
	// fullest first, then streams read at less than a quarter of the rate at which bytes arrive.
	// The session waits for faster readers, as long as bytes still arrive at a quarter of the
	// connection's rate. For the reader of a client's only stream it waits without limit.
	//
	// Default: StreamWindow times MaxConcurrentStreams, plus twice MaxStreamWindow for growth; 94.5
	// MiB with the defaults of these fields. Range: 64 KiB to 2^31-1; from 128 KiB on raw sessions
	// and on clients that accept pushes.
	SessionWindow int

	// MaxConcurrentStreams is the number of streams that the peer may have open. Further streams
	// are refused with REFUSED_STREAM, and the peer may retry. It is also the number of handlers
	// that run at once. Handlers of cancelled streams count, and so do handlers of pushes, which
	// are at most half of the number. While all handlers are busy, a new stream of the peer waits
	// in a queue for a handler to return, with the stream's received bytes in its window.
	// http.Server's WriteTimeout runs during this wait, ReadTimeout does not. A session that opens
	// streams opens no more than SessionWindow covers: MaxConcurrentStreams, or 250 if that is more
	// and SessionWindow allows it, less the streams whose windows are lent, see MaxStreamWindow.
	// Default 250.
	//
	// Contradicting values of StreamWindow, SessionWindow, MaxConcurrentStreams and AcceptPush are
	// a *ConfigError: the session must cover the windows of MaxConcurrentStreams streams, plus the
	// window of a stream opened by this side on raw sessions and on clients that accept pushes.
	//
	// Range: 1 to 32,767, which windows of 64 KiB cover with 2^31-1 bytes; half of that for raw
	// sessions and for clients that accept pushes, whose peers send on streams of both sides. With
	// FlowControlPeerUnaware it is 1 to 2^31-1.
	MaxConcurrentStreams int

	// ShedAfter is how long unread bytes of a stream may wait while less than a quarter of the
	// session's window is left. After that, streams are reset with FLOW_CONTROL_ERROR until half of
	// the window is left, starting with streams that have had the most unread bytes for the longest
	// time. Streams with less than an eighth of the average unread bytes are spared. ShedAfter is
	// for HTTP sessions in SPDY/3.1, where resets replace long waits of all other streams. Readers
	// that pause, such as video players, or need longer to read a stream's window can resume with a
	// Range request. Complete responses that have waited as long are discarded while requests wait
	// for their windows, in SPDY/3 too, and their readers get the same error. SessionStats.Shed
	// counts the streams, and Trace.StreamShed reports them. 0, the default, and less mean never.
	// Range: 1 ms and more.
	ShedAfter time.Duration

	// MaxHeaderBytes is the largest accepted header block, in bytes of the inflated block. A larger
	// block resets its stream with FRAME_TOO_LARGE (PROTOCOL_ERROR in SPDY/2); a session that
	// serves HTTP answers a larger request with status 431 instead. A block of more than four times
	// the limit, and more than 16 MiB, ends the session. The same limit applies to all late HEADERS
	// of a stream together, in the sender's encoding; on a raw stream only HEADERS not yet received
	// by the application count. Pushes, and late HEADERS received by an HTTP client, are limited to
	// 1,118,208 bytes in any case.
	//
	// The default is the block that holds the headers accepted by net/http's defaults in HTTP/1.1.
	// It is 1,118,208 bytes for requests and on raw sessions: http.DefaultMaxHeaderBytes, a
	// sixteenth of it for SPDY's encoding and for headers added by proxies, and the 4096 bytes of
	// slack of net/http. It is 11,145,216 bytes for an HTTP client: likewise for a response header
	// of 10 MiB. Range: 1 to 134,217,727, which is 128 MiB less one byte.
	MaxHeaderBytes int

	// MaxHeaderFields is the largest number of names in a received header block. A block with more
	// names is treated like a block larger than MaxHeaderBytes. The same limit applies to all late
	// HEADERS of an HTTP stream together. Default 10,000. Range: 1 to 2^31-1.
	MaxHeaderFields int

	// MaxSendHeaderBytes is the largest header block that is sent, in bytes before compression. A
	// larger block fails with a *HeaderTooLargeError before anything is sent: the caller gets the
	// error for a request or a raw stream, the handler for a response (the client gets status 500),
	// and trailers fail their stream. SPDY cannot announce the peer's limit. The default is the
	// limit of a peer with default settings: 1,118,208 bytes for requests and on raw sessions, and
	// 11,145,216 bytes for a session that serves HTTP. Trailers and pushes are limited to 1,118,208
	// bytes, because clients accept no more. A block with more names than MaxHeaderFields, and more
	// than 10,000, fails likewise. Range: 1 to 14,913,016, which fit in a frame in any case.
	MaxSendHeaderBytes int

	// AcceptBacklog is the number of streams of a raw session that may wait for
	// Session.AcceptStream. Further streams are refused with REFUSED_STREAM, and the peer may
	// retry. No frame announces the limit: the peer cannot know a number below
	// MaxConcurrentStreams. Default MaxConcurrentStreams, or 1024 if that is more. Range: 1 to
	// 2^31-1.
	AcceptBacklog int

	// ResetBurst is the number of handlers that may run for streams cancelled by the peer, or
	// spoilt by a bad header block, before the response begins. At the limit new streams are
	// refused. ResetBurst is also the number of streams that we reset or refuse in a burst because
	// the peer breaks a rule, and ResetRate is the number allowed per second on top. Beyond the
	// limit new streams are refused. After as many further violations the peer gets a GOAWAY with
	// PROTOCOL_ERROR, the connection is closed, and calls fail with ErrFlood, see Budget.
	// docs/budgets.md lists the violations. Default 1000, or four times MaxConcurrentStreams if
	// that is more, and 200 a second. Range: 1 to 2^31-1 each.
	ResetBurst, ResetRate int

	// IdleFrameBurst is the number of useless frames that the peer may send in a burst, and
	// IdleFrameRate the number allowed per second on top. Useless are empty DATA and HEADERS,
	// PINGs, SETTINGS, GOAWAY, frames of unknown types, frames for ended streams, and
	// WINDOW_UPDATEs. An expensive frame counts as several: a header block without a receiving
	// stream counts once per 4 KiB inflated beyond 16 times the compressed size.
	//
	// Useful traffic increases the allowance: by 1 for each DATA frame with payload, by 2 for each
	// stream and each DATA frame that we send, and by 1 for each 64 bytes that we send. DATA of a
	// single byte is useful, unless a peer's window of less than 256 bytes is the reason that we
	// send so little. The peer may save up to IdleFrameBurst, and up to 32 for each recent stream,
	// because credit for many streams may arrive at once. With FlowControlPeerUnaware 1024 empty
	// DATA frames and PINGs count as a single frame. It is a Budget, see ResetBurst. Default
	// 10,000. Range: 16 to 2^31-1, since an honest peer begins with some useless frames.
	IdleFrameBurst int

	// IdleFrameRate is the number of useless frames the peer may send per second, see
	// IdleFrameBurst. Default 1000. Range: 1 to 2^31-1.
	IdleFrameRate int

	// MaxOwedReplies bounds the unsent replies to the peer's frames, in bytes: RST_STREAM, PING,
	// and WINDOW_UPDATE for ended streams. Replies queue up while the peer does not read. A reply
	// has 12 or 16 bytes. It is a Budget, see ResetBurst. Default 64 KiB. Range: 1 to
	// 1,073,741,823.
	MaxOwedReplies int

	// Compression selects how header blocks are compressed for sending. With the default,
	// CompressSafe, an attacker who chooses part of a request cannot recover secrets letter by
	// letter.
	Compression CompressionPolicy

	// AcceptPush makes a client accept pushes. It is called for every valid push of the server, in
	// a separate goroutine, with the promised request and a copy of the request that caused the
	// push. nil refuses every push.
	//
	// An accepted push answers a single later GET of its URL on the session, if a cache could
	// answer that request (RFC 9111 §4). The request must satisfy all of these conditions:
	//
	//   - It has no body, no Range, and no conditional header (If-…).
	//   - Its Cache-Control and Pragma allow a stored response of the push's age.
	//   - Its Cookie, Authorization and Proxy-Authorization equal the values in the request that
	//     caused the push.
	//   - The headers named by the pushed response's Vary have equal values, too.
	//   - All other headers are equal, too, except headers like Accept and User-Agent that differ
	//     between requests of the same user. This condition does not apply to a response declared
	//     public: with public, max-age or s-maxage in its Cache-Control, without private and
	//     no-cache, and without Set-Cookie.
	//
	// A response with private or Set-Cookie answers no request if the causing request has no header
	// that may identify its user. Accept, User-Agent and similar headers do not identify a user,
	// and neither do Via, X-Real-Ip, Forwarded, X-Forwarded-For, X-Forwarded-Host and
	// X-Forwarded-Proto.
	//
	// The response must be fresh according to max-age or Expires, Date and Age. For the first ten
	// seconds, while the page is loading, it may be used even if stale or marked no-cache. A
	// response with no-store answers no request. A request with a method other than GET, HEAD,
	// OPTIONS and TRACE drops the session's pushes of its URL. A GET not answered by a push is
	// sent.
	//
	// A GET never waits for a push. AcceptPush must have returned, and the response headers must
	// have arrived. The response must be complete unless the causing request has ended: cancelling
	// the causing request makes the server stop the pushes.
	//
	// Pushes not claimed by a request are dropped after a minute. The oldest are dropped earlier
	// when pushes number half of MaxConcurrentStreams, or could fill half of SessionWindow. While
	// MaxConcurrentStreams calls of AcceptPush are running, further pushes are refused.
	AcceptPush func(promised, cause *http.Request) bool

	// DisableUpgrades makes a server refuse requests for an upgrade, for example to WebSocket, and
	// makes a client send such requests without the upgrade. By default upgrades are used with
	// peers that advertise support: see docs/upgrades.md. An upgraded stream counts as a stream
	// while it is open.
	DisableUpgrades bool

	// Settings stores the settings that servers ask clients to persist, by SettingsKey. nil means
	// DefaultSettings.
	Settings SettingsStore

	// SettingsKey names the origin of the server, for example "https://example.com:443". A client
	// session returns to the server only the settings persisted for servers with the same key
	// (SPDY/3.1 §2.6.4, SPEC T9). With "" it persists and returns none. Transport,
	// ConfigureTransport and NewClient set the key of each session. Servers ignore it.
	SettingsKey string

	// Version is the protocol version to use where nothing is negotiated. The zero value means
	// SPDY/3.1 for a client. A server without TLS distinguishes SPDY/2 from SPDY/3 and SPDY/3.1 by
	// the client's first frame, but not SPDY/3 from SPDY/3.1. With the zero value it treats the
	// client as SPDY/3 until a WINDOW_UPDATE for the session proves SPDY/3.1, see SPEC §7. It sends
	// 64 KiB, the session window of SPDY/3.1, and then waits once: for that WINDOW_UPDATE, for a
	// WINDOW_UPDATE of a stream that arrives without it, which proves SPDY/3, or for a second. So a
	// SPDY/3.1 client whose application reads nothing for longer receives more than its session
	// window. SPDY3 or SPDY31 avoids the guess.
	Version Version

	// FlowControl selects whether the peer of a raw session is expected to do flow control. Default
	// FlowControlStandard. It has no effect on other sessions.
	FlowControl FlowControl

	// UnreadBudget bounds the unread bytes of all streams of a session with FlowControlPeerUnaware.
	// At this bound the session stops reading the connection, see ResetOverBudget. SessionWindow
	// and StreamWindow are clamped to it. Default 16 MiB. Range: 64 KiB to 2^31-1.
	UnreadBudget int

	// ResetOverBudget makes a session with an exhausted UnreadBudget reset streams with
	// FLOW_CONTROL_ERROR instead of blocking all streams. Streams without recent reads are reset
	// first, then slowly read streams, the fullest first. Ended streams are discarded only if the
	// open streams hold next to nothing, and after a second without a reader: the open streams are
	// not reset for bytes held by ended streams.
	ResetOverBudget bool

	// Trace is called for events of a session. nil disables tracing.
	Trace *Trace

	// FrameLog makes sessions print a line for each frame. With nil they print only if EnableDebug
	// or GODEBUG=spdydebug=1 enables the log for all sessions.
	FrameLog *FrameLog

	// PingInterval is the time without a byte from the peer after which a session sends a PING, to
	// check whether the peer is alive. Any received byte counts, not only the echo. 0 and less mean
	// never, which is the default as in net/http: PINGs keep radios awake and unneeded connections
	// open, and only the application knows the cost of a lost peer. A session whose peer must send
	// the first frame, see Upgrader and FlowControlPeerUnaware, sends no PING before that;
	// FirstFrameTimeout bounds the wait. Without PingInterval, sessions of a Transport,
	// ConfigureTransport and NewClient accept no more requests if a PING after a cancelled request
	// is not answered, see Transport. PingInterval ends such sessions with all of their requests,
	// and does not depend on a cancelled request. Range: 1 ms and more.
	PingInterval time.Duration

	// PingTimeout is how long the session waits for a byte after that PING before closing the
	// connection with ErrPingTimeout. All callers notice a vanished peer within PingInterval plus
	// PingTimeout. While the PING cannot be written, the time counts from the last write progress,
	// so a slow peer is not disconnected as long as it accepts 1 KiB in that time. Once the PING is
	// written, the peer must receive the PING and all bytes before it in that time. If the process
	// was stopped, so that timers fire more than half a second late, the session waits another two
	// seconds, or PingTimeout if that is less, because bytes from the peer may be unread. The same
	// rule applies to WriteTimeout, DeliveryTimeout, IdleTimeout and FirstFrameTimeout. 0 and less
	// mean 15 seconds. Range: 1 ms and more.
	PingTimeout time.Duration

	// PingProof is for peers such as spdystream that do not answer PINGs while their programs do
	// not read a stream. With FlowControlPeerUnaware, as long as the peer shows no flow control, an
	// unanswered PING ends the session only if the network is known to be dead: bytes are in
	// flight, and the peer's system has acknowledged nothing for PingTimeout. That is known only on
	// Linux, and only for connections with an accessible socket, through a method NetConn on
	// wrapped connections. Otherwise the session continues. With a peer that shows flow control, an
	// acknowledged KiB is a sign of life. The ids of PingInterval's PINGs then have the bit 1<<30
	// set, which distinguishes them from the program's PINGs.
	PingProof bool

	// WriteTimeout is how long writes may make no progress before the connection is closed with
	// ErrWriteTimeout. Less than 1 KiB is no progress. 0 and less mean for ever. It differs from
	// http.Server's WriteTimeout, which limits a single response. Range: 1 ms and more.
	WriteTimeout time.Duration

	// DeliveryTimeout is how long a session that ends gracefully waits for a sign that the peer
	// receives the remaining bytes. Signs are bytes received from the peer, bytes accepted by the
	// connection and, on Linux, bytes acknowledged by the peer's system. The wait has no other
	// limit. The time counts from the end of the last stream, unless the peer has sent anything
	// since. A peer that was silent for longer before the session ends gets the full time again if
	// the connection has not accepted everything or, on Linux, the peer's system has not
	// acknowledged everything; otherwise it gets five seconds. The session then ends with
	// ErrDeliveryTimeout, which Shutdown returns.
	//
	// For a peer that answers no PING, we close our direction after five seconds, or half of the
	// time. A connection without CloseWrite, as of netutil.LimitListener, stays open until the
	// answer or the timeout: closing it could lose bytes. Without a Shutdown, a session of a
	// Transport with MaxConnsPerHost waits at most a second, or four round trips if that is more. 0
	// means one minute; less means not to wait. Range: 1 ms and more.
	DeliveryTimeout time.Duration

	// IdleTimeout is the time without open streams after which a session ends with GOAWAY. PINGs do
	// not count. 0 means never, except that a Server uses its own IdleTimeout instead; less means
	// never. Range: 1 ms and more.
	IdleTimeout time.Duration

	// FirstFrameTimeout is how long the peer may take to send its first frame, from the accept of
	// the connection or the start of the session, and to complete a control frame. A slower peer is
	// disconnected. For a Server, and for a configured http.Server, ReadHeaderTimeout overrides
	// this field, and this field overrides ReadTimeout. 0 means 10 seconds for a session that
	// serves HTTP. For an HTTP client 0 means 30 seconds from the first request to the end of the
	// server's first frame, longer while the frame arrives at 256 bytes per second or faster, and
	// no limit afterwards, so that a response may take any time. Any frame counts, and a server
	// that has sent none for half a second gets a PING. On timeout the requests fail with a
	// *NotSPDYError whose Timeout method returns true. For raw sessions 0 means never: a client of
	// Kubernetes may open no stream for minutes. Less means never. Range: 1 ms and more.
	FirstFrameTimeout time.Duration

	// SpeakFirst makes a session with FlowControlPeerUnaware send the application's streams and
	// PINGs at once. Frames of the session itself still wait for the peer's first frame. SpeakFirst
	// is for servers whose clients were not upgraded from HTTP: upgraded clients may lose the first
	// bytes.
	SpeakFirst bool

	// MaxControlFrame bounds the payload of the peer's control frames, in bytes. A larger frame
	// ends the session. On HTTP sessions, whose headers may be chosen by strangers, the bound is at
	// least 1,258,048 bytes for frames with headers, and 12,538,432 bytes for frames with headers
	// received by a client: a header block of a peer with default settings then fits, and
	// MaxHeaderBytes decides. The default is the maximum of SPDY. Range: 1 to 16,777,215.
	MaxControlFrame int

	// KeepFrames makes the streams of a raw session preserve the boundaries of DATA frames:
	// RawStream.Read then reads from a single frame at a time, and RawStream.ReadFrame reads a
	// whole frame. It is for programs that treat a frame as a message, although proxies, and SPDY
	// itself, may split frames differently.
	KeepFrames bool

	// LenientHeaders allows header names and values on raw streams that HTTP forbids and spdystream
	// passes: names with characters forbidden in a token, values with control bytes, and empty
	// values beside non-empty values. It is for programs written for spdystream. Names must still
	// be unique, non-empty, in lower case and without control bytes; a block may have 16 times
	// MaxHeaderFields values. Headers forbidden by HTTP appear neither in HeaderBlock.HTTPHeader
	// nor in a log, and sessions without LenientHeaders do not send them. It has no effect on
	// sessions other than raw sessions.
	LenientHeaders bool

	// Logger receives a session's log messages about the peer. nil means the package logger, see
	// SetLog.
	Logger *slog.Logger

	// Pools bounds the memory of all sessions of a Server or a Transport together, and the header
	// bytes of a session created without a Server or Transport.
	Pools Pools

	grants grants // derived from the other fields by withDefaults
	shared *pools // set by the Server or Transport that creates the session; nil otherwise
}

// The defaults of Config.
const (
	defaultMaxStreams      = 250
	defaultMaxHeaderFields = 10000
	defaultAcceptBacklog   = 1024

	defaultResetBurst     = 1000
	defaultResetRate      = 200
	defaultIdleFrameBurst = 10000
	defaultIdleFrameRate  = 1000
	defaultMaxOwedReplies = 64 << 10 // SPEC P5, F14

	// resetsPerStream times MaxConcurrentStreams is the minimum default of ResetBurst: Kubernetes
	// cancels all streams of a connection together.
	resetsPerStream = 4

	defaultPingTimeout       = 15 * time.Second
	defaultFirstFrameTimeout = 10 * time.Second
	defaultDeliveryTimeout   = time.Minute
	leastTime                = time.Millisecond // least positive value of a configured time

	// assumedMaxStreams is the number of streams we open before the peer announces a limit. SPDY
	// has no default; Chrome assumes the same number.
	assumedMaxStreams = 100
)

// withDefaults returns a copy in which every field has its effective value, for a client or server
// session. data describes the streams on which the peer sends DATA.
func (c *Config) withDefaults(client bool, data sending) *Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.unaware(data) {
		d.unawareDefaults(client)
	} else {
		d.deriveWindows(data)
	}
	d.headerDefaults(client)
	d.countDefaults()
	d.timeDefaults()
	orDefault(&d.MaxControlFrame, MAX_DATA_PAYLOAD)
	d.MaxControlFrame = min(d.MaxControlFrame, MAX_DATA_PAYLOAD)
	if d.Settings == nil {
		d.Settings = DefaultSettings
	}
	return &d
}

// countDefaults sets the fields that count streams, frames and replies. Values are capped at 31
// bits, so that calculations with them do not overflow.
func (c *Config) countDefaults() {
	perStream := resetsPerStream * min(c.MaxConcurrentStreams, maxStreamID/resetsPerStream)
	for _, f := range [...]struct {
		field    *int
		standard int
	}{
		{&c.AcceptBacklog, max(defaultAcceptBacklog, c.MaxConcurrentStreams)},
		{&c.ResetBurst, max(defaultResetBurst, perStream)},
		{&c.ResetRate, defaultResetRate},
		{&c.IdleFrameBurst, defaultIdleFrameBurst},
		{&c.IdleFrameRate, defaultIdleFrameRate},
		{&c.MaxHeaderFields, defaultMaxHeaderFields},
		{&c.MaxOwedReplies, defaultMaxOwedReplies},
	} {
		orDefault(f.field, f.standard)
		*f.field = min(*f.field, math.MaxInt32)
	}
	c.IdleFrameBurst = max(c.IdleFrameBurst, leastIdleBurst)
	c.MaxOwedReplies = min(c.MaxOwedReplies, math.MaxInt32/2) // adding the replies of streams must not overflow
}

// timeDefaults sets the times. Positive times are at least leastTime: a periodic timer must not
// occupy a processor.
func (c *Config) timeDefaults() {
	if c.PingTimeout <= 0 {
		c.PingTimeout = defaultPingTimeout
	}
	if c.DeliveryTimeout == 0 {
		c.DeliveryTimeout = defaultDeliveryTimeout
	}
	for _, field := range [...]*time.Duration{
		&c.ShedAfter, &c.PingInterval, &c.PingTimeout, &c.WriteTimeout, &c.DeliveryTimeout, &c.IdleTimeout, &c.FirstFrameTimeout,
	} {
		if *field > 0 {
			*field = max(*field, leastTime)
		}
	}
}

func orDefault(field *int, value int) {
	if *field <= 0 {
		*field = value
	}
}
