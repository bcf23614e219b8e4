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

// An actor is what the application does with one stream: a goroutine that reads and one
// that writes, each of which goes through what it is told in turn.
type actor struct {
	in, out chan func() (more bool)
	st      atomic.Pointer[Stream]
	reading atomic.Bool   // in a call of read
	ended   atomic.Bool   // read has returned io.EOF
	closed  chan struct{} // latch of an upload's body: the library has closed it
	once    sync.Once
	left    int // bytes that an upload's body is to give

	// What differs from one kind of stream to the other. Any of them may be nil.
	read  func(p []byte) (int, error)
	write func(p []byte) error
	fin   func() (more bool)
	abort func(how byte)
	extra func(how byte)
}

func run(ch chan func() bool) {
	for f := range ch {
		if !f() {
			return
		}
	}
}

// post leaves something to do; what there is no room for is left out.
func post(ch chan func() bool, f func() bool) {
	select {
	case ch <- f:
	default:
	}
}

// newActor makes an actor. When the run ends there is nothing for it to do.
func (r *fuzzRun) newActor() *actor {
	a := &actor{in: make(chan func() bool, maxOps), out: make(chan func() bool, maxOps), closed: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ending {
		close(a.in)
		close(a.out)
		return a
	}
	r.actors = append(r.actors, a)
	return a
}

func (a *actor) doRead(n int) {
	post(a.in, func() bool {
		if a.read == nil {
			return true
		}
		a.reading.Store(true)
		_, err := a.read(make([]byte, n))
		a.reading.Store(false)
		if err == io.EOF {
			a.ended.Store(true)
		}
		return true
	})
}

func (a *actor) doWrite(n int) {
	post(a.out, func() bool {
		a.left = n
		if a.write != nil {
			_ = a.write(testBytes(n)) // how it fails is not the matter here
		}
		return true
	})
}

// handle is the handler of a fuzzed server.
func (r *fuzzRun) handle(w http.ResponseWriter, req *http.Request) {
	a, st := r.newActor(), w.(*Stream)
	a.st.Store(st)
	a.read = req.Body.Read
	a.write = func(p []byte) error { _, err := w.Write(p); return err }
	a.fin = func() bool { return false }
	a.abort = func(how byte) {
		if how&1 != 0 {
			req.Body.Close()
			return
		}
		post(a.out, func() bool { panic(http.ErrAbortHandler) })
	}
	a.extra = func(how byte) { post(a.out, func() bool { r.handlerExtra(w, how); return true }) }
	r.wg.Go(func() { run(a.in) })
	run(a.out)
}

func (r *fuzzRun) handlerExtra(w http.ResponseWriter, how byte) {
	control := http.NewResponseController(w)
	switch how % 8 {
	case 0:
		_ = control.Flush()
	case 1:
		_ = w.(http.Pusher).Push(fmt.Sprintf("/%d", how>>4), nil)
	case 2:
		w.WriteHeader(200 + int(how>>3))
	case 3:
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("X-Sum", "1")
	case 4:
		w.Header().Set("Content-Length", fmt.Sprint(how>>3))
	case 5:
		_ = control.SetReadDeadline(time.Now().Add(time.Second))
	case 6:
		_ = control.SetWriteDeadline(time.Now().Add(time.Second))
	case 7:
		w.Header().Add("Large", string(testBytes(5000)))
	}
}

// request makes a request of a fuzzed client.
func (r *fuzzRun) request(how byte) {
	a := r.newActor()
	ctx, cancel := context.WithCancel(r.ctx)
	var body io.Reader
	if how&8 != 0 {
		body = fuzzBody{a}
	}
	method := [...]string{"GET", "POST", "HEAD", "OPTIONS"}[how&3]
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://fuzz.example/%d", how>>4&3), body)
	if err != nil {
		r.t.Error(err)
	}
	if how&0x40 != 0 {
		req.Header.Set("Priority", "u=7")
	}
	if how&4 != 0 && body != nil {
		req.Trailer = http.Header{"X-Sum": {"1"}}
	}
	var answer atomic.Pointer[http.Response]
	a.fin = func() bool { a.left = -1; return true }
	a.abort = func(how byte) {
		if res := answer.Load(); how&1 != 0 && res != nil {
			res.Body.Close()
			return
		}
		cancel()
	}
	r.wg.Go(func() {
		defer cancel()
		res, err := r.s.RoundTrip(req)
		if err != nil {
			return
		}
		answer.Store(res)
		defer res.Body.Close()
		if b, ok := res.Body.(*responseBody); ok {
			a.st.Store(b.st)
			a.read = res.Body.Read
		}
		run(a.in)
	})
}

// A fuzzBody is the body of an upload: it gives as many bytes as its actor is told to.
type fuzzBody struct{ a *actor }

var errBodyClosed = errors.New("closed")

func (b fuzzBody) Read(p []byte) (int, error) {
	for b.a.left == 0 {
		select {
		case f, ok := <-b.a.out:
			if !ok {
				return 0, io.EOF
			}
			f()
		case <-b.a.closed:
			return 0, errBodyClosed
		}
	}
	if b.a.left < 0 {
		return 0, io.EOF
	}
	n := copy(p, testBytes(min(len(p), b.a.left)))
	b.a.left -= n
	return n, nil
}

func (b fuzzBody) Close() error {
	b.a.once.Do(func() { close(b.a.closed) })
	return nil
}

// useRaw gives a raw stream its actor.
func (r *fuzzRun) useRaw(st *RawStream) {
	a := r.newActor()
	a.st.Store(&st.st)
	a.read = st.Read
	a.write = func(p []byte) error { _, err := st.Write(p); return err }
	a.fin = func() bool { _ = st.CloseWrite(); return true }
	a.abort = func(how byte) {
		if how&1 != 0 {
			_ = st.Reset(RstStatus(how >> 1 % 12))
			return
		}
		st.Close()
	}
	a.extra = func(how byte) {
		switch how % 8 {
		case 0:
			post(a.out, func() bool { _ = st.Reply(nil, how&8 != 0); return true })
		case 1:
			post(a.out, func() bool { _ = st.SendHeaders(HeaderBlock{{"late", "header"}}, how&8 != 0); return true })
		case 2:
			st.CloseRead()
		case 3:
			_ = st.SetReadDeadline(time.Now().Add(time.Second))
		case 4:
			_ = st.SetWriteDeadline(time.Now().Add(time.Second))
		case 5:
			post(a.in, func() bool { _, _ = st.ReceiveHeaders(r.ctx); return true })
		case 6:
			post(a.in, func() bool { _, _ = st.AwaitReply(r.ctx); return true })
		case 7:
			post(a.in, func() bool { _, _ = st.ReadFrame(); return true })
		}
	}
	r.wg.Go(func() { run(a.in); st.Close() })
	r.wg.Go(func() { run(a.out) })
}
