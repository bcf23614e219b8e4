package spdy

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// newWidePeer is a session whose peer takes any amount of data.
func newWidePeer(t *testing.T, r role, opts ...peerOpts) *testPeer {
	p := newPeer(t, r, opts...)
	p.sendSettings(Setting{ID: SettingMaxConcurrentStreams, Value: 1000}, Setting{ID: SettingInitialWindowSize, Value: 1 << 30})
	p.sendWindowUpdate(0, 1<<30)
	p.wantUnread("the windows are wide open")
	return p
}

// TestPriorities is about the order of DATA on the wire (SPEC S10).
func TestPriorities(t *testing.T) {
	storyBoth(t, "S10/urgent bytes overtake", func(t *testing.T, r role) {
		p := newWidePeer(t, r)
		slow, fast := p.open("slow", 0, 7), p.open("fast", 0, 0)
		require.EqualValues(t, 7, p.wantSynStream("slow", slow.id).Priority)
		require.EqualValues(t, 0, p.wantSynStream("fast", fast.id).Priority)
		release := p.holdSender()
		writeSlow := p.startWrite(slow, testBytes(1<<20), 0)
		writeSlow.pending("the sender is at work elsewhere")
		writeFast := p.startWrite(fast, testBytes(30000), FlagFin)
		writeFast.pending("the sender is at work elsewhere")
		release()
		p.wantData("the urgent stream goes first", fast.id, 30000, FlagFin)
		writeFast.wrote("the urgent stream goes first", 30000)
		p.wantData("then the other", slow.id, 1<<20)
		writeSlow.wrote("then the other", 1<<20)
	})
	story(t, "S10/a body under way is overtaken", func(t *testing.T) {
		p := newWidePeer(t, asServer)
		p.send(&SynStreamFrame{StreamID: 1, Priority: 7})
		p.send(&SynStreamFrame{StreamID: 3, Priority: 0})
		slow, fast := p.wantAccept("slow", 1), p.wantAccept("fast", 3)
		p.reply(slow, 0)
		p.reply(fast, 0)
		p.wantSynReply("slow", 1)
		p.wantSynReply("fast", 3)
		p.ours.SetWriteCap(1)
		p.startWrite(slow, testBytes(10<<20), 0)
		synctest.Wait() // the first batch is on its way
		p.startWrite(fast, testBytes(1000), FlagFin)
		synctest.Wait()
		before := 0
		for {
			f := wantFrame[*DataFrame](p, "DATA")
			if f.StreamID == 3 {
				require.Len(t, f.Data, 1000)
				break
			}
			before += len(f.Data)
		}
		require.LessOrEqual(t, before, batchSize, "no more than what was on its way")
		slow.reset(RstCancel, "", nil)
		p.ours.SetWriteCap(0)
	})
	story(t, "S10/every level moves", func(t *testing.T) {
		p := newWidePeer(t, asClient)
		release := p.holdSender()
		for level := range uint8(priorities) {
			p.startWrite(p.open("busy", 0, level), testBytes(8<<20), 0)
		}
		synctest.Wait()
		release()
		for level := range uint32(priorities) {
			p.wantSynStream("busy", 2*level+1)
		}
		sent := make(map[uint32]int)
		for range 240 {
			f := wantFrame[*DataFrame](p, "busy")
			require.LessOrEqual(t, len(f.Data), maxDataFrame)
			sent[f.StreamID] += len(f.Data)
		}
		for level := uint32(1); level < priorities; level++ {
			more, less := sent[2*level-1], sent[2*level+1]
			require.Greater(t, more, less, "level %d against level %d", level-1, level)
			require.LessOrEqual(t, sent[1], 2*less+2*maxDataFrame, "level %d", level)
		}
		p.s.shutdown(errTest)
	})
	story(t, "S10/equals take turns", func(t *testing.T) {
		p := newWidePeer(t, asClient)
		release := p.holdSender()
		var writes []*call
		for range 4 {
			writes = append(writes, p.startWrite(p.open("equal", 0, 3), testBytes(100<<10), FlagFin))
			synctest.Wait()
		}
		release()
		for i := range uint32(4) {
			p.wantSynStream("equal", 2*i+1)
		}
		turn := uint32(0)
		for range 4 * 6 {
			f := wantFrame[*DataFrame](p, "equals take turns")
			require.Equal(t, 2*turn+1, f.StreamID)
			turn = (turn + 1) % 4
		}
		for _, w := range writes {
			p.wantDataOf("the rest")
			w.wrote("the rest", 100<<10)
		}
	})
	story(t, "D11/a stream alone sends large frames", func(t *testing.T) {
		p := newWidePeer(t, asClient)
		st := p.open("alone", 0, 3)
		p.wantSynStream("alone", 1)
		write := p.startWrite(st, testBytes(1<<20), 0)
		write.wrote("nobody waits", 1<<20)
		require.Greater(t, len(wantFrame[*DataFrame](p, "alone").Data), 3*maxDataFrame)
	})
}

// wantDataOf reads a DATA frame of any stream.
func (p *testPeer) wantDataOf(why string) {
	p.t.Helper()
	wantFrame[*DataFrame](p, why)
}

