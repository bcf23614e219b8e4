package parity

import (
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing/fstest"
	"time"
)

// modified is when the files of the tests were.
var modified = time.Date(1999, 12, 1, 12, 0, 0, 0, time.UTC)

// site is what the file servers of the tests serve.
var site = fstest.MapFS{
	"index.html":     {Data: []byte("<html>home"), ModTime: modified},
	"a.txt":          {Data: []byte("the quick brown fox"), ModTime: modified},
	"style.css":      {Data: []byte("p {}"), ModTime: modified},
	"data":           {Data: []byte("\x00\x01\x02"), ModTime: modified},
	"big.bin":        {Data: pattern100K, ModTime: modified},
	"dir/b.txt":      {Data: []byte("b"), ModTime: modified},
	"dir/<c>.txt":    {Data: []byte("c"), ModTime: modified},
	"sub/index.html": {Data: []byte("<html>sub"), ModTime: modified},
}

var files = serve(http.FileServerFS(site))

// content is a handler of a text with an ETag.
func content(e *env, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Etag", `"v1"`)
	http.ServeContent(w, r, "a.txt", modified, strings.NewReader("the quick brown fox"))
}

var fileScenarios = []scenario{
	{name: "file", handler: files, client: get("/a.txt"), want: `
		200 OK, length 19
		Accept-Ranges: bytes
		Content-Length: 19
		Content-Type: text/plain; charset=utf-8
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "the quick brown fox"`},
	{name: "HEAD of a file", handler: files, client: send("HEAD", "/a.txt", ""), want: `
		200 OK, length 19
		Accept-Ranges: bytes
		Content-Length: 19
		Content-Type: text/plain; charset=utf-8
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body ""`},
	{name: "index", handler: files, client: get("/"), want: `
		200 OK, length 10
		Accept-Ranges: bytes
		Content-Length: 10
		Content-Type: text/html; charset=utf-8
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "<html>home"`},
	{name: "index.html is redirected", handler: files, client: func(e *env) {
		e.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		e.get("/index.html")
		e.get("/sub")
		e.get("/a.txt/")
	}, want: `
		301 Moved Permanently, length 0
		Content-Length: 0
		Location: ./
		body ""
		301 Moved Permanently, length 0
		Content-Length: 0
		Location: sub/
		body ""
		301 Moved Permanently, length 0
		Content-Length: 0
		Location: ../a.txt
		body ""`},
	{name: "listing", handler: files, client: get("/dir/"), want: `
		200 OK, length 147
		Content-Length: 147
		Content-Type: text/html; charset=utf-8
		body of 147 bytes, f13dfe1da9e6c38d810c112524`},
	{name: "type by name", handler: files, client: get("/style.css"), want: `
		200 OK, length 4
		Accept-Ranges: bytes
		Content-Length: 4
		Content-Type: text/css; charset=utf-8
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "p {}"`},
	{name: "type by content", handler: files, client: get("/data"), want: `
		200 OK, length 3
		Accept-Ranges: bytes
		Content-Length: 3
		Content-Type: application/octet-stream
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "\x00\x01\x02"`},
	{name: "missing", handler: files, client: get("/none"), want: `
		404 Not Found, length 19
		Content-Length: 19
		Content-Type: text/plain; charset=utf-8
		X-Content-Type-Options: nosniff
		body "404 page not found\n"`},
	{name: "outside", handler: files, client: get("/../../etc/passwd"), want: `
		404 Not Found, length 19
		Content-Length: 19
		Content-Type: text/plain; charset=utf-8
		X-Content-Type-Options: nosniff
		body "404 page not found\n"`},
	{name: "long file", handler: files, client: get("/big.bin"), want: `
		200 OK, length 100000
		Accept-Ranges: bytes
		Content-Length: 100000
		Content-Type: application/octet-stream
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body of 100000 bytes, b4bf20e88b8f5fe92ddae8e`},
	{name: "other methods are served too", handler: files, client: send("POST", "/a.txt", "x"), want: `
		200 OK, length 19
		Accept-Ranges: bytes
		Content-Length: 19
		Content-Type: text/plain; charset=utf-8
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "the quick brown fox"`},
	{name: "ServeFileFS", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, site, "dir/b.txt")
	}, want: `
		200 OK, length 1
		Accept-Ranges: bytes
		Content-Length: 1
		Content-Type: text/plain; charset=utf-8
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "b"`},
	{name: "If-Modified-Since, not modified", handler: files, client: get("/a.txt", "If-Modified-Since", modified.Format(http.TimeFormat)), want: `
		304 Not Modified, length 0
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body ""`},
	{name: "If-Modified-Since, modified", handler: files, client: get("/a.txt", "If-Modified-Since", modified.Add(-time.Hour).Format(http.TimeFormat)), want: `
		200 OK, length 19
		Accept-Ranges: bytes
		Content-Length: 19
		Content-Type: text/plain; charset=utf-8
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "the quick brown fox"`},
	{name: "If-Unmodified-Since", handler: files, client: get("/a.txt", "If-Unmodified-Since", modified.Add(-time.Hour).Format(http.TimeFormat)), want: `
		412 Precondition Failed, length 0
		Content-Length: 0
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body ""`},
	{name: "If-None-Match", handler: content, client: get("/", "If-None-Match", `"v0", "v1"`), want: `
		304 Not Modified, length 0
		Etag: "v1"
		body ""`},
	{name: "If-None-Match of POST", handler: content, client: send("POST", "/", "x", "If-None-Match", `"v1"`), want: `
		412 Precondition Failed, length 0
		Content-Length: 0
		Etag: "v1"
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body ""`},
	{name: "If-Match fails", handler: content, client: get("/", "If-Match", `"v0"`), want: `
		412 Precondition Failed, length 0
		Content-Length: 0
		Etag: "v1"
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body ""`},
	{name: "If-Match holds", handler: content, client: get("/", "If-Match", `"v1"`), want: `
		200 OK, length 19
		Accept-Ranges: bytes
		Content-Length: 19
		Content-Type: text/plain; charset=utf-8
		Etag: "v1"
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "the quick brown fox"`},
}

