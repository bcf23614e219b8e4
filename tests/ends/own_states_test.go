package ends

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// The servers of the table. The oracle speaks HTTP/2 where the others speak SPDY, and knows
// nothing of sessions that its handlers run on hijacked connections.
const (
	ownOracle     = "net/http"
	ownPlain      = "http.Server, Upgrader"
	ownConfigured = "ConfigureServer"
	ownPackage    = "ShutdownServer" // and CloseServer, of a configured http.Server
	ownServer     = "spdy.Server"
)

var ownKinds = []string{ownOracle, ownPlain, ownConfigured, ownPackage, ownServer}

// The states of a connection. "mux" is HTTP/2 or SPDY.
var ownStates = []string{
	"new", "handshaking", "negotiated", "idle", "active", "finishing", "hijacked", "draining",
	"mux new", "mux idle", "mux active", "mux finishing", "raw idle", "raw active", "raw finishing",
}

// What is done to a server. The context of Shutdown lasts ownPatience, "finishing" handlers
// and streams take half of that.
const ownPatience = 4 * time.Second

const ownByHandler = "by a handler: "

var ownDeeds = []struct {
	name string
	do   func(r *ownRig) []string
}{
	{"Shutdown", func(r *ownRig) []string { return []string{r.shutdown(ownPatience)} }},
	{"Close", func(r *ownRig) []string { return []string{r.close()} }},
	{"Shutdown twice", func(r *ownRig) []string { return []string{r.shutdown(ownPatience), r.shutdown(ownPatience)} }},
	{"Close twice", func(r *ownRig) []string { return []string{r.close(), r.close()} }},
	{"Shutdown beside Shutdown", func(r *ownRig) []string {
		return ownBeside(func() string { return r.shutdown(ownPatience) }, func() string { return r.shutdown(ownPatience + time.Second) })
	}},
	{"Close in Shutdown", func(r *ownRig) []string {
		return ownBeside(func() string { return r.shutdown(ownPatience) }, func() string {
			bubble.Pass(ownPatience / 4)
			return r.close()
		})
	}},
	{ownByHandler + "Shutdown", (*ownRig).byHandler},
	{ownByHandler + "Close", (*ownRig).byHandler},
}

func ownBeside(first, second func() string) []string {
	results := make([]string, 2)
	var both sync.WaitGroup
	both.Go(func() { results[0] = first() })
	both.Go(func() { results[1] = second() })
	both.Wait()
	return results
}

// An ownRig is a server with one connection that is in some state.
type ownRig struct {
	t      *testing.T
	kind   string
	secure bool
	ln     *ownListener
	srv    interface {
		Serve(net.Listener) error
		ServeTLS(ln net.Listener, cert, key string) error
		Close() error
		Shutdown(context.Context) error
	}
	served   chan error
	handlers atomic.Int32 // those that have not returned
	over     chan struct{}
	now      chan struct{} // closed when a handler shall end the server
	deeds    chan string   // receives its result
	clients  []io.Closer
}

// An ownListener counts connections that the server has accepted and not closed.
type ownListener struct {
	*spdytest.Listener
	open atomic.Int32
}

