package spdy

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSpecHTTP(t *testing.T) {
	testRequestRules(t)
	testAnswerRules(t)
	testBodyLengths(t)
	testEarlyAnswers(t)
	testTrailerRules(t)
	ruleStory(t, "M15", everyVersion, "tunnel", testTunnel)
	for _, v := range everyVersion { // over TCP, as httptest has it
		t.Run(ruleName("M16", v)+"from HTTP/1.1 and back", func(t *testing.T) { testProxyChain(t, v) })
	}
}

// httpServer is a server under test with a handler.
func httpServer(t *testing.T, v Version, h http.HandlerFunc) *testPeer {
	return newPeer(t, asServer, peerOpts{version: v, app: newHTTPServerApp(&http.Server{Handler: h})})
}

// httpClient is a client under test.
func httpClient(t *testing.T, v Version) *testPeer {
	return newPeer(t, asClient, peerOpts{version: v, app: newHTTPClientApp(nil)})
}

// status returns the status in a block.
func (p *testPeer) statusOf(h HeaderBlock) string {
	status, _ := h.Get(pseudoStatus.name(p.version))
	return status
}

func newTestRequest(t testing.TB, method string, body io.Reader) *http.Request {
	req, err := http.NewRequest(method, "http://example.com/", body)
	require.NoError(t, err)
	return req
}

func testRequestRules(t *testing.T) {
	ruleStory(t, "M1", everyVersion, "FIN", func(t *testing.T, v Version) {
		p := httpClient(t, v)
		for i, tt := range []struct {
			method string
			body   io.Reader
			fin    FrameFlags
		}{{"GET", nil, FlagFin}, {"POST", nil, FlagFin}, {"POST", http.NoBody, FlagFin}, {"POST", strings.NewReader("x"), 0}} {
			p.startRequest(newTestRequest(t, tt.method, tt.body))
			f := p.wantSynStream("a request", uint32(1+2*i))
			require.Equal(t, tt.fin, f.Flags, "%+v", tt)
			if tt.fin == 0 {
				p.wantBody("its body", f.StreamID, "x")
			}
		}
	})
	missing := func(names ...string) func(t *testing.T, v Version) {
		return func(t *testing.T, v Version) {
			p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) { assert.Fail(t, "it reached the handler") })
			for i, name := range names {
				id := uint32(1 + 2*i)
				p.send(&SynStreamFrame{StreamID: id, Headers: plainGet(v, name, "-")})
				p.sendBulk(id, 1000, FlagFin)
				f := p.wantSynReply("without "+name, id)
				require.Equal(t, "400 Bad Request", p.statusOf(f.Headers))
				p.wantNothing("that is the answer, and its end")
				require.Equal(t, FlagFin, f.Flags)
			}
		}
	}
	ruleStory(t, "M2", version3, "missing", missing(":method", ":path", ":version", ":host", ":scheme"))
	ruleStory(t, "M3", onlyVersion2, "missing", missing(":method", ":path", ":version"))
	connect := func(t *testing.T, v Version) {
		p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(201) })
		p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v, ":method", "CONNECT", ":path", "h:1", ":scheme", "-")})
		require.Equal(t, "201 Created", p.statusOf(p.wantSynReply("it reaches the handler", 1).Headers))
	}
	ruleStory(t, "M2", version3, "CONNECT", connect)
	ruleStory(t, "M3", onlyVersion2, "CONNECT", connect)
	ruleStory(t, "M4", everyVersion, "missing", func(t *testing.T, v Version) {
		p := httpClient(t, v)
		for i, name := range []string{":status", ":version"} {
			g := p.startRequest(newTestRequest(t, "GET", nil))
			id := p.wantSynStream("a request", uint32(1+2*i)).StreamID
			p.send(&SynReplyFrame{StreamID: id, Headers: plainOK(v, name, "-")})
			p.wantRst("an answer without "+name, id, RstProtocolError)
			g.failsReset("is none", RstProtocolError, false)
		}
		p.wantNothing("the session goes on")
	})
}

