package spdy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A smuggled is a header block that, written as HTTP/1.1 further on, would be something
// else than it says. The pairs are those of plainGet or plainOK; more are fields that
// come on top, whatever is there already.
type smuggled struct {
	name  string
	pairs []string
	more  []HeaderField
	not2  bool // SPDY/2 has no such header
}

func with(pairs ...string) []string { return pairs }

// smuggledFields are bad in both directions.
var smuggledFields = []smuggled{
	{name: "upper case", pairs: with("X-Evil", "1")},
	{name: "one letter upper case", pairs: with("hosT", "evil")},
	{name: "empty name", more: []HeaderField{{"", "1"}}},
	{name: "line break in a name", pairs: with("x\r\nevil", "1")},
	{name: "LF in a name", pairs: with("x\nevil", "1")},
	{name: "CR in a name", pairs: with("x\revil", "1")},
	{name: "NUL in a name", pairs: with("x\x00evil", "1")},
	{name: "colon in a name", pairs: with("x: evil\r\ny", "1")},
	{name: "colon behind a name", pairs: with("x:", "1")},
	{name: "space in a name", pairs: with("content-length ", "1")},
	{name: "space before a name", pairs: with(" x", "1")},
	{name: "tab in a name", pairs: with("x\ty", "1")},
	{name: "DEL in a name", pairs: with("x\x7f", "1")},
	{name: "control byte in a name", pairs: with("x\x01", "1")},
	{name: "slash in a name", pairs: with("x/y", "1")},
	{name: "no ASCII in a name", pairs: with("x\u00e9", "1")},
	{name: "name twice", more: []HeaderField{{"x", "1"}, {"x", "2"}}},
	{name: "length twice", more: []HeaderField{{"content-length", "0"}, {"content-length", "5"}}},
	{name: "unknown pseudo header", pairs: with(":evil", "1"), not2: true},
	{name: "line break in a value", pairs: with("x", "1\r\nevil: 1")},
	{name: "LF in a value", pairs: with("x", "1\nevil: 1")},
	{name: "CR in a value", pairs: with("x", "1\revil: 1")},
	{name: "line break in the second value", pairs: with("x", "1\x002\r\nevil: 1")},
	{name: "NUL before a value", pairs: with("x", "\x001"), not2: true},
	{name: "NUL behind a value", pairs: with("x", "1\x00"), not2: true},
	{name: "two NUL in a value", pairs: with("x", "1\x00\x002")},
	{name: "control byte in a value", pairs: with("x", "1\x01")},
	{name: "DEL in a value", pairs: with("x", "1\x7f")},
	{name: "length of nothing", pairs: with("content-length", "x")},
	{name: "length below zero", pairs: with("content-length", "-1")},
	{name: "length with a plus", pairs: with("content-length", "+1")},
	{name: "length in hex", pairs: with("content-length", "0x1")},
	{name: "length with an exponent", pairs: with("content-length", "1e3")},
	{name: "length with an underscore", pairs: with("content-length", "1_0")},
	{name: "two lengths", pairs: with("content-length", "1\x002")},
	{name: "two lengths in a list", pairs: with("content-length", "1, 2")},
	{name: "length beyond all bounds", pairs: with("content-length", "99999999999999999999")},
}

