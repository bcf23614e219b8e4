//go:build pairings

package pairings

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is for what is expected to happen.
const patience = 20 * time.Second

var allRows = append(append([]row{
	{name: "a stream in use whose first Wait timed out", patient: true, unserved: true, run: abandoned},
	{name: "CloseWait, and the other end writes until its CloseChan closes", patient: true, unserved: true, run: closeWaitBesideWriter},
	{name: "CloseWait, and one end writes until its CloseChan closes while the other reads", patient: true, unserved: true, run: closeWaitBesideReader},
	{name: "CloseWait after all streams have been reset", run: closeWaitAfterReset},
}, slices.Concat(faultRows, uploadRows, openingRows, lastCallRows, answerRows)...), []row{
	{name: "the program closes a net.Conn that the peer has closed", run: ownClose},
	{name: "4,000 streams at once, served late", unserved: true, rounds: 3, run: burst},
	{name: "6,000 streams that stay open", rounds: 3, run: manyStreams},
	{name: "3,000 streams, and a child of each from the other end", unserved: true, rounds: 3, run: children},
	{name: "Write after the peer's CANCEL", run: writeAfterCancel},
	{name: "Read after the peer's CANCEL", run: readAfterCancel},
	{name: "an answer, a FIN and a CANCEL in the middle of an upload", run: earlyAnswer},
	{name: "Close and Reset of 200 streams", rounds: 5, run: shortStreams},
	{name: "500 PINGs", rounds: 9, run: pings},
	{name: "three writers of one stream", rounds: 5, run: writers},
	{name: "32 MiB", rounds: 9, run: bulk},
	{name: "E14: 20 idle connections", run: idle},
}...)

// abandoned has a stream whose first Wait has timed out used for longer than ten seconds.
func abandoned(r *rig) {
	r.serve(func(s stream) {
		go func() { // ends with the row
			pass(300 * time.Millisecond)
			_ = s.SendReply(http.Header{}, false)
			pass(11 * time.Second)
			_, _ = s.Write([]byte("hello"))
			_ = s.Close()
		}()
	})
	s, err := r.client.create(header)
	require.NoError(r, err)
	_ = r.try(patience, func() error {
		timedOut := make(chan error, 1)
		go func() { timedOut <- s.WaitTimeout(100 * time.Millisecond) }()
		text, err := io.ReadAll(s)
		if err == nil && string(text) != "hello" || <-timedOut == nil {
			err = fmt.Errorf("%q", text)
		}
		return err
	})
}

// closeWaitBesideWriter closes an end whose peer has something to say now and then, until
// it hears of the end.
func closeWaitBesideWriter(r *rig) {
	r.serve(func(s stream) {
		_ = s.SendReply(http.Header{}, false)
		go func() { // ends with CloseChan
			tick := time.NewTicker(300 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
				case <-r.server.CloseChan():
					return
				}
				if _, err := s.Write([]byte("tick")); err != nil {
					return
				}
			}
		}()
	})
	s, err := r.client.create(header)
	require.NoError(r, err)
	require.NoError(r, s.Wait())
	closing := make(chan error, 1)
	go func() { closing <- r.client.CloseWait() }()
	_ = r.try(5*time.Second, func() error { <-r.server.CloseChan(); return nil })
	r.result.Times = nil // the second in which the rest can come is spent on purpose
	_ = r.try(5*time.Second, func() error { return <-closing })
	r.result.Times = nil
}

// closeWaitBesideReader closes either end while a program at either end writes until its CloseChan
// closes, and the program at the other end reads.
func closeWaitBesideReader(r *rig) {
	closing := make(chan error, 4)
	for i := range cap(closing) {
		r.client, r.server = r.pair()
		r.serve(func(s stream) {
			_ = s.SendReply(http.Header{}, false)
			r.accepted <- s
		})
		reads, writes := r.open()
		writer, closer := r.server, r.server
		if i%2 == 0 {
			reads, writes, writer = writes, reads, r.client
		}
		if i/2 == 0 {
			closer = r.client
		}
		go func() { _, _ = io.Copy(io.Discard, reads) }() // ends with the stream
		go writeUntilClosed(writer, writes)               // ends with CloseChan
		go func() { closing <- closer.CloseWait() }()
	}
	for range cap(closing) {
		_ = r.try(2*patience, func() error { return <-closing })
	}
	r.result.Times = nil // half a minute is spent on purpose
}

