package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/amahi/spdy"
)

// The counts of the processes. Those in neverCounts must be zero at the end.
const (
	requests    = "requests"               // sent by clients
	completed   = "completed"              // complete, with every byte checked
	abandoned   = "abandoned"              // abandoned by the client, as planned
	broken      = "broken off"             // ended with an error
	unavailable = "no tunnel (502 to 504)" // response of the relay
	acked       = "uploads acknowledged"   // by the origin, with the right length and sum
	received    = "body bytes checked"
	pings       = "pings answered"
	pingsLost   = "pings not answered"
	sessions    = "sessions of their own" // dialled by hand by clients, and ended
	rawStreams  = "raw streams"           // opened by clients, and completed
	pushes      = "pushes accepted"       // by clients; some are claimed
	overlaps    = "uploads overlapped"    // by their answers, every byte checked
	connsCut    = "connections cut"       // by clients, with RST

	truncated = "truncated, but passed off as complete"
	corrupt   = "corrupt"
	wrong     = "answers that fit no request" // wrong status or header
	hung      = "hung"                        // longer than any request may last
	breach    = "errors of the protocol"

	uploadsWhole  = "uploads taken whole" // by the origin
	uploadsBroken = "uploads broken off"
)

// neverCounts are the counts that no fault of the soak excuses.
var neverCounts = []string{truncated, corrupt, wrong, hung, breach}

// A tally counts events by name. It may be used by any number of goroutines.
type tally struct {
	mu    sync.Mutex
	count map[string]int64
	notes []string // reasons for the first few failures
}

// maxNotes limits the number of reasons kept; when there are many they are all alike.
const maxNotes = 20

func (t *tally) add(name string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == nil {
		t.count = make(map[string]int64)
	}
	t.count[name] += n
}

// never counts a failure, and records the reason.
func (t *tally) never(name, reason string) {
	t.add(name, 1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.notes) < maxNotes {
		t.notes = append(t.notes, name+": "+reason)
	}
}

func (t *tally) all() (count map[string]int64, notes []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.count), append([]string(nil), t.notes...)
}

// sessionEnded checks why a session ended: both ends are ours and nothing changes the bytes in
// transit, so a protocol error is always a failure.
func (t *tally) sessionEnded(where string, err error) {
	var protocol *spdy.SessionError
	if errors.As(err, &protocol) {
		t.never(breach, where+": "+err.Error())
	}
}

// failed counts an exchange that ended with an error.
func (t *tally) failed(what string, err error) {
	var protocol *spdy.SessionError
	switch {
	case errors.Is(err, errCorrupt):
		t.never(corrupt, what+": "+err.Error())
	case errors.Is(err, errTruncated):
		t.never(truncated, what+": "+err.Error())
	case errors.As(err, &protocol):
		t.never(breach, what+": "+err.Error())
	case errors.Is(err, errHung):
		t.never(hung, what+": "+err.Error())
	default:
		t.add(broken, 1)
		t.add("  "+reasonOf(err), 1)
	}
}

var errHung = errors.New("no end in sight")

// reasonOf classifies an error, for the table at the end.
func reasonOf(err error) string {
	var stream *spdy.StreamError
	var conn *spdy.ConnError
	switch {
	case errors.As(err, &stream):
		if stream.Remote {
			return "reset by the other side: " + stream.Status.String()
		}
		return "reset by this side: " + stream.Status.String()
	case errors.As(err, &conn):
		return "connection of a session lost"
	case errors.Is(err, spdy.ErrSessionClosed):
		return "session closed"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "given up by its context"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "HTTP/1.1: unexpected EOF"
	case strings.Contains(err.Error(), "http: "), strings.Contains(err.Error(), "transport"):
		return "HTTP/1.1: connection lost"
	}
	return "system: " + tail(err.Error())
}

// tail returns the last part of an error text, which is the operating system's name for the error.
func tail(text string) string {
	if i := strings.LastIndex(text, ": "); i >= 0 {
		return text[i+2:]
	}
	return text
}

// isUnavailable reports whether a relay without a tunnel sends the status.
func isUnavailable(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}
