package spdy

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	dialects = []Version{SPDY2, SPDY3, SPDY31}
	policies = []CompressionPolicy{CompressSafe, CompressNone, CompressFull}
)

// zlibStream is compress/zlib reading header blocks as a peer would. It never
// sees an end of its input, because it is asked for what is there and no more.
type zlibStream struct {
	dictionary []byte
	in         bytes.Buffer
	r          io.Reader
}

func newZlibStream(v Version) *zlibStream {
	return &zlibStream{dictionary: []byte(v.dictionary())}
}

// read returns the n bytes that block inflates to.
func (s *zlibStream) read(t testing.TB, block []byte, n int) []byte {
	s.in.Write(block)
	if s.r == nil {
		r, err := zlib.NewReaderDict(&s.in, s.dictionary)
		require.NoError(t, err)
		s.r = r
	}
	p := make([]byte, n)
	_, err := io.ReadFull(s.r, p)
	require.NoError(t, err)
	return p
}

// testBlocks returns the requests and responses of a trace, and odd blocks.
func testBlocks(v Version) [][]byte {
	trace := newBrowsingTrace(60)
	var blocks [][]byte
	for i := range trace.requests {
		blocks = append(blocks, headerBytes(v, trace.requests[i]), headerBytes(v, trace.responses[i]))
	}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	long := strings.Repeat("0123456789", 1200) // more than any window
	return append(blocks,
		headerBytes(v, nil),
		headerBytes(v, HeaderBlock{{"x", ""}}),
		headerBytes(v, HeaderBlock{{"server", string(all)}, {"x-all", string(all)}, {"server", string(all)}}),
		headerBytes(v, HeaderBlock{{"server", long}, {"cookie", long}, {"server", long}, {"cookie", long}}),
		[]byte{}, []byte("not a name/value block"), all,
	)
}

func TestCompressAgainstZlib(t *testing.T) {
	for _, v := range dialects {
		for _, p := range policies {
			t.Run(fmt.Sprintf("%s %s", v, p), func(t *testing.T) {
				c, d, peer := newHeaderCompressor(v, p), newHeaderDecompressor(v), newZlibStream(v)
				for i, nv := range testBlocks(v) {
					block := c.appendBlock([]byte("frame"), nv)
					require.True(t, bytes.HasPrefix(block, []byte("frame")))
					block = block[len("frame"):]
					require.True(t, bytes.HasSuffix(block, []byte("\x00\x00\x00\xff\xff")), "H13")
					require.Equal(t, nv, peer.read(t, block, len(nv)), "block %d", i)

					got, tooLarge, err := d.appendBlock([]byte("prefix"), block, len(nv), len(nv))
					require.NoError(t, err)
					require.False(t, tooLarge)
					require.Equal(t, "prefix"+string(nv), string(got), "block %d", i)
				}
			})
		}
	}
}

// The first bytes say what the stream really is.
func TestZlibHeader(t *testing.T) {
	for p, cmf := range map[CompressionPolicy]byte{CompressSafe: 0x58, CompressNone: 0x38, CompressFull: 0x78} {
		for v, id := range map[Version]string{SPDY2: "\xdf\xa2\x51\xb2", SPDY31: "\xe3\xc6\xa7\xc2"} {
			c := newHeaderCompressor(v, p)
			block := c.appendBlock(nil, headerBytes(v, nil))
			assert.Equal(t, cmf, block[0], p)
			assert.Equal(t, byte(0x20), block[1]&0x20, "FDICT")
			assert.Zero(t, (int(block[0])<<8|int(block[1]))%31, "FCHECK")
			assert.Equal(t, id, string(block[2:6]))
			assert.NotContains(t, string(c.appendBlock(nil, headerBytes(v, nil))), id, "only once")
		}
	}
}

func TestCompressionPolicyString(t *testing.T) {
	assert.Equal(t, "safe", CompressionPolicy(0).String())
	assert.Equal(t, "none", CompressNone.String())
	assert.Equal(t, "full", CompressFull.String())
	assert.Equal(t, "CompressionPolicy(7)", CompressionPolicy(7).String())
}

// What golang.org/x/net/http2/hpack v0.57.0 makes of the trace, with its table of
// 4,096 bytes and without any sensitive field: 500 calls of an encoder for requests
// and 500 of another for responses, with :authority for :host, the three digits of
// :status, no :version, and cookies in one field. (Split, as RFC 7540 §8.1.2.5
// permits, they come to 30,069 bytes.)
const (
	hpackRequests  = 29_791
	hpackResponses = 35_007
)

// traceSize returns how many bytes blocks take when compressed one after the other.
func traceSize(v Version, p CompressionPolicy, blocks []HeaderBlock) (n int) {
	c := newHeaderCompressor(v, p)
	for _, h := range blocks {
		n += len(c.appendBlock(nil, headerBytes(v, h)))
	}
	return n
}

