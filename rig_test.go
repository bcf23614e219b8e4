package spdy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A rig is a client and a server of ours with a testconn between them, for tests in
// a bubble. The bubble checks that all of it is gone at the end.
type rig struct {
	t              testing.TB
	client, server *Session
	cc, sc         *testconn.Conn // the client's end and the server's, if they are such
	clientEnd      chan error     // what the client's Serve returns
	serverEnd      chan error
}

// A rigSetup says what a rig should be other than the defaults.
type rigSetup struct {
	client, server *Config
	conn           []testconn.Option
}

// rigTest runs f in a bubble with a rig that serves h.
func rigTest(t *testing.T, h http.HandlerFunc, setup rigSetup, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, h, setup)
		defer r.close()
		f(t, r)
	})
}

// newRig starts both sessions. It must be called in a bubble.
func newRig(t testing.TB, h http.Handler, setup rigSetup) *rig {
	cc, sc := testconn.Pair(setup.conn...)
	r := startRig(t, cc, sc, inVersion(t, setup.client), inVersion(t, setup.server), h)
	r.cc, r.sc = cc, sc
	return r
}

// startRig starts both sessions at the ends of any connection.
func startRig(t testing.TB, cc, sc net.Conn, client, server *Config, h http.Handler) *rig {
	r := &rig{t: t, clientEnd: make(chan error, 1), serverEnd: make(chan error, 1)}
	r.client = client.ClientSession(cc)
	r.server = server.ServerSession(sc, &http.Server{Handler: h})
	go func() { r.serverEnd <- r.server.Serve() }()
	go func() { r.clientEnd <- r.client.Serve() }()
	return r
}

// testVersion is the version that a test is to be run in: SPDY/3.1 unless an element of
// its name is another one's, as TestInOtherVersions sees to.
func testVersion(t testing.TB) Version {
	for _, v := range everyVersion {
		if strings.Contains(t.Name(), "/"+versionElement(v)+"/") {
			return v
		}
	}
	return SPDY31
}

// inVersion is a configuration, which may be nil, with the version of the test unless it
// has one.
func inVersion(t testing.TB, c *Config) *Config {
	var d Config
	if c != nil {
		d = *c
	}
	if d.Version == 0 {
		d.Version = testVersion(t)
	}
	return &d
}

// close ends both sessions and waits for them.
func (r *rig) close() {
	r.client.Close()
	r.server.Close()
	<-r.clientEnd
	<-r.serverEnd
}

// ended waits until both sessions have ended by themselves and returns what their
// Serve methods returned.
func (r *rig) ended() (client, server error) {
	client, server = <-r.clientEnd, <-r.serverEnd
	r.clientEnd <- client
	r.serverEnd <- server
	return client, server
}

// request makes a request with the body, which may be nil, and the header's names
// and values in turn.
func (r *rig) request(method, path string, body io.Reader, header ...string) *http.Request {
	req, err := http.NewRequestWithContext(context.Background(), method, "http://rig.example"+path, body)
	require.NoError(r.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return req
}

// get fetches the path and returns the answer and the whole body.
func (r *rig) get(path string) (*http.Response, string) {
	r.t.Helper()
	res, body, err := r.fetch(r.request("GET", path, nil))
	require.NoError(r.t, err)
	return res, body
}

// fetch sends the request and reads the whole answer.
func (r *rig) fetch(req *http.Request) (*http.Response, string, error) {
	res, err := r.client.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

// requireBalanced checks, once all is quiet, that every byte of both session windows
// is accounted for: nothing is unread, so what the peer may send and what it will
// be told again make up the whole window, and the peer's own count is what it has
// been told. No stream may be left.
func (r *rig) requireBalanced() {
	r.t.Helper()
	synctest.Wait()
	for _, pair := range []struct {
		name     string
		from, to *Session
	}{{"downloads", r.server, r.client}, {"uploads", r.client, r.server}} {
		size, avail, owed, streams := receiveWindow(pair.to)
		assert.Equal(r.t, size, avail+owed, "%s: bytes of the session window are lost", pair.name)
		assert.Zero(r.t, streams, "%s: streams are left", pair.name)
		if pair.to.version.sessionFlowControl() {
			assert.Equal(r.t, avail, sendWindow(pair.from), "%s: the two ends count differently", pair.name)
		}
	}
	require.False(r.t, r.t.Failed())
}

func receiveWindow(s *Session) (size, avail, owed int64, streams int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flow.in.size, s.flow.in.avail, s.flow.owed.Load(), len(s.streams)
}

func sendWindow(s *Session) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flow.out.avail
}

// unreadBytes is what the session's northbound buffers hold.
func unreadBytes(s *Session) (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		n += st.in.buffered()
	}
	return n
}