func testAnswerRules(t *testing.T) {
	ruleStory(t, "M11", everyVersion, "client", func(t *testing.T, v Version) {
		p := httpClient(t, v)
		req := newTestRequest(t, "POST", strings.NewReader("at once"))
		req.Header.Set("Expect", "100-continue")
		g := p.startRequest(req)
		f := p.wantSynStream("a request", 1)
		_, has := f.Headers.Get("expect")
		require.False(t, has)
		p.wantBody("nothing is waited for", 1, "at once")
		p.send(&SynReplyFrame{StreamID: 1, Flags: FlagFin, Headers: plainOK(v)})
		g.ok("and the answer is final")
	})
	ruleStory(t, "M11", everyVersion, "server", func(t *testing.T, v Version) {
		p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) {
			assert.Empty(t, r.Header.Get("Expect"))
			w.WriteHeader(100)
			w.WriteHeader(103)
			b, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			w.WriteHeader(202)
			_, _ = w.Write(b)
		})
		p.send(&SynStreamFrame{StreamID: 1, Headers: plainGet(v, ":method", "POST", "expect", "100-continue")})
		p.wantNothing("interim answers are swallowed")
		p.sendData(1, "body", FlagFin)
		require.Equal(t, "202 Accepted", p.statusOf(p.wantSynReply("one reply", 1).Headers))
		p.wantBody("with a body", 1, "body")
	})
	ruleStory(t, "M12", everyVersion, "no body", func(t *testing.T, v Version) {
		for _, tt := range []struct {
			method string
			status int
		}{{"HEAD", 200}, {"GET", 204}, {"GET", 304}, {"HEAD", 404}} {
			p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, "body")
			})
			p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v, ":method", tt.method)})
			require.Equal(t, FlagFin, p.wantSynReply("the headers are all", 1).Flags, "%+v", tt)
			p.wantNothing("no DATA")

			c := httpClient(t, v)
			g := c.startRequest(newTestRequest(t, tt.method, nil))
			c.wantSynStream("a request", 1)
			c.send(&SynReplyFrame{StreamID: 1, Flags: FlagFin, Headers: plainOK(v, ":status", fmt.Sprint(tt.status), "content-length", "1000")})
			require.Empty(t, g.body("nothing is missing"), "%+v", tt)
		}
	})
	ruleStory(t, "M8", version3, "gzip", func(t *testing.T, v Version) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, "zipped, and nobody had asked for it")
		require.NoError(t, z.Close())
		p := httpClient(t, v)
		g := p.startRequest(newTestRequest(t, "GET", nil))
		p.wantSynStream("a request", 1)
		p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(v, "content-encoding", "gzip")})
		p.sendData(1, b.String(), FlagFin)
		body := g.body("it comes as it was sent")
		require.Equal(t, "gzip", g.res.Header.Get("Content-Encoding"), "and says so")
		r, err := gzip.NewReader(strings.NewReader(body))
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, "zipped, and nobody had asked for it", string(text))
	})
}

func testBodyLengths(t *testing.T) {
	for name, tt := range map[string]struct {
		send func(p *testPeer)
		want error
	}{
		"FIN early": {func(p *testPeer) { p.sendData(1, "four", FlagFin) }, io.ErrUnexpectedEOF},
		"no body":   {func(p *testPeer) { p.sendData(1, "", FlagFin) }, io.ErrUnexpectedEOF},
		"FIN late":  {func(p *testPeer) { p.sendData(1, "sixsix", FlagFin) }, http.ErrContentLength},
	} {
		for how, read := range map[string]func(io.Reader) error{
			"Read":    func(r io.Reader) error { _, err := io.ReadAll(r); return err },
			"io.Copy": func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err },
		} {
			ruleStory(t, "M5", version3, name+", "+how, func(t *testing.T, v Version) {
				p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) {
					assert.ErrorIs(t, read(r.Body), tt.want)
				})
				p.send(&SynStreamFrame{StreamID: 1, Headers: plainGet(v, ":method", "POST", "content-length", "5")})
				tt.send(p)
				f := p.wantSynReply("the handler had nothing to say", 1)
				require.Equal(t, "400 Bad Request", p.statusOf(f.Headers))
				p.wantNothing("the session goes on")
			})
		}
		ruleStory(t, "M6", version3, name, func(t *testing.T, v Version) {
			p := httpClient(t, v)
			g := p.startRequest(newTestRequest(t, "GET", nil))
			p.wantSynStream("a request", 1)
			p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(v, "content-length", "5")})
			tt.send(p)
			g.ok("the headers are in order")
			p.async("body", func(c *call) { _, c.err = io.ReadAll(g.res.Body) }).fails("the body is not", tt.want)
			require.EqualValues(t, 5, g.res.ContentLength)
		})
	}
	ruleStory(t, "M5", version3, "FIN on SYN_STREAM", func(t *testing.T, v Version) {
		p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
		p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v, ":method", "POST", "content-length", "5")})
		require.Equal(t, "400 Bad Request", p.statusOf(p.wantSynReply("no body at all", 1).Headers))
	})
	ruleStory(t, "M5", version3, "the handler's own answer", func(t *testing.T, v Version) {
		p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			w.WriteHeader(418)
		})
		p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v, ":method", "POST", "content-length", "5")})
		require.Equal(t, "418 I'm a teapot", p.statusOf(p.wantSynReply("it has looked", 1).Headers))
	})
	ruleStory(t, "M7", version3, "POST", func(t *testing.T, v Version) {
		p := httpClient(t, v)
		for i, tt := range []struct {
			body io.Reader
			want string
		}{{strings.NewReader("hello"), "5"}, {nil, "0"}, {io.MultiReader(strings.NewReader("hello")), ""}} {
			p.startRequest(newTestRequest(t, "POST", tt.body))
			f := p.wantSynStream("a request", uint32(1+2*i))
			got, _ := f.Headers.Get("content-length")
			require.Equal(t, tt.want, got)
			p.drain()
		}
	})
}

