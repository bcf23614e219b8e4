package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/amahi/spdy"
)

// A bug is a known fault of a peer, with its evidence. Every conversation that the bug is recorded
// for must show it; see judge.
type bug struct {
	id       string
	peer     string
	title    string
	evidence string // the conversation and the frames
	breaks   bool   // the bug makes the conversation fail
	chance   bool   // the bug shows only sometimes; the conversation is then repeated
	covers   func(c cell) bool
	seen     func(o *outcome) bool
}

// observers are the peers that only read traffic.
var observers = map[string]bool{peerTshark: true, peerMobyFramer: true}

// at returns the condition of a peer, a role and conversations.
func at(peer string, libraryServes bool, conversations ...string) func(cell) bool {
	return func(c cell) bool {
		return c.peer == peer && c.server == libraryServes && slices.Contains(conversations, c.conversation)
	}
}

// either is the disjunction of two conditions.
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

// onWire detects a bug in the frames.
func onWire(ok func(tr *trace) bool) func(*outcome) bool {
	return func(o *outcome) bool { return o.trace != nil && ok(o.trace) }
}

// printed detects a bug in the peer's output.
func printed(text string) func(*outcome) bool {
	return func(o *outcome) bool { return strings.Contains(o.peerLog, text) }
}

// stands reports whether a conversation stalled.
func (o *outcome) stands() bool {
	var e *stalled
	return errors.As(o.err, &e)
}

// after reports whether a frame that matches then follows the first frame that matches first.
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

// byChance returns the recorded bug that broke a conversation that usually succeeds, or nil.
func byChance(c cell, o *outcome) *bug {
	for _, b := range recorded {
		if b.chance && o.err != nil && b.covers(c) && b.seen(o) {
			return b
		}
	}
	return nil
}

var recorded = slices.Concat(nodeBugs, nettyBugs, mobyBugs, tsharkBugs)

// onlyV2 and others are short names for the versions of a bug.
var (
	onlyV2 = spdy.SPDY2
	others = []spdy.Version{spdy.SPDY3, spdy.SPDY31}
)
