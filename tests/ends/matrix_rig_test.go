package ends

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
)

// quiet is the log of everything in the matrix: most cells fail on purpose.
var quiet = log.New(io.Discard, "", 0)

// certificate is that of the fronts with TLS.
var certificate = sync.OnceValue(func() tls.Certificate {
	c, _, err := localcert.New()
	if err != nil {
		panic(err)
	}
	return c
})

// A pattern is the content of every body: pseudo-random bytes, so long that a byte which is
// missing, repeated or at a wrong place shows. Each received byte is compared with it, which
// is more than a hash can show for bodies that break off.
var pattern = func() []byte {
	b := make([]byte, 65_521) // a prime
	r := rand.NewChaCha8([32]byte{13})
	_, _ = r.Read(b)
	return append(b, b...)
}()

const patternLen = 65_521

// piece returns bytes of the pattern from offset on, at most n.
func piece(offset, n int) []byte {
	from := offset % patternLen
	return pattern[from : from+min(n, patternLen)]
}

// A received counts bytes of the pattern.
type received struct {
	n     int
	wrong bool // a byte was not that of the pattern
}

func (r *received) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		want := piece(r.n, len(rest))
		r.wrong = r.wrong || !bytes.Equal(rest[:len(want)], want)
		r.n += len(want)
		rest = rest[len(want):]
	}
	return len(p), nil
}

// A view is what the origin's handler and the front's handler have seen of a cell's request.
type view struct {
	mu       sync.Mutex
	requests int // of the cell at the origin
	running  int // handlers that have not returned
	body     received
	bodyErr  error // of the last read of the request's body; io.EOF if it was complete
	frontErr error // of the proxy
}

func (v *view) lock(f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f()
}

// settled reports that all handlers have returned.
func (v *view) settled() (ok bool) {
	v.lock(func() { ok = v.running == 0 })
	return ok
}

// A road is what a cell's request travels: a front, a proxy and an origin.
type road struct {
	cell   cell
	oracle bool
	view   view
	addr   string         // of the front
	open   func() (n int) // streams behind the proxy, and of the front if it speaks SPDY
	close  []func()       // in reverse order
	frontH http.Handler   // the proxy
}

// newRoad builds the road of a cell, or that of its oracle: ReverseProxy and net/http over
// HTTP/1.1. The oracle of a front that speaks SPDY has a front that speaks HTTP/2.
func newRoad(c cell, oracle bool) (*road, error) {
	r := &road{cell: c, oracle: oracle, open: func() int { return 0 }}
	if err := r.build(); err != nil {
		r.end()
		return nil, err
	}
	return r, nil
}

func (r *road) build() error {
	var err error
	origin := http.HandlerFunc(r.origin)
	switch {
	case r.oracle:
		err = r.overHTTP(origin)
	case r.cell[dimProxy] == proxyReverse:
		err = r.overTransport(origin)
	default:
		err = r.overSession(origin)
	}
	if err != nil {
		return err
	}
	return r.serveFront(r.frontOf())
}

// end closes everything.
func (r *road) end() {
	for i := len(r.close) - 1; i >= 0; i-- {
		r.close[i]()
	}
}

func (r *road) onEnd(f func()) { r.close = append(r.close, f) }

// listen returns a listener and its address.
func (r *road) listen() (net.Listener, string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	return ln, ln.Addr().String(), nil
}

// serve serves until the end.
func (r *road) serve(serve, end func() error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = serve()
	}()
	r.onEnd(func() {
		_ = end()
		<-done
	})
}

func (r *road) overHTTP(origin http.Handler) error {
	ln, addr, err := r.listen()
	if err != nil {
		return err
	}
	s := &http.Server{Handler: origin, ErrorLog: quiet}
	r.serve(func() error { return s.Serve(ln) }, s.Close)
	t := &http.Transport{}
	r.onEnd(t.CloseIdleConnections)
	r.reverse(addr, t)
	return nil
}

// reverse makes the front a ReverseProxy.
func (r *road) reverse(addr string, t http.RoundTripper) {
	p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	p.Transport, p.ErrorLog = t, quiet
	r.frontH = p
}

func (r *road) conf(v spdy.Version) *spdy.Config {
	return &spdy.Config{Version: v, Logger: slog.New(slog.DiscardHandler)}
}

func (r *road) back() spdy.Version {
	return []spdy.Version{spdy.SPDY31, spdy.SPDY3, spdy.SPDY2}[r.cell[dimBack]]
}

