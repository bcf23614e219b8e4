package spdy

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What we make of a block is what net/http makes of the same request in HTTP/1.1.
func TestParseRequestLikeNetHTTP(t *testing.T) {
	tests := map[string][]string{
		"plain":                   {},
		"path and query":          {":path", "/a/b?c=d&e"},
		"escaped path":            {":path", "/a%2Fb%20c"},
		"bytes above ASCII":       {":path", "/\xc3\xbc?\xff"},
		"double slash":            {":path", "//a//b"},
		"dots are kept":           {":path", "/a/../b/."},
		"empty query":             {":path", "/?"},
		"colon in path":           {":path", "/a:b"},
		"hash":                    {":path", "/a#b"},
		"absolute":                {":path", "http://other:80/a?b"},
		"absolute without path":   {":path", "https://other"},
		"absolute in capitals":    {":path", "HTTP://Other/a"},
		"absolute with user":      {":path", "http://u:p@other/a"},
		"OPTIONS *":               {":method", "OPTIONS", ":path", "*"},
		"GET *":                   {":path", "*"},
		"FETCH *":                 {":method", "FETCH", ":path", "*"},
		"OPTIONS path":            {":method", "OPTIONS", ":path", "/x"},
		"CONNECT":                 {":method", "CONNECT", ":path", "h:443", ":host", "h:443", ":scheme", "-"},
		"CONNECT IPv6":            {":method", "CONNECT", ":path", "[::1]:443", ":host", "x"},
		"CONNECT of net/rpc":      {":method", "CONNECT", ":path", "/_goRPC_"},
		"HTTP/1.0":                {":version", "HTTP/1.0"},
		"own method":              {":method", "BREW"},
		"method in small letters": {":method", "get"},
		"host with port":          {":host", "h:8080"},
		"IPv6 host":               {":host", "[::1]:80"},
		"header":                  {"accept-encoding", "gzip", "x-own-header", "x"},
		"token names":             {"x!#$%&'*+-.^_`|~9", "x", "x_y", "z"},
		"several values":          {"accept", "b\x00a\x00c", "x", "1\x002"},
		"empty value":             {"x", ""},
		"spaces around":           {"x", " a \x00\tb", "y", "a b"},
		"obs-text":                {"x", "\xff\xc3\xbc"},
		"one cookie":              {"cookie", "a=b; c=d"},
		"empty cookie":            {"cookie", ""},
		"content-length":          {":method", "POST", "content-length", "5"},
		"content-length 0":        {":method", "POST", "content-length", "0"},
		"content-length, zeros":   {":method", "POST", "content-length", "0005"},
		"content-length, spaces":  {":method", "POST", "content-length", " 5 "},
		"large content-length":    {":method", "PUT", "content-length", "9223372036854775807"},
		"another expectation":     {"expect", "x"},
		"authorization":           {"authorization", "Basic eA==", "proxy-authorization", "x"},
	}
	for name, pairs := range tests {
		t.Run(name, func(t *testing.T) {
			for _, v := range httpVersions {
				h := plainGet(v, pairs...)
				got, err := parseRequestBlock(context.Background(), v, h)
				require.NoError(t, err)
				want, err := readRequest(requestText(v, h))
				require.NoError(t, err)
				assertSameRequest(t, want, got)
				assert.Nil(t, got.Body, "the caller's part")
			}
		})
	}
}