func (l *ownListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.open.Add(1)
	return &ownConn{Conn: conn, closed: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
}

type ownConn struct {
	net.Conn
	closed func()
}

func (c *ownConn) Close() error      { c.closed(); return c.Conn.Close() }
func (c *ownConn) CloseWrite() error { return c.Conn.(*testconn.Conn).CloseWrite() }

func newOwnRig(t *testing.T, kind string, secure bool) *ownRig {
	r := &ownRig{t: t, kind: kind, secure: secure, ln: &ownListener{Listener: spdytest.Listen()},
		served: make(chan error, 1), over: make(chan struct{}), now: make(chan struct{}), deeds: make(chan string, 1)}
	cert, _, err := localcert.New(localcert.Hosts...)
	require.NoError(t, err)
	conf, quiet := &tls.Config{Certificates: []tls.Certificate{cert}}, log.New(io.Discard, "", 0)
	if kind == ownServer {
		r.srv = &spdy.Server{Handler: r, TLSConfig: conf, ErrorLog: quiet}
	} else {
		hs := &http.Server{Handler: r, TLSConfig: conf, ErrorLog: quiet, Protocols: new(http.Protocols)}
		hs.Protocols.SetHTTP1(true)
		hs.Protocols.SetHTTP2(true)
		hs.Protocols.SetUnencryptedHTTP2(true)
		if kind == ownConfigured || kind == ownPackage {
			require.NoError(t, spdy.ConfigureServer(hs, nil))
		}
		r.srv = hs
	}
	go func() {
		if secure {
			r.served <- r.srv.ServeTLS(r.ln, "", "")
		} else {
			r.served <- r.srv.Serve(r.ln)
		}
	}()
	return r
}

// ServeHTTP is the handler of all servers.
func (r *ownRig) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.handlers.Add(1)
	defer r.handlers.Add(-1)
	switch req.URL.Path {
	case "/active":
		select {
		case <-req.Context().Done():
		case <-r.over:
		}
	case "/finishing":
		bubble.Pass(ownPatience / 2)
	case "/hijacked":
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	case "/raw":
		r.serveRaw(w, req)
	case "/Shutdown", "/Close":
		select {
		case <-r.over:
			return
		case <-r.now:
		}
		if req.URL.Path == "/Close" {
			r.deeds <- r.close()
		} else {
			r.deeds <- r.shutdown(ownPatience)
		}
	}
}

// serveRaw runs a session whose streams are open until their peer closes them.
func (r *ownRig) serveRaw(w http.ResponseWriter, req *http.Request) {
	u := &spdy.Upgrader{Config: bubble.Quiet(spdy.Config{}, spdy.SPDY31), Detached: r.kind == ownOracle}
	s, _, err := u.Upgrade(w, req)
	if err != nil {
		return
	}
	_ = s.Serve() // AcceptStream is not needed: the streams wait
}

// deed runs f and describes what comes of it, and after how many seconds: an http.Server looks
// every half second.
func (r *ownRig) deed(f func() error) string {
	began := time.Now()
	err := f()
	result := "nil"
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		result = "deadline"
	case err != nil:
		result = err.Error()
	}
	return fmt.Sprintf("%s %v", result, time.Since(began).Truncate(time.Second))
}

func (r *ownRig) close() string {
	return r.deed(func() error {
		if r.kind == ownPackage {
			return spdy.CloseServer(r.srv.(*http.Server))
		}
		return r.srv.Close()
	})
}

func (r *ownRig) shutdown(patience time.Duration) string {
	return r.deed(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if r.kind == ownPackage {
			return spdy.ShutdownServer(ctx, r.srv.(*http.Server))
		}
		return r.srv.Shutdown(ctx)
	})
}

// byHandler has a handler end the server, which runs on an HTTP/1.1 connection already.
func (r *ownRig) byHandler() []string {
	close(r.now)
	return []string{<-r.deeds}
}

// dial connects. With TLS it completes the handshake.
func (r *ownRig) dial(protocol string) net.Conn {
	r.t.Helper()
	conn, err := r.ln.DialContext(r.t.Context(), "", "")
	require.NoError(r.t, err)
	r.clients = append(r.clients, conn)
	if !r.secure || protocol == "" {
		return conn
	}
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
	require.NoError(r.t, secure.HandshakeContext(r.t.Context()))
	require.Equal(r.t, protocol, secure.ConnectionState().NegotiatedProtocol)
	return secure
}

// get1 sends a request of HTTP/1.1, and reads the response in a goroutine.
func (r *ownRig) get1(conn net.Conn, path string) {
	_, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: example.com\r\n\r\n")
	require.NoError(r.t, err)
	go func() { // ends with the connection
		in := bufio.NewReader(conn)
		for {
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
		}
	}()
	synctest.Wait()
}

