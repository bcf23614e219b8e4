package spdy

import (
	"encoding/json"
	"time"
)

// SessionStats is what a session looked like at one moment, see Session.Stats.
// Everything down to PeerGoingAway is a gauge: it goes up and down, and those of
// them that count something are zero when nothing is going on. The rest are totals
// since the session began; they only grow.
type SessionStats struct {
	Version Version // as Session.Version
	Client  bool    // the session opens streams rather than answering them

	// Streams are the streams there are, by state.
	Streams StreamStates

	// WaitingOpeners is how many calls wait to open a stream because the peer's
	// limit, PeerMaxStreams, is reached.
	WaitingOpeners int

	// WaitingHandlers is how many streams of the peer wait for their handlers to begin, because
	// Config.MaxConcurrentStreams handlers run. Streams counts them too.
	WaitingHandlers int

	// WaitingPings is how many PINGs of ours have not been echoed, without those
	// whose callers have given up.
	WaitingPings int

	// UnreadBytes is the DATA that has come, or is coming, in a frame that has
	// begun, and that the application has neither read nor thrown away. An answer does not count
	// any more when the context of its request has ended.
	UnreadBytes int64

	// UnreadBudget is the number of unread bytes at which the session resets streams that
	// are not read, or stops reading its connection; 0 if windows bound them. Only
	// SPDY/2, SPDY/3 and sessions with FlowControlPeerUnaware have one.
	UnreadBudget int64

	// UnsentBytes is the DATA in calls of Write, and at the end of answers, that
	// waits for a window or for the network.
	UnsentBytes int64

	// SendWindow and ReceiveWindow are how many bytes of DATA we, and the peer, may
	// send on all streams together. Either is smaller than it was in the beginning by
	// what has been sent and not been granted again. PeerStreamWindow is the window, in
	// bytes, that the peer gives to every new stream of ours. Each is -1 if nothing
	// limits what is sent: in dialects without such a window, and while a peer is taken
	// to be one that does no flow control. ReceiveWindow is below 0 if such a peer has
	// sent more than the window.
	SendWindow, ReceiveWindow, PeerStreamWindow int64

	// PeerMaxStreams is how many streams the peer lets us have open.
	PeerMaxStreams uint32

	// RoundTrip is how long the echo of the latest PING of ours took, those that the
	// session sends by itself included; 0 before the first. See Session.PingContext.
	RoundTrip time.Duration

	// GoingAway says that we have announced by GOAWAY to take no new streams,
	// PeerGoingAway that the peer has.
	GoingAway, PeerGoingAway bool

	// StreamsOpened is how many streams this side has opened, also if the peer has
	// refused them then; those are in Received.Resets[RstRefusedStream].
	StreamsOpened uint64

	// StreamsAccepted is how many streams of the peer have passed the session's
	// checks and limits. Refused ones are in Sent.Resets[RstRefusedStream]; pushes that
	// a client does not want are in both.
	StreamsAccepted uint64

	// Sent is what has left for the network, and Received what has come from it.
	Sent, Received Traffic

	// Stalls is how often the session has stopped reading because UnreadBudget was
	// reached, and StrayFrames how many frames it dropped in silence because their
	// stream had ended, which FlowControlPeerUnaware allows.
	Stalls, StrayFrames uint64

	// Shed is the number of streams that this side has reset because of their unread bytes:
	// at UnreadBudget, by Config.ShedAfter, or where no window bounds them at SessionWindow.
	// Some may have ended before, and were only unread.
	Shed uint64

	// ChargedResets is the number of streams that the peer has cancelled while their handler
	// ran, or had reset or refused by breaking a rule, as Config.ResetBurst counts them, and
	// IdleFrames the number of frames without a use, as IdleFrameBurst does. Flooded is true
	// if the peer has ended the session by exhausting a Budget.
	ChargedResets, IdleFrames uint64
	Flooded                   bool // see ChargedResets
}

// StreamStates are numbers of streams by the state they are in. Of a stream that was
// opened with UNIDIRECTIONAL one half is closed from the beginning.
type StreamStates struct {
	Opening          int // opened by us, and the SYN_STREAM has not left yet
	Open             int // both sides may send
	HalfClosedLocal  int // only the peer may send: our FIN is on its way
	HalfClosedRemote int // only we may send: the peer's FIN has come

	// Lingering are streams of the peer that have ended while their handler still
	// runs. No more than Config.MaxConcurrentStreams handlers run at once.
	Lingering int
}

// Total is the number of all streams, lingering ones included.
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

