package spdy

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// warmBlocks is how often a block is sent before it is measured: then the history of the
// compression is as large as the window.
const warmBlocks = 100

// benchFrames is a frame of each kind.
func benchFrames() []Frame {
	h := benchRequest()
	return []Frame{
		&DataFrame{StreamID: 1, Data: make([]byte, 16<<10)},
		&SynStreamFrame{StreamID: 1, Priority: 3, Headers: h},
		&SynReplyFrame{StreamID: 1, Headers: h},
		&HeadersFrame{StreamID: 1, Headers: h},
		&RstStreamFrame{StreamID: 1, Status: RstCancel},
		&SettingsFrame{Entries: []Setting{{ID: 7, Value: 65536}, {ID: 4, Value: 100}}},
		&PingFrame{ID: 1},
		&GoAwayFrame{LastGoodStreamID: 1},
		&WindowUpdateFrame{StreamID: 1, Delta: 65536},
	}
}

// BenchmarkFramerWrite writes frames with the Framer, compression included.
func BenchmarkFramerWrite(b *testing.B) {
	for _, f := range benchFrames() {
		b.Run(f.FrameType().String(), func(b *testing.B) {
			w, _, wire := framerPair(SPDY31)
			write := func() {
				wire.Reset()
				if err := w.WriteFrame(f); err != nil {
					b.Fatal(err)
				}
			}
			for range warmBlocks {
				write()
			}
			b.ReportAllocs()
			b.SetBytes(int64(wire.Len()))
			for b.Loop() {
				write()
			}
		})
	}
}

// BenchmarkFramerRead reads frames with the Framer, as a tool does: what it returns is
// the caller's, so it allocates.
func BenchmarkFramerRead(b *testing.B) {
	for _, f := range benchFrames() {
		b.Run(f.FrameType().String(), func(b *testing.B) {
			w, r, wire := framerPair(SPDY31)
			read := func(frame []byte) {
				wire.Reset()
				wire.Write(frame)
				if _, err := r.ReadFrame(); err != nil {
					b.Fatal(err)
				}
			}
			var frame []byte
			for range warmBlocks { // the same block again compresses to the same bytes in the end
				wire.Reset()
				require.NoError(b, w.WriteFrame(f))
				frame = bytes.Clone(wire.Bytes())
				read(frame)
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				read(frame)
			}
		})
	}
}

// BenchmarkFrameCodec is what sessions use instead: the frames' fields, in place.
func BenchmarkFrameCodec(b *testing.B) {
	buf := make([]byte, 0, 1<<10)
	b.Run("DATA", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p := appendDataHeader(buf, 1, FlagFin, 5)
			if h := parseFrameHeader(p); h.length != 5 {
				b.Fatal(h)
			}
		}
	})
	b.Run("WINDOW_UPDATE", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p := appendWindowUpdate(buf, SPDY31, 1, 65536)
			if _, delta, err := parseWindowUpdate(parseFrameHeader(p), p[frameHeaderSize:]); err != nil || delta != 65536 {
				b.Fatal(delta, err)
			}
		}
	})
}

// BenchmarkNameValue is header fields to a name/value block and back, without
// compression, and with each policy: all that a session does with a header block but
// what makes a request of it.
func BenchmarkNameValue(b *testing.B) {
	h := benchRequest()
	size, err := appendNameValue(nil, SPDY31, h)
	require.NoError(b, err)
	run := func(name string, step func()) {
		b.Run(name, func(b *testing.B) {
			for range warmBlocks {
				step()
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(size)))
			for b.Loop() {
				step()
			}
		})
	}
	var nv, block, out []byte
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	run("encode", func() {
		nv, err = appendNameValue(nv[:0], SPDY31, h)
		check(err)
	})
	run("decode", func() {
		_, err := parseNameValue(SPDY31, size, 100)
		check(err)
	})
	for _, p := range policies {
		c, d := newHeaderCompressor(SPDY31, p), newHeaderDecompressor(SPDY31)
		run(fmt.Sprintf("both/%s", p), func() {
			nv, err = appendNameValue(nv[:0], SPDY31, h)
			check(err)
			block = c.appendBlock(block[:0], nv)
			out, _, err = d.appendBlock(out[:0], block, 1<<16, 1<<17)
			check(err)
			_, err = parseNameValue(SPDY31, out, 100)
			check(err)
		})
	}
}