// A browser reads a site. The limits are what was measured and 1 %.
func TestCompressionRatio(t *testing.T) {
	trace := newBrowsingTrace(500)
	for _, test := range []struct {
		version             Version
		policy              CompressionPolicy
		requests, responses int
	}{
		{SPDY2, CompressSafe, 37_870, 36_600},
		{SPDY2, CompressNone, 275_093, 176_464},
		{SPDY2, CompressFull, 17_530, 23_480},
		{SPDY31, CompressSafe, 38_970, 36_750},
		{SPDY31, CompressNone, 298_729, 201_244},
		{SPDY31, CompressFull, 17_635, 24_250},
	} {
		requests := traceSize(test.version, test.policy, trace.requests)
		responses := traceSize(test.version, test.policy, trace.responses)
		assert.LessOrEqual(t, requests, test.requests, "%s %s requests", test.version, test.policy)
		assert.LessOrEqual(t, responses, test.responses, "%s %s responses", test.version, test.policy)
	}
}

// CompressFull is no larger than what compress/zlib makes of the trace at the level that
// is the usual one, with a window of 32 KiB.
func TestFullCompressionAgainstZlib(t *testing.T) {
	trace := newBrowsingTrace(500)
	for _, v := range dialects {
		for kind, headers := range map[string][]HeaderBlock{"requests": trace.requests, "responses": trace.responses} {
			var blocks [][]byte
			for _, h := range headers {
				blocks = append(blocks, headerBytes(v, h))
			}
			want := 0
			for _, block := range zlibBlocks(t, 6, v.dictionary(), blocks...) {
				want += len(block)
			}
			got := traceSize(v, CompressFull, headers)
			assert.LessOrEqual(t, got, want, "%s %s", v, kind)
			t.Logf("%s %s: %d bytes, zlib at level 6 %d", v, kind, got, want)
		}
	}
}

// CompressSafe comes near to what HTTP/2 sends, although it exposes less.
func TestSafeCompressionAgainstHPACK(t *testing.T) {
	trace := newBrowsingTrace(500)
	for _, v := range dialects {
		assert.LessOrEqual(t, 10*traceSize(v, CompressSafe, trace.requests), 13*hpackRequests, "%s requests", v)
		assert.LessOrEqual(t, 10*traceSize(v, CompressSafe, trace.responses), 13*hpackResponses, "%s responses", v)
	}
}

// An idle session costs next to nothing, one that has sent header blocks a few
// KiB for each direction (needs A14).
func TestCompressionMemory(t *testing.T) {
	nv := headerBytes(SPDY31, requestFor("/index.html", "sid=1"))
	for _, test := range []struct {
		policy           CompressionPolicy
		blocks           int
		sending, reading int // bytes at most
	}{
		{CompressSafe, 0, 128, 64},
		{CompressSafe, 1, 5200, 800},
		{CompressSafe, 100, 10_900, 8500},
		{CompressNone, 100, 128, 2400},
		{CompressFull, 1, 13_400, 800},
		{CompressFull, 100, 111_000, 33_000},
	} {
		const n = 1000
		buf := make([]byte, 0, 1<<16)
		blocks := make([][]byte, test.blocks)
		sample := newHeaderCompressor(SPDY31, test.policy)
		for i := range blocks {
			blocks[i] = sample.appendBlock(nil, nv)
		}
		var compressors [n]*headerCompressor
		sending := heapGrowth(func() {
			for i := range compressors {
				compressors[i] = newHeaderCompressor(SPDY31, test.policy)
				for range blocks {
					compressors[i].appendBlock(buf, nv)
				}
			}
		})
		var decompressors [n]*headerDecompressor
		reading := heapGrowth(func() {
			for i := range decompressors {
				decompressors[i] = newHeaderDecompressor(SPDY31)
				for _, block := range blocks {
					_, _, err := decompressors[i].appendBlock(buf, block, 1<<16, 1<<16)
					require.NoError(t, err)
				}
			}
		})
		runtime.KeepAlive(&compressors)
		runtime.KeepAlive(&decompressors)
		assert.LessOrEqual(t, sending/n, test.sending, "%s, %d blocks sent", test.policy, test.blocks)
		assert.LessOrEqual(t, reading/n, test.reading, "%s, %d blocks read", test.policy, test.blocks)
	}
}

func heapGrowth(f func()) int {
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	f()
	return heap() - before
}

func TestCompressionDoesNotAllocate(t *testing.T) {
	nv := headerBytes(SPDY31, requestFor("/index.html", "sid=31d4d96e407aad42"))
	for _, p := range policies {
		c, d := newHeaderCompressor(SPDY31, p), newHeaderDecompressor(SPDY31)
		block, out := make([]byte, 0, 1024), make([]byte, 0, 1024)
		exchange := func() {
			var err error
			block = c.appendBlock(block[:0], nv)
			out, _, err = d.appendBlock(out[:0], block, 1<<16, 1<<17)
			require.NoError(t, err)
		}
		for range 80 { // until the history is as large as the window
			exchange()
		}
		assert.Zero(t, testing.AllocsPerRun(100, exchange), p)
	}
}
