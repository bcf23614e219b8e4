package spdy

import (
	"io"
	"net/http"
	"strings"

	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSpecPush(t *testing.T) {
	testPushesRefused(t)
	testPushHeaders(t)
	testPushClaims(t)
	testPushServer(t)
	testPushRequests(t)
	testPushCancelled(t)
}

// pushClient is a client that takes pushes, all of them if no configuration says
// otherwise, and has a request open on stream 1.
func pushClient(t *testing.T, v Version, conf ...Config) *testPeer {
	c := Config{AcceptPush: func(promised, cause *http.Request) bool { return true }}
	if len(conf) > 0 {
		accept := c.AcceptPush
		c = conf[0]
		if c.AcceptPush == nil {
			c.AcceptPush = accept
		}
	}
	p := newPeer(t, asClient, peerOpts{version: v, conf: c, app: newHTTPClientApp(&c), announce: true})
	p.drain()
	p.startGet("/")
	p.wantSynStream("a request", 1)
	return p
}

// wantPushRefused sends a push and wants it to cost its stream and nothing else.
func (p *testPeer) wantPushRefused(why string, f *SynStreamFrame, status RstStatus) {
	p.t.Helper()
	p.send(f)
	p.wantRst(why, f.StreamID, status)
	p.wantNothing("the session goes on")
}

func testPushesRefused(t *testing.T) {
	ruleStory(t, "U2", everyVersion, "associated to 0", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		p.wantPushRefused("along with nothing", p.pushFrame(2, 0, "/a"), RstInvalidStream)
	})
	ruleStory(t, "U3", version3, "stream 0", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		p.send(p.pushFrame(0, 1, "/a"))
		p.wantSessionError("no stream has that id", 0, GoAwayProtocolError)
	})
	ruleStory(t, "U4", version3, "missing", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		for i, name := range []string{":scheme", ":host", ":path"} {
			f := p.pushFrame(uint32(2+2*i), 1, "/a")
			f.Headers = override(f.Headers, HeaderBlock{{name, "-"}})
			p.wantPushRefused("without "+name, f, RstProtocolError)
		}
		for i, path := range []string{"", "a", "http://example.com/a", "*"} {
			p.wantPushRefused("path "+path, p.pushFrame(uint32(20+2*i), 1, path), RstProtocolError)
		}
	})
	ruleStory(t, "U5", onlyVersion2, "missing", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		for i, url := range []string{"-", "", "/a", "example.com/a", "ftp://example.com/a", "http:///a"} {
			f := p.pushFrame(uint32(2+2*i), 1, "/")
			f.Headers = override(f.Headers, HeaderBlock{{"url", url}})
			p.wantPushRefused("url "+url, f, RstProtocolError)
		}
	})
	ruleStory(t, "U6,U12", everyVersion, "no open request", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		p.wantPushRefused("never opened", p.pushFrame(2, 9, "/a"), RstInvalidStream)
		g := p.startGet("/other")
		p.wantSynStream("another request", 3)
		p.send(&SynReplyFrame{StreamID: 3, Flags: FlagFin, Headers: plainOK(v)})
		g.ok("it is answered")
		p.wantPushRefused("answered", p.pushFrame(4, 3, "/a"), RstInvalidStream)
	})
	ruleStory(t, "U14", version3, "another origin", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		for i, edit := range []HeaderField{{":host", "elsewhere.example"}, {":host", "example.com:8080"}, {":scheme", "https"}} {
			f := p.pushFrame(uint32(2+2*i), 1, "/a")
			f.Headers = override(f.Headers, HeaderBlock{edit})
			p.wantPushRefused(edit.Value, f, RstRefusedStream)
		}
		f := p.pushFrame(20, 1, "/a")
		f.Headers = override(f.Headers, HeaderBlock{{":host", "EXAMPLE.com"}})
		p.send(f)
		p.wantNothing("names of hosts have no case")
	})
	ruleStory(t, "U9", everyVersion, "method", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		f := p.pushFrame(2, 1, "/a")
		f.Headers = append(f.Headers, HeaderField{pseudoMethod.name(v), "POST"})
		p.wantPushRefused("a GET is all that can be pushed", f, RstProtocolError)
	})
	ruleStory(t, "U16", version3, "limit", func(t *testing.T, v Version) {
		p := pushClient(t, v, Config{MaxConcurrentStreams: 2, SessionWindow: 1 << 20})
		p.startGet("/page")
		p.wantSynStream("another request", 3)
		p.send(p.pushFrame(2, 3, "/a"))
		p.send(&SynReplyFrame{StreamID: 3, Flags: FlagFin, Headers: plainOK(v)})
		p.wantNothing("the page is complete")
		p.startGet("/a").ok("one push is read")
		p.send(p.pushFrame(4, 1, "/b"))
		p.wantNothing("two are fine")
		p.wantPushRefused("a third is not", p.pushFrame(6, 1, "/c"), RstRefusedStream)
		p.sendData(2, "a", FlagFin)
		p.send(p.pushFrame(8, 1, "/d"))
		p.wantRst("there is room again, and one may wait for a request", 4, RstCancel)
		p.wantNothing("that is the newest")
	})
	ruleStory(t, "U16", version3, "none by default", func(t *testing.T, v Version) {
		p := newPeer(t, asClient, peerOpts{version: v, app: newHTTPClientApp(nil), announce: true})
		f := wantFrame[*SettingsFrame](p, "what we announce")
		require.Equal(t, Setting{ID: SettingMaxConcurrentStreams}, f.Entries[0])
		p.drain()
		p.startGet("/")
		p.wantSynStream("a request", 1)
		p.wantPushRefused("it was said", p.pushFrame(2, 1, "/a"), RstRefusedStream)
		p.sendBulk(2, 1000, FlagFin)
		p.wantNothing("its bytes are thrown away")
	})
	ruleStory(t, "U18", everyVersion, "twice", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		p.send(p.pushFrame(2, 1, "/a"))
		p.wantPushRefused("there is no request for the first", p.pushFrame(4, 1, "/a"), RstProtocolError)
		p.sendData(2, "first", FlagFin)
		p.wantNothing("the first is complete")
		require.Equal(t, "first", p.startGet("/a").body("it has been claimed"))
		p.send(p.pushFrame(6, 1, "/a"))
		p.wantNothing("now it may come again")
	})
	ruleStory(t, "U19", everyVersion, "push of a push", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		p.send(p.pushFrame(2, 1, "/a"))
		p.wantNothing("a push")
		p.wantPushRefused("pushes have none", p.pushFrame(4, 2, "/b"), RstInvalidStream)
	})
}

