package spdy

import (
	"bytes"
	"compress/zlib"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2/hpack"
)

// benchRequest is the header block that most benchmarks send again and again.
func benchRequest() HeaderBlock {
	return requestFor("/news/market/storm-city-report-480213", "sid=31d4d96e407aad42; theme=dark")
}

// BenchmarkHeaderBlock is a name/value block that is compressed and inflated again, with
// each policy; and the same with the encoders of others, see bench/suite.
func BenchmarkHeaderBlock(b *testing.B) {
	nv := headerBytes(SPDY31, benchRequest())
	for _, p := range policies {
		b.Run(p.String(), func(b *testing.B) {
			c, d := newHeaderCompressor(SPDY31, p), newHeaderDecompressor(SPDY31)
			var block, out []byte
			var err error
			exchange := func() {
				block = c.appendBlock(block[:0], nv)
				if out, _, err = d.appendBlock(out[:0], block, 1<<16, 1<<17); err != nil {
					b.Fatal(err)
				}
			}
			for range warmBlocks {
				exchange()
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(nv)))
			for b.Loop() {
				exchange()
			}
			b.ReportMetric(float64(len(block)), "wire-B/op")
		})
	}
	b.Run("zlib", func(b *testing.B) {
		c, d := newZlibEncoder(b), newZlibStream(SPDY31)
		var n int
		b.ReportAllocs()
		b.SetBytes(int64(len(nv)))
		for b.Loop() {
			block := c.encode(b, nv)
			n = len(block)
			d.read(b, block, len(nv))
		}
		b.ReportMetric(float64(n), "wire-B/op")
	})
	b.Run("hpack", func(b *testing.B) {
		fields := hpackFields(benchRequest())
		c := newHPACKEncoder()
		d := hpack.NewDecoder(4096, func(hpack.HeaderField) {})
		b.ReportAllocs()
		b.SetBytes(int64(len(nv)))
		for b.Loop() {
			if _, err := d.Write(c.encode(b, fields)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(c.out.Len()), "wire-B/op")
	})
}

// A zlibEncoder is compress/zlib of level 6 with SPDY's dictionary: what everybody did
// before CRIME.
type zlibEncoder struct {
	out bytes.Buffer
	w   *zlib.Writer
}

func newZlibEncoder(t testing.TB) *zlibEncoder {
	e := new(zlibEncoder)
	w, err := zlib.NewWriterLevelDict(&e.out, 6, SPDY31.dictionaryBytes())
	require.NoError(t, err)
	e.w = w
	return e
}

func (e *zlibEncoder) encode(t testing.TB, nv []byte) []byte {
	e.out.Reset()
	if _, err := e.w.Write(nv); err != nil {
		t.Fatal(err)
	}
	if err := e.w.Flush(); err != nil {
		t.Fatal(err)
	}
	return e.out.Bytes()
}

// A hpackEncoder is that of golang.org/x/net/http2.
type hpackEncoder struct {
	out bytes.Buffer
	w   *hpack.Encoder
}

func newHPACKEncoder() *hpackEncoder {
	e := new(hpackEncoder)
	e.w = hpack.NewEncoder(&e.out)
	return e
}

func (e *hpackEncoder) encode(t testing.TB, fields []hpack.HeaderField) []byte {
	e.out.Reset()
	for _, f := range fields {
		if err := e.w.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	return e.out.Bytes()
}

// hpackFields are the headers as HTTP/2 has them: :authority, three digits of :status, no
// :version, cookies in one field, which makes fewer bytes here than one for each.
func hpackFields(h HeaderBlock) []hpack.HeaderField {
	var fields []hpack.HeaderField
	for _, f := range h {
		switch f.Name {
		case ":version":
			continue
		case ":host":
			f.Name = ":authority"
		case ":status":
			f.Value, _, _ = strings.Cut(f.Value, " ")
		}
		fields = append(fields, hpack.HeaderField{Name: f.Name, Value: f.Value})
	}
	return fields
}

// BenchmarkHeaderWire reports how many bytes the header blocks of a browsing trace of 500
// requests take on the wire, in its metrics; its time is that of encoding all of them.
func BenchmarkHeaderWire(b *testing.B) {
	trace := newBrowsingTrace(500)
	measure := func(name string, size func([]HeaderBlock) int) {
		b.Run(name, func(b *testing.B) {
			var requests, responses int
			for b.Loop() {
				requests, responses = size(trace.requests), size(trace.responses)
			}
			b.ReportMetric(float64(requests), "requests-B")
			b.ReportMetric(float64(responses), "responses-B")
			b.ReportMetric(float64(requests+responses), "wire-B")
		})
	}
	for _, p := range policies {
		measure(p.String(), func(blocks []HeaderBlock) int { return traceSize(SPDY31, p, blocks) })
	}
	measure("raw", func(blocks []HeaderBlock) (n int) {
		for _, h := range blocks {
			n += len(headerBytes(SPDY31, h))
		}
		return n
	})
	measure("zlib", func(blocks []HeaderBlock) (n int) {
		c := newZlibEncoder(b)
		for _, h := range blocks {
			n += len(c.encode(b, headerBytes(SPDY31, h)))
		}
		return n
	})
	measure("hpack", func(blocks []HeaderBlock) (n int) {
		c := newHPACKEncoder()
		for _, h := range blocks {
			n += len(c.encode(b, hpackFields(h)))
		}
		return n
	})
}

// The figures that TestSafeCompressionAgainstHPACK compares with are those of HPACK as it
// is now.
func TestHPACKFigures(t *testing.T) {
	trace := newBrowsingTrace(500)
	for _, test := range []struct {
		blocks []HeaderBlock
		want   int
	}{{trace.requests, hpackRequests}, {trace.responses, hpackResponses}} {
		h, size := newHPACKEncoder(), 0
		for _, block := range test.blocks {
			size += len(h.encode(t, hpackFields(block)))
		}
		require.InEpsilon(t, test.want, size, 0.02)
	}
}

// BenchmarkHeaderTrace has a new path in each request and a new cookie in some.
func BenchmarkHeaderTrace(b *testing.B) {
	var blocks [][]byte
	for _, h := range newBrowsingTrace(500).requests {
		blocks = append(blocks, headerBytes(SPDY31, h))
	}
	for _, p := range policies {
		c := newHeaderCompressor(SPDY31, p)
		var compressed [][]byte
		for _, nv := range blocks {
			compressed = append(compressed, c.appendBlock(nil, nv))
		}
		b.Run(p.String()+"/compress", func(b *testing.B) {
			var block []byte
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				block = c.appendBlock(block[:0], blocks[i%len(blocks)])
			}
		})
		b.Run(p.String()+"/decompress", func(b *testing.B) {
			var d *headerDecompressor
			var out []byte
			var err error
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%len(blocks) == 0 {
					d = newHeaderDecompressor(SPDY31)
				}
				if out, _, err = d.appendBlock(out[:0], compressed[i%len(blocks)], 1<<16, 1<<17); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
