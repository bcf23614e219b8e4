package spdy

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// decompress replaces the body of a gzip-compressed response by a decompressing body. The Transport
// requested gzip because neither the caller nor the options specified an encoding.
func decompress(res *http.Response) {
	if res.Body == http.NoBody || !strings.EqualFold(res.Header.Get("Content-Encoding"), "gzip") {
		return
	}
	res.Body = &gzipBody{body: res.Body}
	res.Header.Del("Content-Encoding")
	res.Header.Del("Content-Length")
	res.ContentLength = -1
	res.Uncompressed = true
}

// A gzipBody decompresses a body while it is read. The first Read parses the gzip header, so the
// response is available before the body.
type gzipBody struct {
	body io.ReadCloser
	zip  *gzip.Reader // nil before the first Read
	err  error        // error in the gzip header

	closed atomic.Bool
}

func (b *gzipBody) Read(p []byte) (int, error) {
	if b.err == nil && b.closed.Load() { // zip may have bytes left
		return 0, http.ErrBodyReadAfterClose
	}
	if b.zip == nil && b.err == nil {
		b.zip, b.err = gzip.NewReader(b.body)
	}
	if b.err != nil {
		return 0, b.err
	}
	return b.zip.Read(p)
}

func (b *gzipBody) Close() error {
	b.closed.Store(true)
	return b.body.Close()
}
