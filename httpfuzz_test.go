package spdy

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

// fuzzBlock makes a header block of fuzzed text: names and values in turn,
// behind a first byte that chooses the dialect. They are separated by 0xFE,
// which cannot be part of UTF-8, so that seeds are readable.
func fuzzBlock(data []byte) (Version, HeaderBlock) {
	if len(data) == 0 {
		return SPDY31, nil
	}
	v := httpVersions[int(data[0])%len(httpVersions)]
	pieces := strings.Split(string(data[1:]), "\xfe")
	var h HeaderBlock
	for i := 0; i+1 < len(pieces); i += 2 {
		h = append(h, HeaderField{Name: pieces[i], Value: pieces[i+1]})
	}
	return v, h
}

func fuzzSeed(v Version, h HeaderBlock) []byte {
	data := []byte{0}
	for i, have := range httpVersions {
		if have == v {
			data[0] = byte(i)
		}
	}
	for _, f := range h {
		data = append(data, f.Name+"\xfe"+f.Value+"\xfe"...)
	}
	return data
}

// FuzzRequestBlock: a request that we accept, written as HTTP/1.1 by net/http,
// is one request with the same lines; and our own writer can send it on.
func FuzzRequestBlock(f *testing.F) {
	for _, v := range httpVersions {
		f.Add(fuzzSeed(v, plainGet(v)))
		f.Add(fuzzSeed(v, plainGet(v, ":method", "POST", "content-length", "5", "cookie", "a\x00b\x00 ", "trailer", "x")))
		f.Add(fuzzSeed(v, plainGet(v, ":method", "CONNECT", ":path", "h:443", ":scheme", "-")))
		f.Add(fuzzSeed(v, plainGet(v, ":method", "OPTIONS", ":path", "*", "x", " a \x00\tb")))
		f.Add(fuzzSeed(v, plainGet(v, ":path", "http://u@other/a?b", "transfer-encoding", "chunked", "x", "a\r\nb")))
		f.Add(fuzzSeed(v, plainGet(v, ":path", "/ HTTP/1.1\r\nX: y", ":version", "HTTP/1.0", ":host", "[::1%25x]")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, h := fuzzBlock(data)
		req, err := parseRequestBlock(context.Background(), v, h)
		if err != nil {
			return
		}
		checkRequestLines(t, req)
		if req.Host != "" {
			checkRequestAgain(t, v, req)
		}
	})
}

// checkRequestLines writes the request with net/http and reads it back.
func checkRequestLines(t *testing.T, req *http.Request) {
	out := req.Clone(t.Context())
	out.Body, out.ContentLength = nil, 0 // the body is not the matter here
	var text bytes.Buffer
	require.NoError(t, out.Write(&text))
	want := req.Header.Clone()
	// net/http writes these from other fields, or not at all.
	for _, k := range []string{"Content-Length", "Trailer"} {
		want.Del(k)
	}
	switch agent := req.Header.Values("User-Agent"); {
	case len(agent) == 0:
		want.Set("User-Agent", "Go-http-client/1.1")
	case agent[0] == "":
		want.Del("User-Agent")
	default:
		want.Set("User-Agent", agent[0])
	}
	if out.Method == "POST" || out.Method == "PUT" || out.Method == "PATCH" {
		want.Set("Content-Length", "0")
	}
	lines := 3 // request line, Host and the empty one
	for _, values := range want {
		lines += len(values)
	}
	require.Equal(t, lines, strings.Count(text.String(), "\n"), "%q", text.String())

	r := bufio.NewReader(&text)
	got, err := http.ReadRequest(r)
	require.NoError(t, err)
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Empty(t, rest, "a second request")
	if want.Get("Pragma") == "no-cache" && want["Cache-Control"] == nil {
		got.Header.Del("Cache-Control") // net/http adds it on reading
	}
	got.Header.Del("Host")
	require.Equal(t, want, got.Header)
	require.Equal(t, req.Method, got.Method)
	if req.Method != "CONNECT" || req.URL.Path != "" {
		require.Equal(t, req.URL.RequestURI(), got.RequestURI)
	}
}

// checkRequestAgain sends the request on, as a proxy does.
func checkRequestAgain(t *testing.T, v Version, req *http.Request) {
	out := req.Clone(t.Context())
	out.ContentLength = 0
	if out.Header["User-Agent"] == nil {
		out.Header["User-Agent"] = []string{""}
	}
	nv, err := appendRequestBlock(nil, v, out, requestOptions{})
	require.NoError(t, err)
	h, err := parseNameValue(v, nv, 0)
	require.NoError(t, err)
	got, err := parseRequestBlock(context.Background(), v, h)
	require.NoError(t, err)
	require.Equal(t, req.Method, got.Method)
	require.Equal(t, req.URL.RequestURI(), got.URL.RequestURI())
	want := req.Header.Clone()
	want.Del("Content-Length")
	if agent := want["User-Agent"]; len(agent) > 0 {
		want["User-Agent"] = agent[:1]
		if agent[0] == "" {
			want.Del("User-Agent")
		}
	}
	if sendsLength(req.Method, 0) {
		want.Set("Content-Length", "0")
	}
	require.Equal(t, wireHeader(v, want), got.Header)
	require.Equal(t, req.Trailer, got.Trailer)
}

// wireHeader is what is left of a header on the wire: where there are several
// values the empty ones are left out, and SPDY/2 cannot carry some names.
func wireHeader(v Version, h http.Header) http.Header {
	out := http.Header{}
	for k, values := range h {
		name := strings.ToLower(k)
		if _, clash := lookupPseudo(v, name); clash && name != "status" {
			continue
		}
		for _, s := range values {
			if s != "" {
				out[k] = append(out[k], s)
			}
		}
		if out[k] == nil && name != "cookie" {
			out[k] = []string{""}
		}
	}
	return out
}

// FuzzResponseBlock: an answer that we accept, written as HTTP/1.1 by net/http,
// is one answer with the same lines.
func FuzzResponseBlock(f *testing.F) {
	for _, v := range httpVersions {
		f.Add(fuzzSeed(v, plainOK(v)))
		f.Add(fuzzSeed(v, plainOK(v, ":status", "204", "content-length", "5\x005", "trailer", "x")))
		f.Add(fuzzSeed(v, plainOK(v, ":status", "200 OK\r\nX: y", "set-cookie", "a\x00b", "transfer-encoding", "chunked")))
		f.Add(fuzzSeed(v, plainOK(v, ":version", "HTTP/1.0", "x", " a \x00\tb", "connection", "x", "y", "")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, h := fuzzBlock(data)
		res, err := parseResponseBlock(v, h, nil)
		if err != nil || res.StatusCode < 200 {
			return
		}
		want := res.Header.Clone()
		want.Del("Content-Length")
		out := *res
		out.Body, out.ContentLength, out.Trailer = http.NoBody, 0, nil
		var text bytes.Buffer
		require.NoError(t, out.Write(&text))
		lines := 2 // the first and the empty one
		for _, values := range want {
			lines += len(values)
		}
		if bodyAllowed(res.StatusCode) {
			lines++
			want.Set("Content-Length", "0")
		}
		require.Equal(t, lines, strings.Count(text.String(), "\n"), "%q", text.String())
		r := bufio.NewReader(&text)
		got, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		rest, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Empty(t, rest, "a second answer")
		if want.Get("Pragma") == "no-cache" && want["Cache-Control"] == nil {
			got.Header.Del("Cache-Control")
		}
		require.Equal(t, want, got.Header)
		require.Equal(t, res.StatusCode, got.StatusCode)

		// A server that passes the answer on sends the same header.
		nv, err := appendResponseBlock(nil, v, res.StatusCode, res.Header)
		require.NoError(t, err)
		again, err := parseNameValue(v, nv, 0)
		require.NoError(t, err)
		_, err = parseResponseBlock(v, again, nil)
		require.NoError(t, err)
	})
}

// FuzzOutgoingRequest: a request that we send says the same as what net/http writes for
// it, be it a proxy's or a client's: the same method, target, host and header.
func FuzzOutgoingRequest(f *testing.F) {
	for i, url := range []string{
		"http://example.com/a?b#c", "http://u:p@bücher.example:80?x", "//h/ä/%2f//..", "http://h", "http://h/?", "http://[::1%25x]/ ",
		"http:opaque", "http://h/a\x7fb", "http://h/%00?%zz", "*",
	} {
		f.Add(byte(i), "GET", url, "x-name", "value")
		f.Add(byte(i), "OPTIONS", url, "Cookie", "a=b; c")
		f.Add(byte(i), "M-SEARCH", url, ":path", " value\t")
		f.Add(byte(i), "CONNECT", url, "Host", "other")
	}
	f.Fuzz(func(t *testing.T, version byte, method, target, name, value string) {
		v := httpVersions[int(version)%len(httpVersions)]
		req, err := http.NewRequest(method, target, nil)
		if err != nil {
			return
		}
		req.Header[http.CanonicalHeaderKey(name)] = []string{value}
		nv, err := appendRequestBlock(nil, v, req, requestOptions{scheme: "http"})
		if err != nil {
			return
		}
		h, err := parseNameValue(v, nv, 0)
		require.NoError(t, err, "we cannot read what we send")
		got, err := parseRequestBlock(context.Background(), v, h)
		require.NoError(t, err, "%q", h)
		var text bytes.Buffer
		if req.Write(&text) != nil {
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(&text))
		if err != nil {
			return // net/http writes some that it does not read
		}
		require.Equal(t, want.Method, got.Method)
		ascii := strings.IndexFunc(req.URL.Host, func(r rune) bool { return r > 0x7f }) < 0
		if ascii && want.Host != "" { // the others are the matter of FuzzHost
			require.Equal(t, want.Host, got.Host)
		}
		require.Equal(t, want.URL.RequestURI(), got.URL.RequestURI())
		for key := range got.Header {
			require.Contains(t, want.Header, key)
		}
	})
}
