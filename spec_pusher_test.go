package spdy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pushServer is a server whose client has asked for "/". The handler of that is root;
// the others answer with their path.
func pushServer(t *testing.T, v Version, root func(w http.ResponseWriter, r *http.Request)) *testPeer {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			root(w, r)
		case "/large":
			if v == SPDY2 { // which has no window to wait for
				_, _ = w.Write(testBytes(65536))
				<-r.Context().Done()
				return
			}
			_, err := w.Write(testBytes(1 << 20))
			assert.Error(t, err, "it is never read to the end")
		case "/missing":
			http.NotFound(w, r)
		default:
			fmt.Fprint(w, "this is "+r.URL.Path)
		}
	})
	p := newPeer(t, asServer, peerOpts{version: v, app: newHTTPServerApp(&http.Server{Handler: handler})})
	p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Priority: 2 >> priorityScale(v), Headers: plainGet(v, ":scheme", "http")})
	return p
}

func pushTo(w http.ResponseWriter, target string) error { return w.(http.Pusher).Push(target, nil) }

func testPushServer(t *testing.T) {
	ruleStory(t, "U1,U8,U20", everyVersion, "order", func(t *testing.T, v Version) {
		p := pushServer(t, v, func(w http.ResponseWriter, r *http.Request) {
			assert.NoError(t, pushTo(w, "/style.css"))
			assert.NoError(t, pushTo(w, "http://example.com/image.png"))
			fmt.Fprint(w, "<link href=/style.css><img src=/image.png>")
		})
		var frames []Frame
		for _, f := range p.drain() {
			if _, ok := f.(*DataFrame); !ok {
				frames = append(frames, f)
			}
		}
		require.Len(t, frames, 3)
		for i, path := range []string{"/style.css", "/image.png"} {
			f := frames[i].(*SynStreamFrame)
			require.Equal(t, uint32(2+2*i), f.StreamID)
			require.Equal(t, uint32(1), f.AssociatedStreamID)
			require.Equal(t, FlagUnidirectional, f.Flags&FlagUnidirectional)
			require.GreaterOrEqual(t, f.Priority, uint8(2>>priorityScale(v)), "never before the page")
			want := httpBlock(v, ":method", "GET", ":path", path, ":host", "example.com", ":scheme", "http", ":status", "200 OK", ":version", "HTTP/1.1")
			if v == SPDY2 {
				want[1].Value = "http://example.com" + path
			}
			require.Equal(t, want, f.Headers[:6], "what browsers and node-spdy want")
		}
		require.Equal(t, uint32(1), frames[2].(*SynReplyFrame).StreamID, "and only then the page")
	})
	ruleStory(t, "U9,U14", everyVersion, "refused", func(t *testing.T, v Version) {
		p := pushServer(t, v, func(w http.ResponseWriter, r *http.Request) {
			assert.ErrorIs(t, pushTo(w, "/missing"), errPushFailed)
			for _, target := range []string{"relative", "//example.com/x", "https://example.com/x", "http://elsewhere.example/x", "http://example.com:80/x", "%zz", ""} {
				assert.Error(t, pushTo(w, target), target)
			}
			for _, method := range []string{"POST", "HEAD"} {
				assert.Error(t, w.(http.Pusher).Push("/a", &http.PushOptions{Method: method}), method)
			}
		})
		p.wantSynReply("nothing was pushed", 1)
		p.wantNothing("nothing was pushed")
	})
	ruleStory(t, "U12", everyVersion, "outlives", func(t *testing.T, v Version) {
		var page http.ResponseWriter
		p := pushServer(t, v, func(w http.ResponseWriter, r *http.Request) {
			page = w
			assert.NoError(t, pushTo(w, "/large"))
			fmt.Fprint(w, "page")
		})
		if v != SPDY2 {
			p.sendWindowUpdate(0, 1<<20)
		}
		data := map[uint32]int{}
		for _, f := range p.drain() {
			if d, ok := f.(*DataFrame); ok {
				data[d.StreamID] += len(d.Data)
			}
		}
		require.Equal(t, 4, data[1], "the page is complete")
		require.ErrorIs(t, pushTo(page, "/late"), ErrStreamClosed, "too late for another push")
		require.Equal(t, 65536, data[2])
		p.isOpen("the push is not", p.s.streams[2])
		if v == SPDY2 {
			return
		}
		p.sendWindowUpdate(2, 1000)
		require.NotEmpty(t, p.drain(), "it goes on")
	})
	ruleStory(t, "U19", everyVersion, "push of a push", func(t *testing.T, v Version) {
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			err := pushTo(w, "/deeper"+r.URL.Path)
			fmt.Fprint(w, err == nil)
			if r.URL.Path != "/" {
				assert.ErrorIs(t, err, http.ErrNotSupported)
			}
		})
		p := newPeer(t, asServer, peerOpts{version: v, app: newHTTPServerApp(&http.Server{Handler: handler})})
		p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v, ":scheme", "http")})
		p.wantSynStream("a push", 2)
		for _, f := range p.drain() {
			require.NotEqual(t, FrameSynStream, f.FrameType(), "no other push")
		}
	})
	ruleStory(t, "U17", everyVersion, "received", func(t *testing.T, v Version) {
		for i, typ := range []string{"SYN_REPLY", "HEADERS", "DATA"} {
			p := pushServer(t, v, func(w http.ResponseWriter, r *http.Request) {
				assert.NoError(t, pushTo(w, "/large"))
			})
			p.drain()
			p.send(append(headerFrames(2, HeaderBlock{}, nil), &DataFrame{StreamID: 2, Data: []byte("x")})[i+1])
			want := RstStreamAlreadyClosed
			if typ == "SYN_REPLY" {
				want = RstProtocolError
			}
			p.wantReset(typ, 2, want)
			p.wantNothing("the session goes on")
		}
	})
}