// openStreams is the number of the session's streams.
func openStreams(s *Session) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

// patternBlock is what patterns repeat. Its length is a prime, so that bytes which
// went missing or came twice show wherever the pieces were cut.
var patternBlock = func() []byte {
	b := make([]byte, 65521)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}()

// A pattern is a body of known bytes; two with different seeds differ.
type pattern struct {
	seed, off, size int64
}

func newPattern(seed, size int64) *pattern { return &pattern{seed: seed, size: size} }

// next returns up to n of the bytes that come next.
func (p *pattern) next(n int) []byte {
	at := (p.off + p.seed*7919) % int64(len(patternBlock))
	b := patternBlock[at:]
	return b[:min(int64(n), int64(len(b)), p.size-p.off)]
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.off == p.size {
		return 0, io.EOF
	}
	n := 0
	for n < len(b) && p.off < p.size {
		k := copy(b[n:], p.next(len(b)-n))
		p.off += int64(k)
		n += k
	}
	return n, nil
}

func (p *pattern) Close() error { return nil }

// hash is the SHA-256 of the whole pattern.
func (p *pattern) hash() []byte {
	h := sha256.New()
	io.Copy(h, newPattern(p.seed, p.size))
	return h.Sum(nil)
}

// A patternCheck is a writer that compares what it gets with a pattern, and hashes it
// if it has a hash.
type patternCheck struct {
	want *pattern
	hash hash.Hash
	bad  error
}

func newPatternCheck(seed, size int64) *patternCheck {
	return &patternCheck{want: newPattern(seed, size)}
}

func (c *patternCheck) Write(b []byte) (int, error) {
	if c.hash != nil {
		c.hash.Write(b)
	}
	for rest := b; len(rest) > 0; {
		want := c.want.next(len(rest))
		if len(want) == 0 {
			c.bad = fmt.Errorf("more than %d bytes", c.want.size)
			return 0, c.bad
		}
		if !bytes.Equal(rest[:len(want)], want) {
			c.bad = fmt.Errorf("wrong bytes in the %d from %d on", len(want), c.want.off)
			return 0, c.bad
		}
		c.want.off += int64(len(want))
		rest = rest[len(want):]
	}
	return len(b), nil
}

// whole reports why what has been written is not the whole pattern.
func (c *patternCheck) whole() error {
	switch {
	case c.bad != nil:
		return c.bad
	case c.want.off != c.want.size:
		return fmt.Errorf("%d of %d bytes", c.want.off, c.want.size)
	case c.hash != nil && !bytes.Equal(c.hash.Sum(nil), c.want.hash()):
		return errors.New("another hash")
	}
	return nil
}

// requireTruncated checks that an error says that data is missing.
func requireTruncated(t testing.TB, err error, msg ...any) {
	t.Helper()
	require.Error(t, err, msg...)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, msg...)
}

// requireBrokenOff checks that an error says that data is missing, or that this side has closed
// the session.
func requireBrokenOff(t testing.TB, err error) {
	t.Helper()
	if err != ErrSessionClosed {
		requireTruncated(t, err)
	}
}

// copyByRead is io.Copy for tests that must not take the shortcut
// of WriteTo: it reads with a buffer of size bytes.
func copyByRead(w io.Writer, r io.Reader, size int) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, size))
}

// textLogger logs to w, for one session.
func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// quietConfig is for sessions whose peer breaks the rules on purpose.
var quietConfig = &Config{Logger: textLogger(io.Discard)}