func testPushHeaders(t *testing.T) {
	ruleStory(t, "U10", everyVersion, "answer in HEADERS", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		p.send(p.promiseFrame(2, 1, "/a"))
		p.wantNothing("a push")
		p.startGet("/a")
		p.wantSynStream("there is no answer yet", 3)
		p.sendHeaders(2, 0, HeaderField{"x", "1"})
		p.startGet("/a")
		p.wantSynStream("there is no status yet", 5)
		p.sendHeaders(2, 0, plainOK(v, "y", "2")...)
		p.sendData(2, "pushed", FlagFin)
		p.wantNothing("the answer is complete")
		g := p.startGet("/a")
		require.Equal(t, "pushed", g.body("now there is"))
		require.Equal(t, http.Header{"X": {"1"}, "Y": {"2"}}, g.res.Header)
		p.wantNothing("that was not asked for")
	})
	bad := map[string]func(p *testPeer){
		"the URL": func(p *testPeer) {
			p.send(p.promiseFrame(2, 1, "/a"))
			p.sendHeaders(2, 0, append(plainOK(p.version), HeaderField{pseudoPath.name(p.version), "/b"})...)
		},
		"a name": func(p *testPeer) {
			f := p.promiseFrame(2, 1, "/a")
			f.Headers = append(f.Headers, HeaderField{"x", "1"})
			p.send(f)
			p.sendHeaders(2, 0, plainOK(p.version, "x", "1")...)
		},
		"a name of HEADERS": func(p *testPeer) {
			p.send(p.promiseFrame(2, 1, "/a"))
			p.sendHeaders(2, 0, HeaderField{"x", "1"})
			p.sendHeaders(2, 0, HeaderField{"x", "2"})
		},
		"the URL after the status": func(p *testPeer) {
			p.send(p.pushFrame(2, 1, "/a"))
			p.sendHeaders(2, 0, HeaderField{pseudoPath.name(p.version), "/b"})
		},
		"the status": func(p *testPeer) {
			p.send(p.pushFrame(2, 1, "/a"))
			p.sendHeaders(2, 0, plainOK(p.version)...)
		},
	}
	for name, push := range bad {
		ruleStory(t, "U10", everyVersion, "repeats "+name, func(t *testing.T, v Version) {
			p := pushClient(t, v)
			push(p)
			p.wantRst("that was said already", 2, RstProtocolError)
			p.wantNothing("the session goes on")
			p.startGet("/a")
			p.wantSynStream("the answer is not used", 3)
		})
	}
	ruleStory(t, "U11", everyVersion, "DATA first", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		p.send(p.promiseFrame(2, 1, "/a"))
		p.sendBulk(2, 1000, 0)
		p.wantRst("an answer begins with its status", 2, RstProtocolError)
		p.wantNothing("the session goes on")
	})
}

