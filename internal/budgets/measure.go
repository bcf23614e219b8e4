package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
)

var versions = []spdy.Version{spdy.SPDY2, spdy.SPDY3, spdy.SPDY31}

// A row is the measured cost of an input. Bytes include heap and stacks.
type row struct {
	input   *input
	role    role
	version spdy.Version
	sent    int     // bytes, to each session
	kept    float64 // bytes kept for each byte sent
	allocs  float64 // allocations for each byte sent
}

// measureAll measures every input, at n times the smallest amount. Each measurement runs many
// sessions at once, since a single session keeps little.
func measureAll(copies, n int) (rows []row, err error) {
	for _, r := range []role{server, client} {
		for _, v := range versions {
			for i := range inputs {
				in := &inputs[i]
				if in.role != "" && in.role != r || !in.only(v) {
					continue
				}
				row, err := measure(in, r, v, copies, n)
				if err != nil {
					return nil, fmt.Errorf("%s, %s, %v, %v: %w", in.frame, in.what, r, v, err)
				}
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}

// largest returns the rows of two runs of measureAll with the larger costs. The first run may be nil.
func largest(a, b []row) []row {
	for i := range a {
		b[i].kept, b[i].allocs = max(b[i].kept, a[i].kept), max(b[i].allocs, a[i].allocs)
	}
	return b
}

// measure sends an input to sessions.
func measure(in *input, r role, v spdy.Version, copies, n int) (row, error) {
	p := newPeer(v, r)
	in.send(p, n)
	text := p.buf.Bytes()
	victims := make([]*victim, copies)
	for i := range victims {
		w, err := newVictim(r, v)
		if err != nil {
			return row{}, err
		}
		defer w.end()
		victims[i] = w
	}
	before, allocs := memory()
	for _, w := range victims {
		_, _ = w.conn.Write(text) // the write fails if the session has ended
		w.settle(len(text), !in.partial, p.answers)
	}
	_, allocsAfter := memory()
	after, _ := memory()
	all := float64(copies * len(text))
	return row{
		input: in, role: r, version: v, sent: len(text),
		kept: float64(max(after-before, 0)) / all, allocs: float64(allocsAfter-allocs) / all,
	}, nil
}

// memory returns the bytes in use after a garbage collection, and the number of allocations so far.
func memory() (bytes int64, allocs uint64) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	allocs = m.Mallocs
	for range 3 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse), allocs
}

// A victim is a session under measurement. The handlers block, and the responses stay unread.
type victim struct {
	s    *spdy.Session
	conn *testconn.Conn
	quit chan struct{} // closed to let handlers return
	done sync.WaitGroup
	v    spdy.Version

	answered atomic.Int32 // calls of RoundTrip that have returned

	echo chan struct{} // closed when the echo of the last PING has arrived, or the session has ended
}

func newVictim(r role, v spdy.Version) (*victim, error) {
	ours, conn := testconn.Pair()
	w := &victim{conn: conn, quit: make(chan struct{}), v: v, echo: make(chan struct{})}
	conf := &spdy.Config{Version: v, Logger: slog.New(slog.DiscardHandler)}
	if r == server {
		w.s = conf.ServerSession(ours, &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
			<-w.quit
			runtime.KeepAlive(req)
		})})
	} else {
		conf.AcceptPush = func(_, _ *http.Request) bool { return true }
		w.s = conf.ClientSession(ours)
	}
	w.done.Go(func() { _ = w.s.Serve() }) // the error depends on the input
	w.done.Go(w.read)
	if r == server {
		return w, nil
	}
	for range requests {
		w.done.Go(w.request)
	}
	for w.s.Stats().StreamsOpened < requests {
		runtime.Gosched()
	}
	return w, nil
}

// request sends a request and keeps the response unread.
func (w *victim) request() {
	req := httptest.NewRequest("GET", "http://example.com/", nil)
	res, err := w.s.RoundTrip(req)
	w.answered.Add(1)
	<-w.quit
	if err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}

// read waits for the echo of the last PING without allocating.
func (w *victim) read() {
	buf, echo, echoed := make([]byte, 0, 4096), w.ping(), false
	for {
		n, err := w.conn.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if !echoed && (err != nil || bytes.Contains(buf, echo)) {
			echoed = true
			close(w.echo)
		}
		if err != nil {
			return
		}
		buf = buf[:copy(buf, buf[max(0, len(buf)-len(echo)+1):])]
	}
}

// ping returns a PING whose echo shows that the session has processed all earlier frames.
func (w *victim) ping() []byte {
	id := byte(0xf1) // id of a client's PING
	if w.s.Stats().Client {
		id--
	}
	return []byte{0x80, wire(w.v), 0, 6, 0, 0, 0, 4, 0x7f, 0xff, 0xff, id}
}

// settle waits until the session has processed all n bytes sent, or has received them if they end
// within a frame, and until the number of requests that have returned is answers.
func (w *victim) settle(n int, whole bool, answers int32) {
	if whole {
		_, _ = w.conn.Write(w.ping()) // the write fails if the session has ended
		<-w.echo
	}
	for w.s.Err() == nil && w.answered.Load() < answers {
		runtime.Gosched()
	}
	if whole {
		return
	}
	for w.s.Err() == nil && w.s.Stats().Received.Bytes < int64(n) {
		runtime.Gosched()
	}
}

// end ends the session and waits for all goroutines started by the victim.
func (w *victim) end() {
	close(w.quit)
	w.conn.Close()
	w.s.Close()
	w.done.Wait()
}
