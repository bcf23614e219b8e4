package spdy

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newRequest makes a request as an application does and lets edit change it.
func newRequest(t testing.TB, method, target string, edit func(*http.Request)) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, target, nil)
	require.NoError(t, err)
	req.Header.Set("User-Agent", "test")
	if edit != nil {
		edit(req)
	}
	return req
}

func body(s string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body = io.NopCloser(strings.NewReader(s))
		r.ContentLength = int64(len(s))
	}
}

func headerEdit(pairs ...string) func(*http.Request) {
	return func(r *http.Request) {
		for i := 0; i < len(pairs); i += 2 {
			r.Header[pairs[i]] = append(r.Header[pairs[i]], pairs[i+1])
		}
	}
}

func TestRequestBlockTarget(t *testing.T) {
	tests := []struct {
		name, method, url string
		edit              func(*http.Request)
		opts              requestOptions
		want              [4]string // method, path, host, scheme
	}{
		{name: "plain", method: "GET", url: "https://h/a/b", want: [4]string{"GET", "/a/b", "h", "https"}},
		{name: "no method", url: "http://h/", edit: func(r *http.Request) { r.Method = "" }, want: [4]string{"GET", "/", "h", "http"}},
		{name: "own method", method: "BREW", url: "http://h/", want: [4]string{"BREW", "/", "h", "http"}},
		{name: "no path", method: "GET", url: "http://h", want: [4]string{"GET", "/", "h", "http"}},
		{name: "query", method: "GET", url: "http://h/a?b=c&d", want: [4]string{"GET", "/a?b=c&d", "h", "http"}},
		{name: "query without path", method: "GET", url: "http://h?b", want: [4]string{"GET", "/?b", "h", "http"}},
		{name: "empty query", method: "GET", url: "http://h/a?", want: [4]string{"GET", "/a?", "h", "http"}},
		{name: "fragment stays here", method: "GET", url: "http://h/a?b#c", want: [4]string{"GET", "/a?b", "h", "http"}},
		{name: "escaped", method: "GET", url: "http://h/a b/ü", want: [4]string{"GET", "/a%20b/%C3%BC", "h", "http"}},
		{name: "raw path kept", method: "GET", url: "http://h/a%2Fb", want: [4]string{"GET", "/a%2Fb", "h", "http"}},
		{name: "port", method: "GET", url: "http://h:8080/", want: [4]string{"GET", "/", "h:8080", "http"}},
		{name: "Host field first", method: "GET", url: "http://h/", edit: func(r *http.Request) { r.Host = "other:1" }, want: [4]string{"GET", "/", "other:1", "http"}},
		{name: "IDNA", method: "GET", url: "http://bücher.example:80/", want: [4]string{"GET", "/", "xn--bcher-kva.example:80", "http"}},
		{name: "IPv6", method: "GET", url: "http://[::1]:80/", want: [4]string{"GET", "/", "[::1]:80", "http"}},
		{name: "IPv6 zone", method: "GET", url: "http://[fe80::1%25en0]:80/", want: [4]string{"GET", "/", "[fe80::1]:80", "http"}},
		{name: "user info stays here", method: "GET", url: "http://u:p@h/", want: [4]string{"GET", "/", "h", "http"}},
		{name: "scheme by option", method: "GET", url: "/a", edit: func(r *http.Request) { r.Host = "h" }, opts: requestOptions{scheme: "https"}, want: [4]string{"GET", "/a", "h", "https"}},
		{name: "host by option", method: "GET", url: "/a", opts: requestOptions{host: "dflt:1"}, want: [4]string{"GET", "/a", "dflt:1", "http"}},
		{name: "scheme in capitals", method: "GET", url: "http://h/", edit: func(r *http.Request) { r.URL.Scheme = "HTTPS" }, want: [4]string{"GET", "/", "h", "https"}},
		{name: "OPTIONS *", method: "OPTIONS", url: "http://h", edit: func(r *http.Request) { r.URL.Path = "*" }, want: [4]string{"OPTIONS", "*", "h", "http"}},
		{name: "* of GET", method: "GET", url: "http://h", edit: func(r *http.Request) { r.URL.Path = "*" }, want: [4]string{"GET", "*", "h", "http"}},
		{name: "opaque *", method: "OPTIONS", url: "http://h", edit: func(r *http.Request) { r.URL.Opaque = "*" }, want: [4]string{"OPTIONS", "*", "h", "http"}},
		{name: "opaque path", method: "GET", url: "http://h", edit: func(r *http.Request) { r.URL.Opaque = "/a%2Fb" }, want: [4]string{"GET", "/a%2Fb", "h", "http"}},
		{name: "opaque with authority", method: "GET", url: "http://h", edit: func(r *http.Request) { r.URL.Opaque = "//h/%2F/"; r.URL.RawQuery = "q" }, want: [4]string{"GET", "/%2F/?q", "h", "http"}},
		{name: "opaque with scheme", method: "GET", url: "http://h", edit: func(r *http.Request) { r.URL.Opaque = "http://h/x" }, want: [4]string{"GET", "/x", "h", "http"}},
		{name: "CONNECT", method: "CONNECT", url: "http://h:443", want: [4]string{"CONNECT", "h:443", "h:443", ""}},
		{name: "CONNECT opaque", method: "CONNECT", url: "http://h:443", edit: func(r *http.Request) { r.URL.Opaque = "o:1" }, want: [4]string{"CONNECT", "o:1", "h:443", ""}},
		{name: "CONNECT with query", method: "CONNECT", url: "http://h:443?x", want: [4]string{"CONNECT", "h:443", "h:443", ""}},
		{name: "CONNECT of net/rpc", method: "CONNECT", url: "http://h/_goRPC_", want: [4]string{"CONNECT", "/_goRPC_", "h", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, v := range httpVersions {
				h := encodeRequest(t, v, newRequest(t, tt.method, tt.url, tt.edit), tt.opts)
				got := [4]string{pseudoValue(v, h, ":method"), pseudoValue(v, h, ":path"), pseudoValue(v, h, ":host"), pseudoValue(v, h, ":scheme")}
				assert.Equal(t, tt.want, got, v)
				assert.Equal(t, "HTTP/1.1", pseudoValue(v, h, ":version"))
				_, err := parseRequestBlock(context.Background(), v, h)
				assert.NoError(t, err, "our server takes what our client sends")
			}
		})
	}
}

