package spdy

import (
	"encoding/json"
	"time"
)

// SessionStats is a snapshot of a session, see Session.Stats. Every field down to PeerGoingAway is
// a gauge: it rises and falls, and gauges that count something are zero in an idle session. The
// rest are totals since the start of the session; they only grow.
type SessionStats struct {
	Version Version // same as Session.Version
	Client  bool    // the session opens streams rather than serving them

	// Streams counts the current streams, by state.
	Streams StreamStates

	// WaitingOpeners is the number of calls that wait to open a stream because the peer's limit,
	// PeerMaxStreams, is reached.
	WaitingOpeners int

	// WaitingHandlers is the number of the peer's streams whose handlers have not started, because
	// Config.MaxConcurrentStreams handlers are running. Streams counts them too.
	WaitingHandlers int

	// WaitingPings is the number of our PINGs that have not been echoed, excluding those whose
	// callers have stopped waiting.
	WaitingPings int

	// UnreadBytes is the number of DATA bytes received, including the rest of a started frame, that
	// the application has neither read nor discarded. A response no longer counts once the context
	// of the request has ended.
	UnreadBytes int64

	// UnreadBudget is the number of unread bytes at which the session resets unread streams, or
	// stops reading its connection; 0 if windows limit the unread bytes. Only SPDY/2, SPDY/3 and
	// sessions with FlowControlPeerUnaware have a budget.
	UnreadBudget int64

	// UnsentBytes is the number of DATA bytes in calls of Write, and at the end of responses, that
	// wait for a window or for the network.
	UnsentBytes int64

	// SendWindow and ReceiveWindow are the number of DATA bytes that we, and the peer, may send on
	// all streams together. Each is below the initial size by the bytes sent and not granted again.
	// PeerStreamWindow is the window, in bytes, that the peer grants to every new stream of ours.
	// Each is -1 if there is no limit: in dialects without such a window, and while the peer is
	// assumed not to implement flow control. ReceiveWindow is below 0 if such a peer has sent more
	// than the window.
	SendWindow, ReceiveWindow, PeerStreamWindow int64

	// PeerMaxStreams is the number of streams that the peer allows us to have open.
	PeerMaxStreams uint32

	// RoundTrip is the time until our latest PING was echoed, including the session's automatic
	// PINGs; 0 before the first echo. See Session.PingContext.
	RoundTrip time.Duration

	// GoingAway is true if we have announced by GOAWAY that we accept no new streams, PeerGoingAway
	// if the peer has.
	GoingAway, PeerGoingAway bool

	// StreamsOpened is the number of streams opened by this side, including streams refused by the
	// peer; refused streams are in Received.Resets[RstRefusedStream].
	StreamsOpened uint64

	// StreamsAccepted is the number of the peer's streams that have passed the session's checks and
	// limits. Refused streams are in Sent.Resets[RstRefusedStream]; pushes that a client does not
	// want are in both.
	StreamsAccepted uint64

	// Sent is the traffic sent to the network, and Received the traffic received.
	Sent, Received Traffic

	// Stalls is the number of times the session has stopped reading because UnreadBudget was
	// reached. StrayFrames is the number of frames dropped silently because their stream had ended,
	// as FlowControlPeerUnaware allows.
	Stalls, StrayFrames uint64

	// Shed is the number of streams reset by this side because of unread bytes: at UnreadBudget, by
	// Config.ShedAfter, or at SessionWindow where no window limits unread bytes. Some streams may
	// have ended before, with bytes still unread.
	Shed uint64

	// ChargedResets is the number of streams that the peer has cancelled while their handler was
	// running, or that were reset or refused because the peer broke a rule, as counted by
	// Config.ResetBurst. IdleFrames is the number of useless frames, as counted by IdleFrameBurst.
	// Flooded is true if the session ended because the peer exhausted a Budget.
	ChargedResets, IdleFrames uint64
	Flooded                   bool // see ChargedResets
}

// StreamStates are numbers of streams by state. A stream opened with UNIDIRECTIONAL is half-closed
// from the start.
type StreamStates struct {
	Opening          int // opened by us, and the SYN_STREAM has not been sent yet
	Open             int // both sides may send
	HalfClosedLocal  int // only the peer may send: our FIN is being sent
	HalfClosedRemote int // only we may send: the peer's FIN has arrived

	// Lingering are the peer's streams that have ended while their handler is still running. No
	// more than Config.MaxConcurrentStreams handlers run at once.
	Lingering int
}

// Total returns the number of all streams, including lingering streams.
func (n StreamStates) Total() int {
	return n.Opening + n.Open + n.HalfClosedLocal + n.HalfClosedRemote + n.Lingering
}

func (n *StreamStates) add(o StreamStates) {
	n.Opening += o.Opening
	n.Open += o.Open
	n.HalfClosedLocal += o.HalfClosedLocal
	n.HalfClosedRemote += o.HalfClosedRemote
	n.Lingering += o.Lingering
}

// Traffic is the total traffic in one direction of a session, or of many.
type Traffic struct {
	Bytes     int64 // all bytes read from, or written to, the connection (before TLS)
	DataBytes int64 // payload of DATA frames; an incoming frame counts from the first byte

	// HeaderBytes is the size of all header blocks, and CompressedHeaderBytes their compressed size
	// on the wire.
	HeaderBytes, CompressedHeaderBytes int64

	// Frames and Resets count the frames read from the connection or passed to it, even if the
	// write then failed.
	Frames FrameCounts // by type
	Resets ResetCounts // RST_STREAM frames by status
}

