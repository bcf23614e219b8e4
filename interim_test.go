package spdy

import (
	"testing"

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
