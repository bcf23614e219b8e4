// Package ownership shows that what belongs to one user of a session reaches no other
// user: pushed answers, settings that servers have their clients keep, and headers that
// end at a proxy.
package ownership

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
)

// A server is the scripted peer of a client session.
type server struct {
	t       *testing.T
	version spdy.Version
	framer  *spdy.Framer

	mu   sync.Mutex
	seen []spdy.Frame // not returned by frames yet
}

// newServer returns a client session and its scripted server.
func newServer(t *testing.T, conf *spdy.Config) (*server, *spdy.Session) {
	ours, theirs := testconn.Pair()
	conf.Logger = slog.New(slog.DiscardHandler)
	client := conf.ClientSession(ours)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = client.Serve() // the test closes it
	}()
	t.Cleanup(func() {
		client.Close()
		<-served
	})
	return serveConn(t, conf.Version, theirs), client
}

// serveConn makes a scripted server of a connection.
func serveConn(t *testing.T, v spdy.Version, conn *testconn.Conn) *server {
	s := &server{t: t, version: v, framer: spdy.NewFramer(conn, conn, v)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		s.read()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-read
	})
	return s
}

func (s *server) read() {
	for {
		f, err := s.framer.ReadFrame()
		if err != nil {
			return
		}
		if d, ok := f.(*spdy.DataFrame); ok { // its payload is the framer's
			f = &spdy.DataFrame{StreamID: d.StreamID, Flags: d.Flags}
		}
		s.mu.Lock()
		s.seen = append(s.seen, f)
		s.mu.Unlock()
	}
}

// frames returns what the client has sent since the last call.
func (s *server) frames() []spdy.Frame {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

// requests returns the ids of the streams that the client has opened since the last call
// of frames, and the status of those that it has reset.
func (s *server) requests() (opened []uint32, reset map[uint32]spdy.RstStatus) {
	reset = make(map[uint32]spdy.RstStatus)
	for _, f := range s.frames() {
		switch f := f.(type) {
		case *spdy.SynStreamFrame:
			opened = append(opened, f.StreamID)
		case *spdy.RstStreamFrame:
			reset[f.StreamID] = f.Status
		}
	}
	return opened, reset
}

// send sends a frame, and waits until the client has read it.
func (s *server) send(f spdy.Frame) {
	s.t.Helper()
	require.NoError(s.t, s.framer.WriteFrame(f))
	synctest.Wait()
}

// answer sends a whole answer whose body is text.
func (s *server) answer(id uint32, text string) {
	s.t.Helper()
	s.send(&spdy.SynReplyFrame{StreamID: id, Headers: s.block("status", "200 OK", "version", "HTTP/1.1")})
	s.send(&spdy.DataFrame{StreamID: id, Flags: spdy.FlagFin, Data: []byte(text)})
}

// promise opens a stream that pushes http://example.com/a along with the request on the
// stream cause. header is what the SYN_STREAM has of the answer, names and values in turn.
func (s *server) promise(id, cause uint32, header ...string) {
	s.t.Helper()
	target := []string{"path", "/a", "host", "example.com", "scheme", "http"}
	if s.version == spdy.SPDY2 {
		target = []string{"url", "http://example.com/a"}
	}
	s.send(&spdy.SynStreamFrame{
		StreamID: id, AssociatedStreamID: cause, Flags: spdy.FlagUnidirectional,
		Headers: s.block(append(target, header...)...),
	})
}

// push pushes http://example.com/a with "pushed" and the id as its body.
func (s *server) push(id, cause uint32, header ...string) {
	s.t.Helper()
	s.promise(id, cause, append([]string{"status", "200 OK", "version", "HTTP/1.1"}, header...)...)
	s.send(&spdy.DataFrame{StreamID: id, Flags: spdy.FlagFin, Data: []byte(pushed(id))})
}

func pushed(id uint32) string { return "pushed " + string('0'+rune(id)) }

// block makes a header block. Names without a hyphen are those of pseudo headers.
func (s *server) block(pairs ...string) (h spdy.HeaderBlock) {
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i]
		switch name {
		case "path", "host", "scheme", "status", "version":
			if s.version != spdy.SPDY2 {
				name = ":" + name
			}
		}
		h = append(h, spdy.HeaderField{Name: name, Value: pairs[i+1]})
	}
	return h
}

// A call is a request in progress.
type call struct {
	done chan struct{} // closed when text and err are set
	text string
	err  error
}

// start sends a request and reads its answer, in the background.
func start(rt http.RoundTripper, req *http.Request) *call {
	c := &call{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		res, err := rt.RoundTrip(req)
		if err != nil {
			c.err = err
			return
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		c.text, c.err = string(text), err
	}()
	return c
}

// body waits for the answer's body.
func (c *call) body(t *testing.T) string {
	t.Helper()
	<-c.done
	require.NoError(t, c.err)
	return c.text
}

// request makes a request for a path of http://example.com. lines are header lines,
// "Name: value".
func request(t *testing.T, method, path string, lines ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://example.com"+path, nil)
	require.NoError(t, err)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	return req
}
