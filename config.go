package spdy

import (
	"log/slog"
	"math"
	"net/http"
	"time"
)

// Config tunes sessions. The zero value, and a nil *Config, mean the defaults.
// A Config must not be changed once a session, client or server uses it.
//
// Each number has a range, which the last sentence about its field gives. Of a number that is not a
// time, 0 and less mean the default, unless the field says otherwise, and any other value outside the
// range counts as the nearest one in it. No number alone is an error; some of those that are set together
// are a *ConfigError, see MaxConcurrentStreams. A time between 0 and its range counts as one millisecond.
type Config struct {
	// StreamWindow is how many bytes of a stream the peer may send before the
	// application has read them. Values below 64 KiB, the protocol's initial
	// window, mean 64 KiB: SETTINGS are not acknowledged, so a smaller window
	// could not be enforced (SPEC W11). Default 256 KiB. Range: 64 KiB to 2^31-1; half of that on raw
	// sessions and on clients that accept pushes, which need the windows of two streams.
	StreamWindow int

	// MaxStreamWindow is how far the window of a stream grows, in bytes, while its
	// application reads as fast as the bytes come and the window is what holds the
	// peer up: on a path of 100 ms, 256 KiB are 2.6 MB/s. Windows grow by the part of
	// SessionWindow that new streams do not need; where this side opens streams, by the
	// windows of up to half of those that are not open, too, and while such a window is
	// lent that many fewer are opened. One stream gets no more than half of all that, and the
	// less is left the smaller a part. A value of at most StreamWindow keeps windows as they
	// are. Default 16 MiB. Range: 1 to 2^31-1.
	MaxStreamWindow int

	// SessionWindow is the number of bytes that the peer may send on all streams of a
	// session together before applications have read them, and so the bound of a
	// session's unread bytes. It covers the windows of all streams that may be open, and
	// a pool by which windows grow, so that streams which nobody reads do not stop the
	// others. Where SessionWindow is set and others are not, those are derived from it.
	// What ended streams have left unread is taken from the pool, and when that is used up
	// there may be fewer streams.
	// SPDY/3 has no such window, and SPDY/2 has no windows at all: there a session that
	// reaches the bound resets streams with FLOW_CONTROL_ERROR. First are those of which
	// nothing has been read lately, the fullest before others, then those that are read
	// at less than a quarter of the speed at which they come. For the readers of others it
	// waits, as long as the session receives a quarter of what the line would bring, and
	// for that of the only stream of a client as long as it takes. Default: StreamWindow times
	// MaxConcurrentStreams, and twice MaxStreamWindow for windows to grow; 94.5 MiB with
	// the defaults of these. Range: 64 KiB to 2^31-1; from 128 KiB on raw sessions and on
	// clients that accept pushes.
	SessionWindow int

	// MaxConcurrentStreams is the number of streams that the peer may have open. Further
	// streams are refused with REFUSED_STREAM, which the peer may retry. It is also the
	// number of handlers that run at once, those of streams that the peer has cancelled
	// and of pushes included, these half of it at most: while all of them are busy, a stream that the peer opens waits for one to
	// return, in turn, with what it has sent in its window. http.Server's WriteTimeout
	// counts meanwhile, ReadTimeout does not. A session that
	// opens streams has no more of them open than SessionWindow covers: as many as this,
	// and at least 250 where SessionWindow allows it, less those whose windows are lent, see
	// MaxStreamWindow. Default 250.
	//
	// StreamWindow, SessionWindow, MaxConcurrentStreams and AcceptPush that are set and
	// contradict each other are a *ConfigError: the session has to cover the windows of
	// MaxConcurrentStreams streams, and on raw sessions and on clients that accept pushes
	// the window of one more, which this side opens.
	//
	// Range: 1 to 32,767, which windows of 64 KiB cover with 2^31-1 bytes; half of that for raw
	// sessions and for clients that accept pushes, whose peers send on streams of both sides.
	// With FlowControlPeerUnaware it is 1 to 2^31-1.
	MaxConcurrentStreams int

	// ShedAfter is the time for which bytes of a stream may wait to be read while less than
	// a quarter of the session's window is left. When they have waited longer, streams are
	// reset with FLOW_CONTROL_ERROR until half of the window is left, those first that have
	// the most unread bytes for the longest time; streams with less than an eighth of the unread
	// bytes that streams have on average are spared. It is for sessions of HTTP in SPDY/3.1, where it replaces long waits
	// of all other streams; readers that pause, as players of films do, or take longer to
	// read a stream's window, are resumed by a Range request. Answers that are complete,
	// and have waited as long, are given up while requests wait
	// for the windows that they take up, in SPDY/3 too: their readers get the same error.
	// SessionStats.Shed counts such streams, and Trace.StreamShed shows them. 0, the
	// default, and less mean never. Range: 1 ms and more.
	ShedAfter time.Duration

	// MaxHeaderBytes is the largest header block that is received, in bytes of the
	// inflated block. A larger one costs its stream a RST_STREAM(FRAME_TOO_LARGE), which
	// is PROTOCOL_ERROR in SPDY/2; a session that serves HTTP answers a larger request
	// with status 431 instead. A block of more than four times the limit, and more than
	// 16 MiB, ends the session. All late HEADERS of a stream together have the same
	// limit, each encoded as its sender does it; on a raw stream those count that wait to be
	// received. Pushes, and late HEADERS that a client of HTTP receives, never get more
	// than 1,118,208 bytes.
	//
	// The default is the block that holds what net/http's defaults accept in HTTP/1.1:
	// 1,118,208 bytes for requests and on raw sessions (http.DefaultMaxHeaderBytes and a
	// sixteenth of it for SPDY's encoding and for what proxies add, and the 4096
	// bytes that net/http allows besides), and 11,145,216 bytes for a client of HTTP
	// (likewise for 10 MiB of an answer). Range: 1 to 134,217,727, which is 128 MiB less one byte.
	MaxHeaderBytes int

	// MaxHeaderFields is the largest number of names in a header block that is received;
	// a block with more is treated as one that is larger than MaxHeaderBytes. All late
	// HEADERS of a stream of HTTP together have the same limit. Default 10,000. Range: 1 to 2^31-1.
	MaxHeaderFields int

	// MaxSendHeaderBytes is the largest header block that is sent, in bytes before it is
	// compressed. A larger one fails with a *HeaderTooLargeError before anything is sent:
	// a request and a raw stream with their caller, an answer with its handler, whose
	// client gets status 500, trailers with their stream. SPDY has no way to learn the
	// peer's limit. The default is what a peer with the defaults accepts: 1,118,208 bytes
	// for requests and on raw sessions, and 11,145,216 bytes for a session that serves
	// HTTP, of whose trailers and pushes none are larger than 1,118,208 bytes, because its
	// client takes no more. A block with more names than MaxHeaderFields, and more than 10,000, fails
	// likewise. Range: 1 to 14,913,016, which fit in a frame in any case.
	MaxSendHeaderBytes int

	// AcceptBacklog is how many streams of a raw session may wait for
	// Session.AcceptStream. Further ones are refused with REFUSED_STREAM, which the
	// peer may retry. No frame announces it: the peer cannot know of a number below
	// MaxConcurrentStreams. Default MaxConcurrentStreams, or 1024 if that is more. Range: 1 to 2^31-1.
	AcceptBacklog int

	// ResetBurst is the number of handlers that may run for streams which the peer has
	// cancelled, or spoilt by a bad header block, before the response begins; at the limit
	// new streams are refused. It is also the number of streams that the peer may have us
	// reset or refuse in a burst because it breaks a rule, and ResetRate the number of those that it may each second besides: beyond
	// it new streams are refused, and a peer that breaks as many rules again gets a GOAWAY
	// with PROTOCOL_ERROR, the connection is closed, and calls fail with ErrFlood, see Budget.
	// docs/budgets.md lists what counts. Default 1000, or four times MaxConcurrentStreams if
	// that is more, and 200 a second. Range: 1 to 2^31-1 each.
	ResetBurst, ResetRate int

	// IdleFrameBurst is how many frames that bring nothing the peer may send at once,
	// and IdleFrameRate how many more each second: empty DATA and HEADERS,
	// PINGs, SETTINGS, GOAWAY, frames of unknown types, frames for streams that are gone, and
	// WINDOW_UPDATEs. A frame that costs more counts as several: a header block that
	// no stream receives as one for each 4 KiB that it inflates to beyond 16 times its
	// compressed size. What is of use allows for more: each
	// DATA frame with something in it for one, each stream and each DATA frame that
	// we send for two, and each 64 bytes that we send for one. DATA of a single byte is
	// of use, unless it is a smaller window than 256 bytes that makes us send so little.
	// The peer may save what was allowed for up to IdleFrameBurst, and up to 32 for each stream
	// of the last while, because credit for many streams may come at once.
	// With FlowControlPeerUnaware 1024 empty DATA frames and PINGs count as one.
	// It is a Budget, see ResetBurst. Default 10,000. Range: 16 to 2^31-1, since an honest peer
	// begins with some.
	IdleFrameBurst int

	// IdleFrameRate is how many more of them it may send, per second.
	// Default 1000. Range: 1 to 2^31-1.
	IdleFrameRate int

	// MaxOwedReplies bounds the replies to the peer's frames that wait for it to read, in
	// bytes: RST_STREAM and PING, and WINDOW_UPDATE for streams that are gone. A reply
	// takes 12 or 16. It is a Budget, see ResetBurst. Default 64 KiB. Range: 1 to 1,073,741,823.
	MaxOwedReplies int

	// Compression says how header blocks that we send are compressed. The
	// default, CompressSafe, gives an attacker who chooses part of a request
	// no way to find out secrets letter by letter.
	Compression CompressionPolicy

	// AcceptPush makes a client accept pushes. It is called for every valid push of the
	// server, in a goroutine of its own, with the request that the push answers and a
	// copy of the request that caused it. nil refuses every push.
	//
	// An accepted push answers one later GET of its URL on the session, if a cache could
	// answer that request (RFC 9111 §4): it has neither a body nor Range nor a
	// conditional header (If-…), its Cache-Control and Pragma allow a stored answer of
	// the push's age, it has the same Cookie, Authorization and Proxy-Authorization as
	// the request that caused the push, and the same values of the headers that the
	// pushed answer's Vary names. Unless the answer is declared to be for everybody, with
	// public, max-age or s-maxage in its Cache-Control, and none of private and no-cache,
	// and no Set-Cookie, all other headers have to be the same, too, except those like
	// Accept and User-Agent that differ between requests of one user. An answer with private or
	// Set-Cookie answers no request if the one that caused the push has no header that may name
	// its user: none but those, Via, X-Real-Ip, Forwarded, and X-Forwarded-For, -Host and
	// -Proto. The answer has to be
	// fresh by its max-age or Expires, its Date and its Age; for the first ten seconds, while
	// its page is being loaded, it may be used without that, and with no-cache. An answer with
	// no-store answers no request. A request with another method than GET, HEAD, OPTIONS
	// and TRACE drops the session's pushes of its URL. A GET that no push answers is sent.
	//
	// A GET does not wait for a push either: AcceptPush has to have returned, the headers of
	// the answer to have come, and the answer has to be complete, unless the request that
	// caused it has come to its end: if that is cancelled, the server stops its pushes.
	//
	// Pushes that no request claims are dropped after a minute, and before that, the oldest
	// first, when they are half of MaxConcurrentStreams, or could fill half of SessionWindow.
	// While as many calls of AcceptPush as MaxConcurrentStreams have not returned, further
	// pushes are refused.
	AcceptPush func(promised, cause *http.Request) bool

	// DisableUpgrades makes a server take no requests for an upgrade, of WebSocket for
	// example, and a client send such requests without the upgrade. By default both take
	// part in upgrades with peers that show that they know them: see docs/upgrades.md. An
	// upgraded stream counts as any other one as long as it is open.
	DisableUpgrades bool

	// Settings stores the settings that servers ask their clients to keep, by
	// SettingsKey. nil means DefaultSettings.
	Settings SettingsStore

	// SettingsKey names the origin of the server, for example
	// "https://example.com:443". A client session returns to its server the settings that
	// servers with the same key have asked it to keep, and no others (SPDY/3.1 §2.6.4,
	// SPEC T9). With "" it keeps and returns none. Transport, ConfigureTransport and NewClient
	// set the key of each session themselves. Servers ignore it.
	SettingsKey string

	// Version is the dialect to speak where nothing is negotiated. The zero value
	// means SPDY/3.1 for a client. A server without TLS tells SPDY/2 from the
	// others by its client's first frame, but not SPDY/3 from SPDY/3.1: with the
	// zero value it takes the client for one of SPDY/3 until a WINDOW_UPDATE for
	// the session shows otherwise, see SPEC §7. It sends 64 KiB, the session window
	// of SPDY/3.1, and then waits once: for that WINDOW_UPDATE, for one of a stream
	// without it, which is proof of SPDY/3, or for a second, so that a client of SPDY/3.1
	// whose application reads nothing for longer is sent too much. With SPDY3 or SPDY31 it knows.
	Version Version

	// FlowControl says whether the peer of a raw session can be expected to do flow
	// control. Default FlowControlStandard. It has no effect on other sessions.
	FlowControl FlowControl

	// UnreadBudget bounds, with FlowControlPeerUnaware, the bytes of all streams of a
	// session that have come and that no application has read: at this bound the
	// session stops reading its connection, see ResetOverBudget. SessionWindow and
	// StreamWindow are never more than it then. Default 16 MiB. Range: 64 KiB to 2^31-1.
	UnreadBudget int

	// ResetOverBudget makes a session whose UnreadBudget is used up reset streams
	// with FLOW_CONTROL_ERROR instead of stopping all: first those of which nothing has been
	// read lately, then those that are read slowly, the fullest before others. Streams that
	// have ended are given up only if the open ones hold next to nothing, and after a
	// second without a reader: those are not reset for what others hold.
	ResetOverBudget bool

	// Trace is called when something happens on a session. nil means nobody is.
	Trace *Trace

	// FrameLog makes sessions print a line for each frame. nil means that they do so
	// only if EnableDebug, or GODEBUG=spdydebug=1, says it for all.
	FrameLog *FrameLog

	// PingInterval is after how long a time without a byte from the peer a session
	// sends a PING, to find out whether the peer is still there. Any byte that
	// comes counts, not only the answer. 0 and less mean never, which is the default as in
	// net/http: PINGs keep radios awake and connections open that nobody needs, and
	// only the application knows how much a lost peer costs it. A session whose peer
	// has to speak first, see Upgrader and FlowControlPeerUnaware, sends none before
	// that; FirstFrameTimeout bounds the wait. Sessions of a Transport, ConfigureTransport and
	// NewClient that are silent to a PING behind a cancelled request take no more requests
	// without this, see Transport; PingInterval ends them, with all of their requests, and
	// without one that has to be cancelled first. Range: 1 ms and more.
	PingInterval time.Duration

	// PingTimeout is how long after that PING the session waits for a byte, before
	// the connection is given up with ErrPingTimeout. A peer that has vanished is
	// noticed by all callers within PingInterval plus PingTimeout. While the PING
	// cannot be written, the time counts from the last progress in writing, so that
	// a slow peer is not cut as long as it takes 1 KiB in that time; once it is
	// written, the peer has to have received it, and all that was written before,
	// in that time. A process that was stopped meanwhile, so that its timers are late by more
	// than half a second, waits two seconds once more, or PingTimeout if that is less: what the
	// peer has sent may be unread. That is true of WriteTimeout, DeliveryTimeout, IdleTimeout
	// and FirstFrameTimeout as well. 0 and less mean 15 seconds. Range: 1 ms and more.
	PingTimeout time.Duration

	// PingProof is for peers that answer no PING while their programs do not read a stream, as
	// those of spdystream. With FlowControlPeerUnaware, as long as the peer shows no flow
	// control, a PING without an answer ends the session only if its network is seen to be
	// dead: something is on its way, and the peer's system has acknowledged nothing for
	// PingTimeout. That is known on Linux alone, and only of connections whose socket can be found,
	// by a method NetConn where something is around it. Otherwise such a session goes on. With a
	// peer that shows flow control, a KiB that has been acknowledged is a sign of life. The
	// numbers of the PINGs of PingInterval have the bit 1<<30 then, by which a peer can tell them
	// from those of the program.
	PingProof bool

	// WriteTimeout is how long the connection may take no byte of what the session
	// wants to write, before it is given up with ErrWriteTimeout. Progress counts
	// from 1 KiB on. 0 and less mean for ever. It is not that of http.Server, which limits
	// one answer. Range: 1 ms and more.
	WriteTimeout time.Duration

	// DeliveryTimeout is how long a session that ends gracefully waits for its peer to
	// receive what was sent, without a sign that it does: bytes that come from it, that the
	// connection takes or, on Linux, that the peer's system acknowledges. The wait has no
	// other limit. It counts from when the last stream ended, unless the peer has sent
	// anything since. A peer that was silent for longer before the session ends gets all of
	// the time again if the connection has not taken everything, or, on Linux, the peer's
	// system has not acknowledged it; else five seconds. The session then ends with
	// ErrDeliveryTimeout, which Shutdown returns. A peer that answers no PING is told the end by closing our
	// direction after five seconds, or half of the time; on a connection without CloseWrite
	// by closing all of it, if nothing is known to be missing. 0 means one minute; less means not to
	// wait. Range: 1 ms and more.
	DeliveryTimeout time.Duration

	// IdleTimeout is after how long a time with no stream open a session ends by
	// itself, with GOAWAY. PINGs do not count. 0 means never, except that a Server puts its own
	// there; less means never. Range: 1 ms and more.
	IdleTimeout time.Duration

	// FirstFrameTimeout is how long the peer may take to send its first frame, from
	// when the connection was accepted or the session began, and to complete a control
	// frame that it has begun. A peer that takes longer is cut. A Server, and an
	// http.Server that has been configured, put their ReadHeaderTimeout above it and
	// their ReadTimeout below. 0 means 10 seconds for a session that serves HTTP. For a
	// client of HTTP it means 30 seconds from its first request to the server's first frame,
	// and after that no limit, so that an answer may take as long as it likes: a server that
	// has sent nothing for half a second gets a PING, and any frame will do. The requests
	// fail with a *NotSPDYError whose Timeout method reports true. For raw sessions 0 means
	// never: a client of Kubernetes may open no stream for minutes. Less means never. Range: 1 ms
	// and more.
	FirstFrameTimeout time.Duration

	// SpeakFirst lets, with FlowControlPeerUnaware, what the application says go out at
	// once: its streams and PINGs. What a session says by itself still waits for the
	// peer's first frame. It is for servers whose clients were not upgraded from HTTP,
	// which may lose what comes first.
	SpeakFirst bool

	// MaxControlFrame bounds the payload of a control frame of the peer, in bytes; a
	// larger one ends the session. On sessions of HTTP, whose headers strangers choose, it is
	// at least 1,258,048 bytes for frames with headers, and 12,538,432 bytes for those that
	// a client receives: a header block that a peer sends by default then fits, and
	// MaxHeaderBytes decides. The default is all that SPDY allows. Range: 1 to 16,777,215.
	MaxControlFrame int

	// KeepFrames makes the streams of a raw session remember where DATA frames end:
	// RawStream.Read then reads of one frame at a time, and RawStream.ReadFrame a
	// whole one. Programs that take a frame for a message need it, although proxies,
	// and SPDY itself, may cut frames differently.
	KeepFrames bool

	// LenientHeaders lets the streams of a raw session carry header names and values that HTTP
	// does not allow and that spdystream passes: names with other characters than those of a
	// token, values with control bytes, empty values beside others. It is for programs that
	// were written for spdystream. Names must still be in lower case, without control bytes, not
	// empty, and each must occur once; a block may have 16 times MaxHeaderFields values. What
	// HTTP does not allow gets neither into HeaderBlock.HTTPHeader nor into a log, and sessions without
	// LenientHeaders do not send it. It has no effect on other sessions than raw ones.
	LenientHeaders bool

	// Logger receives what a session has to say about its peer. nil means the
	// package logger, see SetLog.
	Logger *slog.Logger

	// Pools bounds what all sessions of a Server, or of a Transport, keep for their peers
	// together. Sessions that are made without one have no pools.
	Pools Pools

	grants grants // what follows from the other fields; set by withDefaults
	shared *pools // of the Server or Transport that makes the session, which sets it; nil if none does
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

	// resetsPerStream times MaxConcurrentStreams may be reset at once: Kubernetes
	// gives up all streams of a connection together.
	resetsPerStream = 4

	defaultPingTimeout       = 15 * time.Second
	defaultFirstFrameTimeout = 10 * time.Second
	defaultDeliveryTimeout   = time.Minute
	leastTime                = time.Millisecond // of those that are set

	// assumedMaxStreams is how many streams we open before the peer has said
	// how many it takes. SPDY has no default; Chrome assumed as much.
	assumedMaxStreams = 100
)

// withDefaults returns a copy in which every field has its effective value, for a session
// of a client or a server on whose streams the peer sends DATA as
// data says.
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

// countDefaults sets the fields that count streams, frames and replies. None is more than 31 bits,
// so that what is computed with them does not overflow.
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
	c.MaxOwedReplies = min(c.MaxOwedReplies, math.MaxInt32/2) // what streams owe besides must not overflow
}

// timeDefaults sets the times. None that is set is shorter than leastTime: a timer that looks again
// and again must not be all that a processor does.
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