// Chrome sends the whole URL to a SPDY/2 proxy, and nowhere else (SPEC §2.4).
func TestRequestBlockToProxy(t *testing.T) {
	for _, v := range httpVersions {
		h := encodeRequest(t, v, newRequest(t, "GET", "http://h:1/a?b", nil), requestOptions{proxy: true})
		want := "/a?b"
		if v == SPDY2 {
			want = "http://h:1/a?b"
		}
		assert.Equal(t, want, pseudoValue(v, h, ":path"))
		req, err := parseRequestBlock(context.Background(), v, h)
		require.NoError(t, err)
		assert.Equal(t, "h:1", req.Host)
		assert.Equal(t, "/a?b", req.URL.RequestURI())

		star := newRequest(t, "OPTIONS", "http://h", func(r *http.Request) { r.URL.Path = "*" })
		assert.Equal(t, "*", pseudoValue(v, encodeRequest(t, v, star, requestOptions{proxy: true}), ":path"))
	}
}

// Values of keys that differ only in case are put together without writing
// behind a slice of the application's.
func TestRequestBlockLeavesValuesAlone(t *testing.T) {
	backing := [...]string{"1", "mine", "close", "mine"}
	req := newRequest(t, "GET", "http://h/", func(r *http.Request) {
		r.Header["X-A"], r.Header["x-a"] = backing[:1], []string{"2"}
		r.Header["Connection"], r.Header["connection"] = backing[2:3], []string{"x"}
	})
	for range 20 { // the order of a map is not always the same
		h := encodeRequest(t, SPDY31, req, requestOptions{})
		require.Equal(t, "1\x002", ordinary(SPDY31, h)["x-a"])
		require.Equal(t, [...]string{"1", "mine", "close", "mine"}, backing)
	}
}

func TestRequestBlockPseudoOrder(t *testing.T) {
	req := newRequest(t, "GET", "https://h/", headerEdit("Accept", "a", "Zed", "z"))
	var names []string
	for _, f := range encodeRequest(t, SPDY31, req, requestOptions{}) {
		names = append(names, f.Name)
	}
	assert.Equal(t, []string{":method", ":path", ":version", ":host", ":scheme", "accept", "user-agent", "zed"}, names)
	names = nil
	for _, f := range encodeRequest(t, SPDY2, req, requestOptions{}) {
		names = append(names, f.Name)
	}
	assert.Equal(t, []string{"method", "url", "version", "host", "scheme", "accept", "user-agent", "zed"}, names)
}

