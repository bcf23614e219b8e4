package ends

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

const (
	drainRate = 64 << 10  // bytes a second that the reader takes
	drainSize = 192 << 10 // bytes that it has to get; they fit into a stream's window
)

// A drain is a session that has written drainSize bytes, and its peer, which reads them from a
// slow line.
type drain struct {
	read     func() (received, error)    // receives everything
	shutdown func(context.Context) error // ends the session that has written
	written  chan struct{}               // closed when all bytes are written
}

// A drainRig is what a drain is made of.
type drainRig struct {
	t       *testing.T
	version spdy.Version
	secure  bool
	ln      *testconn.Listener
	line    []testconn.Option
	written chan struct{}
}

// drainKinds make drains.
var drainKinds = []struct {
	name   string
	secure bool
	make   func(*drainRig) *drain
}{
	{"server", false, drainServer},
	{"server over TLS", true, drainServer},
	{"configured server", true, drainConfigured},
	{"session", false, drainSession},
	{"session over TLS", true, drainSession},
	{"raw server", false, drainRaw},
	{"raw server over TLS", true, drainRaw},
	{"raw client", false, drainRawClient},
}

// eachDrain runs f in fake time for each kind and version. What the side that writes sends
// arrives with drainRate; the connection takes any number of bytes at once, as a kernel with
// large buffers does, and resets what arrives after a Close.
func eachDrain(t *testing.T, f func(t *testing.T, d *drain)) {
	certificate() // not in the bubble
	for _, k := range drainKinds {
		bubble.InVersions(t, k.name, func(t *testing.T, v spdy.Version) {
			slow := testconn.Bandwidth(drainRate)
			r := &drainRig{t: t, version: v, secure: k.secure, ln: testconn.Listen(), written: make(chan struct{})}
			r.line = []testconn.Option{testconn.StrictClose(), testconn.Second(slow)}
			if k.name == "raw client" {
				r.line[1] = testconn.First(slow)
			}
			f(t, k.make(r))
		})
	}
}

func (r *drainRig) conf() *spdy.Config { return bubble.Quiet(spdy.Config{}, r.version) }

func (r *drainRig) tls() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{certificate()}, NextProtos: []string{r.version.String()}, InsecureSkipVerify: true,
	}
}

// dial returns the client's end of a connection.
func (r *drainRig) dial() net.Conn {
	conn, err := r.ln.Dial(r.line...)
	require.NoError(r.t, err)
	if r.secure {
		return tls.Client(conn, r.tls())
	}
	return conn
}

// pair returns both ends of a connection, whose handshake is complete: time in a bubble stands
// still while a goroutine waits for the mutex of one.
func (r *drainRig) pair() (client, server net.Conn) {
	client = r.dial()
	server, err := r.ln.Accept()
	require.NoError(r.t, err)
	if r.secure {
		secure := tls.Server(server, r.tls())
		done := make(chan error, 1)
		go func() { done <- secure.Handshake() }()
		require.NoError(r.t, client.(*tls.Conn).Handshake())
		require.NoError(r.t, <-done)
		server = secure
	}
	return client, server
}

// A graceful end is delivery: every byte arrives, and Shutdown returns then, not before.
func TestDrainToSlowReader(t *testing.T) {
	eachDrain(t, func(t *testing.T, d *drain) {
		end := d.begin(context.Background())
		got, err := d.read()
		last := time.Now()
		require.NoError(t, err)
		require.Equal(t, drainSize, got.n)
		require.False(t, got.wrong)
		require.NoError(t, end.wait())
		require.False(t, end.at.Before(last), "Shutdown returned %v before the last byte arrived", last.Sub(end.at))
		require.WithinDuration(t, last, end.at, 5*time.Second)
	})
}