// What SPDY does differently from HTTP/1.1, or by its own rules.
func TestParseRequest(t *testing.T) {
	tests := []struct {
		name   string
		pairs  []string
		header http.Header
		check  func(t *testing.T, r *http.Request)
	}{
		{name: "cookies become one line", pairs: []string{"cookie", "a=b\x00c=d\x00e=f"}, header: http.Header{"Cookie": {"a=b; c=d; e=f"}}},
		{name: "empty cookies are none", pairs: []string{"cookie", " \x00a=b\x00\t\x00c=d\x00 "}, header: http.Header{"Cookie": {"a=b; c=d"}}},
		{name: "nothing but empty cookies", pairs: []string{"cookie", " \x00\t"}, header: http.Header{"Cookie": {""}}},
		{name: "set-cookie does not", pairs: []string{"set-cookie", "a\x00b"}, header: http.Header{"Set-Cookie": {"a", "b"}}},
		{name: "hop by hop", pairs: []string{"connection", "close", "keep-alive", "5", "proxy-connection", "x",
			"transfer-encoding", "chunked", "te", "trailers", "upgrade", "h2c"}, header: http.Header{},
			check: func(t *testing.T, r *http.Request) { assert.Empty(t, r.TransferEncoding); assert.False(t, r.Close) }},
		{name: "chunked does not hide the length", pairs: []string{"transfer-encoding", "chunked", "content-length", "7"},
			header: http.Header{"Content-Length": {"7"}}, check: func(t *testing.T, r *http.Request) { assert.EqualValues(t, 7, r.ContentLength) }},
		{name: "expect", pairs: []string{"expect", "100-continue"}, header: http.Header{}},
		{name: "trailers", pairs: []string{"trailer", "x-a, X-b\x00, content-length,,a b,Upgrade"}, header: http.Header{},
			check: func(t *testing.T, r *http.Request) {
				assert.Equal(t, http.Header{"X-A": nil, "X-B": nil}, r.Trailer)
			}},
		{name: "only forbidden trailers", pairs: []string{"trailer", "host"}, header: http.Header{},
			check: func(t *testing.T, r *http.Request) { assert.Nil(t, r.Trailer) }},
		{name: "CONNECT may have a scheme", pairs: []string{":method", "CONNECT", ":path", "h:1"}, header: http.Header{},
			check: func(t *testing.T, r *http.Request) { assert.Equal(t, "h:1", r.URL.Host) }},
		{name: "absolute target overrides the host", pairs: []string{":path", "http://other/", ":host", "h"}, header: http.Header{},
			check: func(t *testing.T, r *http.Request) { assert.Equal(t, "other", r.Host) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, v := range httpVersions {
				r, err := parseRequestBlock(context.Background(), v, plainGet(v, tt.pairs...))
				require.NoError(t, err)
				assert.Equal(t, tt.header, r.Header)
				if tt.check != nil {
					tt.check(t, r)
				}
			}
		})
	}
}

// All values share one array, and a handler may append to any of them.
func TestParseRequestValuesAreApart(t *testing.T) {
	r, err := parseRequestBlock(context.Background(), SPDY31, plainGet(SPDY31, "a", "1", "b", "2\x003", "cookie", "c\x00d", "e", "4"))
	require.NoError(t, err)
	for k := range r.Header {
		r.Header.Add(k, "new")
	}
	assert.Equal(t, http.Header{"A": {"1", "new"}, "B": {"2", "3", "new"}, "Cookie": {"c; d", "new"}, "E": {"4", "new"}}, r.Header)
}

func TestParseRequestHostHeader(t *testing.T) {
	r, err := parseRequestBlock(context.Background(), SPDY31, plainGet(SPDY31, "host", "evil"))
	require.NoError(t, err)
	assert.Equal(t, "example.com", r.Host, ":host replaces it")
	assert.Empty(t, r.Header)
}

// SPDY/2 needs three pseudo headers only, and its names are ordinary elsewhere
// (SPEC M3, §2.4).
func TestParseRequestSPDY2(t *testing.T) {
	r, err := parseRequestBlock(context.Background(), SPDY2, HeaderBlock{{"method", "GET"}, {"url", "http://h/x"}, {"version", "HTTP/1.1"}, {"status", "s"}})
	require.NoError(t, err)
	assert.Equal(t, "h", r.Host)
	assert.Equal(t, http.Header{"Status": {"s"}}, r.Header)
	r, err = parseRequestBlock(context.Background(), SPDY2, HeaderBlock{{"method", "GET"}, {"url", "/x"}, {"version", "HTTP/1.1"}, {"x", "\x00a\x00b\x00"}, {"y", "\x00"}})
	require.NoError(t, err)
	assert.Empty(t, r.Host)
	assert.Equal(t, http.Header{"X": {"a", "b"}, "Y": {""}}, r.Header, "a NUL at the ends is tolerated (SPEC H8)")
}

