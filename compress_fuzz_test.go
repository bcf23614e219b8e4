package spdy

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzCompressBlock sends sequences of blocks through each policy, to compress/zlib
// and to our decompressor, and from compress/zlib to our decompressor. The input
// is cut into blocks of the size that their first byte tells.
func FuzzCompressBlock(f *testing.F) {
	request := headerBytes(SPDY31, requestFor("/index.html", "sid=31d4d96e407aad42"))
	f.Add(append([]byte{255}, request...), false)
	f.Add(append(append([]byte{200}, request...), request...), false)
	f.Add(headerBytes(SPDY2, requestFor("/index.html", "sid=31d4d96e407aad42")), true)
	f.Add([]byte("\x0a\x00\x00\x00\x01\x00\x00\x00\x01x\x02\xff\xff\x02\xff\xff"), false)
	f.Fuzz(func(t *testing.T, input []byte, old bool) {
		v := SPDY31
		if old {
			v = SPDY2
		}
		var blocks [][]byte
		for len(input) > 0 {
			n := min(2*int(input[0]), len(input)-1)
			blocks = append(blocks, input[1:1+n])
			input = input[1+n:]
		}
		for _, p := range policies {
			c, d, peer := newHeaderCompressor(v, p), newHeaderDecompressor(v), newZlibStream(v)
			for _, nv := range append(blocks, blocks...) {
				block := c.appendBlock(nil, nv)
				require.True(t, bytes.HasSuffix(block, []byte("\x00\x00\x00\xff\xff")))
				require.Equal(t, nv, peer.read(t, block, len(nv)), "%s, to zlib", p)
				got, _, err := d.appendBlock([]byte{}, block, len(nv), len(nv))
				require.NoError(t, err)
				require.Equal(t, nv, got, "%s, to us", p)
			}
		}
		d := newHeaderDecompressor(v)
		for i, block := range zlibBlocks(t, zlib.BestCompression, v.dictionary(), blocks...) {
			got, _, err := d.appendBlock([]byte{}, block, 1<<20, 1<<20)
			require.NoError(t, err)
			require.Equal(t, blocks[i], got, "zlib to us")
		}
	})
}

// FuzzDecompress gives arbitrary bytes to our decompressor, in two blocks. What it
// accepts, compress/zlib has to read in the same way, and what it does not accept
// has to be a SessionError.
func FuzzDecompress(f *testing.F) {
	header := string(appendZlibHeader(nil, SPDY31, 15))
	for _, p := range policies {
		c := newHeaderCompressor(SPDY31, p)
		nv := headerBytes(SPDY31, requestFor("/", "sid=1"))
		f.Add(c.appendBlock(nil, nv), c.appendBlock(nil, nv))
	}
	f.Add([]byte(header), []byte("\x00\x05\x00\xfa\xffhello"))
	f.Add([]byte(header+"\x03\x00"), []byte{})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		const limit, hardLimit = 500, 10_000
		d := newHeaderDecompressor(SPDY31)
		var sent, kept []byte
		for _, block := range [][]byte{first, second} {
			nv, tooLarge, err := d.appendBlock(nil, block, limit, hardLimit)
			if err != nil {
				var session *SessionError
				require.True(t, errors.As(err, &session))
				require.Equal(t, GoAwayProtocolError, session.Status)
				return
			}
			require.LessOrEqual(t, len(nv), limit)
			if tooLarge {
				return
			}
			sent, kept = append(sent, block...), append(kept, nv...)
		}
		// An empty final block and a checksum make it a complete stream, of
		// which only the checksum is wrong.
		sent = append(sent, "\x01\x00\x00\xff\xff\x00\x00\x00\x00"...)
		r, err := zlib.NewReaderDict(bytes.NewReader(sent), []byte(dictionarySPDY3))
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.ErrorIs(t, err, zlib.ErrChecksum)
		require.Equal(t, string(kept), string(got))
	})
}