func TestRequestBlockHeaders(t *testing.T) {
	ua := func(more map[string]string) map[string]string {
		m := map[string]string{"user-agent": "test"}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	tests := []struct {
		name, method string
		edit         func(*http.Request)
		opts         requestOptions
		want         map[string]string
	}{
		{name: "lower case", edit: headerEdit("X-Foo", "Bar"), want: ua(map[string]string{"x-foo": "Bar"})},
		{name: "values in order", edit: headerEdit("A", "2", "A", "1", "A", "3"), want: ua(map[string]string{"a": "2\x001\x003"})},
		{name: "empty value", edit: headerEdit("A", ""), want: ua(map[string]string{"a": ""})},
		{name: "empty among others", edit: headerEdit("A", "", "A", "x", "A", ""), want: ua(map[string]string{"a": "x"})},
		{name: "no value", edit: func(r *http.Request) { r.Header["A"] = nil }, want: ua(nil)},
		{name: "spaces around", edit: headerEdit("A", " x\t", "A", "y"), want: ua(map[string]string{"a": "x\x00y"})},
		{name: "space before", edit: headerEdit("A", " x"), want: ua(map[string]string{"a": "x"})},
		{name: "space behind", edit: headerEdit("A", "x "), want: ua(map[string]string{"a": "x"})},
		{name: "spelled twice", edit: headerEdit("x-foo", "2", "X-Foo", "1"), want: ua(map[string]string{"x-foo": "1\x002"})},
		{name: "obs-text", edit: headerEdit("A", "\xffé"), want: ua(map[string]string{"a": "\xffé"})},
		{name: "cookies", edit: headerEdit("Cookie", "a=b; c=d", "Cookie", "e=f"), want: ua(map[string]string{"cookie": "a=b; c=d; e=f"})},
		{name: "empty cookie", edit: headerEdit("Cookie", "", "Cookie", "e=f", "Cookie", ""), want: ua(map[string]string{"cookie": "e=f"})},
		{name: "hop by hop", edit: headerEdit("Connection", "keep-alive", "Keep-Alive", "5", "Proxy-Connection", "x",
			"Transfer-Encoding", "chunked", "Te", "trailers", "Upgrade", "h2c", "Host", "evil"), want: ua(nil)},
		{name: "hop by hop, odd case", edit: headerEdit("connection", "close", "TRANSFER-encoding", "chunked", "hOST", "evil"), want: ua(nil)},
		{name: "named by Connection", edit: headerEdit("Connection", "x-a, X-B", "connection", "x-c", "X-A", "1", "X-B", "1", "X-C", "1", "X-D", "1"),
			want: ua(map[string]string{"x-a": "1", "x-b": "1", "x-c": "1", "x-d": "1"})}, // as net/http's Transport
		{name: "proxy credentials go on", edit: headerEdit("Proxy-Authorization", "x"), want: ua(map[string]string{"proxy-authorization": "x"})},
		{name: "Trailer header is made here", edit: headerEdit("Trailer", "X"), want: ua(nil)},
		{name: "trailers", edit: func(r *http.Request) { r.Trailer = http.Header{"X-B": nil, "x-a": nil, "X-A": nil} }, want: ua(map[string]string{"trailer": "X-A,X-B"})},
		{name: "expect", edit: headerEdit("Expect", "100-Continue"), want: ua(nil)},
		{name: "another expectation", edit: headerEdit("Expect", "x"), want: ua(map[string]string{"expect": "x"})},
		{name: "gzip", opts: requestOptions{gzip: true}, want: ua(map[string]string{"accept-encoding": "gzip"})},
		{name: "gzip overruled", edit: headerEdit("Accept-Encoding", "br"), opts: requestOptions{gzip: true}, want: ua(map[string]string{"accept-encoding": "br"})},
		{name: "user agent first only", edit: headerEdit("User-Agent", "second"), want: ua(nil)},
		{name: "user agent suppressed", edit: func(r *http.Request) { r.Header["User-Agent"] = []string{""} }, want: map[string]string{}},
		{name: "user agent nil", edit: func(r *http.Request) { r.Header["User-Agent"] = nil }, want: map[string]string{}},
		{name: "length of POST without body", method: "POST", want: ua(map[string]string{"content-length": "0"})},
		{name: "length of PUT with NoBody", method: "PUT", edit: func(r *http.Request) { r.Body = http.NoBody }, want: ua(map[string]string{"content-length": "0"})},
		{name: "length of PATCH without body", method: "PATCH", want: ua(map[string]string{"content-length": "0"})},
		{name: "no length of DELETE", method: "DELETE", want: ua(nil)},
		{name: "length of body", method: "POST", edit: body("hello"), want: ua(map[string]string{"content-length": "5"})},
		{name: "length of GET body", edit: body("hello"), want: ua(map[string]string{"content-length": "5"})},
		{name: "length header is not believed", method: "POST", edit: func(r *http.Request) {
			body("hello")(r)
			headerEdit("Content-Length", "7", "content-length", "8")(r)
		}, want: ua(map[string]string{"content-length": "5"})},
		{name: "unknown length", method: "POST", edit: func(r *http.Request) { body("x")(r); r.ContentLength = -1 }, want: ua(nil)},
		{name: "length 0 with a body is unknown", method: "POST", edit: func(r *http.Request) { body("x")(r); r.ContentLength = 0 }, want: ua(nil)},
		{name: "chunked by wish", method: "POST", edit: func(r *http.Request) { body("x")(r); r.TransferEncoding = []string{"chunked"} }, want: ua(nil)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, v := range httpVersions {
				method := tt.method
				if method == "" {
					method = "GET"
				}
				req := newRequest(t, method, "http://h/", tt.edit)
				before := req.Header.Clone()
				h := encodeRequest(t, v, req, tt.opts)
				assert.Equal(t, tt.want, ordinary(v, h), v)
				assert.Equal(t, before, req.Header, "the request is not changed")
			}
		})
	}
}