// connect brings a connection into a state. It reports false if this server has none.
func (r *ownRig) connect(state string) bool {
	kind, state, found := strings.Cut(state, " ")
	if !found {
		kind, state = "", kind
	}
	switch {
	case kind == "mux":
		return r.connectMux("/" + state)
	case kind == "raw":
		r.connectRaw(state)
	case r.kind == ownPlain: // which is the oracle but for raw sessions
		return false
	case state == "new":
		r.dial("")
	case state == "handshaking":
		_, err := r.dial("").Write([]byte{22, 3, 1}[:1+2*ownInt(r.secure)])
		require.NoError(r.t, err)
	case state == "negotiated":
		if !r.secure {
			return false
		}
		r.dial("http/1.1")
	case state == "draining":
		r.get1(r.dial("http/1.1"), "/active")
		synctest.Wait()
		go r.shutdown(ownPatience / 2)
	default:
		r.get1(r.dial("http/1.1"), "/"+state)
	}
	synctest.Wait()
	return true
}

func ownInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// connectMux connects with HTTP/2 to the oracle and with SPDY to the others.
func (r *ownRig) connectMux(path string) bool {
	var client http.RoundTripper
	switch {
	case r.kind == ownPlain, r.kind != ownOracle && r.kind != ownServer && !r.secure:
		return false
	case r.kind == ownOracle:
		conn, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(r.dial("h2"))
		require.NoError(r.t, err)
		client = conn
	default:
		s := bubble.Quiet(spdy.Config{}, spdy.SPDY31).ClientSession(r.dial("spdy/3.1"))
		go s.Serve() // ends with the connection
		client = s
	}
	if path == "/new" {
		synctest.Wait()
		return true
	}
	go func() { // ends with the connection
		req, _ := http.NewRequestWithContext(r.t.Context(), "GET", "http://example.com"+path, nil)
		if r.secure {
			req.URL.Scheme = "https"
		}
		if res, err := client.RoundTrip(req); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}()
	synctest.Wait()
	return true
}

// connectRaw upgrades a connection, and opens a stream unless the state is idle.
func (r *ownRig) connectRaw(state string) {
	d := &spdy.UpgradeDialer{
		Config:          bubble.Quiet(spdy.Config{}, spdy.SPDY31),
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext:     func(context.Context, string, string) (net.Conn, error) { return r.dial(""), nil },
	}
	url := "http://example.com/raw"
	if r.secure {
		url = "https://example.com/raw"
	}
	s, _, err := d.Dial(r.t.Context(), "GET", url)
	require.NoError(r.t, err)
	go s.Serve() // ends with the connection
	if state == "idle" {
		_, err := s.PingContext(r.t.Context()) // the client has spoken
		require.NoError(r.t, err)
		return
	}
	st, err := s.OpenStream(r.t.Context(), nil, spdy.StreamOptions{})
	require.NoError(r.t, err)
	if state == "finishing" {
		go func() {
			bubble.Pass(ownPatience / 2)
			_ = st.Close()
		}()
	}
	synctest.Wait()
}

// An ownCell is what comes of a deed.
type ownCell struct {
	results  []string
	serve    string // what Serve has returned
	conns    int32  // connections that are open a quarter of a second later
	handlers int32  // handlers that have not returned by then
}

func (c ownCell) String() string {
	text := strings.Join(c.results, ", ")
	if c.conns+c.handlers > 0 {
		text += fmt.Sprintf("; left: %d connections, %d handlers", c.conns, c.handlers)
	}
	if c.serve != http.ErrServerClosed.Error() {
		text += "; Serve: " + c.serve
	}
	return text
}

// ownPlay returns the cell of the table, nil if there is none.
func ownPlay(t *testing.T, kind string, secure bool, state, name string, deed func(*ownRig) []string) *ownCell {
	r := newOwnRig(t, kind, secure)
	defer func() { // whatever is left ends, or the bubble fails the test
		close(r.over)
		for _, c := range r.clients {
			c.Close()
		}
		r.srv.Close()
		bubble.Pass(2 * ownPatience)
		require.Zero(t, r.handlers.Load())
		require.Zero(t, r.ln.open.Load())
	}()
	if deed, found := strings.CutPrefix(name, ownByHandler); found {
		r.get1(r.dial("http/1.1"), "/"+deed)
	}
	if !r.connect(state) {
		return nil
	}
	c := &ownCell{serve: "has not returned"}
	c.results = deed(r)
	bubble.Pass(time.Second / 4)
	select {
	case err := <-r.served:
		c.serve = fmt.Sprint(err)
	default:
	}
	c.conns, c.handlers = r.ln.open.Load(), r.handlers.Load()
	if srv, ok := r.srv.(*spdy.Server); ok && c.conns == 0 {
		require.Zero(t, srv.Stats().Sessions)
	}
	return c
}

