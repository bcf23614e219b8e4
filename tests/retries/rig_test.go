// Package retries shows which requests clients and proxies send again after a failure, how
// often, and which errors callers receive.
package retries

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
)

// An origin is a scripted server. warmUp answers requests for /warm, fate handles all others.
type origin struct {
	t       *testing.T
	version spdy.Version
	conf    *spdy.Config      // of the client's sessions
	secure  bool              // TLS, with ALPN for version
	http1   bool              // HTTP/1.1 instead
	single  bool              // a session takes one stream at a time
	streams uint32            // as many as this; 0 says nothing
	closed  bool              // none
	fate    func(e *exchange) // called by the goroutine of the connection

	running sync.WaitGroup // a goroutine for each connection; ends with the connection

	mu       sync.Mutex
	peers    []*peer
	warm     []*exchange
	sent     []string // bodies of the requests that fate has seen
	sessions []*spdy.Session
}

// newOrigin returns an origin that ends with the test.
func newOrigin(t *testing.T, v spdy.Version) *origin {
	o := &origin{t: t, version: v}
	o.conf = &spdy.Config{Version: v, Logger: slog.New(slog.DiscardHandler), Trace: &spdy.Trace{
		SessionStart: func(s *spdy.Session) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.sessions = append(o.sessions, s)
		},
	}}
	t.Cleanup(func() {
		o.mu.Lock()
		for _, p := range o.peers {
			p.raw.Close()
			p.raw.Peer().Close()
		}
		o.mu.Unlock()
		o.running.Wait()
	})
	return o
}

// A peer is the server's end of a connection. Its goroutine reads, echoes PINGs and calls
// fate; warmUp writes too.
type peer struct {
	o    *origin
	raw  *testconn.Conn
	conn net.Conn // raw, or TLS over it
	f    *spdy.Framer

	writing sync.Mutex
	over    atomic.Bool // the client has ended the connection
}

// An exchange is a request that has arrived.
type exchange struct {
	*peer
	id   uint32 // of its stream
	n    int    // number of requests that fate has seen, this one included
	path string
	body string
	done chan struct{} // HTTP/1.1: the peer may read on
}

// dial connects a client.
func (o *origin) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := testconn.Pair()
	p := &peer{o: o, raw: theirs, conn: theirs}
	if o.secure {
		p.conn = tls.Server(theirs, &tls.Config{
			Certificates: []tls.Certificate{certificate()}, NextProtos: []string{o.version.String()},
		})
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.peers = append(o.peers, p)
	if o.http1 {
		o.running.Go(p.serveHTTP1)
	} else {
		o.running.Go(p.serve)
	}
	return ours, nil
}

// certificate is the origin's. Clients do not verify it.
var certificate = sync.OnceValue(func() tls.Certificate {
	cert, _, err := localcert.New()
	if err != nil {
		panic(err)
	}
	return cert
})

// serve reads requests until the connection ends.
func (p *peer) serve() {
	p.f = spdy.NewFramer(p.conn, p.conn, p.o.version)
	limit := p.o.streams
	if p.o.single {
		limit = 1
	}
	if limit > 0 || p.o.closed {
		p.send(&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingMaxConcurrentStreams, Value: limit}}})
	}
	open := make(map[uint32]*exchange)
	for {
		frame, err := p.f.ReadFrame()
		if err != nil {
			p.raw.Close()
			p.over.Store(true)
			return
		}
		var e *exchange
		var flags spdy.FrameFlags
		switch f := frame.(type) {
		case *spdy.SynStreamFrame:
			e, flags = &exchange{peer: p, id: f.StreamID, path: pathOf(f.Headers)}, f.Flags
			open[e.id] = e
		case *spdy.DataFrame:
			e, flags = open[f.StreamID], f.Flags
			e.body += string(f.Data)
		case *spdy.PingFrame:
			p.send(f)
		}
		if flags&spdy.FlagFin != 0 {
			p.o.arrived(e)
		}
	}
}

func pathOf(h spdy.HeaderBlock) string {
	if path, ok := h.Get(":path"); ok {
		return path
	}
	path, _ := h.Get("url")
	return path
}

// serveHTTP1 is serve for HTTP/1.1.
func (p *peer) serveHTTP1() {
	r := bufio.NewReader(p.conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			p.raw.Close()
			return
		}
		body, _ := io.ReadAll(req.Body) // a part of it is as good
		e := &exchange{peer: p, path: req.URL.Path, body: string(body), done: make(chan struct{}, 1)}
		p.o.arrived(e)
		if e.path == "/warm" {
			<-e.done
		}
	}
}