func TestRequestBlockUserAgent(t *testing.T) {
	for v, want := range map[Version]string{SPDY2: "Go-spdy-client/2", SPDY3: "Go-spdy-client/3", SPDY31: "Go-spdy-client/3.1"} {
		req := &http.Request{URL: &url.URL{Host: "h"}} // no Header at all
		assert.Equal(t, map[string]string{"user-agent": want}, ordinary(v, encodeRequest(t, v, req, requestOptions{})))
	}
}

// A header that SPDY/2 would take for a pseudo header is left out there.
func TestRequestBlockPseudoClash(t *testing.T) {
	req := newRequest(t, "GET", "http://h/", headerEdit("Version", "HTTP/0.9", "Url", "/evil", "Method", "PUT", "Scheme", "x", "Status", "1"))
	assert.Equal(t, map[string]string{"user-agent": "test", "version": "HTTP/0.9", "url": "/evil", "method": "PUT", "scheme": "x", "status": "1"},
		ordinary(SPDY31, encodeRequest(t, SPDY31, req, requestOptions{})))
	h := encodeRequest(t, SPDY2, req, requestOptions{})
	assert.Equal(t, "/", pseudoValue(SPDY2, h, ":path"))
	got, err := parseRequestBlock(context.Background(), SPDY2, h)
	require.NoError(t, err)
	assert.Equal(t, http.Header{"User-Agent": {"test"}, "Status": {"1"}}, got.Header)
}

