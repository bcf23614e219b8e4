package spdy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a session does about each frame in each state of a stream (SPEC §4). The
// words: "-" nothing; "ok" nothing, and the stream goes on; "rstN" RST_STREAM
// with status N; "goN" GOAWAY with status N and the end; "echo" the PING comes
// back; "new" a stream is opened; "fail" the stream ends with the peer's
// RST_STREAM and nothing is sent; "end" the session, with nothing left to do,
// says goodbye.
//
// The first table is about streams that the peer opened, the second about ours.
const (
	reactionsTheirs = `
state           SYN_STREAM SYN_REPLY RST_STREAM SETTINGS PING GOAWAY HEADERS WINDOW_UPDATE DATA
idle            new        rst2      -          -        echo end    rst2    -             rst2
open            rst1       rst1      fail       ok       echo ok     ok      ok            ok
replied         rst1       rst1      fail       ok       echo ok     ok      ok            ok
half-local      rst1       rst1      fail       ok       echo ok     ok      ok            ok
half-remote     rst1       rst1      fail       ok       echo ok     rst9    ok            rst9
closed-by-fin   rst1       -         -          -        echo end    -       -             rst1
reset-by-us     rst1       -         -          -        echo end    -       -             -
reset-by-peer   rst1       -         -          -        echo end    -       -             rst1
refused         rst1       -         -          -        echo end    -       -             -`

	reactionsOurs = `
state           SYN_STREAM SYN_REPLY RST_STREAM SETTINGS PING GOAWAY HEADERS WINDOW_UPDATE DATA
idle            go1        rst2      -          -        echo end    rst2    -             rst2
open            go1        ok        fail       ok       echo ok     rst1    ok            rst1
replied         go1        rst8      fail       ok       echo ok     ok      ok            ok
half-local      go1        rst8      fail       ok       echo ok     ok      ok            ok
half-remote     go1        rst9      fail       ok       echo ok     rst9    ok            rst9
closed-by-fin   go1        -         -          -        echo end    -       -             rst1
reset-by-us     go1        -         -          -        echo end    -       -             -
reset-by-peer   go1        -         -          -        echo end    -       -             rst1
refused         go1        -         -          -        echo end    -       -             rst1`
)

// reactionIn changes the word of a table, which is for SPDY/3.1, into that for
// another version.
func reactionIn(v Version, ours bool, state, frame, want string) string {
	if v != SPDY2 {
		return want
	}
	switch {
	case want == "rst8", want == "rst9": // SPEC R2, R9, D6
		return "rst1"
	case frame == "DATA" && ours && state == "open": // SPEC D4
		return "go1"
	case frame == "DATA" && want == "rst1": // SPEC D8
		return "-"
	}
	return want
}

// TestEveryFrameInEveryState plays both tables in both roles and every version.
func TestEveryFrameInEveryState(t *testing.T) {
	for _, ours := range []bool{false, true} {
		table, creator := reactionsTheirs, "theirs"
		if ours {
			table, creator = reactionsOurs, "ours"
		}
		lines := strings.Split(strings.TrimSpace(table), "\n")
		frames := strings.Fields(lines[0])[1:]
		require.Len(t, frames, 9)
		for _, line := range lines[1:] {
			cells := strings.Fields(line)
			require.Len(t, cells, 10, line)
			for i, want := range cells[1:] {
				for _, v := range allVersions {
					want := reactionIn(v, ours, cells[0], frames[i], want)
					name := fmt.Sprintf("%s/%s/%s/%v", creator, cells[0], frames[i], v)
					storyBoth(t, name, func(t *testing.T, r role) {
						playReaction(t, r, v, ours, cells[0], frames[i], want)
					})
				}
			}
		}
	}
}

// live are the states in which a stream can still be reset.
var live = map[string]bool{"open": true, "replied": true, "half-local": true, "half-remote": true}

func playReaction(t *testing.T, r role, v Version, ours bool, state, frame, want string) {
	p := newPeer(t, r, peerOpts{version: v})
	id := p.peerID()
	if ours {
		id = p.firstID()
	}
	st := enterState(p, ours, state, id)
	p.wantIdle("the state is reached")
	p.wantBalanced("before the frame")

	p.sendNamed(frame, id)
	lastGood := id
	if ours || state == "idle" || state == "refused" {
		lastGood = 0
	}
	switch {
	case want == "-":
	case want == "ok":
		p.isOpen("the frame is legal", st)
	case want == "fail":
		p.endsReset("the peer gave the stream up", st, RstCancel, true)
	case want == "echo":
		p.wantPing("the PING comes back", 100+p.peerID())
	case want == "new":
		p.wantAccept("the stream is opened", id)
	case want == "end":
		p.wantGoAway("nothing is left to do", lastGood, GoAwayOK)
		p.wantOrderlyEnd("nothing is left to do")
		return
	case strings.HasPrefix(want, "rst"):
		status := RstStatus(want[3] - '0')
		p.wantRst("the frame is a stream error", id, status)
		if live[state] {
			p.endsReset("the stream has ended", st, status, false)
		}
	case strings.HasPrefix(want, "go"):
		p.wantSessionError("the frame is a session error", lastGood, GoAwayStatus(want[2]-'0'))
		return
	default:
		t.Fatalf("the table says %q", want)
	}
	p.wantUsable("afterwards", p.peerID()+20)
}

