package spdy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wantAliveOrOver wants the session to answer a PING, or to have ended with a typed
// error that it has told its peer of. Neither may take it a panic or an endless loop.
func (p *testPeer) wantAliveOrOver(why string) (alive bool) {
	p.t.Helper()
	p.drain()
	if p.s.ended() {
		var failed *SessionError
		if err := p.s.Err(); !errors.Is(err, ErrSessionClosed) { // by a GOAWAY that happened to be one
			require.ErrorAs(p.t, err, &failed, why)
		}
		return false
	}
	p.pings += 2
	p.sendPing(0x10000 + p.pings + p.peerID())
	require.NotEmpty(p.t, p.drain(), "%s: it neither lives nor has ended", why)
	return true
}

// A15, frames that are none (CVE-2026-27141, CVE-2011-1465): whatever the bytes, a
// session goes on or ends in order.
func TestAttackA15Malformed(t *testing.T) {
	for typ := FrameType(0); typ <= 18; typ++ {
		attackStory(t, fmt.Sprintf("type %d", typ), bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
			p := newPeer(t, r, peerOpts{version: v})
			p.theirs("a stream to harm", p.peerID(), 0)
			for n := range 14 {
				for _, fill := range []byte{0, 1, 0x7f, 0xff} {
					for _, flags := range []FrameFlags{0, FlagFin, 0xff} {
						payload := make([]byte, n)
						for i := range payload {
							payload[i] = fill
						}
						p.sendControl(typ, flags, payload...)
						if !p.wantAliveOrOver(fmt.Sprintf("%d bytes of %#x, flags %#x", n, fill, flags)) {
							p = p.fresh()
						}
					}
				}
			}
		})
	}
	attackStory(t, "versions", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		for _, foreign := range []uint16{0, 1, 2, 3, 4, 255, 0x7fff} {
			p := newPeer(t, r, peerOpts{version: v})
			if foreign != v.wire() {
				p.send(&UnknownFrame{Version: foreign, Type: FrameSynStream, Data: append([]byte{0, 0, 0, 99}, make([]byte, 30)...)})
				p.wantAliveOrOver(fmt.Sprint(foreign))
			}
		}
	})
	attackStory(t, "header blocks that do not inflate", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		whole := newHeaderCompressor(v, CompressNone).appendBlock(nil, headerBytes(v, plainGet(v)))
		other := newHeaderCompressor(map[Version]Version{SPDY2: SPDY31, SPDY3: SPDY2, SPDY31: SPDY2}[v], CompressNone).
			appendBlock(nil, headerBytes(v, plainGet(v)))
		for name, block := range map[string][]byte{
			"nothing": {}, "another dictionary": other, "half": whole[:len(whole)/2], "a byte": {0x78},
			"no dictionary": {0x78, 0x9c, 3, 0}, "no zlib": []byte("GET / HTTP/1.1\r\n\r\n"),
			"a bad block type": append(append([]byte{}, whole[:6]...), 0xff, 0xff, 0xff),
		} {
			p := newPeer(t, r, peerOpts{version: v})
			p.sendControl(FrameSynStream, 0, append(binary.BigEndian.AppendUint32(nil, p.peerID()), append(make([]byte, 6), block...)...)...)
			p.wantAliveOrOver(name)
			p.wantNoAccept(name)
		}
	})
	attackStory(t, "noise", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		random := rand.New(rand.NewPCG(15, uint64(v.wire())))
		for i := range much(200) {
			p := newPeer(t, r, peerOpts{version: v})
			p.theirs("a stream to harm", p.peerID(), 0)
			noise := make([]byte, 200)
			for j := range noise {
				noise[j] = byte(random.Uint32())
			}
			noise[0], noise[1], noise[2] = 0x80, byte(v.wire()), 0
			noise[3] = byte(i % 13)
			noise[4], noise[5], noise[6] = 0, 0, 0
			p.sendRaw(noise)
			p.conn.CloseWrite()
			p.served.wait("it has an end")
			require.Error(t, p.s.Err())
			p.conn.Close()
		}
	})
	for name, panics := range map[string]func(){
		"a nil map":             func() { nilMap()["x"] = 1 },
		"http.ErrAbortHandler":  func() { panic(http.ErrAbortHandler) },
		"a value of the peer's": func() { panic("\x1b[2Jevil\n") },
	} {
		attackStory(t, "handler panics with "+name, victimServer, everyVersion, func(t *testing.T, _ role, v Version) {
			p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/panic" {
					panics()
				}
			})
			p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v, ":path", "/panic")})
			p.wantReset("its own stream", 1, RstInternalError)
			p.send(&SynStreamFrame{StreamID: 3, Flags: FlagFin, Headers: plainGet(v)})
			p.wantSynReply("and nothing else", 3)
			p.drain()
		})
	}
}