// Traffic is what has gone in one direction of a session, or of many, in total.
type Traffic struct {
	Bytes     int64 // all bytes that were read from, or written to, the connection (before TLS)
	DataBytes int64 // payload of DATA frames; of a frame that comes in, from its beginning

	// HeaderBytes is the size of all header blocks, and CompressedHeaderBytes what
	// became of them on the wire.
	HeaderBytes, CompressedHeaderBytes int64

	// Frames and Resets are those that were read from, or handed to, the connection,
	// also if that then failed to write them.
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

// FrameCounts are numbers of frames by type: Frames[FramePing]. Frames without an
// effect, which are NOOP, CREDENTIAL and whatever is of an unknown type or of another
// version, are counted together as FrameNoop. As JSON it is an object with the names
// of the types that there were any of.
type FrameCounts [FrameWindowUpdate + 1]uint64

// Total is the number of all frames.
func (c FrameCounts) Total() uint64 { return total(c[:]) }

// MarshalJSON implements json.Marshaler.
func (c FrameCounts) MarshalJSON() ([]byte, error) { return marshalCounts(c[:], frameSlotName) }

// UnmarshalJSON implements json.Unmarshaler. Names that it does not know are left out.
func (c *FrameCounts) UnmarshalJSON(text []byte) error {
	return unmarshalCounts(text, c[:], frameSlotName)
}

func frameSlotName(i int) string { return FrameType(i).String() }

// ResetCounts are numbers of RST_STREAM frames by status: Resets[RstCancel]. Those
// with a status that the specification does not define are Resets[0]. As JSON it is
// an object with the names of the statuses that there were any of.
type ResetCounts [RstFrameTooLarge + 1]uint64

// Total is the number of all RST_STREAM frames.
func (c ResetCounts) Total() uint64 { return total(c[:]) }

// MarshalJSON implements json.Marshaler.
func (c ResetCounts) MarshalJSON() ([]byte, error) { return marshalCounts(c[:], resetSlotName) }

// UnmarshalJSON implements json.Unmarshaler. Names that it does not know are left out.
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

// ServerStats is what a server looked like at one moment, see Server.Stats: the sum
// over its sessions. The totals include sessions that have ended, and never shrink.
type ServerStats struct {
	Sessions      int    // gauge: sessions that run
	SessionsTotal uint64 // sessions that there have been, with those that run
	Greeting      int    // gauge: connections without TLS whose first bytes have not come

	Streams         StreamStates // gauges: the streams there are
	WaitingOpeners  int          // gauge: calls that wait to open a stream
	WaitingHandlers int          // gauge: streams of clients that wait for their handlers
	UnreadBytes     int64        // gauge: DATA that applications have not read
	UnsentBytes     int64        // gauge: DATA that waits for windows and networks

	StreamsOpened, StreamsAccepted uint64  // streams opened by the server, which are pushes, and by clients
	Sent, Received                 Traffic // what has gone to clients, and come from them
	Stalls                         uint64  // how often sessions have stopped reading, see SessionStats
	Shed                           uint64  // streams reset because of their unread bytes, see SessionStats
	ChargedResets, IdleFrames      uint64  // what clients have spent of their budgets, see SessionStats
	Flooded                        uint64  // sessions that have ended with ErrFlood

	Pools PoolStats // what sessions keep together; limits and use are those of now, the rest totals
}

// addGauges adds what goes up and down.
func (t *ServerStats) addGauges(s *SessionStats) {
	t.Streams.add(s.Streams)
	t.WaitingOpeners += s.WaitingOpeners
	t.WaitingHandlers += s.WaitingHandlers
	t.UnreadBytes += s.UnreadBytes
	t.UnsentBytes += s.UnsentBytes
}

// addTotals adds what only grows.
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

// Stats returns what the server's SPDY sessions are doing, and what all of them, with
// those that have ended, have done. What goes over HTTP/1.1 is not in it. It looks at
// every session, as Session.Stats does, and may be called at any time.
func (srv *Server) Stats() ServerStats {
	srv.mu.Lock()
	t := srv.ended
	t.Sessions, t.Greeting = len(srv.sessions), len(srv.greeting)
	t.Pools = srv.shared.stats()
	running := make([]*Session, 0, len(srv.sessions))
	for s := range srv.sessions {
		running = append(running, s)
	}
	srv.mu.Unlock() // before any Session.mu is taken
	for _, s := range running {
		stats := s.Stats()
		t.addGauges(&stats)
		t.addTotals(&stats)
	}
	return t
}