// spdyServer serves SPDY, and returns its address.
func (r *road) spdyServer(v spdy.Version, h http.Handler) (string, *spdy.Server, error) {
	ln, addr, err := r.listen()
	if err != nil {
		return "", nil, err
	}
	s := &spdy.Server{Handler: h, Config: r.conf(v), ErrorLog: quiet}
	r.serve(func() error { return s.Serve(ln) }, s.Close)
	open := r.open
	r.open = func() int { return open() + s.Stats().Streams.Total() }
	return addr, s, nil
}

func (r *road) overTransport(origin http.Handler) error {
	addr, _, err := r.spdyServer(r.back(), origin)
	if err != nil {
		return err
	}
	t := &spdy.Transport{Config: r.conf(r.back())}
	r.onEnd(t.CloseIdleConnections)
	r.reverse(addr, t)
	return nil
}

func (r *road) overSession(origin http.Handler) error {
	addr, _, err := r.spdyServer(r.back(), origin)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	client, err := r.conf(r.back()).NewClientConn(conn)
	if err != nil {
		return err
	}
	r.onEnd(func() { _ = client.Close() })
	session := client.Session()
	open := r.open
	r.open = func() int { return open() + session.Stats().Streams.Total() }
	r.frontH = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		err := http.ErrAbortHandler // if it panics
		defer func() {
			if req.Header.Get(probeHeader) == "" {
				r.view.lock(func() { r.view.frontErr = err })
			}
		}()
		err = session.NewStreamProxy(req, w)
	})
	return nil
}

// serveFront starts the front.
func (r *road) serveFront(front int) error {
	h := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.view.lock(func() { r.view.running++ })
		defer r.view.lock(func() { r.view.running-- })
		r.frontH.ServeHTTP(w, req)
	})
	if v, ok := spdyFront(front); ok {
		addr, _, err := r.spdyServer(v, h)
		r.addr = addr
		return err
	}
	ln, addr, err := r.listen()
	if err != nil {
		return err
	}
	r.addr = addr
	s := &http.Server{Handler: h, ErrorLog: quiet, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(front != frontHTTP2)
	s.Protocols.SetHTTP2(front == frontHTTP2)
	if front == frontHTTP1 {
		r.serve(func() error { return s.Serve(ln) }, s.Close)
		return nil
	}
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate()}}
	r.serve(func() error { return s.ServeTLS(ln, "", "") }, s.Close)
	return nil
}

func spdyFront(front int) (spdy.Version, bool) {
	v, ok := map[int]spdy.Version{frontSPDY2: spdy.SPDY2, frontSPDY3: spdy.SPDY3, frontSPDY31: spdy.SPDY31}[front]
	return v, ok
}

// probeHeader marks the request that shows that all still works.
const probeHeader = "X-Probe"

// origin is the origin's handler: it reads of the request what the cell says, and answers.
func (r *road) origin(w http.ResponseWriter, req *http.Request) {
	if req.Header.Get(probeHeader) != "" {
		return
	}
	v, u := &r.view, r.cell.upload()
	v.lock(func() { v.running++; v.requests++ })
	defer v.lock(func() { v.running-- })
	rc, early := http.NewResponseController(w), u.end != endWhole && !u.late
	if early { // else net/http reads the upload before it answers
		_ = rc.EnableFullDuplex()
	}
	if u.reads != 0 {
		src := io.Reader(req.Body)
		if u.reads > 0 {
			src = io.LimitReader(src, int64(u.reads))
		}
		var body received
		_, err := io.Copy(&body, src)
		if err == nil && u.reads < 0 {
			err = io.EOF
		}
		v.lock(func() { v.body, v.bodyErr = body, err })
	}
	if r.cell[dimAnswer] == withLength {
		w.Header().Set("Content-Length", strconv.Itoa(r.cell.size()))
	}
	w.WriteHeader(http.StatusOK)
	if early { // the client waits for the beginning of the answer
		_ = rc.Flush()
	}
	for n := 0; n < r.cell.size(); {
		k, err := w.Write(piece(n, min(r.cell.size()-n, 32<<10)))
		if n += k; err != nil {
			return
		}
	}
}

// settles waits for all handlers to return and for all streams to end, and says what does not.
func (r *road) settles(patience time.Duration) error {
	for limit := time.Now().Add(patience); ; pass(5 * time.Millisecond) {
		switch {
		case r.view.settled() && r.open() == 0:
			return nil
		case time.Now().Before(limit):
		case !r.view.settled():
			return errors.New("a handler has not returned")
		default:
			return errors.New("a stream is still open")
		}
	}
}

// pass lets real time pass.
func pass(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}
