package spdy

import (
	"encoding/binary"

	"github.com/amahi/spdy/internal/browsing"
)

// headerBytes returns the name/value block of h, one value a name.
func headerBytes(v Version, h HeaderBlock) []byte {
	number := func(b []byte, n int) []byte {
		if v == SPDY2 {
			return binary.BigEndian.AppendUint16(b, uint16(n))
		}
		return binary.BigEndian.AppendUint32(b, uint32(n))
	}
	b := number(nil, len(h))
	for _, f := range h {
		b = append(number(b, len(f.Name)), f.Name...)
		b = append(number(b, len(f.Value)), f.Value...)
	}
	return b
}

// requestFor is a request with nine headers besides the cookie's, about 470
// bytes as a name/value block.
func requestFor(path, cookie string) HeaderBlock {
	return HeaderBlock{
		{":method", "GET"},
		{":path", path},
		{":version", "HTTP/1.1"},
		{":host", "www.example.com"},
		{":scheme", "https"},
		{"accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"},
		{"accept-encoding", "gzip,deflate,sdch"},
		{"cookie", cookie},
		{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/33.0.1750.166 Safari/537.36"},
	}
}

// A browsingTrace is the header blocks of a browser that reads a site.
type browsingTrace struct {
	requests, responses []HeaderBlock
}

func newBrowsingTrace(n int) *browsingTrace {
	trace := browsing.New(n)
	return &browsingTrace{requests: headerBlocks(trace.Requests), responses: headerBlocks(trace.Responses)}
}

func headerBlocks(blocks []browsing.Block) []HeaderBlock {
	all := make([]HeaderBlock, len(blocks))
	for i, b := range blocks {
		for _, f := range b {
			all[i] = append(all[i], HeaderField(f))
		}
	}
	return all
}