// An ownDifference is a stated difference between servers and the oracle, in what comes of
// deeds.
type ownDifference struct {
	why    string
	kinds  []string
	link   string // "TCP", "TLS", or "" for both
	states []string
	want   map[string]string // by the name of the deed
}

var ownDifferences = []*ownDifference{
	{
		why:   "a spdy.Server closes a connection that has not said yet what it speaks; an http.Server gives it five seconds",
		kinds: []string{ownServer}, link: "TCP", states: []string{"new", "handshaking"},
		want: map[string]string{
			"Shutdown": "nil 0s", "Shutdown twice": "nil 0s, nil 0s", "Shutdown beside Shutdown": "nil 0s, nil 0s",
			"Close in Shutdown": "nil 0s, nil 0s", ownByHandler + "Shutdown": "deadline 4s",
		},
	},
	{
		why:   "a spdy.Server closes what is left when the context of Shutdown has ended",
		kinds: []string{ownServer}, states: []string{"active"}, want: ownClosesWhatIsLeft,
	},
	{
		why:   "likewise, and one Shutdown tells that another one has cut streams off",
		kinds: []string{ownServer}, states: []string{"mux active"}, want: map[string]string{
			"Shutdown": "deadline 4s", "Shutdown twice": "deadline 4s, nil 0s",
			"Shutdown beside Shutdown": "deadline 4s, spdy: session closed 4s", ownByHandler + "Shutdown": "deadline 4s",
		},
	},
	{
		why:   "likewise where the connection is the http.Server's in a spdy.Server",
		kinds: []string{ownServer}, link: "TLS", states: []string{"new", "handshaking", "negotiated"}, want: ownClosesWhatIsLeft,
	},
	{
		why:   "so the first of two Shutdowns may end the second",
		kinds: []string{ownServer}, states: []string{"draining"},
		want: map[string]string{
			"Shutdown": "nil 2s", "Shutdown twice": "nil 2s, nil 0s", "Shutdown beside Shutdown": "nil 2s, nil 2s",
			ownByHandler + "Shutdown": "nil 2s",
		},
	},
	{
		why:   "a session without streams ends at once; HTTP/2 has it wait for a second",
		kinds: []string{ownConfigured, ownPackage, ownServer}, states: []string{"mux new", "mux idle"},
		want: map[string]string{
			"Shutdown": "nil 0s", "Shutdown twice": "nil 0s, nil 0s", "Shutdown beside Shutdown": "nil 0s, nil 0s",
			"Close in Shutdown": "nil 0s, nil 0s",
		},
	},
	{
		why:   "an upgraded session without streams ends when the server shuts down",
		kinds: []string{ownPlain, ownConfigured, ownPackage, ownServer}, states: []string{"raw idle"},
		want: map[string]string{
			"Shutdown": "nil 0s", "Shutdown twice": "nil 0s, nil 0s", "Shutdown beside Shutdown": "nil 0s, nil 0s",
			"Close in Shutdown": "nil 0s, nil 0s", ownByHandler + "Shutdown": "deadline 4s",
		},
	},
	{
		why:   "one with streams ends with the last one, which nobody waits for; here the request of the handler takes longer",
		kinds: []string{ownPlain, ownConfigured}, states: []string{"raw finishing"},
		want: map[string]string{ownByHandler + "Shutdown": "deadline 4s"},
	},
	{
		why:   "Server.Close and CloseServer end upgraded sessions",
		kinds: []string{ownPackage, ownServer}, states: []string{"raw"},
		want: map[string]string{
			"Close": "nil 0s", "Close twice": "nil 0s, nil 0s", ownByHandler + "Close": "nil 0s",
		},
	},
	{
		why:   "Server.Shutdown waits for upgraded sessions too",
		kinds: []string{ownServer}, states: []string{"raw active"},
		want: map[string]string{
			"Shutdown": "deadline 4s", "Shutdown twice": "deadline 4s, nil 0s", "Shutdown beside Shutdown": "deadline 4s, spdy: session closed 4s",
			"Close in Shutdown": "nil 1s, nil 0s", ownByHandler + "Shutdown": "deadline 4s",
		},
	},
	{
		why:   "and so does ShutdownServer, which leaves what is left as an http.Server does",
		kinds: []string{ownPackage}, states: []string{"raw active"},
		want: map[string]string{
			"Shutdown":                 "deadline 4s; left: 1 connections, 1 handlers",
			"Shutdown twice":           "deadline 4s, deadline 4s; left: 1 connections, 1 handlers",
			"Shutdown beside Shutdown": "deadline 4s, deadline 5s; left: 1 connections, 1 handlers",
			"Close in Shutdown":        "nil 1s, nil 0s",
		},
	},
	{
		why:   "to their end",
		kinds: []string{ownPackage, ownServer}, states: []string{"raw finishing"},
		want: map[string]string{
			"Shutdown": "nil 2s", "Shutdown twice": "nil 2s, nil 0s", "Shutdown beside Shutdown": "nil 2s, nil 2s",
			"Close in Shutdown": "nil 1s, nil 0s", ownByHandler + "Shutdown": "deadline 4s",
		},
	},
}

