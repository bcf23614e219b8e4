package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/amahi/spdy"
)

// A bug is a fault of a peer that is known, with what shows it. A conversation it
// is recorded for has to show it, see judge.
type bug struct {
	id       string
	peer     string
	title    string
	evidence string // which conversation and which frames
	breaks   bool   // the conversation fails for it
	chance   bool   // it shows now and then; the conversation is held again then
	covers   func(c cell) bool
	seen     func(o *outcome) bool
}

// observers are the peers that only read what others say.
var observers = map[string]bool{peerTshark: true, peerMobyFramer: true}

// at says where a bug shows: the peer's role and the conversations.
func at(peer string, libraryServes bool, conversations ...string) func(cell) bool {
	return func(c cell) bool {
		return c.peer == peer && c.server == libraryServes && slices.Contains(conversations, c.conversation)
	}
}

// either is where one of two conditions holds.
func either(a, b func(cell) bool) func(cell) bool {
	return func(c cell) bool { return a(c) || b(c) }
}

// in restricts a condition to versions.
func in(where func(cell) bool, versions ...spdy.Version) func(cell) bool {
	return func(c cell) bool { return where(c) && slices.Contains(versions, c.version) }
}

// plain restricts a condition to conversations without TLS.
func plain(where func(cell) bool) func(cell) bool {
	return func(c cell) bool { return where(c) && !c.tls }
}

// onWire is a bug that frames show.
func onWire(ok func(tr *trace) bool) func(*outcome) bool {
	return func(o *outcome) bool { return o.trace != nil && ok(o.trace) }
}

// printed is a bug that the peer's own output shows.
func printed(text string) func(*outcome) bool {
	return func(o *outcome) bool { return strings.Contains(o.peerLog, text) }
}

// stands reports that a conversation stood still.
func (o *outcome) stands() bool {
	var e *stalled
	return errors.As(o.err, &e)
}

// after reports that a side sent a frame later than the first of another kind.
func (tr *trace) after(first func(*step) bool, then func(*step) bool) bool {
	i := slices.IndexFunc(tr.steps, func(s step) bool { return first(&s) })
	return i >= 0 && slices.ContainsFunc(tr.steps[i+1:], func(s step) bool { return then(&s) })
}

// isGoAway matches a GOAWAY, readable or not, of a side.
func isGoAway(from side) func(*step) bool {
	return func(s *step) bool { return s.from == from && s.raw[0] == 0x80 && s.raw[3] == byte(spdy.FrameGoAway) }
}

// isReset matches a RST_STREAM of a side.
func isReset(from side, status spdy.RstStatus) func(*step) bool {
	return func(s *step) bool {
		f, ok := s.frame.(*spdy.RstStreamFrame)
		return ok && s.from == from && (status == 0 || f.Status == status)
	}
}

// byChance returns the recorded bug that broke a conversation which goes well most
// of the time, or nil.
func byChance(c cell, o *outcome) *bug {
	for _, b := range recorded {
		if b.chance && o.err != nil && b.covers(c) && b.seen(o) {
			return b
		}
	}
	return nil
}

var recorded = slices.Concat(nodeBugs, nettyBugs, mobyBugs, tsharkBugs)

// onlyV2 and others are how a bug's versions are told in short.
var (
	onlyV2 = spdy.SPDY2
	others = []spdy.Version{spdy.SPDY3, spdy.SPDY31}
)