// A context that is too short ends the session, and is the error that Shutdown returns.
func TestDrainTooSlowForContext(t *testing.T) {
	eachDrain(t, func(t *testing.T, d *drain) {
		ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		defer cancel()
		start := time.Now()
		end := d.begin(ctx)
		got, err := d.read()
		if err == nil { // the kernel still delivers, if nothing arrives that resets
			require.Equal(t, drainSize, got.n, "a part is taken for the whole")
		}
		require.False(t, got.wrong)
		require.Equal(t, context.DeadlineExceeded, end.wait())
		require.WithinDuration(t, start.Add(1500*time.Millisecond), end.at, 100*time.Millisecond)
	})
}

// A shutdownCall is a Shutdown in the background.
type shutdownCall struct {
	done chan struct{}
	err  error
	at   time.Time // when it returned
}

// begin calls Shutdown when all is written.
func (d *drain) begin(ctx context.Context) *shutdownCall {
	c := &shutdownCall{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		<-d.written
		c.err = d.shutdown(ctx)
		c.at = time.Now()
	}()
	return c
}

func (c *shutdownCall) wait() error {
	<-c.done
	return c.err
}

// write writes drainSize bytes.
func (r *drainRig) write(w io.Writer) {
	for n := 0; n < drainSize; {
		k, err := w.Write(piece(n, min(drainSize-n, 32<<10)))
		if n += k; err != nil {
			return
		}
	}
}

// ServeHTTP writes drainSize bytes.
func (r *drainRig) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	defer close(r.written)
	r.write(w)
	_ = http.NewResponseController(w).Flush()
}

// background runs f until the test ends.
func background(t *testing.T, f func() error, stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = f() // the end of the test ends it
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
}

// serve runs a session until the test ends.
func (r *drainRig) serve(s *spdy.Session) { background(r.t, s.Serve, s.Close) }

// fetch makes a request on a connection. The result reads the answer.
func (r *drainRig) fetch(conn net.Conn) func() (received, error) {
	client, err := r.conf().NewClientConn(conn)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = client.Close() })
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://origin.example/", nil)
	require.NoError(r.t, err)
	res, err := client.Do(req)
	require.NoError(r.t, err)
	return func() (got received, err error) {
		defer res.Body.Close()
		_, err = io.Copy(&got, res.Body)
		return got, err
	}
}

func drainServer(r *drainRig) *drain {
	s := &spdy.Server{Handler: r, Config: r.conf(), ErrorLog: quiet}
	serve := s.Serve
	if r.secure {
		s.TLSConfig = r.tls()
		serve = func(ln net.Listener) error { return s.ServeTLS(ln, "", "") }
	}
	background(r.t, func() error { return serve(r.ln) }, func() { _ = s.Close() })
	return &drain{written: r.written, shutdown: s.Shutdown, read: r.fetch(r.dial())}
}

func drainConfigured(r *drainRig) *drain {
	s := &http.Server{Handler: r, ErrorLog: quiet, TLSConfig: r.tls()}
	require.NoError(r.t, spdy.ConfigureServer(s, bubble.Quiet(spdy.Config{}, 0)))
	background(r.t, func() error { return s.ServeTLS(r.ln, "", "") }, func() { _ = s.Close() })
	return &drain{written: r.written, shutdown: s.Shutdown, read: r.fetch(r.dial())}
}

func drainSession(r *drainRig) *drain {
	client, server := r.pair()
	s := r.conf().ServerSession(server, &http.Server{Handler: r})
	r.serve(s)
	return &drain{written: r.written, shutdown: s.Shutdown, read: r.fetch(client)}
}

// drainRaw has the server of two raw sessions write.
func drainRaw(r *drainRig) *drain {
	_, server, opened, accepted := r.raw()
	return r.drainStream(server, accepted, opened)
}

// drainRawClient has the client write.
func drainRawClient(r *drainRig) *drain {
	client, _, opened, accepted := r.raw()
	return r.drainStream(client, opened, accepted)
}

