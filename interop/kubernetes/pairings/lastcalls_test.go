//go:build pairings

package pairings

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// lastCallRows are about what becomes of the last calls of a program. Calls that bring nothing are tested
// beside the drop-in: Ping of the original is not safe for several goroutines.
var lastCallRows = []row{
	{name: "the last calls, and the program closes its net.Conn", unserved: true, run: lastCalls},
	{name: "SendReply, SendHeader and Reset", unserved: true, run: replyAndReset},
	{name: "an end that streams do not survive, and the other program does nothing", patient: true, unserved: true, run: forcedEnd},
}

// lastCalls has a program close its network connection right behind its last call. The other end
// gets all that was sent, and its end.
func lastCalls(r *rig) {
	for range 10 {
		for _, call := range []func(s stream) error{
			func(s stream) error {
				if _, err := s.Write(make([]byte, 100_000)); err != nil {
					return err
				}
				return s.Close()
			},
			func(s stream) error { return s.SendHeader(header, false) },
		} {
			for _, byServer := range []bool{false, true} {
				r.client, r.server = r.pair()
				r.serve(func(s stream) {
					_ = s.SendReply(http.Header{}, false)
					r.accepted <- s
				})
				from, to := r.open()
				sender := r.client
				if byServer {
					from, to, sender = to, from, r.server
				}
				r.atLast(sender, from, to, call)
				r.client.net.Close()
				r.server.net.Close()
			}
		}
		r.client, r.server = r.pair()
		server := r.server // the next round has another
		r.serve(func(s stream) {
			_ = s.SendReply(http.Header{"Status": {"413"}}, true)
			_ = server.net.Close()
		})
		_ = r.try(hangs, func() error {
			s, err := r.client.create(header)
			if err != nil {
				return err
			}
			return s.Wait()
		})
		r.client.net.Close()
	}
	r.result.Times = nil
}

// atLast has one end make a call and close its network connection, and wants the other to get all
// of it.
func (r *rig) atLast(sender *end, from, to stream, call func(stream) error) {
	headers := make(chan error, 1)
	go func() { _, err := to.ReceiveHeader(); headers <- err }() // ends with the stream
	_ = r.try(2*hangs, func() error {
		go func() { // ends with the call
			_ = call(from)
			_ = sender.net.Close()
		}()
		n, err := io.Copy(io.Discard, to)
		if n == 100_000 && err == nil {
			return nil
		}
		return errors.Join(<-headers, ignoreEnd(n))
	})
}

// ignoreEnd fails for a part of what was sent.
func ignoreEnd(n int64) error {
	if n != 0 {
		return fmt.Errorf("%d bytes, and no end", n)
	}
	return nil
}

// replyAndReset gives streams up right behind the reply and headers.
func replyAndReset(r *rig) {
	r.serve(func(s stream) {
		_ = s.SendReply(http.Header{"A": {"b"}}, false)
		_ = s.SendHeader(header, false)
		_ = s.Reset()
	})
	for range 200 {
		_ = r.try(hangs, func() error {
			s, err := r.client.create(header)
			if err != nil {
				return err
			}
			headers := make(chan error, 1)
			go func() { _, err := s.ReceiveHeader(); headers <- err }() // ends with the stream
			return errors.Join(s.Wait(), <-headers)
		})
	}
}

// forcedEnd ends connections with open streams, and wants the network connection of the other end
// to be closed without its program.
func forcedEnd(r *rig) {
	for _, end := range []func(e *end){
		func(e *end) { _ = e.Close() },
		func(e *end) { e.SetIdleTimeout(10 * time.Millisecond) },
	} {
		for _, byServer := range []bool{false, true} {
			r.client, r.server = r.pair()
			r.serve(func(s stream) {
				_ = s.SendReply(http.Header{}, false)
				r.accepted <- s
			})
			from, to := r.open()
			for _, s := range []stream{from, to} {
				go func() { _, _ = io.Copy(io.Discard, s) }() // ends with the stream
			}
			ends, other := r.client, r.server
			if byServer {
				ends, other = other, ends
			}
			_ = r.try(patience, func() error {
				end(ends)
				raw, err := other.net.SyscallConn()
				for err == nil && raw.Control(func(uintptr) {}) == nil { // else it is closed
					pass(20 * time.Millisecond)
				}
				return err
			})
			r.client.net.Close()
			r.server.net.Close()
		}
	}
	r.result.Times = nil // the second in which the streams can end is spent on purpose
}