// Nothing invalid leaves this side (needs A12, sending direction).
func TestRequestBlockRefuses(t *testing.T) {
	tests := map[string]func(*http.Request){
		"nil URL":                       func(r *http.Request) { r.URL = nil },
		"method with space":             func(r *http.Request) { r.Method = "GET /x" },
		"method with LF":                func(r *http.Request) { r.Method = "GET\n" },
		"no host":                       func(r *http.Request) { r.Host, r.URL.Host = "", "" },
		"host with slash":               func(r *http.Request) { r.Host = "h/x" },
		"host with space":               func(r *http.Request) { r.Host = "h x" },
		"host with CRLF":                func(r *http.Request) { r.Host = "h\r\nX: y" },
		"host with NUL":                 func(r *http.Request) { r.Host = "h\x00i" },
		"host with user":                func(r *http.Request) { r.Host = "u@h" },
		"host with a wide slash":        func(r *http.Request) { r.Host = "ü/h" },
		"scheme with LF":                func(r *http.Request) { r.URL.Scheme = "http\n" },
		"scheme with NUL":               func(r *http.Request) { r.URL.Scheme = "a\x00b" },
		"scheme starting with a digit":  func(r *http.Request) { r.URL.Scheme = "1a" },
		"query with space":              func(r *http.Request) { r.URL.RawQuery = "a HTTP/1.1" },
		"query with CRLF":               func(r *http.Request) { r.URL.RawQuery = "a\r\nX: y" },
		"query with NUL":                func(r *http.Request) { r.URL.RawQuery = "a\x00" },
		"query with DEL":                func(r *http.Request) { r.URL.RawQuery = "a\x7f" },
		"opaque with LF":                func(r *http.Request) { r.URL.Opaque = "/a\nb" },
		"opaque of another host":        func(r *http.Request) { r.URL.Opaque = "//other/x" },
		"opaque of a longer host":       func(r *http.Request) { r.URL.Opaque = "//hh/x" },
		"opaque of another scheme":      func(r *http.Request) { r.URL.Opaque = "https://h/x" },
		"opaque without path":           func(r *http.Request) { r.URL.Opaque = "//h" },
		"relative path":                 func(r *http.Request) { r.URL.Path = "x" },
		"star with query":               func(r *http.Request) { r.Method, r.URL.Path, r.URL.RawQuery = "OPTIONS", "*", "q" },
		"CONNECT to a path":             func(r *http.Request) { r.Method, r.URL.Path, r.URL.Opaque = "CONNECT", "", "a/b" },
		"empty name":                    headerEdit("", "x"),
		"name with colon":               headerEdit(":path", "/evil"),
		"name with LF":                  headerEdit("X\nY", "x"),
		"name with space":               headerEdit("X Y", "x"),
		"name with NUL":                 headerEdit("X\x00", "x"),
		"name not ASCII":                headerEdit("Keep-Alive\u212a", "x"),
		"name with a Kelvin sign":       headerEdit("Coo\u212aie", "x", "Cookie", "y"),
		"invalid name without values":   func(r *http.Request) { r.Header["X Y"] = nil },
		"value with CR":                 headerEdit("X", "a\rb"),
		"value with LF":                 headerEdit("X", "a\nb"),
		"value with CRLF":               headerEdit("X", "a\r\nTransfer-Encoding: chunked"),
		"value with NUL":                headerEdit("X", "a\x00b"),
		"value with another control":    headerEdit("X", "a\x01b"),
		"second value with LF":          headerEdit("X", "a", "X", "b\n"),
		"user agent with LF":            func(r *http.Request) { r.Header.Set("User-Agent", "a\nb") },
		"cookie with LF":                headerEdit("Cookie", "a\n"),
		"dropped header with LF":        headerEdit("Connection", "a\n"),
		"length without body":           func(r *http.Request) { r.ContentLength = 5 },
		"trailer that frames":           func(r *http.Request) { r.Trailer = http.Header{"Content-Length": nil} },
		"trailer that frames, odd case": func(r *http.Request) { r.Trailer = http.Header{"transfer-ENCODING": nil} },
		"trailer with an invalid name":  func(r *http.Request) { r.Trailer = http.Header{"A,B": nil} },
		"trailer with an invalid value": func(r *http.Request) { r.Trailer = http.Header{"A": {"x\n"}} },
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			for _, v := range httpVersions {
				req := newRequest(t, "GET", "http://h/", edit)
				nv, err := appendRequestBlock([]byte("kept"), v, req, requestOptions{})
				var want *messageError
				require.ErrorAs(t, err, &want)
				assert.Equal(t, "kept", string(nv))
				assert.NotContains(t, err.Error(), "\n")
			}
		})
	}
}

// In SPDY/2 lengths have 16 bits (SPEC H14).
func TestRequestBlockTooLongForSPDY2(t *testing.T) {
	for name, edit := range map[string]func(*http.Request){
		"value":  headerEdit("X", strings.Repeat("x", 70000)),
		"cookie": headerEdit("Cookie", strings.Repeat("x", 40000), "Cookie", strings.Repeat("x", 40000)),
		"query":  func(r *http.Request) { r.URL.RawQuery = strings.Repeat("x", 70000) },
	} {
		req := newRequest(t, "GET", "http://h/", edit)
		nv, err := appendRequestBlock([]byte("kept"), SPDY2, req, requestOptions{})
		var want *headerError
		require.ErrorAs(t, err, &want, name)
		assert.Equal(t, "kept", string(nv))
		encodeRequest(t, SPDY31, req, requestOptions{})
	}
}