func (t *Traffic) add(o *Traffic) {
	t.Bytes += o.Bytes
	t.DataBytes += o.DataBytes
	t.HeaderBytes += o.HeaderBytes
	t.CompressedHeaderBytes += o.CompressedHeaderBytes
	for i, n := range o.Frames {
		t.Frames[i] += n
	}
	for i, n := range o.Resets {
		t.Resets[i] += n
	}
}

// FrameCounts are numbers of frames by type: Frames[FramePing]. Frames without an effect (NOOP,
// CREDENTIAL, unknown types and other versions) are counted together as FrameNoop. The JSON form is
// an object of the nonzero counts by type name.
type FrameCounts [FrameWindowUpdate + 1]uint64

// Total returns the number of all frames.
func (c FrameCounts) Total() uint64 { return total(c[:]) }

// MarshalJSON implements json.Marshaler.
func (c FrameCounts) MarshalJSON() ([]byte, error) { return marshalCounts(c[:], frameSlotName) }

// UnmarshalJSON implements json.Unmarshaler. Unknown names are ignored.
func (c *FrameCounts) UnmarshalJSON(text []byte) error {
	return unmarshalCounts(text, c[:], frameSlotName)
}

func frameSlotName(i int) string { return FrameType(i).String() }

// ResetCounts are numbers of RST_STREAM frames by status: Resets[RstCancel]. Frames with a status
// that the specification does not define are Resets[0]. The JSON form is an object of the nonzero
// counts by status name.
type ResetCounts [RstFrameTooLarge + 1]uint64

// Total returns the number of all RST_STREAM frames.
func (c ResetCounts) Total() uint64 { return total(c[:]) }

// MarshalJSON implements json.Marshaler.
func (c ResetCounts) MarshalJSON() ([]byte, error) { return marshalCounts(c[:], resetSlotName) }

// UnmarshalJSON implements json.Unmarshaler. Unknown names are ignored.
func (c *ResetCounts) UnmarshalJSON(text []byte) error {
	return unmarshalCounts(text, c[:], resetSlotName)
}

func resetSlotName(i int) string {
	if i == 0 {
		return "other"
	}
	return RstStatus(i).String()
}

func total(counts []uint64) (sum uint64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

func marshalCounts(counts []uint64, name func(i int) string) ([]byte, error) {
	named := make(map[string]uint64)
	for i, n := range counts {
		if n != 0 {
			named[name(i)] = n
		}
	}
	return json.Marshal(named)
}

func unmarshalCounts(text []byte, counts []uint64, name func(i int) string) error {
	var named map[string]uint64
	if err := json.Unmarshal(text, &named); err != nil {
		return err
	}
	for i := range counts {
		counts[i] = named[name(i)]
	}
	return nil
}

// ServerStats is a snapshot of a server, see Server.Stats: the sum over all sessions. The totals
// include sessions that have ended, and never shrink.
type ServerStats struct {
	Sessions      int    // gauge: running sessions
	SessionsTotal uint64 // all sessions so far, including running sessions
	Greeting      int    // gauge: connections without TLS whose first bytes have not arrived

	Streams         StreamStates // gauges: the current streams
	WaitingOpeners  int          // gauge: calls waiting to open a stream
	WaitingHandlers int          // gauge: streams of clients waiting for their handlers
	UnreadBytes     int64        // gauge: DATA that applications have not read
	UnsentBytes     int64        // gauge: DATA waiting for windows and networks

	StreamsOpened, StreamsAccepted uint64  // streams opened by the server (pushes), and by clients
	Sent, Received                 Traffic // traffic sent to clients, and received from them
	Stalls                         uint64  // number of times sessions have stopped reading, see SessionStats
	Shed                           uint64  // streams reset because of their unread bytes, see SessionStats
	ChargedResets, IdleFrames      uint64  // charges to clients' budgets, see SessionStats
	Flooded                        uint64  // sessions that have ended with ErrFlood

	Pools PoolStats // memory shared by the sessions; limits and use are current values, the rest totals
}

// addGauges adds the values that rise and fall.
func (t *ServerStats) addGauges(s *SessionStats) {
	t.Streams.add(s.Streams)
	t.WaitingOpeners += s.WaitingOpeners
	t.WaitingHandlers += s.WaitingHandlers
	t.UnreadBytes += s.UnreadBytes
	t.UnsentBytes += s.UnsentBytes
}

// addTotals adds the values that only grow.
func (t *ServerStats) addTotals(s *SessionStats) {
	t.SessionsTotal++
	t.StreamsOpened += s.StreamsOpened
	t.StreamsAccepted += s.StreamsAccepted
	t.Sent.add(&s.Sent)
	t.Received.add(&s.Received)
	t.Stalls += s.Stalls
	t.Shed += s.Shed
	t.ChargedResets += s.ChargedResets
	t.IdleFrames += s.IdleFrames
	if s.Flooded {
		t.Flooded++
	}
}

// Stats returns the gauges of the server's running SPDY sessions, and the totals of all sessions,
// including ended sessions. HTTP/1.1 traffic is not counted. Stats visits every session, like
// Session.Stats, and may be called at any time.
func (srv *Server) Stats() ServerStats {
	srv.mu.Lock()
	t := srv.ended
	t.Sessions, t.Greeting = len(srv.sessions), len(srv.greeting)
	t.Pools = srv.shared.stats()
	running := make([]*Session, 0, len(srv.sessions))
	for s := range srv.sessions {
		running = append(running, s)
	}
	srv.mu.Unlock() // before locking any Session.mu
	for _, s := range running {
		stats := s.Stats()
		t.addGauges(&stats)
		t.addTotals(&stats)
	}
	return t
}
