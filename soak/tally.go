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

// What the processes count. Those of neverCounts must be zero at the end.
const (
	requests    = "requests"               // that clients have sent
	completed   = "completed"              // came to their end, every byte checked
	abandoned   = "abandoned"              // given up by the client, as it had planned
	broken      = "broken off"             // ended with an error
	unavailable = "no tunnel (502 to 504)" // answered by the relay
	acked       = "uploads acknowledged"   // by the origin, with the right length and sum
	received    = "body bytes checked"
	pings       = "pings answered"
	pingsLost   = "pings not answered"
	sessions    = "sessions of their own" // that clients have dialled by hand and ended
	rawStreams  = "raw streams"           // that clients have opened, and that were in order
	pushes      = "pushes accepted"       // by clients; some are claimed
	overlaps    = "uploads overlapped"    // by their answers, every byte checked
	connsCut    = "connections cut"       // by clients, with RST

	truncated = "truncated, but passed off as complete"
	corrupt   = "corrupt"
	wrong     = "answers that fit no request" // a status or a header
	hung      = "hung"                        // longer than any request may take
	breach    = "errors of the protocol"

	uploadsWhole  = "uploads taken whole" // by the origin
	uploadsBroken = "uploads broken off"
)

// neverCounts are what nothing that was done here excuses.
var neverCounts = []string{truncated, corrupt, wrong, hung, breach}

// A tally counts things by name. It may be used by any number of goroutines.
type tally struct {
	mu    sync.Mutex
	count map[string]int64
	notes []string // the first few reasons for what must not be
}

// maxNotes bounds what is kept of reasons, which are all alike when there are many.
const maxNotes = 20

func (t *tally) add(name string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count == nil {
		t.count = make(map[string]int64)
	}
	t.count[name] += n
}

// never counts what must not be, and keeps the reason.
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

// sessionEnded counts why a session ended: both of its ends are ours and nothing changes
// bytes on the way, so that it is never the protocol.
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

// reasonOf puts an error into one of few classes, for the table at the end.
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

// tail is what an error says last, which is what the system calls it.
func tail(text string) string {
	if i := strings.LastIndex(text, ": "); i >= 0 {
		return text[i+2:]
	}
	return text
}

// isUnavailable tells the answers by which a relay says that it has no tunnel at the moment.
func isUnavailable(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}
