package spdy

import "fmt"

// This file computes the windows and the number of streams that a session grants. Their sum is at
// most Config.SessionWindow, so unread streams never block other streams: each stream that may be
// open has a reserved window, and windows grow from a separate pool.

// A ConfigError reports two set fields of a Config that contradict each other. A session with such
// a Config does not run: Serve, RoundTrip, and constructors with an error result return the error.
type ConfigError struct {
	Field, Other string // names of the fields
	Reason       string // the contradiction, in words
}

// Error names both fields.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("spdy: Config.%s and Config.%s contradict each other: %s", e.Field, e.Other, e.Reason)
}

// The default windows of Config, in bytes.
const (
	defaultStreamWindow    = 256 << 10
	defaultMaxStreamWindow = 16 << 20
)

// grants is the part of a Config that is derived from other fields, see Config.deriveWindows.
type grants struct {
	opens int   // streams that this side may have open itself
	lends int   // slots of these streams that lend their windows to the pool while free
	pool  int64 // limit, in bytes, of the growth of all windows plus the unread bytes of ended streams
}

// A sending describes on which streams the peer of a session sends DATA: on streams opened by the
// peer, and on streams opened by us; and whether the streams are raw.
type sending struct{ theirs, ours, raw bool }

// The senders of DATA in HTTP sessions without pushes, and in raw sessions.
var (
	httpSending = sending{theirs: true}
	rawSending  = sending{theirs: true, ours: true, raw: true}
)

// kinds returns the number of kinds of streams that the session window must cover.
func (d sending) kinds() int64 {
	if d.theirs && d.ours {
		return 2
	}
	return 1
}

// receives returns the streams of an application on which the peer sends DATA.
func receives(app application) sending {
	switch app := app.(type) {
	case *acceptQueue:
		return rawSending
	case *httpClientApp:
		return sending{theirs: app.wanted != nil, ours: true} // see Config.clientSending
	}
	return httpSending // pushes are one-way
}

// unaware reports whether a session with such streams has a peer that may ignore flow control.
func (c *Config) unaware(d sending) bool { return d.raw && c.FlowControl == FlowControlPeerUnaware }

// clientSending is receives for an HTTP client with this configuration.
func (c *Config) clientSending() sending {
	return sending{theirs: c != nil && c.AcceptPush != nil, ours: true}
}

// check reports fields that contradict each other. Unset fields never do. A session with DATA on
// streams of both sides needs at least a window for one stream of each side.
func (c *Config) check(d sending) error {
	if c == nil || c.unaware(d) {
		return nil // UnreadBudget takes precedence there
	}
	session, stream := int64(maxWindow), int64(defaultWindow)
	if c.SessionWindow > 0 {
		session = clampWindow(c.SessionWindow)
	}
	if c.StreamWindow > 0 {
		stream = clampWindow(c.StreamWindow)
	}
	if need := d.kinds() * stream; need > session {
		if err := c.tooNarrow(d, session, need); err != nil {
			return err
		}
	}
	streams := int64(min(c.MaxConcurrentStreams, maxStreamID))
	need := (streams + d.kinds() - 1) * stream
	if streams <= 0 || need <= session {
		return nil
	}
	reason := fmt.Sprintf("%d streams with windows of %d bytes need %d bytes", need/stream, stream, need)
	switch {
	case c.SessionWindow > 0:
		return &ConfigError{"MaxConcurrentStreams", "SessionWindow", reason}
	case c.StreamWindow > 0:
		return &ConfigError{"MaxConcurrentStreams", "StreamWindow", reason + ", more than 2^31-1"}
	}
	return nil // the number of streams is limited to the session's window
}

// tooNarrow returns the error if a stream of each kind needs more than the session's window. It
// returns nil if a single field is the cause: that field then has a narrower range.
func (c *Config) tooNarrow(d sending, session, need int64) error {
	one := "a stream"
	if d.kinds() > 1 {
		one = "a stream of each side"
	}
	reason := fmt.Sprintf("the windows of %s need %d bytes, the session has %d", one, need, session)
	switch {
	case c.SessionWindow > 0 && c.StreamWindow > 0:
		return &ConfigError{"StreamWindow", "SessionWindow", reason}
	case d.raw:
		return nil
	case c.SessionWindow > 0:
		return &ConfigError{"AcceptPush", "SessionWindow", reason}
	}
	return &ConfigError{"AcceptPush", "StreamWindow", reason}
}