// Needs A12, receiving direction: each of these is answered and not served.
func TestParseRequestRefuses(t *testing.T) {
	tests := map[string][]string{
		"no :method":                  {":method", "-"},
		"no :path":                    {":path", "-"},
		"no :version":                 {":version", "-"},
		"empty :method":               {":method", ""},
		"empty :path":                 {":path", ""},
		"empty :version":              {":version", ""},
		"NUL in :method":              {":method", "GET\x00PUT"},
		"NUL in :path":                {":path", "/a\x00/b"},
		"NUL in :version":             {":version", "HTTP/1.1\x00HTTP/1.1"},
		"NUL in :host":                {":host", "a\x00b"},
		"NUL in :scheme":              {":scheme", "http\x00https"},
		"CRLF in :method":             {":method", "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"},
		"CRLF in :path":               {":path", "/ HTTP/1.1\r\nX: y"},
		"LF in :path":                 {":path", "/\nX: y"},
		"CR in :path":                 {":path", "/\rX: y"},
		"CRLF in :version":            {":version", "HTTP/1.1\r\nX: y"},
		"CRLF in :host":               {":host", "h\r\nX: y"},
		"CRLF in :scheme":             {":scheme", "http\r\n"},
		"space in :method":            {":method", "GET /evil"},
		"separator in :method":        {":method", "GE(T"},
		"space in :path":              {":path", "/a b"},
		"version in :path":            {":path", "/ HTTP/1.0"},
		"tab in :path":                {":path", "/a\tb"},
		"DEL in :path":                {":path", "/a\x7f"},
		"space before :path":          {":path", " /"},
		"relative :path":              {":path", "a/b"},
		"only a query":                {":path", "?x"},
		"bad escape in :path":         {":path", "/%zz"},
		"star with query":             {":method", "OPTIONS", ":path", "*?x"},
		"absolute ftp":                {":path", "ftp://h/x"},
		"absolute without host":       {":path", "http:///x"},
		"absolute opaque":             {":path", "http:x"},
		"absolute with one slash":     {":path", "http:/x"},
		"absolute, host not ASCII":    {":path", "http://%C3%BC/x"},
		"absolute, bad port":          {":path", "http://h:x/"},
		"absolute, space in zone":     {":path", "http://[fe80::1%25a%20b]/"},
		"javascript":                  {":path", "javascript:alert(1)"},
		"authority without CONNECT":   {":path", "h:443"},
		"CONNECT with path":           {":method", "CONNECT", ":path", "h:443/x"},
		"CONNECT with query":          {":method", "CONNECT", ":path", "h:443?x"},
		"CONNECT with user":           {":method", "CONNECT", ":path", "u@h:443"},
		"CONNECT with URL":            {":method", "CONNECT", ":path", "http://h:443"},
		"CONNECT with bad port":       {":method", "CONNECT", ":path", "h:x"},
		"CONNECT with star":           {":method", "CONNECT", ":path", "*"},
		"user in :host":               {":host", "u@h"},
		"slash in :host":              {":host", "h/x"},
		"space in :host":              {":host", "h x"},
		"question mark in :host":      {":host", "h?x"},
		"not ASCII in :host":          {":host", "\xc3\xbc"},
		"space in :scheme":            {":scheme", "ht tp"},
		"colon in :scheme":            {":scheme", "http:"},
		"digit first in :scheme":      {":scheme", "1http"},
		"empty :scheme":               {":scheme", ""},
		"malformed version":           {":version", "HTTP/1.1 x"},
		"short version":               {":version", "HTTP/1"},
		"other protocol":              {":version", "ICY/1.1"},
		"lower-case version":          {":version", "http/1.1"},
		"upper-case name":             {"X-Foo", "x"},
		"empty name":                  {"", "x"},
		"space in name":               {"x foo", "x"},
		"colon in name":               {"x:foo", "x"},
		"space behind name":           {"transfer-encoding ", "chunked"},
		"LF in name":                  {"x\ny", "x"},
		"CRLF in name":                {"x: y\r\nz", "x"},
		"NUL in name":                 {"x\x00y", "x"},
		"DEL in name":                 {"x\x7f", "x"},
		"not ASCII in name":           {"x\xc3\xbc", "x"},
		"unknown colon name":          {":foo", "x"},
		"only a colon":                {":", "x"},
		"colon and upper case":        {":Path", "/"},
		"CR in value":                 {"x", "a\rb"},
		"LF in value":                 {"x", "a\nb"},
		"CRLF in value":               {"x", "a\r\nContent-Length: 5"},
		"folded line":                 {"x", "a\r\n b"},
		"LF in second value":          {"x", "a\x00b\n"},
		"other control in value":      {"x", "a\x01"},
		"escape in value":             {"x", "\x1b[0m"},
		"DEL in value":                {"x", "\x7f"},
		"doubled NUL":                 {"x", "a\x00\x00b"},
		"CRLF in a stripped header":   {"connection", "x\r\ny"},
		"content-length not a number": {"content-length", "x"},
		"content-length negative":     {"content-length", "-5"},
		"content-length with sign":    {"content-length", "+5"},
		"content-length hexadecimal":  {"content-length", "0x5"},
		"content-length empty":        {"content-length", ""},
		"content-length two in one":   {"content-length", "5, 5"},
		"content-length twice":        {"content-length", "5\x005"},
		"content-length in conflict":  {"content-length", "5\x006"},
		"content-length too large":    {"content-length", "9223372036854775808"},
		"content-length with space":   {"content-length", "5 6"},
	}
	require.Greater(t, len(tests), 60)
	for name, pairs := range tests {
		t.Run(name, func(t *testing.T) {
			for _, v := range httpVersions {
				requireBadRequest(t, v, plainGet(v, pairs...), http.StatusBadRequest)
			}
		})
	}
	only3 := map[string][]string{
		"no :host":                {":host", "-"}, // SPEC M2
		"no :scheme":              {":scheme", "-"},
		"empty :host":             {":host", ""},
		"CONNECT without :host":   {":method", "CONNECT", ":path", "h:1", ":host", "-"},
		":status":                 {":status", "200"},
		"NUL before the value":    {"x", "\x00a"}, // SPEC H7
		"NUL behind the value":    {"x", "a\x00"},
		"nothing but NUL":         {"x", "\x00"},
		"NUL behind the length":   {"content-length", "5\x00"},
		"NUL in a header we drop": {"connection", "a\x00"},
	}
	for name, pairs := range only3 {
		t.Run(name, func(t *testing.T) {
			requireBadRequest(t, SPDY3, plainGet(SPDY3, pairs...), http.StatusBadRequest)
			requireBadRequest(t, SPDY31, plainGet(SPDY31, pairs...), http.StatusBadRequest)
		})
	}
}

