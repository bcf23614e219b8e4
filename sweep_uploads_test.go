package spdy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A gatedBody is the body of a request that stops after some bytes until its gate is open.
// Then it goes on to its end, or fails.
type gatedBody struct {
	*pattern
	stop   int64 // bytes before the gate
	err    error // instead of what is behind the gate
	gate   chan struct{}
	open   func() // opens it
	closed atomic.Bool
}

func newGatedBody(seed, size, stop int64, err error) *gatedBody {
	b := &gatedBody{pattern: newPattern(seed, size), stop: min(stop, size), err: err, gate: make(chan struct{})}
	b.open = sync.OnceFunc(func() { close(b.gate) })
	if stop >= size {
		b.open()
	}
	return b
}

func (b *gatedBody) Read(p []byte) (int, error) {
	if b.stop > 0 {
		n, err := b.pattern.Read(p[:min(int64(len(p)), b.stop)])
		b.stop -= int64(n)
		return n, err
	}
	<-b.gate
	if b.err != nil {
		return 0, b.err
	}
	return b.pattern.Read(p)
}

func (b *gatedBody) Close() error {
	b.closed.Store(true)
	return nil
}

// errSpoilt is what a body fails with.
var errSpoilt = errors.New("the file is gone")

// overlapped are handlers whose answers begin, or end, while the client still sends.
func (s *sweepRun) overlapped(w http.ResponseWriter, r *http.Request) {
	check := newPatternCheck(1, s.body)
	whole := func() {
		_, err := io.Copy(check, r.Body)
		if err == nil {
			err = check.whole()
		}
		s.failed("server", err)
	}
	answer := newPattern(2, s.body)
	send := func(n int64) {
		_, err := io.CopyN(w, answer, n)
		s.failed("server", err)
		s.failed("server", http.NewResponseController(w).Flush())
	}
	switch r.URL.Path {
	case "/late": // the client sends when it has half of the answer
		send(s.body / 2)
		whole()
	case "/early": // the client has sent all before there is an answer
		whole()
		for range 10 {
			send(s.body / 20)
		}
	case "/part":
		_, err := io.CopyN(check, r.Body, s.body/4)
		s.failed("server", err)
	case "/fails":
		_, err := io.CopyN(check, r.Body, 1000)
		s.failed("server", err)
		send(s.body / 2)
	case "/pushing":
		for _, path := range []string{"/pushed/unread", "/pushed/refused", "/pushed/left", "/pushed/claimed"} {
			err := w.(http.Pusher).Push(path, nil)
			if !peerReset(err, RstRefusedStream, RstCancel) { // before it has begun
				s.failed("server", err)
			}
		}
	}
	send(s.body - answer.off)
	s.note(s.sent, "server: "+r.URL.Path)
}

// answerPush is the handler of pushes: one that is asked for, one that is asked for and not
// read to its end, one that is refused, and one that nobody asks for.
func (s *sweepRun) answerPush(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.pushed++
	s.mu.Unlock()
	w.Header().Set("Cache-Control", "public")
	size := s.body
	if r.URL.Path == "/pushed/unread" {
		size = s.body / 10
	}
	_, err := io.Copy(w, newPattern(3, size))
	if peerReset(err, RstRefusedStream, RstCancel) { // pushed counts those that are asked for
		return
	}
	s.failed("server", err)
}

// overlap sends an upload that stops after some bytes until a part of the answer has been
// read. The answer is whole, whatever becomes of the upload.
func (s *sweepRun) overlap(path string, stop, read int64, spoilt error) {
	body := newGatedBody(1, s.body, stop, spoilt)
	defer body.open()
	s.mu.Lock()
	s.bodies = append(s.bodies, body)
	s.mu.Unlock()
	res, err := s.r.client.RoundTrip(s.r.request(http.MethodPost, path, body))
	if err != nil {
		s.failed("client", err)
		return
	}
	defer res.Body.Close()
	check := newPatternCheck(2, s.body)
	_, err = io.CopyN(check, res.Body, read)
	body.open()
	if err == nil {
		_, err = io.Copy(check, res.Body)
	}
	if err == nil {
		err = check.whole()
	}
	s.failed("client", err)
	if err == nil {
		s.note(s.got, "server: "+path)
	}
}

// overlaps are uploads that end before, while and after they are answered, and do not end.
func (s *sweepRun) overlaps(wg *sync.WaitGroup) {
	half := s.body / 2
	wg.Go(func() { s.overlap("/late", 0, half, nil) })
	wg.Go(func() { s.overlap("/late", 1000, 1, nil) })
	wg.Go(func() { s.overlap("/early", s.body, 1, nil) })
	wg.Go(func() { s.overlap("/unread", s.body, 1, nil) })
	wg.Go(func() { s.overlap("/unread", 1000, s.body, nil) }) // the rest comes behind the answer
	wg.Go(func() { s.overlap("/part", s.body/3, 1, nil) })
	wg.Go(func() { s.overlap("/fails", 2000, 0, errSpoilt) })
	wg.Go(func() { s.overlap("/fails", 2000, half, errSpoilt) })
}

// uploadsAndPushes goes through uploads that overlap their answers, and pushes that are
// claimed, left, refused and not asked for, and ends gracefully.
func (s *sweepRun) uploadsAndPushes() {
	var wg sync.WaitGroup
	s.overlaps(&wg)
	wg.Go(func() {
		s.overlap("/pushing", s.body, 1, nil)
		<-time.After(10 * time.Second) // a push that is not whole yet is used when its cause has ended
		s.exchange("/pushed/claimed", 0, s.body, 3)
		s.leave("/pushed/left")
	})
	wg.Wait()
	<-time.After(10 * time.Second) // for what has been given a time to end
	s.balanced()
	s.mu.Lock()
	pushed, failed := s.pushed, len(s.at) > 0
	s.mu.Unlock()
	if !failed && pushed < 4 { // more if a push was dropped before it was asked for
		s.failed("server", fmt.Errorf("%d handlers of pushes", pushed))
	}
	s.shutdown("client")
	s.shutdown("server")
}

// leave reads a part of an answer.
func (s *sweepRun) leave(path string) {
	res, err := s.r.client.RoundTrip(s.r.request(http.MethodGet, path, nil))
	if err != nil {
		s.failed("client", err)
		return
	}
	_, err = io.CopyN(newPatternCheck(3, s.body), res.Body, s.body/3)
	s.failed("client", err)
	res.Body.Close()
}

// farewell begins the graceful end of both sessions amid uploads, downloads and pushes, all
// of which come to their end. Later requests are refused.
func (s *sweepRun) farewell() {
	var wg sync.WaitGroup
	s.overlaps(&wg)
	wg.Go(func() { s.overlap("/pushing", s.body, 1, nil) })
	wg.Go(func() { s.exchange("/echo", s.body, s.body, 1) })
	<-time.After(5 * s.latency)
	s.r.client.SendGoaway(FLAG_NONE, nil)
	wg.Go(func() { s.shutdown("server") })
	<-time.After(5 * s.latency)
	wg.Go(func() { s.shutdown("client") })
	wg.Go(func() {
		_, err := s.r.client.RoundTrip(s.r.request(http.MethodGet, "/echo", nil))
		if !retryable(err) {
			s.failed("client", err)
		}
	})
	_, err := s.r.client.PingContext(context.Background())
	s.failed("client", err)
	wg.Wait()
}
