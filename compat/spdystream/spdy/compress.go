package spdy

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// zlibHeader begins the compressed stream of header blocks: deflate with a window of 32 KiB, and
// the dictionary of SPDY/3 (RFC 1950 §2.2).
var zlibHeader = []byte{0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2}

// A compressor compresses the header blocks of one direction completely, as the original does.
// Connections do not use it: text beside a secret could reveal the secret, and a compressor uses
// close to a mebibyte.
type compressor struct {
	out bytes.Buffer
	w   *flate.Writer // nil before the first block
	nv  []byte        // for reuse
}

// block returns the compressed form of headers, valid until the next call. No match refers to the
// dictionary; inflating works regardless.
func (c *compressor) block(headers http.Header) ([]byte, error) {
	c.out.Reset()
	if c.w == nil {
		c.out.Write(zlibHeader)
		c.w, _ = flate.NewWriter(&c.out, flate.DefaultCompression) // the level is valid
	}
	c.nv = binary.BigEndian.AppendUint32(c.nv[:0], uint32(len(headers)))
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		c.nv = appendField(c.nv, strings.ToLower(name))
		c.nv = appendField(c.nv, strings.Join(headers[name], "\x00"))
	}
	if _, err := c.w.Write(c.nv); err != nil {
		return nil, err
	}
	if cap(c.nv) > maxKept {
		c.nv = nil
	}
	err := c.w.Flush()
	return c.out.Bytes(), err
}

// maxKept is the largest buffer kept for reuse.
const maxKept = 64 << 10

func appendField(dst []byte, text string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(text)))
	return append(dst, text...)
}