var rangeScenarios = []scenario{
	{name: "from to", handler: content, client: get("/", "Range", "bytes=4-8"), want: `
		206 Partial Content, length 5
		Accept-Ranges: bytes
		Content-Length: 5
		Content-Range: bytes 4-8/19
		Content-Type: text/plain; charset=utf-8
		Etag: "v1"
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "quick"`},
	{name: "to the end", handler: content, client: get("/", "Range", "bytes=16-"), want: `
		206 Partial Content, length 3
		Accept-Ranges: bytes
		Content-Length: 3
		Content-Range: bytes 16-18/19
		Content-Type: text/plain; charset=utf-8
		Etag: "v1"
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "fox"`},
	{name: "of the end", handler: content, client: get("/", "Range", "bytes=-3"), want: `
		206 Partial Content, length 3
		Accept-Ranges: bytes
		Content-Length: 3
		Content-Range: bytes 16-18/19
		Content-Type: text/plain; charset=utf-8
		Etag: "v1"
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "fox"`},
	{name: "beyond the end", handler: content, client: get("/", "Range", "bytes=10-1000"), want: `
		206 Partial Content, length 9
		Accept-Ranges: bytes
		Content-Length: 9
		Content-Range: bytes 10-18/19
		Content-Type: text/plain; charset=utf-8
		Etag: "v1"
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "brown fox"`},
	{name: "the whole", handler: content, client: get("/", "Range", "bytes=0-"), want: `
		206 Partial Content, length 19
		Accept-Ranges: bytes
		Content-Length: 19
		Content-Range: bytes 0-18/19
		Content-Type: text/plain; charset=utf-8
		Etag: "v1"
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "the quick brown fox"`},
	{name: "outside", handler: content, client: get("/", "Range", "bytes=100-"), want: `
		416 Requested Range Not Satisfiable, length 33
		Content-Length: 33
		Content-Range: bytes */19
		Content-Type: text/plain; charset=utf-8
		X-Content-Type-Options: nosniff
		body "invalid range: failed to overlap\n"`},
	{name: "malformed", handler: content, client: get("/", "Range", "bytes=b-a"), want: `
		416 Requested Range Not Satisfiable, length 14
		Content-Length: 14
		Content-Type: text/plain; charset=utf-8
		X-Content-Type-Options: nosniff
		body "invalid range\n"`},
	{name: "other unit", handler: content, client: get("/", "Range", "lines=1-2"), want: `
		416 Requested Range Not Satisfiable, length 14
		Content-Length: 14
		Content-Type: text/plain; charset=utf-8
		X-Content-Type-Options: nosniff
		body "invalid range\n"`},
	{name: "HEAD", handler: content, client: send("HEAD", "/", "", "Range", "bytes=4-8"), want: `
		206 Partial Content, length 5
		Accept-Ranges: bytes
		Content-Length: 5
		Content-Range: bytes 4-8/19
		Content-Type: text/plain; charset=utf-8
		Etag: "v1"
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body ""`},
	{name: "If-Range holds", handler: content, client: get("/", "Range", "bytes=4-8", "If-Range", `"v1"`), want: `
		206 Partial Content, length 5
		Accept-Ranges: bytes
		Content-Length: 5
		Content-Range: bytes 4-8/19
		Content-Type: text/plain; charset=utf-8
		Etag: "v1"
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "quick"`},
	{name: "If-Range fails", handler: content, client: get("/", "Range", "bytes=4-8", "If-Range", `"v0"`), want: `
		200 OK, length 19
		Accept-Ranges: bytes
		Content-Length: 19
		Content-Type: text/plain; charset=utf-8
		Etag: "v1"
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body "the quick brown fox"`},
	{name: "of a long file", handler: files, client: get("/big.bin", "Range", "bytes=1000-60999"), want: `
		206 Partial Content, length 60000
		Accept-Ranges: bytes
		Content-Length: 60000
		Content-Range: bytes 1000-60999/100000
		Content-Type: application/octet-stream
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body of 60000 bytes, 9f6afe44ac626b12ff5273a8`},
	{name: "several", handler: content, client: func(e *env) {
		res, err := e.client.Do(e.request("GET", "/", nil, "Range", "bytes=0-2,-3"))
		e.note("error %s, %s, length %d", kind(err), res.Status, res.ContentLength)
		defer res.Body.Close()
		typ, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
		e.note("%s, error %s", typ, kind(err))
		parts := multipart.NewReader(res.Body, params["boundary"])
		for {
			part, err := parts.NextPart()
			if err == io.EOF {
				return
			}
			e.note("error %s, %s", kind(err), part.Header.Get("Content-Range"))
			readAll(e.note, part)
		}
	}, want: `
		error none, 206 Partial Content, length 350
		multipart/byteranges, error none
		error none, bytes 0-2/19
		read "the", error none
		error none, bytes 16-18/19
		read "fox", error none`},
}