// writeUntilClosed writes now and then, until the CloseChan of the end closes.
func writeUntilClosed(e *end, s stream) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-e.CloseChan():
			_ = s.Close()
			return
		}
		if _, err := s.Write([]byte("tick")); err != nil {
			return
		}
	}
}

// closeWaitAfterReset is how Kubernetes closes a connection.
func closeWaitAfterReset(r *rig) {
	var streams []stream
	for range 3 {
		s, accepted := r.open()
		go func() { _, _ = io.Copy(io.Discard, accepted) }() // ends with the stream
		streams = append(streams, s)
	}
	for _, s := range streams {
		_ = s.Reset()
	}
	_ = r.try(hangs, r.client.CloseWait)
	_ = r.try(hangs, func() error { <-r.server.CloseChan(); return nil })
}

func ownClose(r *rig) {
	r.open()
	require.NoError(r, r.server.net.Close())
	<-r.client.CloseChan()
	pass(20 * time.Millisecond)
	_ = r.try(hangs, r.client.net.Close)
}

func burst(r *rig) {
	const n = 4000
	go func() { // ends with the connection
		pass(300 * time.Millisecond) // the frames lie in the kernel's buffer
		r.server.serve(func(s stream) { _ = s.SendReply(http.Header{}, false) })
	}()
	go r.client.serve(func(stream) {})
	r.awaitReplies(n)
}

// awaitReplies opens streams, and counts those that get a reply up to the first that gets
// none.
func (r *rig) awaitReplies(n int) {
	var replied atomic.Int32
	note := r.try(patience/4, func() error {
		var streams []stream
		for range n {
			s, err := r.client.create(header)
			if err != nil {
				return err
			}
			streams = append(streams, s)
		}
		for _, s := range streams {
			if err := s.WaitTimeout(3 * time.Second); err != nil {
				return err
			}
			replied.Add(1)
		}
		return nil
	})
	r.result.Of, r.result.OK = n, int(replied.Load())
	if note != nil {
		r.result.Note = note.Error()
	}
}

func manyStreams(r *rig) { r.awaitReplies(6000) }

func children(r *rig) {
	const n = 3000
	come := make(chan struct{}, n)
	go r.client.serve(func(s stream) {
		_ = s.SendReply(http.Header{}, false)
		come <- struct{}{}
	})
	go r.server.serve(func(s stream) {
		_ = s.SendReply(http.Header{}, false)
		_, _ = r.server.child(s)
	})
	_ = r.try(patience/4, func() error {
		for range n {
			if _, err := r.client.create(header); err != nil {
				return err
			}
		}
		for range n {
			<-come
		}
		return nil
	})
}

// cancelled is a stream that the other end has cancelled after some bytes.
func (r *rig) cancelled() stream {
	s, accepted := r.open()
	_, err := accepted.Write([]byte("answer"))
	require.NoError(r, err)
	_, err = io.ReadFull(s, make([]byte, 6))
	require.NoError(r, err)
	require.NoError(r, accepted.Reset())
	_, err = r.server.Ping() // behind the reset
	require.NoError(r, err)
	pass(5 * time.Millisecond)
	return s
}

func writeAfterCancel(r *rig) {
	for range 10 {
		s := r.cancelled()
		_ = r.try(hangs, func() error {
			n, err := s.Write([]byte("more"))
			if err == nil && n != 4 {
				err = io.ErrShortWrite
			}
			return err
		})
		_ = s.Reset()
	}
}