// clampWindow returns the effective size of a configured window.
func clampWindow(n int) int64 { return min(max(int64(n), defaultWindow), maxWindow) }

// deriveWindows computes StreamWindow, SessionWindow, MaxConcurrentStreams and grants from the
// fields that are set.
func (c *Config) deriveWindows(d sending) {
	orDefault(&c.MaxStreamWindow, defaultMaxStreamWindow)
	c.MaxStreamWindow = min(c.MaxStreamWindow, maxWindow)
	if c.SessionWindow > 0 {
		c.divideSession(d.kinds())
	} else {
		c.sumSession(d.kinds())
	}
	session, window := int64(c.SessionWindow), int64(c.StreamWindow)
	theirs, opens := int64(0), int64(0)
	if d.theirs {
		theirs = int64(c.MaxConcurrentStreams)
	}
	c.grants.opens = maxStreamID
	if d.ours {
		most := max(int64(c.MaxConcurrentStreams), defaultMaxStreams)
		opens = min(session/window-theirs, most) // at least 1, see check
		c.grants.opens = int(opens)
	}
	c.grants.pool = max(session-window*(opens+theirs), 0)
	if d.ours && c.MaxStreamWindow > c.StreamWindow && c.grants.pool > 0 {
		c.grants.lends = int(opens) / 2
	}
}

// sumSession sets SessionWindow to the sum of the streams' windows and the room to grow.
func (c *Config) sumSession(kinds int64) {
	grow := int64(0)
	if c.MaxStreamWindow > max(c.StreamWindow, defaultWindow) {
		grow = min(2*int64(c.MaxStreamWindow), maxWindow/2) // a single stream never has all of it
	}
	room := maxWindow - grow
	switch streams := int64(min(c.MaxConcurrentStreams, maxStreamID)); {
	case c.StreamWindow > 0:
		c.StreamWindow = min(max(c.StreamWindow, defaultWindow), maxWindow/int(kinds))
		orDefault(&c.MaxConcurrentStreams, int(min(max(room/kinds/int64(c.StreamWindow), 1), defaultMaxStreams)))
	case streams > 0:
		c.MaxConcurrentStreams = int(min(streams, maxWindow/kinds/defaultWindow))
		c.StreamWindow = int(min(max(room/kinds/streams, defaultWindow), defaultStreamWindow))
	default:
		c.StreamWindow, c.MaxConcurrentStreams = defaultStreamWindow, defaultMaxStreams
	}
	c.MaxConcurrentStreams = min(c.MaxConcurrentStreams, maxStreamID)
	sum := kinds * int64(c.MaxConcurrentStreams) * int64(c.StreamWindow)
	c.SessionWindow = int(min(sum+grow, maxWindow))
}

// divideSession divides a configured SessionWindow among streams. If neither the number of streams
// nor their window is configured, half of the session's window is reserved for growth.
func (c *Config) divideSession(kinds int64) {
	session := min(max(int64(c.SessionWindow), kinds*defaultWindow), maxWindow)
	streams := min(int64(c.MaxConcurrentStreams), maxStreamID)
	switch {
	case c.StreamWindow > 0:
		c.StreamWindow = int(min(max(int64(c.StreamWindow), defaultWindow), session/kinds))
		orDefault(&c.MaxConcurrentStreams, int(min(max(session/kinds/int64(c.StreamWindow), 1), defaultMaxStreams)))
	case streams > 0:
		c.StreamWindow = int(min(max(session/2/kinds/streams, defaultWindow), defaultStreamWindow))
	default:
		c.StreamWindow = int(min(max(session/2/kinds/defaultMaxStreams, defaultWindow), defaultStreamWindow))
		c.MaxConcurrentStreams = int(min(max(session/kinds/int64(c.StreamWindow), 1), defaultMaxStreams))
	}
	c.SessionWindow = int(session)
	c.MaxConcurrentStreams = min(c.MaxConcurrentStreams, maxStreamID)
}
