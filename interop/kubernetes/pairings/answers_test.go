//go:build pairings

package pairings

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	ours "github.com/moby/spdystream"
	"github.com/stretchr/testify/require"

	moby "github.com/amahi/spdy/interop/kubernetes/internal/original"
)

// answerRows are about the errors that calls return on streams and connections that have ended.
var answerRows = []row{
	{name: "CreateStream, and the program closes its net.Conn", unserved: true, run: openAndLeave},
	{name: "calls after the peer has closed the connection", unserved: true, run: callsAfterEnd},
	{name: "Cancel, and the calls behind it", unserved: true, run: cancels},
}

// openAndLeave has a program open a stream and close its network connection: the other end calls its
// handler with the stream.
func openAndLeave(r *rig) {
	for i := range 40 {
		r.client, r.server = r.pair()
		come := make(chan stream, 1)
		opener, other := r.client, r.server
		if i%2 == 1 {
			opener, other = other, opener
		}
		go opener.serve(func(stream) {})             // ends with the connection
		go other.serve(func(s stream) { come <- s }) // ends with the connection
		_ = r.try(hangs/4, func() error {
			if _, err := opener.create(header); err != nil {
				return err
			}
			err := opener.net.Close()
			<-come
			return err
		})
		r.client.net.Close()
		r.server.net.Close()
	}
}

// answer is an error as programs test it: by value, by errors.Is or by text.
func answer(err error) string {
	switch {
	case err == nil, err == io.EOF:
		return fmt.Sprint(err)
	case errors.Is(err, io.EOF):
		return "matches EOF"
	case err == ours.ErrWriteClosedStream, err == moby.ErrWriteClosedStream:
		return "ErrWriteClosedStream"
	case err == ours.ErrReset, err == moby.ErrReset:
		return "ErrReset"
	}
	return err.Error()
}

// note adds the answers of calls to the digest of the row.
func (r *rig) note(what string, calls ...func() error) {
	var answers []string
	err := r.try(hangs, func() error {
		for _, call := range calls {
			answers = append(answers, answer(call()))
		}
		return nil
	})
	if err != nil {
		r.Logf("%s: %s: %v behind %v", r.result.Pairing, what, err, len(answers))
		return
	}
	r.result.Digest += fmt.Sprintf("%s: %s\n", what, strings.Join(answers, ", "))
	r.result.Times = nil
}

func write(s stream) func() error {
	return func() error { _, err := s.Write([]byte("x")); return err }
}

func read(s stream) func() error {
	return func() error { _, err := s.Read(make([]byte, 1)); return err }
}

func sendHeader(s stream) func() error { return func() error { return s.SendHeader(header, false) } }
func sendReply(s stream) func() error  { return func() error { return s.SendReply(header, false) } }

// fresh makes a connection whose handlers reply to nothing.
func (r *rig) fresh() {
	r.client, r.server = r.pair()
	accepted := r.accepted
	go r.server.serve(func(s stream) { accepted <- s }) // ends with the connection
	go r.client.serve(func(s stream) { accepted <- s }) // ends with the connection
}

// opened opens a stream, with or without a reply.
func (r *rig) opened(reply bool) (opened, accepted stream) {
	r.Helper()
	s, err := r.client.create(header)
	require.NoError(r, err)
	accepted = <-r.accepted
	if reply {
		require.NoError(r, accepted.SendReply(header, false))
		require.NoError(r, s.Wait())
	}
	return s, accepted
}

// settle waits until both ends have handled the frames of the other end. A Ping of the original may
// hang behind a reset.
func settle() { pass(30 * time.Millisecond) }