// raw returns two raw sessions with a stream.
func (r *drainRig) raw() (client, server *spdy.Session, opened, accepted *spdy.RawStream) {
	a, b := r.pair()
	client, server = r.conf().RawSession(a, true), r.conf().RawSession(b, false)
	r.serve(client)
	r.serve(server)
	opened, err := client.OpenStream(context.Background(), spdy.HeaderBlock{{Name: "a", Value: "b"}}, spdy.StreamOptions{})
	require.NoError(r.t, err)
	accepted, err = server.AcceptStream(context.Background())
	require.NoError(r.t, err)
	require.NoError(r.t, accepted.Reply(nil, false))
	return client, server, opened, accepted
}

// drainStream writes to one end of a raw stream.
func (r *drainRig) drainStream(s *spdy.Session, from, to *spdy.RawStream) *drain {
	require.NoError(r.t, to.CloseWrite())
	go func() {
		defer close(r.written)
		r.write(from)
		_ = from.CloseWrite()
	}()
	return &drain{written: r.written, shutdown: s.Shutdown, read: func() (got received, err error) {
		_, err = io.Copy(&got, to)
		return got, err
	}}
}

// Connections that wait for their peers to receive the rest cost what idle ones cost, however
// many there are, and end at Close.
func TestDrainThousand(t *testing.T) {
	const conns = 1000
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		before, routines := heap(), runtime.NumGoroutine()
		l := testconn.Listen()
		written := sync.WaitGroup{}
		written.Add(conns)
		s := &spdy.Server{Config: bubble.Quiet(spdy.Config{}, v), ErrorLog: quiet, Handler: http.HandlerFunc(
			func(w http.ResponseWriter, _ *http.Request) {
				defer written.Done()
				_, _ = w.Write(piece(0, 32<<10))
			})}
		background(t, func() error { return s.Serve(l) }, func() { _ = s.Close() })
		peers := make([]*testconn.Conn, conns)
		for i := range peers {
			c, err := l.Dial()
			require.NoError(t, err)
			c.Peer().SetBlackHole(true)
			require.NoError(t, newSPDYLink(c, v).open(1, probeCell))
			peers[i] = c
		}
		written.Wait()
		synctest.Wait()
		idle, idleRoutines := heap()-before, runtime.NumGoroutine()-routines
		end := (&drain{shutdown: s.Shutdown, written: closed()}).begin(context.Background())
		bubble.Pass(500 * time.Millisecond)
		require.Equal(t, conns, s.Stats().Sessions, "they wait for their peers")
		cost, costRoutines := heap()-before, runtime.NumGoroutine()-routines
		t.Logf("a connection: %d bytes and %.2f goroutines idle, %d and %.2f when it drains",
			idle/conns, float64(idleRoutines)/conns, cost/conns, float64(costRoutines)/conns)
		require.LessOrEqual(t, cost, idle+conns<<10)
		require.LessOrEqual(t, costRoutines, idleRoutines+3) // that which shuts down
		start := time.Now()
		_ = s.Close()
		_ = end.wait()
		synctest.Wait()
		require.WithinDuration(t, start, time.Now(), 1500*time.Millisecond)
		require.LessOrEqual(t, runtime.NumGoroutine(), routines+1)
		runtime.KeepAlive(peers)
	})
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// heap returns the size of what is reachable, goroutines included.
func heap() int {
	var m runtime.MemStats
	for range 2 {
		runtime.GC()
		runtime.ReadMemStats(&m)
	}
	return int(m.HeapAlloc + m.StackInuse)
}

// An arrivals is what has come from a connection, which it reads at once, as an event loop does.
type arrivals struct {
	mu      sync.Mutex
	changed *sync.Cond
	unread  []byte
	end     error // what has ended the connection; nil while it lives
}

// gather reads a connection.
func gather(conn net.Conn) *arrivals {
	a := new(arrivals)
	a.changed = sync.NewCond(&a.mu)
	go func() {
		p := make([]byte, 4<<10)
		for a.ended() == nil {
			n, err := conn.Read(p)
			a.mu.Lock()
			a.unread, a.end = append(a.unread, p[:n]...), err
			a.changed.Broadcast()
			a.mu.Unlock()
		}
	}()
	return a
}

