package spdy

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// declaredMax is what numbers of the peer are in TestAttackA1DeclaredCounts: as many entries,
// names and bytes as can be declared in a few of them.
const declaredMax = 1<<32 - 1

// be32s is numbers as they are on the wire.
func be32s(numbers ...uint32) (b []byte) {
	for _, n := range numbers {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

// declared is a header block of the version that declares the numbers, one after the
// other, each as wide as the version has them, and ends.
func declared(v Version, numbers ...uint32) (b []byte) {
	for _, n := range numbers {
		if v == SPDY2 {
			b = binary.BigEndian.AppendUint16(b, uint16(min(n, 1<<16-1)))
			continue
		}
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

// TestAttackA1DeclaredCounts: frames that declare as many entries, names, bytes as they
// can and bring none of them (CVE-2026-35469). Nothing is made room for: a session that
// gets one allocates no more than it needs anyway, and ends if that can be seen.
func TestAttackA1DeclaredCounts(t *testing.T) {
	id := func(a *attacker, i int) uint32 { return a.peerID() + uint32(2*i) }
	block := func(a *attacker, numbers ...uint32) []byte {
		return a.fw.CompressBlock(declared(a.version, numbers...))
	}
	for _, way := range []struct {
		name string
		ends bool // the session, at once
		one  func(a *attacker, i int)
	}{
		{"SETTINGS entries", true, func(a *attacker, _ int) { a.raw(FrameSettings, 0, be32s(declaredMax)...) }},
		{"SETTINGS entries beside some", true, func(a *attacker, _ int) { a.raw(FrameSettings, 0, be32s(declaredMax, 7, 1, 7, 1)...) }},
		{"headers", false, func(a *attacker, i int) {
			a.frame(&SynStreamFrame{StreamID: id(a, i), Block: block(a, declaredMax)})
		}},
		{"headers, of which there is one", false, func(a *attacker, i int) {
			a.frame(&SynStreamFrame{StreamID: id(a, i), Block: append(block(a, declaredMax), block(a, 1)...)})
		}},
		{"length of a name", false, func(a *attacker, i int) {
			a.frame(&SynStreamFrame{StreamID: id(a, i), Block: block(a, 1, declaredMax)})
		}},
		{"length of a value", false, func(a *attacker, i int) {
			nv := append(declared(a.version, 1, 1), 'x')
			a.frame(&SynStreamFrame{StreamID: id(a, i), Block: a.fw.CompressBlock(append(nv, declared(a.version, declaredMax)...))})
		}},
		{"headers in HEADERS", false, func(a *attacker, i int) {
			a.frame(&HeadersFrame{StreamID: id(a, i), Block: block(a, declaredMax)})
		}},
		{"headers in SYN_REPLY", false, func(a *attacker, i int) {
			a.frame(&SynReplyFrame{StreamID: id(a, i), Block: block(a, declaredMax)})
		}},
		{"CREDENTIAL", false, func(a *attacker, _ int) { a.raw(10, 0, append([]byte{0, 1}, be32s(declaredMax, declaredMax)...)...) }},
	} {
		t.Run(way.name, func(t *testing.T) {
			storm(t, bothRoles, everyVersion, attackSetup{}, func(a *attacker) {
				if way.ends {
					way.one(a, 0)
					a.push()
					synctest.Wait()
					a.wantEnded(way.name)
					requireCheap(a, much(1000), way.one)
					return
				}
				for i := range 100 { // what there is once is there, and the budgets are large enough
					way.one(a, i)
				}
				require.True(a.t, a.push())
				synctest.Wait()
				n := allocated(func() {
					for i := range 900 {
						way.one(a, 100+i)
					}
					require.True(a.t, a.push())
					synctest.Wait()
				})
				limit := uint64(4 << 20)
				if raceEnabled { // a sync.Pool loses some of what it gets then
					limit *= 8
				}
				require.Less(a.t, n, limit, "for 900 frames, with what the test itself allocates")
				require.NoError(a.t, a.s.Err())
				a.wantOtherUsable(way.name)
			})
		})
	}
	t.Run("length of a frame", func(t *testing.T) {
		storm(t, bothRoles, everyVersion, attackSetup{}, func(a *attacker) {
			wire := a.version
			for _, typ := range []FrameType{FrameSynStream, FrameSynReply, FrameHeaders, FrameSettings, FrameRstStream, FramePing, FrameGoAway, FrameWindowUpdate, 10, 99} {
				requireCheap(a, much(100), func(b *attacker, _ int) {
					b.out.Write(appendControlHeader(nil, wire, typ, 0, MAX_DATA_PAYLOAD))
				})
			}
			requireCheap(a, much(100), func(b *attacker, _ int) {
				b.frame(&SynStreamFrame{StreamID: b.peerID(), Headers: HeaderBlock{{"name", "value"}}})
				b.out.Write(appendDataHeader(nil, b.peerID(), 0, MAX_DATA_PAYLOAD))
			})
		})
	})
}

// requireCheap wants a frame to cost a session of its own no more than sessions cost,
// which is measured by what so many of them allocate.
func requireCheap(a *attacker, sessions int, one func(a *attacker, i int)) {
	a.t.Helper()
	cost := func(frame []byte) uint64 {
		return allocated(func() {
			for range sessions {
				lone(a.role, a.version, frame)
			}
		})
	}
	b := &attacker{testPeer: &testPeer{t: a.t, role: a.role, version: a.version}}
	b.fw = NewFramer(&b.out, &b.out, a.version)
	one(b, 0)
	frame := slices.Clone(b.out.Bytes())
	plain := cost(nil)
	require.Less(a.t, cost(frame), plain+uint64(sessions)*(128<<10), "%d sessions", sessions)
}

// lone runs a session that gets bytes, and then nothing until the connection is closed.
func lone(r role, v Version, bytes []byte) {
	ours, theirs := testconn.Pair()
	s := newSession(ours, bool(r), v, quietConfig, &crowd{})
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	theirs.Write(bytes)
	synctest.Wait()
	theirs.Close()
	<-served
}

// TestAttackA2HeaderBomb: header blocks that inflate a thousandfold. A session inflates
// no further than its hard limit, and ends there; one beyond the limit that it can bear
// costs the stream, and a budget if there are many.
func TestAttackA2HeaderBomb(t *testing.T) {
	const limit, burst = 64 << 10, 1000
	setup := attackSetup{peerOpts: peerOpts{conf: Config{MaxHeaderBytes: limit, IdleFrameBurst: burst}}}
	bomb := func(v Version, size int) []byte { // one value of so many zeros
		nv := append(declared(v, 1, 1), 'x')
		return append(append(nv, declared(v, uint32(size))...), make([]byte, size)...)
	}
	kinds := func(id uint32, block []byte) map[string]Frame {
		return map[string]Frame{
			"SYN_STREAM": &SynStreamFrame{StreamID: id, Block: block},
			"HEADERS":    &HeadersFrame{StreamID: id, Block: block},
			"SYN_REPLY":  &SynReplyFrame{StreamID: id, Block: block},
		}
	}
	const many = 40
	huge, large := make(map[Version][]byte), make(map[Version][][]byte) // compressed as well as zlib can
	for _, v := range everyVersion {
		huge[v] = zlibBlocks(t, 9, v.dictionary(), bomb(v, 64<<20))[0]
		large[v] = zlibBlocks(t, 9, v.dictionary(), slices.Repeat([][]byte{bomb(v, 20*limit)}, many)...)
	}
	for kind := range kinds(0, nil) {
		t.Run(kind+" beyond the hard limit", func(t *testing.T) {
			storm(t, bothRoles, everyVersion, setup, func(a *attacker) {
				require.Less(a.t, len(huge[a.version]), 128<<10)
				a.frame(kinds(a.peerID(), huge[a.version])[kind])
				n := allocated(func() { a.push(); synctest.Wait() })
				require.Less(a.t, n, uint64(2<<20))
				a.wantEnded("a bomb")
				s := a.s.Stats()
				require.LessOrEqual(a.t, s.Received.HeaderBytes, int64(leastHardLimit+(64<<10)), "inflated")
				require.Zero(a.t, s.StreamsAccepted)
				a.wantOtherUsable("a bomb")
			})
		})
		t.Run(kind+" beyond the limit", func(t *testing.T) {
			storm(t, bothRoles, everyVersion, setup, func(a *attacker) {
				sent := a.flood(many, func(i int) {
					a.frame(kinds(a.peerID()+uint32(2*i), large[a.version][i])[kind])
				})
				require.LessOrEqual(a.t, sent, many)
				require.ErrorIs(a.t, a.s.Err(), ErrFlood)
				a.wantEnded("many bombs")
				s := a.s.Stats()
				require.LessOrEqual(a.t, s.Received.HeaderBytes, int64(burst+400)*idleInflate, "inflated")
				require.Zero(a.t, s.StreamsAccepted)
				a.wantOtherUsable("many bombs")
			})
		})
	}
	t.Run("names", func(t *testing.T) { // small ones, more than Config.MaxHeaderFields
		const most = 100
		setup := attackSetup{peerOpts: peerOpts{conf: Config{MaxHeaderFields: most}}}
		storm(t, bothRoles, everyVersion, setup, func(a *attacker) {
			names := HeaderBlock{}
			for i := range most + 1 {
				names = append(names, HeaderField{strings.Repeat("x", 1+i/26) + string(rune('a'+i%26)), ""})
			}
			nv, err := appendNameValue(nil, a.version, names[:2])
			require.NoError(a.t, err)
			nv = append(nv[:0], declared(a.version, uint32(len(names)))...)
			for _, h := range names {
				nv = append(append(nv, declared(a.version, uint32(len(h.Name)))...), h.Name...)
				nv = append(nv, declared(a.version, 0)...)
			}
			a.frame(&SynStreamFrame{StreamID: a.peerID(), Block: a.fw.CompressBlock(nv)})
			require.True(a.t, a.push())
			require.Equal(a.t, 1, a.hear().resets[RstFrameTooLarge.forVersion(a.version)])
			require.Zero(a.t, a.s.Stats().StreamsAccepted)
			a.frame(&SynStreamFrame{StreamID: a.peerID() + 2, Headers: HeaderBlock{{"name", "value"}}})
			require.True(a.t, a.push())
			synctest.Wait()
			require.EqualValues(a.t, 1, a.s.Stats().StreamsAccepted, "the next one is served")
		})
	})
	t.Run("late headers", func(t *testing.T) { // together, of one stream
		storm(t, bothRoles, everyVersion, setup, func(a *attacker) {
			a.frame(&SynStreamFrame{StreamID: a.peerID(), Headers: HeaderBlock{{"name", "value"}}})
			n := 0
			for ; n < 1000 && a.hear().frames[FrameRstStream] == 0; n++ {
				a.frame(&HeadersFrame{StreamID: a.peerID(), Headers: HeaderBlock{{"n" + string(rune('a'+n%26)) + strings.Repeat("x", n/26), strings.Repeat("v", 1000)}}})
				require.True(a.t, a.push())
			}
			require.LessOrEqual(a.t, n, limit/1000+2)
			require.Zero(a.t, openStreams(a.s))
		})
	})
}