func testPushRequests(t *testing.T) {
	ruleStory(t, "U15", version3, "headers", func(t *testing.T, v Version) {
		var seen *http.Request
		p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/pushed" {
				seen = r
				return
			}
			err := w.(http.Pusher).Push("/pushed?a=b", &http.PushOptions{Header: http.Header{"x-own": {"1"}, "accept-language": {"de"}}})
			assert.NoError(t, err)
		})
		p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v, ":scheme", "http",
			"cookie", "a=1", "accept-language", "en", "range", "bytes=0-9", "if-none-match", `"1"`, "x-other", "y")})
		p.wantSynStream("a push", 2)
		require.Equal(t, "GET", seen.Method)
		require.Equal(t, "/pushed?a=b", seen.RequestURI)
		require.Equal(t, "example.com", seen.Host)
		require.Equal(t, http.Header{
			"Cookie": {"a=1"}, "Accept-Language": {"de"}, "X-Own": {"1"}, "X-Other": {"y"},
		}, seen.Header, "those of the request, without what makes it conditional")
		b, err := io.ReadAll(seen.Body)
		require.NoError(t, err)
		require.Empty(t, b)
	})
	ruleStory(t, "U16", version3, "the client's limit", func(t *testing.T, v Version) {
		ask := make(chan func(w http.ResponseWriter))
		p := pushServer(t, v, func(w http.ResponseWriter, r *http.Request) {
			for f := range ask {
				f(w)
			}
		})
		step := func(n uint32, f func(w http.ResponseWriter)) {
			p.sendSetting(SettingMaxConcurrentStreams, n)
			p.wantAlive("the limit is known")
			ask <- f
			synctest.Wait()
		}
		step(0, func(w http.ResponseWriter) { assert.ErrorIs(t, pushTo(w, "/a"), http.ErrNotSupported) })
		p.wantIdle("none are wanted")
		step(1, func(w http.ResponseWriter) {
			assert.NoError(t, pushTo(w, "/large"))
			assert.ErrorIs(t, pushTo(w, "/a"), errPushLimit)
		})
		p.wantSynStream("one is", 2)
		p.wantData("and its bytes", 2, 65536)
		p.wantIdle("no other")
		p.sendRst(2, RstCancel)
		step(1, func(w http.ResponseWriter) { assert.NoError(t, pushTo(w, "/a")) })
		p.wantSynStream("there is room again", 4)
		close(ask)
		p.drain()
	})
}

func testPushCancelled(t *testing.T) {
	ruleStory(t, "X7", version3, "with its parent", func(t *testing.T, v Version) {
		var ctx context.Context
		p := pushServer(t, v, func(w http.ResponseWriter, r *http.Request) {
			assert.NoError(t, pushTo(w, "/large"))
			assert.NoError(t, pushTo(w, "/large?2"))
			w.(http.Flusher).Flush()
			ctx = r.Context()
			<-ctx.Done()
		})
		p.drain()
		p.sendRst(1, RstCancel)
		p.wantRst("its pushes stop", 2, RstCancel)
		p.wantRst("its pushes stop", 4, RstCancel)
		require.Error(t, ctx.Err())
		p.sendWindowUpdate(0, 1<<20)
		p.sendWindowUpdate(2, 1<<20)
		p.wantNothing("not one byte more")
		require.Empty(t, p.s.streams)
	})
	ruleStory(t, "X7", version3, "by itself", func(t *testing.T, v Version) {
		p := pushServer(t, v, func(w http.ResponseWriter, r *http.Request) {
			assert.NoError(t, pushTo(w, "/large"))
			fmt.Fprint(w, strings.Repeat("page", 20000))
		})
		p.drain()
		p.sendRst(2, RstCancel)
		p.sendWindowUpdate(2, 1<<20)
		p.wantNothing("the push has stopped")
		p.sendWindowUpdate(0, 1<<20)
		p.sendWindowUpdate(1, 1<<20)
		frames := p.drain()
		require.NotEmpty(t, frames, "the page goes on")
		for _, f := range frames {
			require.Equal(t, uint32(1), f.(*DataFrame).StreamID)
		}
		require.Equal(t, FlagFin, frames[len(frames)-1].(*DataFrame).Flags)
	})
	ruleStory(t, "X7", version3, "before it began", func(t *testing.T, v Version) {
		release := make(chan struct{})
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				assert.ErrorContains(t, pushTo(w, "/slow"), "CANCEL")
				return
			}
			<-release
			_, err := fmt.Fprint(w, "too late")
			assert.NoError(t, err, "it is buffered")
			assert.Error(t, w.(*Stream).FlushError())
			assert.Error(t, r.Context().Err())
		})
		p := newPeer(t, asServer, peerOpts{version: v, app: newHTTPServerApp(&http.Server{Handler: handler})})
		p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v, ":scheme", "http")})
		p.wantIdle("the pushed handler takes its time")
		p.sendRst(1, RstCancel)
		synctest.Wait()
		close(release)
		p.wantNothing("nothing is pushed")
		require.Empty(t, p.s.streams)
		require.Zero(t, p.s.ourStreams)
	})
	ruleStory(t, "X7", version3, "client", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		p.send(p.pushFrame(2, 1, "/a"))
		p.sendBulk(2, 1000, 0)
		p.send(&SynReplyFrame{StreamID: 1, Flags: FlagFin, Headers: plainOK(v)})
		p.wantNothing("a push")
		g := p.startGet("/a")
		g.ok("it is claimed")
		require.NoError(t, g.res.Body.Close())
		p.wantRst("closing its body stops it", 2, RstCancel)
		p.sendBulk(2, 1000, FlagFin)
		p.wantNothing("the rest is thrown away")
	})
}
