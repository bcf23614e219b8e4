package spdy

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Habits of real peers, found by interop/, that a client has to live with.

// answer is the header block of a plain answer.
func answer(v Version, more ...HeaderField) HeaderBlock {
	h := HeaderBlock{{Name: pseudoStatus.name(v), Value: "200"}, {Name: pseudoVersion.name(v), Value: "HTTP/1.1"}}
	return append(h, more...)
}

// startDo sends a request and reads the whole answer.
func (p *testPeer) startDo(method, url string) *call {
	return p.async(method+" "+url, func(c *call) {
		req, err := http.NewRequest(method, url, nil)
		if err != nil {
			c.err = err
			return
		}
		res, err := p.s.RoundTrip(req)
		if err != nil {
			c.err = err
			return
		}
		defer res.Body.Close()
		c.data, c.err = io.ReadAll(res.Body)
	})
}

// node-spdy sends the body of an answer to HEAD.
func TestHeadWithBody(t *testing.T) {
	for _, v := range []Version{SPDY2, SPDY3, SPDY31} {
		story(t, v.String(), func(t *testing.T) {
			p := newPeer(t, asClient, peerOpts{version: v})
			head := p.startDo("HEAD", "http://h/")
			p.wantSynStream("the request", 1)
			p.sendSynReply(1, 0, answer(v, HeaderField{Name: "content-length", Value: "5"})...)
			head.ok("the answer is complete")
			require.Empty(t, head.data)
			p.sendData(1, "hel", 0)
			p.sendData(1, "lo", FlagFin)
			p.wantIdle("the stream came to its end")
			p.wantBalanced("what nobody gets is credited")
		})
		story(t, v.String()+"/without end", func(t *testing.T) {
			p := newPeer(t, asClient, peerOpts{version: v})
			for id, status := range map[uint32]string{1: "200", 3: "204", 5: "304"} {
				method := "GET"
				if id == 1 {
					method = "HEAD"
				}
				call := p.startDo(method, "http://h/")
				id := wantFrame[*SynStreamFrame](p, "the request").StreamID
				p.sendSynReply(id, 0, plainOK(v, ":status", status)...)
				call.ok("as over HTTP/1.1")
				p.sendData(id, "more", 0)
				p.advance(leaveTime - 1)
				p.wantIdle("the server may end it")
				p.advance(1)
				p.wantRst("it does not", id, RstCancel)
			}
			p.wantBalanced("what nobody gets is credited")
		})
		story(t, v.String()+"/relayed", func(t *testing.T) {
			p := newPeer(t, asClient, peerOpts{version: v})
			rec := NewRecorder()
			relay := p.async("relay", func(c *call) {
				req, err := http.NewRequest("HEAD", "http://h/", nil)
				if err == nil {
					err = p.s.NewStreamProxy(req, rec)
				}
				c.err = err
			})
			p.wantSynStream("the request", 1)
			p.sendSynReply(1, 0, answer(v)...)
			p.sendData(1, "hello", FlagFin)
			relay.ok("the answer is good without the body")
			require.Empty(t, rec.Body.Bytes())
		})
	}
}

// Netty says :version twice in a push: that of the request in SYN_STREAM, and that
// of the answer in HEADERS.
func TestPushWithHeadersOfBothSides(t *testing.T) {
	for _, v := range []Version{SPDY3, SPDY31} {
		story(t, v.String(), func(t *testing.T) {
			conf := Config{AcceptPush: func(promised, cause *http.Request) bool { return true }}
			p := newPeer(t, asClient, peerOpts{version: v, conf: conf, app: newHTTPClientApp(&conf)})
			page := p.startDo("GET", "http://h/page")
			p.wantSynStream("the request", 1)
			p.send(&SynStreamFrame{StreamID: 2, AssociatedStreamID: 1, Flags: FlagUnidirectional, Headers: HeaderBlock{
				{Name: ":method", Value: "GET"}, {Name: ":path", Value: "/pushed"}, {Name: ":version", Value: "HTTP/1.1"},
				{Name: ":host", Value: "h"}, {Name: ":scheme", Value: "http"},
			}})
			p.sendHeaders(2, 0, answer(v)...)
			p.sendData(2, "pushed", FlagFin)
			p.sendSynReply(1, 0, answer(v)...)
			p.sendData(1, "page", FlagFin)
			page.ok("the page")
			pushed := p.startDo("GET", "http://h/pushed")
			pushed.ok("what was pushed answers the request")
			require.Equal(t, "pushed", string(pushed.data))
			p.wantIdle("nothing was asked for")
		})
	}
}