// A16, ids: a stream has one life, and the ids of a session run out without harm.
func TestAttackA16StreamIDs(t *testing.T) {
	fatal := map[string]func(p *testPeer){
		"an id again":      func(p *testPeer) { p.sendSynStream(p.peerID(), 0) },
		"a lower id":       func(p *testPeer) { p.sendSynStream(p.peerID()+8, 0); p.drain(); p.sendSynStream(p.peerID()+4, 0) },
		"an id of ours":    func(p *testPeer) { p.sendSynStream(p.peerID()+1, 0) },
		"the id of a dead": func(p *testPeer) { p.sendRst(p.peerID(), RstCancel); p.sendSynStream(p.peerID(), 0) },
	}
	for name, act := range fatal {
		attackStory(t, name, bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
			p := newPeer(t, r, peerOpts{version: v})
			p.theirs("the first", p.peerID(), 0)
			act(p)
			p.drain()
			require.LessOrEqual(t, len(p.app.all), map[bool]int{true: 2, false: 1}[name == "a lower id"], "no second life")
			var failed *SessionError
			switch name {
			case "an id again", "the id of a dead": // SPDY/3.1 §2.3.2: the stream pays
				require.Zero(t, openStreams(p.s))
				p.wantAlive("and nobody else")
			default:
				require.ErrorAs(t, p.s.Err(), &failed)
				require.Equal(t, GoAwayProtocolError, failed.Status)
			}
		})
	}
	attackStory(t, "id 0", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		p := newPeer(t, r, peerOpts{version: v})
		p.sendSynStream(0, 0)
		p.wantAliveOrOver("no stream has that id")
		p.wantNoAccept("no stream has that id")
	})
	unknown := map[string]func(p *testPeer, id uint32){
		"DATA":       func(p *testPeer, id uint32) { p.sendData(id, "x", 0) },
		"HEADERS":    func(p *testPeer, id uint32) { p.sendHeaders(id, 0) },
		"SYN_REPLY":  func(p *testPeer, id uint32) { p.sendSynReply(id, 0) },
		"RST_STREAM": func(p *testPeer, id uint32) { p.sendRst(id, RstCancel) },
	}
	for name, send := range unknown {
		attackStory(t, name+" of no stream", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
			for _, id := range []uint32{99, 100, maxStreamID, maxStreamID - 1} {
				p := newPeer(t, r, peerOpts{version: v})
				send(p, id)
				for _, frame := range p.drain() {
					switch f := frame.(type) {
					case *RstStreamFrame:
						require.Equal(t, RstStreamFrame{StreamID: id, Status: RstInvalidStream}, *f)
					case *GoAwayFrame:
						require.NotEqual(t, RstStatus(0), f.Status)
					case *WindowUpdateFrame: // credit for what nobody wanted
					default:
						p.fatalf(name, "got %v", show(frame))
					}
				}
				p.wantNoAccept("there is none")
				require.Zero(t, openStreams(p.s))
			}
		})
	}
	attackStory(t, "two replies", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		p := newPeer(t, r, peerOpts{version: v})
		st := p.repliedTo("a stream", 0)
		p.sendSynReply(st.id, 0)
		p.wantReset("one is all it gets", st.id, RstStreamInUse)
		p.endsReset("one is all it gets", st, RstStreamInUse.forVersion(v), false)
		p.wantAlive("the others live")
	})
	attackStory(t, "ids run out", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		p := newPeer(t, r, peerOpts{version: v})
		p.s.mu.Lock()
		p.s.nextID = maxStreamID - 1 + p.firstID()%2 // the last one of ours
		p.s.mu.Unlock()
		p.ours1("the last", FlagFin)
		c := p.startOpen(t.Context(), "one more", 0)
		c.wait("there is none")
		var refused *StreamError
		require.ErrorAs(t, c.err, &refused)
		require.True(t, refused.Retryable(), "another session has some")
	})
	attackStory(t, "bodies of others", victimServer, everyVersion, func(t *testing.T, _ role, v Version) {
		p := httpServer(t, v, func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Equal(t, "mine", string(b))
		})
		p.send(&SynStreamFrame{StreamID: 1, Headers: plainGet(v, ":method", "POST")})
		p.sendData(3, "not mine", 0)
		p.sendData(1, "mine", FlagFin)
		synctest.Wait()
		p.drain()
	})
}