func testEarlyAnswers(t *testing.T) {
	ruleStory(t, "M13", everyVersion, "server", func(t *testing.T, v Version) {
		p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "enough") })
		p.send(&SynStreamFrame{StreamID: 1, Headers: plainGet(v, ":method", "POST")})
		p.wantSynReply("before the body", 1)
		p.wantBody("to its end", 1, "enough")
		for range 4 {
			p.sendBulk(1, 16<<10, 0)
		}
		var others []string
		for _, f := range p.drain() {
			if w, ok := f.(*WindowUpdateFrame); ok {
				require.Zero(t, w.StreamID, "the session's credit alone")
				continue
			}
			others = append(others, show(f))
		}
		require.Equal(t, []string{show(&RstStreamFrame{StreamID: 1, Status: RstCancel})}, others, "the rest is not wanted")
		p.sendData(1, "", FlagFin)
		p.wantNothing("the session goes on")
		p.isGone("the stream", 1)
	})
	ruleStory(t, "M13", everyVersion, "client", func(t *testing.T, v Version) {
		p := httpClient(t, v)
		body, feed := io.Pipe()
		g := p.startRequest(newTestRequest(t, "POST", body))
		p.wantSynStream("a request", 1)
		p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(v)})
		p.sendData(1, "enough", FlagFin)
		require.Equal(t, "enough", g.body("the answer is complete"))
		p.async("feed", func(c *call) { _, c.err = feed.Write([]byte("more")) }).ok("the upload goes on")
		p.wantData("the upload goes on", 1, 4)
		p.sendRst(1, RstCancel)
		p.wantNothing("the rest is not wanted")
		p.async("feed", func(c *call) { _, c.err = feed.Write([]byte("more")) }).fails("until it is stopped", io.ErrClosedPipe)
		require.Equal(t, "200 OK", g.res.Status)
	})
}

// isGone wants nothing to be left of a stream.
func (p *testPeer) isGone(why string, id uint32) {
	p.t.Helper()
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	require.Nil(p.t, p.s.streams[id], why)
}

func testTrailerRules(t *testing.T) {
	ruleStory(t, "M14", everyVersion, "sent by a server", func(t *testing.T, v Version) {
		p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "body")
			w.Header().Set("X-Sum", "42")
			w.Header().Set(http.TrailerPrefix+pseudoStatus.name(v), "500")
		})
		p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v)})
		p.wantSynReply("the answer", 1)
		p.wantData("its body", 1, 4)
		f := p.wantHeaders("its trailers", 1)
		require.Equal(t, HeaderBlock{{"x-sum", "42"}}, f.Headers)
		require.Equal(t, FlagFin, f.Flags)
	})
	ruleStory(t, "M14", everyVersion, "sent by a client", func(t *testing.T, v Version) {
		p := httpClient(t, v)
		req := newTestRequest(t, "POST", io.MultiReader(strings.NewReader("body")))
		req.Trailer = http.Header{"X-Sum": {"42"}}
		p.startRequest(req)
		p.wantSynStream("a request", 1)
		p.wantData("its body", 1, 4)
		f := p.wantHeaders("its trailers", 1)
		require.Equal(t, HeaderBlock{{"x-sum", "42"}}, f.Headers)
		require.Equal(t, FlagFin, f.Flags)
	})
	ruleStory(t, "M14", everyVersion, "received by a server", func(t *testing.T, v Version) {
		var trailer http.Header
		p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			trailer = r.Trailer
		})
		for i, h := range []HeaderBlock{{{"x-sum", "42"}}, {{"x-sum", "42"}, {pseudoPath.name(v), "/elsewhere"}}} {
			id := uint32(1 + 2*i)
			p.send(&SynStreamFrame{StreamID: id, Headers: plainGet(v, ":method", "POST")})
			p.sendData(id, "body", 0)
			p.sendHeaders(id, FlagFin, h...)
			p.wantSynReply("the answer", id)
			if i == 0 {
				require.Equal(t, http.Header{"X-Sum": {"42"}}, trailer)
			} else {
				require.Empty(t, trailer, "pseudo headers are no trailers")
			}
		}
	})
}

