package spdy

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// The tests of the files spec_*_test.go show the numbered rules of SPEC §4, each in
// every version of the protocol that it covers. internal/speccov reads their names,
//
//	TestSpecWindows/W5/v3.1/delta_of_0/client
//
// and makes docs/spec-coverage.md of them.

var (
	everyVersion = []Version{SPDY2, SPDY3, SPDY31}
	version3     = []Version{SPDY3, SPDY31}
	onlyVersion2 = []Version{SPDY2}
	onlySPDY3    = []Version{SPDY3}
	onlySPDY31   = []Version{SPDY31}
)

// ruleName is the first two elements of the name of a test of rules.
func ruleName(ids string, v Version) string {
	return ids + "/" + versionElement(v) + "/"
}

// versionElement stands for a version in the names of tests: v2, v3 or v3.1.
func versionElement(v Version) string { return "v" + strings.TrimPrefix(v.String(), "spdy/") }

// ruleStory runs a test of rules, ids with commas between them, in each version.
func ruleStory(t *testing.T, ids string, versions []Version, name string, f func(t *testing.T, v Version)) {
	for _, v := range versions {
		story(t, ruleName(ids, v)+name, func(t *testing.T) { f(t, v) })
	}
}

// ruleBoth runs a test of rules for a session in each role and version.
func ruleBoth(t *testing.T, ids string, versions []Version, name string, f func(p *testPeer), opts ...peerOpts) {
	for _, r := range bothRoles {
		ruleRole(t, r, ids, versions, name+"/"+r.String(), f, opts)
	}
}

// ruleServer runs one for a server, ruleClient for a client.
func ruleServer(t *testing.T, ids string, versions []Version, name string, f func(p *testPeer), opts ...peerOpts) {
	ruleRole(t, asServer, ids, versions, name, f, opts)
}

func ruleClient(t *testing.T, ids string, versions []Version, name string, f func(p *testPeer), opts ...peerOpts) {
	ruleRole(t, asClient, ids, versions, name, f, opts)
}

func ruleRole(t *testing.T, r role, ids string, versions []Version, name string, f func(p *testPeer), opts []peerOpts) {
	var o peerOpts
	if len(opts) > 0 {
		o = opts[0]
	}
	ruleStory(t, ids, versions, name, func(t *testing.T, v Version) {
		o := o
		o.version = v
		f(newPeer(t, r, o))
	})
}

// fresh starts another session of the same role and version.
func (p *testPeer) fresh(opts ...peerOpts) *testPeer {
	o := peerOpts{}
	if len(opts) > 0 {
		o = opts[0]
	}
	o.version = p.version
	return newPeer(p.t, p.role, o)
}

// wantReset is wantRst with a status of SPDY/3, for which SPDY/2 may have another.
func (p *testPeer) wantReset(why string, id uint32, status RstStatus) {
	p.t.Helper()
	p.wantRst(why, id, status.forVersion(p.version))
}

// theirs lets the peer open a stream.
func (p *testPeer) theirs(why string, id uint32, flags FrameFlags) *Stream {
	p.t.Helper()
	p.sendSynStream(id, flags, HeaderField{"name", "theirs"})
	return p.wantAccept(why, id)
}

// ours opens a stream of ours.
func (p *testPeer) ours1(why string, flags FrameFlags, priority ...uint8) *Stream {
	p.t.Helper()
	st := p.open(why, flags, priority...)
	p.wantSynStream(why, st.id)
	return st
}

// replied opens a stream of ours, which the peer answers.
func (p *testPeer) repliedTo(why string, flags FrameFlags) *Stream {
	p.t.Helper()
	st := p.ours1(why, 0)
	p.sendSynReply(st.id, flags)
	p.startReply(st).ok(why)
	return st
}

// wantNothing wants nothing on the wire, and the session to be alive behind it.
func (p *testPeer) wantNothing(why string) {
	p.t.Helper()
	p.wantIdle(why)
	p.wantAlive(why)
}

// bytesOf returns how many bytes of DATA are on the wire for a stream and reads them.
func (p *testPeer) drain() (frames []Frame) {
	p.t.Helper()
	for synctest.Wait(); p.conn.Unread() > 0; synctest.Wait() {
		frame, err := p.f.ReadFrame()
		require.NoError(p.t, err)
		if !p.echo(frame) {
			frames = append(frames, frame)
		}
	}
	return frames
}
