package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/amahi/spdy"
)

// The conversations, in the order of the table's columns.
const (
	convGet      = "get"
	convHead     = "head"
	convEcho     = "echo"
	convStreams  = "streams"
	convHeaders  = "headers"
	convTrailers = "trailers"
	convWindow   = "window"
	convPush     = "push"
	convCancel   = "cancel"
	convCut      = "cut"
	convGoAwayC  = "goaway-c"
	convGoAwayS  = "goaway-s"
	convPing     = "ping"
)

// A conversation is a column of the table.
type conversation struct {
	name  string
	about string
}

var conversations = []conversation{
	{convGet, "GET and its answer, headers with several values, a 404 on the same connection"},
	{convHead, "HEAD: headers without a body"},
	{convEcho, "POST of 10 MiB, which the server sends back"},
	{convStreams, "200 GETs at once on one connection; the server answers when 100 wait (200 if the library is the server), 20000 bytes each"},
	{convHeaders, "a header of 20 KiB in the request and in the answer"},
	{convTrailers, "a header after the body of the answer"},
	{convWindow, "the reader of 1 MiB does not read: the sender stops when the window is used up, and goes on when it opens"},
	{convPush, "the server pushes, the client takes what is pushed"},
	{convCancel, "the client resets an endless answer in mid-body; the connection stays good"},
	{convCut, "the server resets an answer in mid-body; the client sees an error, not an end"},
	{convGoAwayC, "the client says GOAWAY while an answer is coming; it comes whole, then the connection closes"},
	{convGoAwayS, "the server says GOAWAY in the middle of an answer; it comes whole, then the connection closes"},
	{convPing, "both sides ping"},
}

// A cell is a conversation with a peer.
type cell struct {
	peer         string // "node-spdy", ...
	version      spdy.Version
	tls          bool
	auto         bool // our server has to detect the version
	server       bool // the library is the server
	conversation string
}

func (c cell) String() string {
	return c.row() + " " + c.conversation
}

// row returns the name of the cell's row in the table.
func (c cell) row() string {
	return strings.Join([]string{c.peer, c.role(), c.version.String(), c.transport()}, " ")
}

// role returns the peer's role.
func (c cell) role() string {
	switch {
	case observers[c.peer]:
		return "observer"
	case c.server:
		return "client"
	}
	return "server"
}

func (c cell) transport() string {
	switch {
	case c.tls:
		return "TLS"
	case c.auto:
		return "plain, not told"
	}
	return "plain"
}

// An outcome is the result of a conversation.
type outcome struct {
	err     error  // nil on success
	trace   *trace // up to the end of the conversation; nil if nothing was tapped
	whole   *trace // up to the end of the connection
	peerLog string // the peer's output, or an observer's note
	addr    string // of the server
	took    time.Duration
}

// A verdict is the content of a cell.
type verdict struct {
	cell    cell
	outcome outcome
	text    string // text of the cell in the table
	bugs    []*bug // recorded bugs that occurred
	failure error  // why the run fails; nil for a pass and for a recorded bug
}

// errNotHere marks a conversation that does not exist for a peer or a version.
var errNotHere = errors.New("not part of this version or peer")

// judge compares an outcome with the recorded bugs. A failed conversation needs a recorded bug that
// explains the failure. A recorded bug must occur in every conversation it is recorded for. If it
// does not, the peer was repaired or the record is wrong, and the record must be removed.
func judge(c cell, o outcome) verdict {
	v := verdict{cell: c, outcome: o}
	if errors.Is(o.err, errNotHere) {
		v.text = "–"
		return v
	}
	explained := o.err == nil
	for _, b := range recorded {
		if b.chance || !b.covers(c) {
			continue
		}
		switch {
		case !b.seen(&v.outcome):
			v.failure = errors.Join(v.failure, fmt.Errorf("recorded bug %s no longer seen: %s", b.id, b.title))
		case b.breaks && o.err == nil:
			v.failure = errors.Join(v.failure, fmt.Errorf("recorded bug %s no longer breaks the conversation: %s", b.id, b.title))
		default:
			v.bugs = append(v.bugs, b)
			explained = explained || b.breaks
		}
	}
	if !explained {
		v.failure = errors.Join(o.err, v.failure)
	}
	v.text = v.show()
	return v
}

func (v *verdict) show() string {
	var ids []string
	for _, b := range v.bugs {
		ids = append(ids, b.id)
	}
	switch {
	case v.failure != nil:
		return "FAIL"
	case v.outcome.err != nil:
		return "bug " + strings.Join(ids, ", ")
	case len(ids) > 0:
		return "pass (" + strings.Join(ids, ", ") + ")"
	}
	return "pass"
}