// callsAfterEnd has either end close its network connection, and calls the other end.
func callsAfterEnd(r *rig) {
	for _, byServer := range []bool{true, false} {
		r.fresh()
		streams := make(map[string][2]stream)
		for _, name := range []string{"open", "closed", "reset", "reset by the peer"} {
			opened, accepted := r.opened(true)
			streams[name] = [2]stream{opened, accepted}
		}
		opened, accepted := r.opened(false)
		streams["without a reply"] = [2]stream{opened, accepted}
		here, there, mine := r.client, r.server, 0
		if !byServer {
			here, there, mine = r.server, r.client, 1
		}
		require.NoError(r, streams["closed"][mine].Close())
		require.NoError(r, streams["reset"][mine].Reset())
		require.NoError(r, streams["reset by the peer"][1-mine].Reset())
		settle()
		require.NoError(r, there.net.Close())
		<-here.CloseChan()
		pass(50 * time.Millisecond)
		for _, name := range []string{"open", "closed", "reset", "reset by the peer"} {
			s := streams[name][mine]
			r.note(name, write(s), sendHeader(s), s.Close, s.Close)
		}
		if s := streams["without a reply"][mine]; byServer {
			r.note("without a reply", write(s), sendHeader(s), s.Close)
		} else {
			r.note("without a reply", sendReply(s), sendHeader(s))
		}
		r.note("connection",
			func() error { _, err := here.create(header); return err },
			func() error { _, err := here.Ping(); return err })
	}
}

// cancels cancels streams at different times, at either end.
func cancels(r *rig) {
	for _, when := range []struct {
		name    string
		reply   bool
		prepare func(mine, theirs stream) error
	}{
		{"before the reply", false, func(stream, stream) error { return nil }},
		{"after the reply", true, func(stream, stream) error { return nil }},
		{"after Close", true, func(mine, _ stream) error { return mine.Close() }},
		{"after Close of the peer", true, func(_, theirs stream) error { return theirs.Close() }},
		{"after Close of both", true, func(mine, theirs stream) error { return errors.Join(mine.Close(), theirs.Close()) }},
		{"after Reset", true, func(mine, _ stream) error { return mine.Reset() }},
		{"after Reset of the peer", true, func(_, theirs stream) error { return theirs.Reset() }},
		{"after Cancel of the peer", true, func(_, theirs stream) error { return theirs.Cancel() }},
	} {
		for _, byOpener := range []bool{true, false} {
			r.fresh()
			mine, theirs := r.opened(when.reply)
			waited := make(chan error, 1)
			go func(s stream) { waited <- s.Wait() }(mine) // ends with the stream or the connection
			if !byOpener {
				mine, theirs = theirs, mine
			}
			require.NoError(r, when.prepare(mine, theirs))
			settle()
			what := fmt.Sprintf("%s, by the opener: %v", when.name, byOpener)
			calls := []func() error{mine.Cancel, mine.Cancel, sendHeader(mine), write(mine), mine.Close, mine.Close, mine.Reset, mine.Cancel}
			if !byOpener {
				calls = append([]func() error{mine.Cancel, sendReply(mine), mine.Refuse}, calls[2:]...)
			}
			r.note(what, calls...)
			settle()
			r.notePeer(what, theirs, byOpener, when.reply)
			if !byOpener && !when.reply {
				r.note("Wait, "+what, func() error { return <-waited })
			}
			r.client.net.Close()
			r.server.net.Close()
		}
	}
}

// notePeer notes the answers at the end whose peer has cancelled the stream. Left out are calls that
// do not return in the original, after its own Cancel and behind a reset for which no Wait waits; a
// Write after Close, which the original sends, see X3; and Close after two Cancels that cross.
func (r *rig) notePeer(what string, theirs stream, accepted, replied bool) {
	crossed := strings.HasPrefix(what, "after Cancel of the peer")
	var calls []func() error
	if accepted {
		calls = append(calls, sendReply(theirs))
	}
	if !strings.HasPrefix(what, "after Close of") {
		calls = append(calls, write(theirs))
	}
	if !crossed {
		calls = append(calls, read(theirs))
	}
	if replied && !crossed {
		calls = append(calls, theirs.Close)
	}
	r.note("the peer, "+what, append(calls, theirs.Reset)...)
}