// enterState brings stream id to a state and returns it, if there is one.
func enterState(p *testPeer, ours bool, state string, id uint32) *Stream {
	p.t.Helper()
	if state == "idle" {
		return nil
	}
	if state == "refused" {
		return refuseStream(p, ours, id)
	}
	var st *Stream
	if ours {
		st = p.open("test", 0)
		p.wantSynStream("our stream", id)
	} else {
		p.sendSynStream(id, 0)
		st = p.wantAccept("their stream", id)
	}
	if state == "open" {
		return st
	}
	if ours {
		p.sendSynReply(id, 0)
		p.startReply(st).ok("the reply is there")
	} else {
		p.reply(st, 0)
		p.wantSynReply("our reply", id)
	}
	finOut := func() {
		p.startWrite(st, nil, FlagFin).ok("our FIN")
		p.wantData("our FIN", id, 0, FlagFin)
	}
	switch state {
	case "replied":
	case "half-local":
		finOut()
	case "half-remote":
		p.sendData(id, "", FlagFin)
	case "closed-by-fin":
		p.sendData(id, "", FlagFin)
		finOut()
		p.endsWith("both halves are closed", st, ErrStreamClosed)
	case "reset-by-us":
		st.reset(RstCancel, "test", errTest)
		p.wantRst("our reset", id, RstCancel)
	case "reset-by-peer":
		p.sendRst(id, RstCancel)
		p.endsReset("their reset", st, RstCancel, true)
	default:
		p.t.Fatalf("no state %q", state)
	}
	return st
}

// refuseStream makes the side that did not open stream id refuse it.
func refuseStream(p *testPeer, ours bool, id uint32) *Stream {
	p.t.Helper()
	if ours {
		st := p.open("test", 0)
		p.wantSynStream("our stream", id)
		p.sendRst(id, RstRefusedStream)
		p.endsReset("they refuse it", st, RstRefusedStream, true)
		return st
	}
	p.s.conf.MaxConcurrentStreams = 0 // read by the receiver, which waits for a frame
	p.sendSynStream(id, 0)
	p.wantRst("we take no streams now", id, RstRefusedStream)
	p.s.conf.MaxConcurrentStreams = 100
	p.wantNoAccept("a refused stream is not handed on")
	return nil
}

// sendNamed sends a legal frame of the named type, without FIN, about a stream.
func (p *testPeer) sendNamed(name string, id uint32) {
	p.t.Helper()
	extra := HeaderField{"extra", "1"}
	switch name {
	case "SYN_STREAM":
		p.sendSynStream(id, 0, extra)
	case "SYN_REPLY":
		p.sendSynReply(id, 0, extra)
	case "RST_STREAM":
		p.sendRst(id, RstCancel)
	case "SETTINGS":
		p.sendSetting(SettingMaxConcurrentStreams, 1000)
	case "PING":
		p.sendPing(100 + p.peerID())
	case "GOAWAY":
		p.sendGoAway(id, GoAwayOK)
	case "HEADERS":
		p.sendHeaders(id, 0, extra)
	case "WINDOW_UPDATE":
		p.sendWindowUpdate(id, 1000)
	case "DATA":
		p.sendBulk(id, 1000, 0)
	default:
		p.t.Fatalf("no frame %q", name)
	}
}

// TestLegalFramesReachTheStream makes sure that "ok" above is more than silence.
func TestLegalFramesReachTheStream(t *testing.T) {
	storyBoth(t, "our stream", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := p.open("test", 0)
		id := st.id
		p.wantSynStream("our stream", id)
		reply := p.startReply(st)
		reply.pending("the peer has not answered")
		p.sendSynReply(id, 0, HeaderField{"status", "fine"})
		require.Equal(t, HeaderBlock{{"status", "fine"}}, reply.ok("the answer").hb)
		p.sendHeaders(id, 0, HeaderField{"a", "1"})
		p.sendData(id, "one", 0)
		p.sendHeaders(id, FlagFin, HeaderField{"b", "2"})
		p.wantRead("DATA", st, "one")
		p.wantEOF("FIN on HEADERS (SPEC R10)", st)
		require.Equal(t, HeaderBlock{{"a", "1"}, {"b", "2"}}, st.lateHeaders())
	})
	storyBoth(t, "their stream", func(t *testing.T, r role) {
		p := newPeer(t, r)
		id := p.peerID()
		p.sendSynStream(id, 0, HeaderField{"name", "theirs"})
		st := p.wantAccept("their stream", id)
		require.Equal(t, HeaderBlock{{"name", "theirs"}}, p.app.headersOf(st))
		p.sendData(id, "two", FlagFin)
		p.wantRead("DATA", st, "two")
		p.wantEOF("FIN on DATA", st)
	})
}