// smuggledRequests are bad requests.
var smuggledRequests = []smuggled{
	{name: "no method", pairs: with(":method", "-")},
	{name: "no path", pairs: with(":path", "-")},
	{name: "no version", pairs: with(":version", "-")},
	{name: "no host", pairs: with(":host", "-"), not2: true},
	{name: "no scheme", pairs: with(":scheme", "-"), not2: true},
	{name: "empty method", pairs: with(":method", "")},
	{name: "method with a target", pairs: with(":method", "GET /evil HTTP/1.1\r\n\r\nGET")},
	{name: "method with a space", pairs: with(":method", "GET /x")},
	{name: "method with a bracket", pairs: with(":method", "GE(T")},
	{name: "two methods", pairs: with(":method", "GET\x00POST")},
	{name: "empty path", pairs: with(":path", "")},
	{name: "path that does not start with a slash", pairs: with(":path", "evil")},
	{name: "path that starts with a host", pairs: with(":path", "@evil.example/")},
	{name: "star with a query", pairs: with(":path", "*?x")},
	{name: "path with a version", pairs: with(":path", "/ HTTP/1.1")},
	{name: "path with a space", pairs: with(":path", "/a b")},
	{name: "path with a request", pairs: with(":path", "/ HTTP/1.1\r\nHost: x\r\n\r\nGET /evil")},
	{name: "path with LF", pairs: with(":path", "/\nevil")},
	{name: "path with DEL", pairs: with(":path", "/\x7f")},
	{name: "path with a tab", pairs: with(":path", "/\t")},
	{name: "two paths", pairs: with(":path", "/\x00/evil")},
	{name: "path with half an escape", pairs: with(":path", "/%x")},
	{name: "host with a space", pairs: with(":host", "a b")},
	{name: "host with a line", pairs: with(":host", "a\r\nEvil: 1")},
	{name: "host with a path", pairs: with(":host", "a/b")},
	{name: "host with a user", pairs: with(":host", "user@a")},
	{name: "host with a query", pairs: with(":host", "a?b")},
	{name: "host with a fragment", pairs: with(":host", "a#b")},
	{name: "two hosts", pairs: with(":host", "a\x00b")},
	{name: "scheme with a space", pairs: with(":scheme", "ht tp")},
	{name: "scheme with a line", pairs: with(":scheme", "http\r\nEvil: 1")},
	{name: "two schemes", pairs: with(":scheme", "http\x00https")},
	{name: "version with a line", pairs: with(":version", "HTTP/1.1\r\nEvil: 1")},
	{name: "version of nothing", pairs: with(":version", "HTCPCP/1.0")},
	{name: "two versions", pairs: with(":version", "HTTP/1.1\x00HTTP/1.0")},
	{name: "method twice", more: []HeaderField{{":method", "GET"}, {":method", "GET"}}, not2: true},
	{name: "path twice", more: []HeaderField{{":path", "/evil"}}, not2: true},
	{name: "answer's pseudo header", pairs: with(":status", "200"), not2: true},
	{name: "CONNECT with a line", pairs: with(":method", "CONNECT", ":path", "h:1\r\nEvil: 1")},
	{name: "OPTIONS with a star and more", pairs: with(":method", "OPTIONS", ":path", "*evil")},
}

// smuggledAnswers are bad answers.
var smuggledAnswers = []smuggled{
	{name: "no status", pairs: with(":status", "-")},
	{name: "no version", pairs: with(":version", "-")},
	{name: "empty status", pairs: with(":status", "")},
	{name: "status of two digits", pairs: with(":status", "20")},
	{name: "status of four digits", pairs: with(":status", "2000")},
	{name: "status with a sign", pairs: with(":status", "+20")},
	{name: "status of letters", pairs: with(":status", "abc")},
	{name: "status with a line", pairs: with(":status", "200 OK\r\nEvil: 1")},
	{name: "status with LF", pairs: with(":status", "200 OK\nEvil: 1")},
	{name: "status with an answer", pairs: with(":status", "200 OK\r\n\r\nHTTP/1.1 200 OK")},
	{name: "two statuses", pairs: with(":status", "200\x00404")},
	{name: "version with a line", pairs: with(":version", "HTTP/1.1\r\nEvil: 1")},
	{name: "two versions", pairs: with(":version", "HTTP/1.1\x00HTTP/1.0")},
	{name: "status twice", more: []HeaderField{{":status", "404"}}, not2: true},
	{name: "request's pseudo header", pairs: with(":path", "/"), not2: true},
}

// hopByHop are headers that say how a connection is used: they mean nothing here, and
// behind a proxy they would.
var hopByHop = []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"}