// arrived handles a request that is complete.
func (o *origin) arrived(e *exchange) {
	o.mu.Lock()
	if e.path == "/warm" {
		o.warm = append(o.warm, e)
		o.mu.Unlock()
		return
	}
	o.sent = append(o.sent, e.body)
	e.n = len(o.sent)
	o.mu.Unlock()
	o.fate(e)
}

// sends is the number of requests that fate has seen.
func (o *origin) sends() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.sent)
}

// warmUp has n sessions of rt carry a request each.
func (o *origin) warmUp(rt http.RoundTripper, n int) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			res, err := rt.RoundTrip(o.request("GET", "/warm", nil))
			if err != nil {
				o.t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body) // it is empty
			res.Body.Close()
		})
		synctest.Wait() // the next request finds that the session has no further stream
	}
	o.mu.Lock()
	require.Len(o.t, o.peers, n)
	require.Len(o.t, o.warm, n)
	for _, e := range o.warm {
		e.answer("")
	}
	o.mu.Unlock()
	wg.Wait()
	synctest.Wait()
}

// alive is the number of connections that have not ended.
func (o *origin) alive() (n int) {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.peers {
		if !p.over.Load() {
			n++
		}
	}
	return n
}

// request makes a request for the origin.
func (o *origin) request(method, path string, body io.Reader, header ...string) *http.Request {
	scheme := "http"
	if o.secure {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(o.t.Context(), method, scheme+"://origin.example"+path, body)
	require.NoError(o.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

// send writes a frame. The connection may have ended.
func (p *peer) send(frame spdy.Frame) {
	p.writing.Lock()
	defer p.writing.Unlock()
	_ = p.f.WriteFrame(frame)
}

// answer answers with 200.
func (e *exchange) answer(body string) {
	if e.o.http1 {
		res := http.Response{ProtoMajor: 1, ProtoMinor: 1, StatusCode: 200, ContentLength: int64(len(body))}
		_ = res.Write(e.conn) // without its body
		_, _ = io.WriteString(e.conn, body)
		e.done <- struct{}{}
		return
	}
	e.reply("200", 0)
	e.send(&spdy.DataFrame{StreamID: e.id, Data: []byte(body), Flags: spdy.FlagFin})
}

// reply sends a SYN_REPLY.
func (e *exchange) reply(status string, flags spdy.FrameFlags) {
	h := spdy.HeaderBlock{{Name: ":status", Value: status}, {Name: ":version", Value: "HTTP/1.1"}}
	if e.o.version == spdy.SPDY2 {
		h = spdy.HeaderBlock{{Name: "status", Value: status}, {Name: "version", Value: "HTTP/1.1"}}
	}
	h = append(h, spdy.HeaderField{Name: "x-from", Value: "origin"})
	e.send(&spdy.SynReplyFrame{StreamID: e.id, Headers: h, Flags: flags})
}

// push pushes along with the answer, which has not begun.
func (e *exchange) push() {
	h := spdy.HeaderBlock{
		{Name: ":path", Value: "/pushed"}, {Name: ":host", Value: "origin.example"}, {Name: ":scheme", Value: "http"},
		{Name: ":status", Value: "200"}, {Name: ":version", Value: "HTTP/1.1"},
	}
	if e.o.version == spdy.SPDY2 {
		h = spdy.HeaderBlock{{Name: "url", Value: "http://origin.example/pushed"}, {Name: "status", Value: "200"}, {Name: "version", Value: "HTTP/1.1"}}
	}
	e.send(&spdy.SynStreamFrame{StreamID: 2 * e.id, AssociatedStreamID: e.id, Flags: spdy.FlagUnidirectional, Headers: h})
}

// refuse resets the stream with REFUSED_STREAM.
func (e *exchange) refuse() {
	e.send(&spdy.RstStreamFrame{StreamID: e.id, Status: spdy.RstRefusedStream})
}

// goAway sends GOAWAY.
func (e *exchange) goAway(last uint32, status spdy.GoAwayStatus) {
	e.send(&spdy.GoAwayFrame{LastGoodStreamID: last, Status: status})
}

// session is the client's end of the exchange's connection.
func (e *exchange) session() *spdy.Session {
	e.o.mu.Lock()
	defer e.o.mu.Unlock()
	for i, p := range e.o.peers {
		if p == e.peer {
			return e.o.sessions[i]
		}
	}
	return nil
}
