package spdy

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/adler32"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/deflate"
)

// zlibBlocks compresses blocks with compress/zlib.
func zlibBlocks(t testing.TB, level int, dictionary string, blocks ...[]byte) [][]byte {
	var buf bytes.Buffer
	w, err := zlib.NewWriterLevelDict(&buf, level, []byte(dictionary))
	require.NoError(t, err)
	var all [][]byte
	for _, nv := range blocks {
		_, err := w.Write(nv)
		require.NoError(t, err)
		require.NoError(t, w.Flush())
		all = append(all, bytes.Clone(buf.Bytes()))
		buf.Reset()
	}
	return all
}

func TestDecompressZlib(t *testing.T) {
	for _, v := range dialects {
		blocks := testBlocks(v)
		for level := zlib.HuffmanOnly; level <= zlib.BestCompression; level++ {
			d := newHeaderDecompressor(v)
			for i, block := range zlibBlocks(t, level, v.dictionary(), blocks...) {
				nv, tooLarge, err := d.appendBlock(nil, block, 1<<20, 1<<20)
				require.NoError(t, err, "%s, level %d, block %d", v, level, i)
				require.False(t, tooLarge)
				require.True(t, bytes.Equal(blocks[i], nv), "%s, level %d, block %d", v, level, i)
			}
		}
	}
}

// Every header block of the golden vectors inflates to what is written there.
func TestDecompressVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	require.NoError(t, err)
	var vectors []struct {
		Name, Version string
		SessionID     string `json:"session_id"`
		FrameHex      string `json:"frame_hex"`
		Decoded       struct {
			Type string
			Hex  string `json:"header_block_hex"`
		}
	}
	require.NoError(t, json.Unmarshal(data, &vectors))
	fixed := map[string]map[string]int{ // bytes before the header block
		"2": {"SYN_STREAM": 10, "SYN_REPLY": 6, "HEADERS": 6},
		"3": {"SYN_STREAM": 10, "SYN_REPLY": 4, "HEADERS": 4},
	}
	versions := map[string]Version{"2": SPDY2, "3": SPDY3, "3.1": SPDY31}
	sessions := make(map[string]*headerDecompressor)
	n := 0
	for _, vector := range vectors {
		before, ok := fixed[vector.Version[:1]][vector.Decoded.Type]
		if !ok {
			continue
		}
		n++
		frame, err := hex.DecodeString(vector.FrameHex)
		require.NoError(t, err)
		d := sessions[vector.SessionID]
		if d == nil {
			d = newHeaderDecompressor(versions[vector.Version])
			sessions[vector.SessionID] = d
		}
		nv, tooLarge, err := d.appendBlock(nil, frame[8+before:], 1<<20, 1<<20)
		require.NoError(t, err, vector.Name)
		require.False(t, tooLarge, vector.Name)
		require.Equal(t, vector.Decoded.Hex, hex.EncodeToString(nv), vector.Name)
	}
	require.Equal(t, 64, n, "header blocks")
}

func TestDecompressRejectsZlibHeader(t *testing.T) {
	nv := headerBytes(SPDY31, nil)
	block := func(dictionary string) []byte { return zlibBlocks(t, 9, dictionary, nv)[0] }
	var noDictionary bytes.Buffer
	w := zlib.NewWriter(&noDictionary)
	_, _ = w.Write(nv)
	require.NoError(t, w.Flush())
	edit := func(i int, c byte) []byte {
		b := block(dictionarySPDY3)
		b[i] = c
		return b
	}
	raw16 := edit(0, 0x88)
	binary.BigEndian.PutUint16(raw16, 0x8820+31-0x8820%31)
	method := edit(0, 0x77)
	binary.BigEndian.PutUint16(method, 0x7720+31-0x7720%31)
	tests := []struct {
		name  string
		v     Version
		block []byte
		want  string
	}{
		{"no FDICT", SPDY31, noDictionary.Bytes(), "without the dictionary of spdy/3.1"},
		{"dictionary of SPDY/2", SPDY31, block(dictionarySPDY2), "dictionary dfa251b2 (of spdy/2), want e3c6a7c2 of spdy/3.1"},
		{"dictionary of SPDY/3", SPDY2, block(dictionarySPDY3), "dictionary e3c6a7c2 (of spdy/3 and spdy/3.1), want dfa251b2 of spdy/2"},
		{"dictionary without NUL", SPDY2, block(dictionarySPDY2[:906]), "8df051b2 (of spdy/2 without the NUL byte at its end)"},
		{"own dictionary", SPDY31, block("hello"), fmt.Sprintf("dictionary %08x, want", adler32.Checksum([]byte("hello")))},
		{"wrong FCHECK", SPDY31, edit(1, 0xf8), "invalid zlib header 78f8"},
		{"wrong method", SPDY31, method, "invalid zlib header 77"},
		{"window of 64 KiB", SPDY31, raw16, "invalid zlib header 88"},
		{"cut", SPDY31, block(dictionarySPDY3)[:5], "block of 5 bytes has no zlib header"},
		{"empty", SPDY31, nil, "block of 0 bytes has no zlib header"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newHeaderDecompressor(test.v)
			_, _, err := d.appendBlock(nil, test.block, 1<<16, 1<<17)
			requireProtocolError(t, err)
			assert.ErrorContains(t, err, test.want)
			_, _, again := d.appendBlock(nil, block(test.v.dictionary()), 1<<16, 1<<17)
			assert.Equal(t, err, again, "the session is lost")
		})
	}
}

