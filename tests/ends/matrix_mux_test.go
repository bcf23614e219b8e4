package ends

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// A link sends and receives the frames of HTTP/2 or SPDY.
type link interface {
	open(id uint32, c cell) error
	data(id uint32, p []byte, fin bool) error
	reset(id uint32) error
	credit(id uint32, n int) error // for the stream and the session
	next() (event, error)
	windows() (stream, session int) // at the beginning; -1 for none
}

// An event is a frame that a client has received.
type event struct {
	stream uint32
	status int // of the beginning of an answer
	data   []byte
	fin    bool
	reset  string
	grant  int // credit; stream 0 is the session
	shift  int // change of the windows of all streams
}

// An inbox is what has come of an answer and is unread.
type inbox struct {
	status int
	data   []byte
	fin    bool
	err    error
}

// muxBuffer is the number of unread bytes at which a client stops to read its connection.
const muxBuffer = 64 << 10

// A mux is the connection of a client that makes one request, and perhaps a second one. A
// goroutine receives its frames, until the connection is closed.
type mux struct {
	link link

	mu              sync.Mutex
	changed         *sync.Cond
	in              map[uint32]*inbox
	stream, session int   // windows of the upload
	flow, whole     bool  // there are windows; there is one of the session
	paused          bool  // frames are not received
	err             error // why nothing can be sent any more
}

func newMux(l link) *mux {
	m := &mux{link: l, in: map[uint32]*inbox{}}
	m.changed = sync.NewCond(&m.mu)
	m.stream, m.session = l.windows()
	m.flow, m.whole = m.stream >= 0, m.session >= 0
	return m
}

func (m *mux) lock(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	m.changed.Broadcast()
}

func (m *mux) request(c cell) error {
	if err := m.open(1, c); err != nil {
		return err
	}
	go m.receive()
	return nil
}

func (m *mux) open(id uint32, c cell) error {
	m.lock(func() { m.in[id] = new(inbox) })
	return m.link.open(id, c)
}

// receive receives frames until that fails.
func (m *mux) receive() {
	for {
		m.mu.Lock()
		for m.paused || len(m.in[1].data) > muxBuffer {
			m.changed.Wait()
		}
		m.mu.Unlock()
		e, err := m.link.next()
		m.lock(func() { m.take(e, err) })
		if err != nil {
			return
		}
	}
}

// take notes a frame, or why there are no more.
func (m *mux) take(e event, err error) {
	if err != nil {
		m.fail(err)
		for _, in := range m.in {
			in.end(err)
		}
		return
	}
	m.stream += e.shift
	if e.stream == 0 {
		m.session += e.grant
		return
	}
	if e.stream == 1 {
		m.stream += e.grant
	}
	in := m.in[e.stream]
	if in == nil {
		return
	}
	if e.status >= 200 {
		in.status = e.status
	}
	if in.err == nil { // else nobody reads it
		in.data = append(in.data, e.data...)
	}
	if e.fin {
		in.fin = true
	}
	if e.reset != "" {
		in.end(resetError(e.reset))
		if e.stream == 1 {
			m.fail(resetError(e.reset))
		}
	}
}

// fail ends the upload.
func (m *mux) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

// end notes what broke an answer off, unless it was complete.
func (in *inbox) end(err error) {
	if !in.fin && in.err == nil {
		in.err = err
	}
}

func (m *mux) send(p []byte, last bool) error {
	for len(p) > 0 {
		n, err := m.spend(len(p))
		if err != nil {
			return err
		}
		if err := m.link.data(1, p[:n], last && n == len(p)); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// spend waits for room in the windows, for up to n bytes.
func (m *mux) spend(n int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.err == nil {
		k := n
		if m.flow {
			k = min(k, m.stream)
		}
		if m.whole {
			k = min(k, m.session)
		}
		if k > 0 {
			m.stream -= k
			m.session -= k
			return k, nil
		}
		m.changed.Wait()
	}
	return 0, m.err
}

func (m *mux) halfClose() error { return m.link.data(1, nil, true) }

var errBrokenOff = errors.New("broken off by the client")

func (m *mux) breakOff() {
	_ = m.link.reset(1)
	m.lock(func() {
		m.fail(errBrokenOff)
		m.in[1].end(errBrokenOff)
	})
}

// begin waits for the beginning of an answer.
func (m *mux) begin(id uint32) (status int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	in := m.in[id]
	for in.status == 0 {
		if in.err != nil {
			return 0, in.err
		}
		m.changed.Wait()
	}
	return in.status, nil
}

func (m *mux) answer(c *client) (o outcome) {
	status, err := m.begin(1)
	if err != nil {
		return outcome{ended: classOf(err), err: err}
	}
	o.status = status
	c.begin()
	o.body, o.err = c.read(&muxBody{m: m})
	o.ended = classOf(o.err)
	return o
}

// probe makes a request on the same connection.
func (m *mux) probe() error {
	if err := m.open(3, probeCell); err != nil {
		return err
	}
	status, err := m.begin(3)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	return err
}

// A muxBody is the body of the first answer.
type muxBody struct{ m *mux }

func (b *muxBody) Read(p []byte) (n int, err error) {
	m := b.m
	m.mu.Lock()
	in := m.in[1]
	for len(in.data) == 0 && in.err == nil && !in.fin {
		m.changed.Wait()
	}
	n = copy(p, in.data)
	if in.data = in.data[n:]; len(in.data) == 0 {
		in.data = nil
	}
	switch {
	case n > 0:
	case in.fin:
		err = io.EOF
	default:
		err = in.err
	}
	over := in.fin || in.err != nil
	m.changed.Broadcast()
	m.mu.Unlock()
	if n > 0 && m.flow && !over {
		_ = m.link.credit(1, n) // its failure is that of the next frame
	}
	return n, err
}

// pause stops to receive for a time.
func (b *muxBody) pause(d time.Duration) {
	b.m.lock(func() { b.m.paused = true })
	pass(d)
	b.m.lock(func() { b.m.paused = false })
}