// A12, smuggling (netty CVE-2025-67735, nginx CVE-2026-42926): a message that would not
// be the same as HTTP/1.1 is turned down, in both directions, and never made.
func TestAttackA12Smuggling(t *testing.T) {
	require.Greater(t, len(smuggledFields)+len(smuggledRequests)+len(smuggledAnswers), 60)
	for _, s := range append(append([]smuggled{}, smuggledFields...), smuggledRequests...) {
		attackStory(t, s.name, victimServer, s.versions(), func(t *testing.T, _ role, v Version) {
			p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) { assert.Fail(t, "it reached a handler") })
			p.sendBlock(FrameSynStream, append(plainGet(v, s.pairs...), s.more...))
			p.wantRefusal(s.name, 1)
		})
	}
	for _, s := range append(append([]smuggled{}, smuggledFields...), smuggledAnswers...) {
		attackStory(t, s.name, victimClient, s.versions(), func(t *testing.T, _ role, v Version) {
			p := httpClient(t, v)
			g := p.startGet("/")
			p.wantSynStream("a request", 1)
			p.sendBlock(FrameSynReply, append(plainOK(v, s.pairs...), s.more...))
			require.Equal(t, refusal{rst: RstProtocolError}, p.wantRefusal(s.name, 1))
			g.failsReset("no answer", RstProtocolError, false)
		})
	}
	for _, s := range smuggledFields {
		if strings.Contains(s.name, "length") || strings.Contains(s.name, "pseudo") {
			continue // which mean nothing on raw streams
		}
		attackStory(t, "raw, "+s.name, bothRoles, s.versions(), func(t *testing.T, r role, v Version) {
			conf := Config{}
			p := newPeer(t, r, peerOpts{version: v, conf: conf, app: newAcceptQueue(&conf)})
			h := append(HeaderBlock{{"a", "b"}}, httpBlock(v, s.pairs...)...)
			h = append(h, s.more...)
			_, err := p.s.OpenStream(t.Context(), h, StreamOptions{})
			require.ErrorIs(t, err, ErrInvalidHeader)
			p.wantNothing("nothing of it is sent")
		})
	}
	testHopByHopIsDropped(t)
	testBodiesOfTheWrongLength(t)
	testNothingBadIsSent(t)
}

// versions are those in which a block can be made.
func (s smuggled) versions() []Version {
	if s.not2 {
		return version3
	}
	return everyVersion
}

// sendBlock sends a header block for stream 1 that WriteFrame might not make.
func (p *testPeer) sendBlock(typ FrameType, h HeaderBlock) {
	p.t.Helper()
	var nv []byte
	number := func(n int) {
		if p.version != SPDY2 {
			nv = append(nv, byte(n>>24), byte(n>>16))
		}
		nv = append(nv, byte(n>>8), byte(n))
	}
	number(len(h))
	for _, f := range h {
		number(len(f.Name))
		nv = append(nv, f.Name...)
		number(len(f.Value))
		nv = append(nv, f.Value...)
	}
	block := newHeaderCompressor(p.version, CompressNone).appendBlock(nil, nv)
	var payload []byte
	switch {
	case typ == FrameSynStream:
		payload = []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	case p.version == SPDY2:
		payload = []byte{0, 0, 0, 1, 0, 0}
	default:
		payload = []byte{0, 0, 0, 1}
	}
	p.sendControl(typ, 0, append(payload, block...)...)
}

func testHopByHopIsDropped(t *testing.T) {
	attackStory(t, "hop by hop", victimServer, everyVersion, func(t *testing.T, _ role, v Version) {
		p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) {
			for _, name := range append(hopByHop, "host") {
				assert.NotContains(t, r.Header, http.CanonicalHeaderKey(name))
			}
			assert.Empty(t, r.TransferEncoding)
			assert.Equal(t, "example.com", r.Host)
			w.WriteHeader(http.StatusNoContent)
		})
		h := plainGet(v, "connection", "upgrade", "keep-alive", "timeout=5", "proxy-connection", "keep-alive",
			"transfer-encoding", "chunked", "upgrade", "SPDY/3.1", "te", "trailers")
		if v != SPDY2 {
			h = append(h, HeaderField{"host", "evil.example"})
		}
		p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: h})
		p.wantSynReply("it is answered", 1)
	})
	attackStory(t, "hop by hop", victimClient, everyVersion, func(t *testing.T, _ role, v Version) {
		p := httpClient(t, v)
		g := p.startGet("/")
		p.wantSynStream("a request", 1)
		p.send(&SynReplyFrame{StreamID: 1, Flags: FlagFin, Headers: plainOK(v, "connection", "upgrade", "keep-alive", "1",
			"proxy-connection", "1", "transfer-encoding", "chunked", "upgrade", "h2c")})
		g.ok("it is an answer")
		for _, name := range hopByHop {
			require.NotContains(t, g.res.Header, http.CanonicalHeaderKey(name))
		}
		require.Empty(t, g.res.TransferEncoding)
	})
}