var ownClosesWhatIsLeft = map[string]string{
	"Shutdown": "deadline 4s", "Shutdown twice": "deadline 4s, nil 0s", "Shutdown beside Shutdown": "deadline 4s, nil 4s",
	ownByHandler + "Shutdown": "deadline 4s",
}

// ownStated reports whether a cell is that of a stated difference, and marks that one used.
func ownStated(used map[string]bool, kind, link, state, deed string, cell *ownCell) bool {
	found := false
	for _, d := range ownDifferences {
		covers := slices.Contains(d.kinds, kind) && (d.link == "" || d.link == link) &&
			slices.ContainsFunc(d.states, func(s string) bool { return state == s || strings.HasPrefix(state, s+" ") })
		if covers && d.want[deed] == cell.String() {
			found, used[d.why+": "+deed] = true, true
		}
	}
	return found
}

// TestOwnServerStates prints what becomes of a connection in each state when its server is
// shut down or closed, in each way, and wants it to be what net/http does, in time, result
// and what is left, but for ownDifferences. It runs in fake time.
func TestOwnServerStates(t *testing.T) {
	used := make(map[string]bool)
	for _, secure := range []bool{false, true} {
		for _, state := range ownStates {
			for _, deed := range ownDeeds {
				var oracle *ownCell
				for _, kind := range ownKinds {
					var cell *ownCell
					link := map[bool]string{false: "TCP", true: "TLS"}[secure]
					bubble.Run(t, strings.Join([]string{link, state, deed.name, kind}, "/"), func(t *testing.T) {
						cell = ownPlay(t, kind, secure, state, deed.name, deed.do)
					})
					if kind == ownOracle {
						oracle = cell
						if cell != nil {
							t.Logf("%s, %s, %s", link, state, deed.name)
							t.Logf("   %-22s %v", kind, cell)
						}
						continue
					}
					if cell == nil {
						continue
					}
					mark := " "
					if cell.String() != oracle.String() {
						mark = "≠"
						if !ownStated(used, kind, link, state, deed.name, cell) {
							t.Errorf("a difference that is not stated, in %s, %s, %s:", link, state, deed.name)
						}
					}
					t.Logf(" %s %-22s %v", mark, kind, cell)
				}
			}
		}
	}
	for _, d := range ownDifferences {
		for deed := range d.want {
			assert.True(t, used[d.why+": "+deed], "there is no such difference: %s: %s", d.why, deed)
		}
	}
}