func testPushClaims(t *testing.T) {
	ruleStory(t, "U13,U17", everyVersion, "claimed", func(t *testing.T, v Version) {
		p := pushClient(t, v, Config{StreamWindow: 64 << 10, SessionWindow: 256 << 10})
		p.send(p.pushFrame(2, 1, "/a?b=c"))
		p.sendBulk(2, 60000, 0)
		p.wantNothing("nobody has asked for it")
		p.startGet("/a")
		p.wantSynStream("that is another URL", 3)
		p.startGet("/a?b=c")
		p.wantSynStream("the request that it came with may be cancelled, and the push with it", 5)
		p.send(&SynReplyFrame{StreamID: 1, Flags: FlagFin, Headers: plainOK(v)})
		p.wantNothing("now it cannot")
		g := p.startGet("/a?b=c")
		g.ok("the headers are there")
		p.wantIdle("a client says nothing on a push")
		_, err := p.s.streams[2].write([]byte("x"), false)
		require.ErrorIs(t, err, ErrStreamClosed, "it cannot")
		var got []byte
		read := p.async("body", func(c *call) { got, c.err = io.ReadAll(g.res.Body) })
		sent := 60000
		for window := 65536 - 60000; sent < 1<<20; {
			for _, f := range p.drain() {
				if w := f.(*WindowUpdateFrame); w.StreamID == 2 {
					window += int(w.Delta)
				}
			}
			if v == SPDY2 {
				window = 1 << 16
			}
			require.Positive(t, window, "the body streams as it is read")
			n := min(window, 1<<20-sent, 16<<10)
			p.sendBulk(2, n, 0)
			sent, window = sent+n, window-n
		}
		p.sendData(2, "", FlagFin)
		read.ok("to the end")
		require.Len(t, got, 1<<20)
		for _, f := range p.drain() {
			require.IsType(t, &WindowUpdateFrame{}, f)
		}
		p.startGet("/a?b=c")
		p.wantSynStream("it is used once", 7)
	})
	ruleStory(t, "U13", everyVersion, "not for every request", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		p.send(p.pushFrame(2, 1, "/a"))
		p.wantNothing("a push")
		id := uint32(3)
		for _, edit := range []func(r *http.Request){
			func(r *http.Request) { r.Method = "HEAD" },
			func(r *http.Request) { r.Header.Set("Range", "bytes=1-2") },
			func(r *http.Request) { r.Host = "elsewhere.example" },
			func(r *http.Request) { r.URL.Scheme = "https" },
			func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1 },
		} {
			req, err := http.NewRequest("GET", "http://example.com/a", nil)
			require.NoError(t, err)
			edit(req)
			p.startRequest(req)
			p.wantSynStream("the push does not answer that", id)
			p.drain()
			id += 2
		}
	})
	ruleStory(t, "U13,U18", everyVersion, "lost before", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		p.send(p.pushFrame(2, 1, "/a"))
		p.sendData(2, "half", 0)
		p.sendRst(2, RstInternalError)
		p.wantNothing("nobody had asked for it")
		g := p.startGet("/a")
		p.wantSynStream("half an answer is none", 3)
		p.send(p.pushFrame(4, 1, "/b"))
		p.sendRst(4, RstCancel)
		p.send(p.pushFrame(6, 1, "/b"))
		p.wantNothing("nor does it stand in the way of another")
		p.send(&SynReplyFrame{StreamID: 3, Flags: FlagFin, Headers: plainOK(v)})
		g.ok("the server answers")
	})
	ruleStory(t, "U13", everyVersion, "AcceptPush takes its time", func(t *testing.T, v Version) {
		decide := make(chan bool)
		p := pushClient(t, v, Config{AcceptPush: func(promised, cause *http.Request) bool {
			assert.Equal(t, "http://example.com/a", promised.URL.String())
			assert.Equal(t, "/", cause.URL.Path)
			return <-decide
		}})
		defer close(decide)
		p.send(p.pushFrame(2, 1, "/a"))
		p.wantNothing("a push")
		p.sendData(2, "pushed", FlagFin)
		p.startGet("/a")
		p.wantSynStream("whether it is taken is open", 3)
		decide <- true
		synctest.Wait()
		require.Equal(t, "pushed", p.startGet("/a").body("it is taken"))
		p.send(p.pushFrame(4, 1, "/a"))
		p.wantNothing("another push")
		decide <- false
		p.wantRst("which is refused", 4, RstRefusedStream)
		p.startGet("/a")
		p.wantSynStream("there is none", 5)
	})
}

// pushFrame makes the SYN_STREAM of a push of http://example.com and the path, with
// the answer in it.
func (p *testPeer) pushFrame(id, assoc uint32, path string) *SynStreamFrame {
	f := p.promiseFrame(id, assoc, path)
	f.Headers = append(f.Headers, plainOK(p.version)...)
	return f
}

// promiseFrame is pushFrame without the answer.
func (p *testPeer) promiseFrame(id, assoc uint32, path string) *SynStreamFrame {
	h := httpBlock(p.version, ":path", path, ":host", "example.com", ":scheme", "http")
	if p.version == SPDY2 {
		h = HeaderBlock{{"url", "http://example.com" + path}}
	}
	return &SynStreamFrame{StreamID: id, AssociatedStreamID: assoc, Flags: FlagUnidirectional, Headers: h}
}