func TestParseRequestRefusesDuplicates(t *testing.T) {
	for _, v := range httpVersions {
		for _, name := range []string{":method", ":path", ":version", ":host", ":scheme"} {
			h := append(plainGet(v), httpBlock(v, name, "x")...)
			requireBadRequest(t, v, h, http.StatusBadRequest)
		}
		requireBadRequest(t, v, append(plainGet(v, "x", "1"), HeaderField{"x", "2"}), http.StatusBadRequest)
		requireBadRequest(t, v, append(plainGet(v, "content-length", "1"), HeaderField{"content-length", "1"}), http.StatusBadRequest)
		requireBadRequest(t, v, nil, http.StatusBadRequest)
	}
}

func TestParseRequestVersions(t *testing.T) {
	for _, version := range []string{"HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3.0"} {
		for _, v := range httpVersions {
			requireBadRequest(t, v, plainGet(v, ":version", version), http.StatusHTTPVersionNotSupported)
		}
	}
}

func requireBadRequest(t *testing.T, v Version, h HeaderBlock, status int) {
	t.Helper()
	req, err := parseRequestBlock(context.Background(), v, h)
	var bad *requestError
	require.ErrorAs(t, err, &bad, v)
	assert.Nil(t, req)
	assert.Equal(t, status, bad.Status)
	assert.NotEmpty(t, bad.Reason)
	assert.NotContains(t, err.Error(), "\n")
}

// Values may be secrets and must not get into logs by way of an error.
func TestParseRequestErrorsHideValues(t *testing.T) {
	for _, pairs := range [][]string{{"x", "secret\n"}, {":path", "secret"}, {":host", "sec ret"}, {"content-length", "secret"}, {"x", "a\x00\x00secret"}} {
		_, err := parseRequestBlock(context.Background(), SPDY31, plainGet(SPDY31, pairs...))
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "sec")
	}
}

func TestParseRequestAllocations(t *testing.T) {
	h := plainGet(SPDY31, ":path", "/a/b/c?q=1", "accept", "text/html,*/*", "accept-encoding", "gzip", "accept-language", "en",
		"cookie", "a=b; c=d", "referer", "https://www.example.com/", "user-agent", "x", "cache-control", "a\x00b")
	n := testing.AllocsPerRun(100, func() {
		if _, err := parseRequestBlock(context.Background(), SPDY31, h); err != nil {
			t.Fatal(err)
		}
	})
	// The request, its URL, the header (two for its table) and the values.
	assert.LessOrEqual(t, n, 5.0)

	// A block of many values costs no more allocations than one of few.
	h = append(h, HeaderField{"via", strings.Repeat("x\x00", 1000) + "x"})
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { parseRequestBlock(context.Background(), SPDY31, h) }), 5.0)
}

func BenchmarkParseRequestBlock(b *testing.B) {
	h := plainGet(SPDY31, ":path", "/a/b/c?q=1", "accept", "text/html,*/*", "accept-encoding", "gzip",
		"accept-language", "en", "cookie", "a=b; c=d", "referer", "https://www.example.com/")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseRequestBlock(context.Background(), SPDY31, h); err != nil {
			b.Fatal(err)
		}
	}
}
