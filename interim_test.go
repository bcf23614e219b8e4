package spdy

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestInterimAnswers: a client swallows interim answers in all the forms in which peers
// send them, and takes what follows for the answer.
func TestInterimAnswers(t *testing.T) {
	for _, v := range httpVersions {
		ask := func(t *testing.T) (*testPeer, *getCall) {
			p := httpClient(t, v)
			g := p.startRequest(newTestRequest(t, "GET", nil))
			p.wantSynStream("the request", 1)
			return p, g
		}
		story(t, v.String()+"/SYN_REPLY, SYN_REPLY", func(t *testing.T) {
			p, g := ask(t)
			p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(v, ":status", "100 Continue")})
			p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(v, ":status", "103")})
			g.pending("the answer is still to come")
			p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(v, ":status", "201 Created")})
			p.sendData(1, "made", FlagFin)
			g.ok("the answer")
			require.Equal(t, "201 Created", g.res.Status)
			require.Equal(t, "made", g.body("the body"))
			p.wantNothing("the stream is not reset")
		})
		story(t, v.String()+"/SYN_REPLY, HEADERS", func(t *testing.T) {
			p, g := ask(t)
			p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(v, ":status", "100", "x-interim", "yes")})
			p.send(&HeadersFrame{StreamID: 1, Headers: plainOK(v, "x-final", "yes")})
			p.sendData(1, "body", 0)
			p.send(&HeadersFrame{StreamID: 1, Flags: FlagFin, Headers: httpBlock(v, "x-trailer", "yes")})
			g.ok("the answer")
			require.Equal(t, 200, g.res.StatusCode)
			require.Equal(t, "yes", g.res.Header.Get("X-Final"))
			require.Empty(t, g.res.Header.Get("X-Interim"))
			require.Equal(t, "body", g.body("the body"))
			if v != SPDY2 { // SPEC R12
				require.Equal(t, "yes", g.res.Trailer.Get("X-Trailer"))
			}
			p.wantNothing("the stream is not reset")
		})
		story(t, v.String()+"/and nothing that follows", func(t *testing.T) {
			for why, frame := range map[string]Frame{
				"DATA":                   &DataFrame{StreamID: 1, Data: []byte("body")},
				"HEADERS without status": &HeadersFrame{StreamID: 1, Headers: httpBlock(v, "x-trailer", "yes")},
				"interim with FIN":       &SynReplyFrame{StreamID: 1, Flags: FlagFin, Headers: plainOK(v, ":status", "102")},
			} {
				p, g := ask(t)
				p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(v, ":status", "100")})
				p.send(frame)
				if why == "DATA" && v == SPDY2 { // SPEC D4
					p.wantSessionError(why, 0, GoAwayProtocolError)
					continue
				}
				p.wantRst(why, 1, RstProtocolError)
				g.failsReset(why, RstProtocolError, false)
			}
		})
		story(t, v.String()+"/R1 once the answer is there", func(t *testing.T) {
			p, g := ask(t)
			p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(v, ":status", "100")})
			p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(v)})
			g.ok("the answer")
			p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(v)})
			p.wantRst("a second answer", 1, RstStreamInUse.forVersion(v))
		})
	}
}

// TestAttackA7Interim: interim answers of a stream are limited in number and in size together, and
// are not charged to the session. Those of an honest server may go on for hours.
func TestAttackA7Interim(t *testing.T) {
	for _, v := range httpVersions {
		ask := func(t *testing.T, conf Config) (*testPeer, *getCall) {
			p := newPeer(t, asClient, peerOpts{version: v, conf: conf, app: newHTTPClientApp(nil)})
			g := p.startRequest(newTestRequest(t, "GET", nil))
			p.wantSynStream("the request", 1)
			return p, g
		}
		interim := func(pairs ...string) *SynReplyFrame {
			return &SynReplyFrame{StreamID: 1, Headers: plainOK(v, append([]string{":status", "102"}, pairs...)...)}
		}
		spoilt := func(p *testPeer, g *getCall) {
			p.wantReset("too much", 1, RstFrameTooLarge)
			g.failsReset("too much", RstFrameTooLarge, false)
			require.Zero(p.t, p.s.Stats().ChargedResets)
			p.wantAlive("the session goes on")
		}
		story(t, v.String()+"/one each second", func(t *testing.T) {
			p, g := ask(t, Config{MaxHeaderBytes: 16 << 10})
			for range 4 * 3600 {
				p.send(interim("x-progress", "some and some more"))
				p.advance(time.Second)
			}
			p.send(&SynReplyFrame{StreamID: 1, Flags: FlagFin, Headers: plainOK(v)})
			g.ok("the answer")
		})
		story(t, v.String()+"/too many at once", func(t *testing.T) {
			p, g := ask(t, Config{})
			for range interimBurst {
				p.send(interim())
			}
			g.pending("so many may come")
			require.Zero(t, p.s.Stats().IdleFrames)
			p.send(interim())
			spoilt(p, g)
		})
		story(t, v.String()+"/too large together", func(t *testing.T) {
			p, g := ask(t, Config{MaxHeaderBytes: 64 << 10})
			large := interim("x-large", strings.Repeat("a", 40<<10))
			p.send(large)
			g.pending("an answer might be as large")
			p.send(large)
			spoilt(p, g)
		})
	}
}

// TestAttackA7Ignored: so are the trailers that SPDY/2 does not have.
func TestAttackA7Ignored(t *testing.T) {
	ask := func(t *testing.T, conf Config) *testPeer {
		p := newPeer(t, asClient, peerOpts{version: SPDY2, conf: conf, app: newHTTPClientApp(nil)})
		p.startGet("/")
		p.wantSynStream("the request", 1)
		p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(SPDY2)})
		p.sendData(1, "body", 0)
		return p
	}
	story(t, "R12/many", func(t *testing.T) {
		p := ask(t, Config{})
		for range 50 {
			p.sendHeaders(1, 0, HeaderField{"sum", "1"})
		}
		p.wantIdle("they are ignored")
		require.EqualValues(t, 50, p.s.Stats().IdleFrames)
	})
	story(t, "R12/large", func(t *testing.T) {
		p := ask(t, Config{MaxHeaderBytes: 64 << 10})
		large := HeaderField{"sum", strings.Repeat("1", 40<<10)}
		p.sendHeaders(1, 0, large)
		p.wantIdle("they are ignored")
		p.sendHeaders(1, 0, large)
		p.wantReset("there is a limit", 1, RstFrameTooLarge)
		require.Zero(t, p.s.Stats().ChargedResets)
	})
}