func readAfterCancel(r *rig) {
	for range 10 {
		s := r.cancelled()
		_ = r.try(hangs, func() error {
			if _, err := s.Read(make([]byte, 1)); err != io.EOF {
				return fmt.Errorf("it reads %w", err)
			}
			return nil
		})
		_ = s.Reset()
	}
}

// earlyAnswer is a server that answers and gives up before it has read the upload.
func earlyAnswer(r *rig) {
	for range 20 {
		s, accepted := r.open()
		uploaded := make(chan error, 1)
		go func() { // ends with the upload
			block := make([]byte, 4<<10)
			for range 64 {
				if _, err := s.Write(block); err != nil {
					uploaded <- err
					return
				}
			}
			uploaded <- nil
		}()
		_, err := io.ReadFull(accepted, make([]byte, 1000))
		require.NoError(r, err)
		_ = r.try(hangs, func() error {
			_, err := accepted.Write([]byte("413"))
			err = errors.Join(err, accepted.Close(), accepted.Reset())
			text, readErr := io.ReadAll(s)
			if string(text) != "413" {
				readErr = errors.Join(readErr, fmt.Errorf("%q", text))
			}
			return errors.Join(err, readErr, <-uploaded)
		})
		_ = s.Reset()
	}
}

func shortStreams(r *rig) {
	_ = r.try(patience, func() error {
		for range 200 {
			s, err := r.client.create(header)
			if err == nil {
				err = s.WaitTimeout(hangs)
			}
			if err == nil {
				_, err = s.Write([]byte("x"))
			}
			if err == nil {
				err = errors.Join(s.Close(), s.Reset(), (<-r.accepted).Reset())
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func pings(r *rig) {
	_ = r.try(patience, func() error {
		for range 500 {
			if _, err := r.client.Ping(); err != nil {
				return err
			}
		}
		return nil
	})
}

// writers write blocks of one byte each, which must not be mixed.
func writers(r *rig) {
	const size, blocks = 16 << 10, 100
	s, accepted := r.open()
	var writing sync.WaitGroup
	for i := range 3 {
		writing.Go(func() {
			block := bytes.Repeat([]byte{byte('a' + i)}, size)
			for range blocks {
				_, _ = s.Write(block)
			}
		})
	}
	_ = r.try(patience, func() error {
		block := make([]byte, size)
		for range 3 * blocks {
			if _, err := io.ReadFull(accepted, block); err != nil {
				return err
			}
			if bytes.Count(block, block[:1]) != size {
				return errors.New("mixed")
			}
		}
		return nil
	})
	writing.Wait()
}

func bulk(r *rig) {
	const size = 32 << 20
	s, accepted := r.open()
	_ = r.try(patience, func() error {
		go func() { // ends with the content or the stream
			block := bytes.Repeat([]byte("0123456789abcdef"), 2<<10)
			for range size / len(block) {
				_, _ = s.Write(block)
			}
			_ = s.Close()
		}()
		h := sha256.New()
		n, err := io.Copy(h, accepted)
		r.result.Digest = fmt.Sprint(n, hex.EncodeToString(h.Sum(nil)))
		return err
	})
}

// idle counts the goroutines of a connection that has nothing to do.
func idle(r *rig) {
	const pairs = 20
	before := runtime.NumGoroutine()
	for range pairs {
		r.client, r.server = r.pair()
		r.serve(func(s stream) {
			_ = s.SendReply(http.Header{}, false)
			r.accepted <- s
		})
		s, accepted := r.open()
		_ = errors.Join(s.Close(), accepted.Close())
		_, err := r.client.Ping()
		require.NoError(r, err)
	}
	pass(100 * time.Millisecond)
	goroutines := float64(runtime.NumGoroutine()-before) / pairs
	r.result.Of, r.result.OK = 1, 1
	r.result.Note = fmt.Sprintf("%.0f goroutines for each", goroutines)
}