// TestWireOrder is about what may not overtake what.
func TestWireOrder(t *testing.T) {
	storyBoth(t, "H13,S2/100 at once", func(t *testing.T, r role) {
		p := newWidePeer(t, r)
		var start, all sync.WaitGroup
		start.Add(1)
		for i := range 100 {
			name := fmt.Sprint("stream ", i)
			st, block := p.s.newLocalStream(uint8(i%8)), p.block(HeaderField{"name", name})
			all.Go(func() {
				start.Wait()
				if err := p.s.open(t.Context(), st, block, 0); err != nil {
					t.Error(err)
				}
				if _, err := st.write([]byte(name), false); err != nil {
					t.Error(err)
				}
				if err := st.sendHeaders(FrameHeaders, p.block(HeaderField{"trailer", name}), true); err != nil {
					t.Error(err)
				}
			})
		}
		start.Done()
		all.Wait()
		p.s.ring()
		id := p.firstID()
		names := make(map[uint32]string)
		stage := make(map[uint32]int)
		for range 300 {
			switch f := p.next("a frame").(type) {
			case *SynStreamFrame:
				require.Equal(t, id, f.StreamID, "ids rise on the wire, without a gap")
				id += 2
				names[f.StreamID], _ = f.Headers.Get("name")
				stage[f.StreamID]++
			case *DataFrame:
				require.Equal(t, names[f.StreamID], string(f.Data), "DATA follows its SYN_STREAM")
				require.Equal(t, 1, stage[f.StreamID])
				stage[f.StreamID]++
			case *HeadersFrame:
				require.Equal(t, HeaderBlock{{"trailer", names[f.StreamID]}}, f.Headers)
				require.Equal(t, 2, stage[f.StreamID], "trailers follow the DATA")
				stage[f.StreamID]++
			default:
				t.Fatal(show(f))
			}
		}
		require.Len(t, names, 100)
		p.wantIdle("that is all")
	})
	story(t, "DATA never overtakes its SYN_REPLY", func(t *testing.T) {
		p := newWidePeer(t, asServer)
		release := p.holdSender()
		for i := range uint32(50) {
			p.send(&SynStreamFrame{StreamID: 2*i + 1, Priority: uint8(7 - i%8), Flags: FlagFin})
			st := p.wantAccept("theirs", 2*i+1)
			p.reply(st, 0)
			p.startWrite(st, testBytes(3000), FlagFin)
		}
		synctest.Wait()
		release()
		replied := make(map[uint32]bool)
		for len(replied) < 50 || p.conn.Unread() > 0 {
			switch f := p.next("a frame").(type) {
			case *SynReplyFrame:
				replied[f.StreamID] = true
			case *DataFrame:
				require.True(t, replied[f.StreamID], "DATA on %d", f.StreamID)
			default:
				t.Fatal(show(f))
			}
			synctest.Wait()
		}
	})
	story(t, "P1/control frames go before all", func(t *testing.T) {
		p := newWidePeer(t, asClient)
		st := p.open("ours", 0)
		p.wantSynStream("ours", 1)
		release := p.holdSender()
		p.startWrite(st, testBytes(100), 0).pending("held")
		other := p.open("other", 0)
		ping := p.startPing(t.Context())
		ping.pending("held")
		release()
		p.wantPing("control", 1)
		p.wantSynStream("then headers", other.id)
		p.wantData("then DATA", 1, 100)
	})
}

// TestBatching counts the writes that reach the connection.
func TestBatching(t *testing.T) {
	story(t, "a byte goes at once", func(t *testing.T) {
		p := newWidePeer(t, asClient)
		st := p.open("ours", 0)
		p.wantSynStream("ours", 1)
		for i := range 10 {
			before := p.ours.Stats().Writes
			p.startWrite(st, []byte{byte(i)}, 0).wrote("interactive", 1)
			require.Equal(t, []byte{byte(i)}, p.wantData("no timer, no waiting for more", 1, 1))
			require.Equal(t, 1, p.ours.Stats().Writes-before)
		}
	})
	story(t, "small frames share a write", func(t *testing.T) {
		p := newWidePeer(t, asServer)
		release := p.holdSender()
		for i := range uint32(100) {
			p.sendSynStream(2*i+1, FlagFin)
			st := p.wantAccept("theirs", 2*i+1)
			p.reply(st, 0)
			p.startWrite(st, []byte("a small answer"), FlagFin)
			p.sendPing(2*i + 1)
		}
		synctest.Wait()
		before := p.ours.Stats().Writes
		release()
		for i := range uint32(100) {
			p.wantPing("all of them", 2*i+1)
		}
		for i := range uint32(100) {
			p.wantSynReply("all of them", 2*i+1)
		}
		for i := range uint32(100) {
			p.wantData("all of them", 2*i+1, 14, FlagFin)
		}
		require.Equal(t, 1, p.ours.Stats().Writes-before, "300 frames, one write")
	})
	story(t, "a large body", func(t *testing.T) {
		p := newWidePeer(t, asClient)
		st := p.open("ours", 0)
		p.wantSynStream("ours", 1)
		before := p.ours.Stats().Writes
		p.startWrite(st, testBytes(1<<20), 0).wrote("a megabyte", 1<<20)
		require.InDelta(t, 17, p.ours.Stats().Writes-before, 1, "writes of about 64 KiB")
		p.wantData("a megabyte", 1, 1<<20)
	})
	story(t, "work collects during a slow write", func(t *testing.T) {
		p := newWidePeer(t, asClient, peerOpts{conn: []testconn.Option{testconn.Second(testconn.Latency(0))}})
		release := p.holdSender()
		before := p.ours.Stats().Writes
		for range 1000 {
			p.startPing(t.Context())
		}
		synctest.Wait()
		release()
		for i := range uint32(1000) {
			p.wantPing("in order", 2*i+1)
			p.sendPing(2*i + 1)
		}
		synctest.Wait()
		require.Equal(t, 1, p.ours.Stats().Writes-before)
	})
}
