//go:build pairings

package pairings

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// lastCallRows are about what becomes of the last calls of a program, and of calls that bring nothing.
var lastCallRows = []row{
	{name: "the last calls, and the program closes its net.Conn", unserved: true, run: lastCalls},
	{name: "SendReply, SendHeader and Reset", unserved: true, run: replyAndReset},
	{name: "an end that streams do not survive, and the other program does nothing", patient: true, unserved: true, run: forcedEnd},
	{name: "100,000 empty writes", unserved: true, run: emptyWrites},
	{name: "50 goroutines with 400 PINGs each", run: pingsAtOnce},
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
		r.serve(func(s stream) {
			_ = s.SendReply(http.Header{"Status": {"413"}}, true)
			_ = r.server.net.Close()
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

// emptyWrites writes nothing, often.
func emptyWrites(r *rig) {
	r.serve(func(s stream) {
		_ = s.SendReply(http.Header{}, false)
		go func() { _, _ = io.Copy(s, s) }() // ends with the stream
	})
	s, err := r.client.create(header)
	_ = r.try(3*patience, func() error {
		if err != nil {
			return err
		}
		if err := s.Wait(); err != nil {
			return err
		}
		for range 100_000 {
			if err := s.WriteData([]byte{}, false); err != nil {
				return err
			}
		}
		if _, err := s.Write([]byte("hello")); err != nil {
			return err
		}
		_, err := io.ReadFull(s, make([]byte, 5))
		return err
	})
}

func pingsAtOnce(r *rig) {
	r.open()
	_ = r.try(3*patience, func() error {
		var mu sync.Mutex
		var failed error
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				for range 400 {
					if _, err := r.client.Ping(); err != nil {
						mu.Lock()
						failed = err
						mu.Unlock()
						return
					}
				}
			})
		}
		all.Wait()
		return failed
	})
}