// testTunnel sends bytes through CONNECT, closes one direction and then the other,
// and resets another tunnel.
func testTunnel(t *testing.T, v Version) {
	conf := &Config{Version: v}
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "CONNECT", r.Method)
		assert.Equal(t, "target.example:443", r.Host)
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		_, err := io.Copy(flushing{w}, r.Body)
		if r.Header.Get("Ends") == "well" {
			assert.NoError(t, err)
			_, err = io.WriteString(w, "and goodbye")
			assert.NoError(t, err)
		} else {
			requireTruncated(t, err)
		}
	}), rigSetup{client: conf, server: conf})
	defer r.close()
	tunnel := func(ends string) (*http.Response, *io.PipeWriter) {
		body, up := io.Pipe()
		req := r.request("CONNECT", "", body, "Ends", ends)
		req.URL = &url.URL{Scheme: "http", Host: "target.example:443"}
		req.Host = ""
		res, err := r.client.RoundTrip(req)
		require.NoError(t, err)
		require.Equal(t, 200, res.StatusCode)
		for _, text := range []string{"hello", "again"} {
			_, err = io.WriteString(up, text)
			require.NoError(t, err)
			got := make([]byte, len(text))
			_, err = io.ReadFull(res.Body, got)
			require.NoError(t, err)
			require.Equal(t, text, string(got))
		}
		return res, up
	}
	res, up := tunnel("well")
	require.NoError(t, up.Close())
	rest, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "and goodbye", string(rest), "a half close leaves the other half open")

	res, up = tunnel("badly")
	require.NoError(t, res.Body.Close())
	synctest.Wait()
	_, err = io.WriteString(up, "too late")
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

// flushing is a ResponseWriter that keeps nothing back.
type flushing struct{ http.ResponseWriter }

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	f.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

// testProxyChain sends requests from an HTTP/1.1 client through a proxy that speaks
// SPDY to a server of ours, which is a proxy to an HTTP/1.1 server.
func testProxyChain(t *testing.T, v Version) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, "1.2.3", r.Header.Get("X-Own"))
		assert.Equal(t, []string{"one", "two"}, r.Header["X-Twice"])
		assert.Equal(t, "a=1; b=2", r.Header.Get("Cookie"))
		assert.Empty(t, r.Header.Get("X-Hop"))
		w.Header().Add("Set-Cookie", "c=3")
		w.Header().Add("Set-Cookie", "d=4")
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "no")
		w.Header().Set("Trailer", "X-Sum")
		for _, part := range []string{r.Method, " ", r.Host, " ", r.URL.String(), " ", string(body)} {
			_, _ = io.WriteString(w, part)
			w.(http.Flusher).Flush() // chunked
		}
		w.Header().Set("X-Sum", "42")
	}))
	defer origin.Close()
	target, err := url.Parse(origin.URL)
	require.NoError(t, err)
	back := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", target.Host }}
	client := dialLocal(t, serveLocal(t, &Server{Handler: back}), &Config{Version: v})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del(r.Header.Get("Connection")) // the handler's part, see NewStreamProxy
		assert.NoError(t, client.Session().NewStreamProxy(r, w))
	}))
	defer front.Close()
	for _, body := range []io.Reader{strings.NewReader("known"), io.MultiReader(strings.NewReader("chunked"))} {
		req, err := http.NewRequest("PUT", front.URL+"/a%2Fb?c=d", body)
		require.NoError(t, err)
		req.Host = "origin.example"
		req.Header = http.Header{"X-Own": {"1.2.3"}, "X-Twice": {"one", "two"}, "Cookie": {"a=1", "b=2"}, "Connection": {"X-Hop"}, "X-Hop": {"no"}}
		res, err := front.Client().Do(req)
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Regexp(t, `^PUT origin\.example /a%2Fb\?c=d (known|chunked)$`, string(text))
		require.Equal(t, []string{"c=3", "d=4"}, res.Header["Set-Cookie"])
		require.Empty(t, res.Header.Get("X-Hop"))
		if v != SPDY2 { // SPEC R12
			require.Equal(t, "42", res.Trailer.Get("X-Sum"))
		}
	}
}