// ended returns what has ended the connection, although there may be unread bytes.
func (a *arrivals) ended() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.end
}

func (a *arrivals) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.unread) == 0 && a.end == nil {
		a.changed.Wait()
	}
	if len(a.unread) == 0 {
		return 0, a.end
	}
	n := copy(p, a.unread)
	a.unread = a.unread[n:]
	return n, nil
}

// An eventLoop is a client like spdycat or node-spdy: it looks at its connection again before
// it handles what it has read, and takes an end of the connection for the loss of all
// answers that it has not handled.
type eventLoop struct {
	conn   net.Conn
	in     *arrivals
	link   *spdyLink
	leaves bool // it closes the connection behind the answers, as spdycat does
}

const (
	loopTurn    = 5 * time.Millisecond // from what is read to its handling
	loopStreams = 3
)

func newEventLoop(conn net.Conn, v spdy.Version, leaves bool) *eventLoop {
	e := &eventLoop{conn: conn, in: gather(conn), leaves: leaves}
	e.link = &spdyLink{version: v, framer: spdy.NewFramer(conn, e.in, v), initial: 64 << 10}
	return e
}

// run makes requests and returns how much of the answers it has got.
func (e *eventLoop) run() (n int, err error) {
	for i := range loopStreams {
		if err := e.link.open(uint32(2*i+1), probeCell); err != nil {
			return 0, err
		}
	}
	for open := loopStreams; open > 0 || !e.leaves; {
		ev, err := e.link.next() // echoes PINGs
		if err == io.EOF && open == 0 {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("%d answers are lost: %w", open, err)
		}
		if ev.reset != "" {
			return n, errors.New(ev.reset)
		}
		if len(ev.data) > 0 && !ev.fin && e.link.version != spdy.SPDY2 {
			_ = e.link.credit(ev.stream, len(ev.data))
		}
		if ev.fin {
			bubble.Pass(loopTurn)
			if err := e.in.ended(); err != nil {
				return n, fmt.Errorf("%d answers are lost: they are not handled, and the connection has ended: %w", open, err)
			}
			open--
		}
		n += len(ev.data)
	}
	return n, e.conn.Close()
}

// Clients that hang up when the end of the connection follows the last answer closely lose
// nothing when a server shuts down.
func TestDrainToEventLoops(t *testing.T) {
	for _, leaves := range []bool{true, false} {
		name := map[bool]string{true: "spdycat", false: "node-spdy"}[leaves]
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			for i := range 10 {
				drainToEventLoop(t, v, leaves, i)
			}
		})
	}
}

func drainToEventLoop(t *testing.T, v spdy.Version, leaves bool, i int) {
	const size = 50 << 10
	l := testconn.Listen()
	var served sync.WaitGroup
	served.Add(loopStreams)
	s := &spdy.Server{Config: bubble.Quiet(spdy.Config{}, v), ErrorLog: quiet, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) {
			defer served.Done()
			_, _ = io.Copy(w, strings.NewReader(strings.Repeat("x", size)))
			if i%2 == 0 { // the answer goes on behind the GOAWAY
				bubble.Pass(20 * time.Millisecond)
			}
		})}
	background(t, func() error { return s.Serve(l) }, func() { _ = s.Close() })
	conn, err := l.Dial(testconn.StrictClose(), testconn.Latency(time.Duration(i)*time.Millisecond))
	require.NoError(t, err)
	var n int
	done := make(chan struct{})
	go func() {
		defer close(done)
		n, err = newEventLoop(conn, v, leaves).run()
	}()
	if i%2 == 0 {
		bubble.Pass(15 * time.Millisecond)
	} else {
		served.Wait()
	}
	end := (&drain{shutdown: s.Shutdown, written: closed()}).begin(context.Background())
	<-done
	require.NoError(t, err, "run %d", i)
	require.Equal(t, loopStreams*size, n)
	require.NoError(t, end.wait())
	conn.Close()
}