// testBodiesOfTheWrongLength: a body is as long as its Content-Length says, or its
// reader gets an error.
func testBodiesOfTheWrongLength(t *testing.T) {
	for sent, good := range map[int]bool{0: false, 4: false, 5: true, 6: false, 500: false} {
		name := fmt.Sprintf("%d bytes for 5", sent)
		attackStory(t, name, victimServer, everyVersion, func(t *testing.T, _ role, v Version) {
			read := make(chan error, 1)
			p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				read <- err
			})
			p.send(&SynStreamFrame{StreamID: 1, Headers: plainGet(v, ":method", "POST", "content-length", "5")})
			p.sendData(1, strings.Repeat("x", sent), FlagFin)
			synctest.Wait()
			require.Equal(t, good, <-read == nil)
			p.drain()
		})
		attackStory(t, name, victimClient, everyVersion, func(t *testing.T, _ role, v Version) {
			p := httpClient(t, v)
			g := p.startGet("/")
			p.wantSynStream("a request", 1)
			p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(v, "content-length", "5")})
			g.ok("an answer")
			p.sendData(1, strings.Repeat("x", sent), FlagFin)
			read := p.async("body", func(c *call) { _, c.err = io.ReadAll(g.res.Body) }).wait("all of it")
			require.Equal(t, good, read.err == nil)
			p.drain()
		})
	}
}

// testNothingBadIsSent: requests that cannot be sent as they are fail, and what a handler
// puts into a header that cannot be sent stays behind.
func testNothingBadIsSent(t *testing.T) {
	for name, spoil := range map[string]func(r *http.Request){
		"method":       func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\n\r\nGET" },
		"path":         func(r *http.Request) { r.URL.Opaque = "/ HTTP/1.1" },
		"query":        func(r *http.Request) { r.URL.RawQuery = "a\r\nEvil: 1" },
		"host":         func(r *http.Request) { r.Host = "h\r\nEvil: 1" },
		"name":         func(r *http.Request) { r.Header["X\r\nEvil"] = []string{"1"} },
		"empty name":   func(r *http.Request) { r.Header[""] = []string{"1"} },
		"pseudo":       func(r *http.Request) { r.Header[":path"] = []string{"/evil"} },
		"value":        func(r *http.Request) { r.Header["X"] = []string{"1\r\nEvil: 1"} },
		"second value": func(r *http.Request) { r.Header["X"] = []string{"1", "\n"} },
		"NUL":          func(r *http.Request) { r.Header["X"] = []string{"1\x002"} },
		"trailer":      func(r *http.Request) { r.Trailer = http.Header{"X\nEvil": nil} },
	} {
		attackStory(t, "sent, "+name, victimClient, everyVersion, func(t *testing.T, _ role, v Version) {
			p := httpClient(t, v)
			req := newTestRequest(t, "POST", http.NoBody)
			spoil(req)
			g := p.startRequest(req)
			g.wait("it fails")
			var invalid *messageError
			require.ErrorAs(t, g.err, &invalid)
			p.wantNothing("nothing of it is sent")
		})
	}
	attackStory(t, "sent", victimServer, everyVersion, func(t *testing.T, _ role, v Version) {
		p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h["X-Value"] = []string{"1\r\nEvil: 1"}
			h["X\r\nEvil"] = []string{"1"}
			h[":status"] = []string{"500"}
			h["X-Nul"] = []string{"1\x002"}
			h["Good"] = []string{"1\n", "2"}
			h["Keep-Alive"] = []string{"timeout=5"}
			h["Transfer-Encoding"] = []string{"chunked"}
		})
		p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v)})
		sent := ordinary(v, p.wantSynReply("an answer", 1).Headers)
		require.Equal(t, "2", sent["good"])
		delete(sent, "good")
		delete(sent, "date")
		delete(sent, "content-length")
		require.Empty(t, sent)
	})
}
