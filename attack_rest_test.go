package spdy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// The attacks A11 to A25, each with a test of its name; SECURITY.md has the list. What
// they need of the session is tested elsewhere too, rule by rule; here it is told as
// what somebody does who means harm, for each role and version that it is possible in.
// internal/disarm proves that each of these tests needs its defence.

// attackStory plays an attack on sessions of the roles and versions, in bubbles. The
// name is that of what is done.
func attackStory(t *testing.T, name string, roles []role, versions []Version, f func(t *testing.T, r role, v Version)) {
	for _, r := range roles {
		for _, v := range versions {
			story(t, r.String()+"/"+versionElement(v)+"/"+name, func(t *testing.T) { f(t, r, v) })
		}
	}
}

// victimClient and victimServer are the roles of those who are attacked by only one
// kind of peer.
var (
	victimClient = []role{asClient}
	victimServer = []role{asServer}
)

// A refusal is how a session has turned something down that cost the peer's stream and
// nothing else.
type refusal struct {
	rst    RstStatus // 0 if there was none
	status string    // of the answer 400; "" if there was none
}

// wantRefusal wants the next frames to turn a stream down, and the session to live.
func (p *testPeer) wantRefusal(why string, id uint32) (got refusal) {
	p.t.Helper()
	for _, frame := range p.drain() {
		switch f := frame.(type) {
		case *RstStreamFrame:
			require.Equal(p.t, id, f.StreamID, why)
			got.rst = f.Status
		case *SynReplyFrame:
			require.Equal(p.t, id, f.StreamID, why)
			got.status = p.statusOf(f.Headers)
		case *DataFrame, *WindowUpdateFrame:
		default:
			p.fatalf(why, "got %v", show(frame))
		}
	}
	p.wantAlive(why)
	switch {
	case got.rst == RstProtocolError && got.status == "":
	case strings.HasPrefix(got.status, "400"):
	default:
		p.fatalf(why, "not refused: %+v", got)
	}
	return got
}

// recordOurs makes the session's end of a connection keep what it sends.
func recordOurs() []testconn.Option { return []testconn.Option{testconn.First(testconn.Record())} }