// What our server makes of what our client sends is what net/http's server
// makes of what net/http's client sends.
func TestRequestBlockAgainstNetHTTP(t *testing.T) {
	tests := map[string]*http.Request{
		"get":     newRequest(t, "GET", "http://h/a/b?c=d", headerEdit("Accept", "a", "Accept", "b", "X-Y", "z")),
		"post":    newRequest(t, "POST", "http://h/", body("hello")),
		"empty":   newRequest(t, "POST", "http://h/", nil),
		"put":     newRequest(t, "PUT", "http://[::1]:8080/%20%2F", body("x")),
		"head":    newRequest(t, "HEAD", "http://h?x", nil),
		"options": newRequest(t, "OPTIONS", "http://h", func(r *http.Request) { r.URL.Path = "*" }),
		"delete":  newRequest(t, "DELETE", "http://u:p@h:80/", headerEdit("Cookie", "a=b", "Authorization", "Basic eA==")),
		"connect": newRequest(t, "CONNECT", "http://h:443", nil),
		"rpc":     newRequest(t, "CONNECT", "http://h:443/_goRPC_", nil),
		"idna":    newRequest(t, "GET", "http://bücher.example/ü", nil),
		"spaces":  newRequest(t, "GET", "http://h/", headerEdit("X", " a ", "X", "\tb", "Empty", "")),
	}
	for name, req := range tests {
		t.Run(name, func(t *testing.T) {
			for _, v := range httpVersions {
				got, err := parseRequestBlock(context.Background(), v, encodeRequest(t, v, req, requestOptions{}))
				require.NoError(t, err)
				sent := req.Clone(t.Context())
				if sent.Body != nil {
					sent.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", int(req.ContentLength))))
				}
				var text bytes.Buffer
				require.NoError(t, sent.Write(&text))
				want, err := readRequest(text.String())
				require.NoError(t, err)
				assertSameRequest(t, want, got)
			}
		})
	}
}

// assertSameRequest compares a request read by net/http with one of ours.
func assertSameRequest(t testing.TB, want, got *http.Request) {
	t.Helper()
	assert.Equal(t, want.Method, got.Method)
	assert.Equal(t, want.URL, got.URL)
	assert.Equal(t, want.RequestURI, got.RequestURI)
	assert.Equal(t, want.Proto, got.Proto)
	assert.Equal(t, want.ProtoMajor, got.ProtoMajor)
	assert.Equal(t, want.ProtoMinor, got.ProtoMinor)
	assert.Equal(t, want.Host, got.Host)
	assert.Equal(t, want.Trailer, got.Trailer)
	header := want.Header.Clone()
	header.Del("Host") // net/http's server takes it out after reading
	assert.Equal(t, header, got.Header)
	if len(header["Content-Length"]) > 0 {
		assert.Equal(t, want.ContentLength, got.ContentLength)
	} else {
		assert.EqualValues(t, -1, got.ContentLength)
	}
}

func TestRequestBlockAllocations(t *testing.T) {
	requests := map[string]*http.Request{
		"usual": newRequest(t, "GET", "https://www.example.com/a/b/c?q=1&r=2", headerEdit(
			"Accept", "text/html,*/*", "Accept-Encoding", "gzip", "Accept-Language", "en", "Cookie", "a=b; c=d",
			"Cookie", "e=f", "Referer", "https://www.example.com/", "Cache-Control", "no-cache", "X-Forwarded-For", "10.0.0.1",
			"Connection", "keep-alive")),
		"upload": newRequest(t, "POST", "https://www.example.com/up", func(r *http.Request) {
			body("hello")(r)
			headerEdit("Content-Type", "text/plain", "Authorization", "Bearer x")(r)
		}),
	}
	dst := make([]byte, 0, 4096)
	for name, req := range requests {
		for _, v := range httpVersions {
			n := testing.AllocsPerRun(100, func() {
				if _, err := appendRequestBlock(dst, v, req, requestOptions{gzip: true}); err != nil {
					t.Fatal(err)
				}
			})
			assert.Zero(t, n, "%s over %s", name, v)
		}
	}
}

func BenchmarkAppendRequestBlock(b *testing.B) {
	req := newRequest(b, "GET", "https://www.example.com/a/b/c?q=1", headerEdit("Accept", "text/html,*/*",
		"Accept-Encoding", "gzip", "Accept-Language", "en", "Cookie", "a=b; c=d", "Referer", "https://www.example.com/"))
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := appendRequestBlock(dst, SPDY31, req, requestOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