func requireProtocolError(t *testing.T, err error) {
	t.Helper()
	var session *SessionError
	require.ErrorAs(t, err, &session)
	require.Equal(t, GoAwayProtocolError, session.Status)
	require.False(t, session.Remote)
}

// Every way in which a block can fail to be one block of an open stream ends the
// session (SPEC H2), in the first block and later.
func TestDecompressRejectsBlocks(t *testing.T) {
	const sync = "\x00\x00\x00\xff\xff"
	tests := []struct {
		name, block string
		cause       error
	}{
		{"final block", "\x03\x00", deflate.ErrFinal},
		{"final block and more", "\x03\x00" + sync, deflate.ErrFinal},
		{"final stored block", "\x01\x00\x00\xff\xff", deflate.ErrFinal},
		{"garbage", "garbage", deflate.ErrCorrupt},
		{"cut in a stored block", "\x00\x05\x00\xfa\xffhell", deflate.ErrTruncated},
		{"cut in a compressed block", "\x4a\x4c", deflate.ErrTruncated},
		{"a second zlib header", "\x78\xbb\xe3\xc6\xa7\xc2" + sync, deflate.ErrCorrupt},
	}
	for _, test := range tests {
		for _, first := range []bool{true, false} {
			d := newHeaderDecompressor(SPDY31)
			start := appendZlibHeader(nil, SPDY31, 15)
			if !first {
				_, _, err := d.appendBlock(nil, append(start, sync...), 1<<16, 1<<17)
				require.NoError(t, err)
				start = nil
			}
			_, _, err := d.appendBlock(nil, append(start, test.block...), 1<<16, 1<<17)
			requireProtocolError(t, err)
			assert.ErrorIs(t, err, test.cause, "%s, first %t", test.name, first)
			_, _, again := d.appendBlock(nil, []byte(sync), 1<<16, 1<<17)
			assert.Equal(t, err, again, "the session is lost")
		}
	}
}

func TestDecompressAcceptsStoredBlocks(t *testing.T) {
	d := newHeaderDecompressor(SPDY31)
	stored := "\x00\x05\x00\xfa\xffhello" // without a sync flush at the end
	for _, block := range []string{string(appendZlibHeader(nil, SPDY31, 8)) + stored, stored, stored + stored} {
		nv, _, err := d.appendBlock(nil, []byte(block), 1<<16, 1<<17)
		require.NoError(t, err)
		require.Equal(t, strings.Repeat("hello", strings.Count(block, "hello")), string(nv))
	}
}

// A block over the limit is inflated to its end, so that the next one can refer
// to it (SPEC H12).
func TestDecompressOverLimit(t *testing.T) {
	big := headerBytes(SPDY31, HeaderBlock{{"x-first", strings.Repeat("x", 50_000)}, {"x-last", "not seen before"}})
	next := headerBytes(SPDY31, HeaderBlock{{"x-last", "not seen before"}})
	blocks := zlibBlocks(t, 9, dictionarySPDY3, big, next)
	require.Less(t, len(blocks[1]), len(next), "the test is good for something")
	for _, limit := range []int{0, 1, 1000, len(big) - 1, len(big)} {
		d := newHeaderDecompressor(SPDY31)
		nv, tooLarge, err := d.appendBlock([]byte("prefix"), blocks[0], limit, 1<<16)
		require.NoError(t, err)
		require.Equal(t, limit < len(big), tooLarge)
		require.Equal(t, "prefix"+string(big[:limit]), string(nv))
		nv, tooLarge, err = d.appendBlock(nil, blocks[1], 1000, 1<<16)
		require.NoError(t, err)
		require.False(t, tooLarge)
		require.Equal(t, string(next), string(nv))
	}
}

func TestDecompressOverHardLimit(t *testing.T) {
	nv := headerBytes(SPDY31, HeaderBlock{{"x", strings.Repeat("x", 5000)}})
	for _, level := range []int{0, 9} {
		block := zlibBlocks(t, level, dictionarySPDY3, nv)[0]
		_, tooLarge, err := newHeaderDecompressor(SPDY31).appendBlock(nil, block, 100, len(nv))
		require.NoError(t, err)
		require.True(t, tooLarge)
		d := newHeaderDecompressor(SPDY31)
		_, _, err = d.appendBlock(nil, block, 100, len(nv)-1)
		requireProtocolError(t, err)
		require.ErrorContains(t, err, fmt.Sprintf("more than %d bytes", len(nv)-1))
		_, _, err = d.appendBlock(nil, block, 100, 1<<20)
		requireProtocolError(t, err)
	}
}

// 16 KB of zeros would inflate to 16 MB, but do not here (needs A2).
func TestDecompressBomb(t *testing.T) {
	bomb := zlibBlocks(t, 9, dictionarySPDY3, make([]byte, 16<<20))[0]
	require.Less(t, len(bomb), 20<<10)
	d := newHeaderDecompressor(SPDY31)
	dst := make([]byte, 0, 1<<10)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := d.appendBlock(dst, bomb, 64<<10, 2<<20)
	runtime.ReadMemStats(&after)
	requireProtocolError(t, err)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(512<<10))
}
