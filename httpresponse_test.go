package spdy

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestResponseBlockStatus(t *testing.T) {
	for status, want := range map[int]string{
		200: "200 OK", 203: "203 Non-Authoritative Information", 204: "204 No Content", 299: "299", 404: "404 Not Found",
		511: "511 Network Authentication Required", 999: "999",
	} {
		for _, v := range httpVersions {
			h := encodeResponse(t, v, status, nil)
			assert.Equal(t, httpBlock(v, ":status", want, ":version", "HTTP/1.1"), h)
			res, err := parseResponseBlock(v, h, nil)
			require.NoError(t, err)
			assert.Equal(t, status, res.StatusCode)
		}
	}
	for _, status := range []int{-1, 0, 20, 99, 100, 101, 103, 199, 1000} {
		nv, err := appendResponseBlock([]byte("kept"), SPDY31, status, nil)
		var want *messageError
		require.ErrorAs(t, err, &want)
		assert.Equal(t, "kept", string(nv))
	}
}

// Needs A12, sending direction: a handler's mistakes are left out, because it
// has no way to learn of them.
func TestResponseBlockHeaders(t *testing.T) {
	tests := []struct {
		name   string
		status int
		header http.Header
		want   map[string]string
	}{
		{name: "plain", header: http.Header{"Content-Type": {"text/html"}, "X-Own": {"x"}}, want: map[string]string{"content-type": "text/html", "x-own": "x"}},
		{name: "values in order", header: http.Header{"Vary": {"b", "a", "c"}}, want: map[string]string{"vary": "b\x00a\x00c"}},
		{name: "set-cookie", header: http.Header{"Set-Cookie": {"a=b, c", "d=e"}}, want: map[string]string{"set-cookie": "a=b, c\x00d=e"}},
		{name: "empty value", header: http.Header{"X": {""}}, want: map[string]string{"x": ""}},
		{name: "no value", header: http.Header{"X": nil, "Y": {}}, want: map[string]string{}},
		{name: "spelled twice", header: http.Header{"X-A": {"1"}, "x-a": {"2"}, "X-a": {"3"}}, want: map[string]string{"x-a": "1\x003\x002"}},
		{name: "spaces around", header: http.Header{"X": {" a ", "\tb"}}, want: map[string]string{"x": "a\x00b"}},
		{name: "hop by hop", header: http.Header{"Connection": {"close, X-A"}, "connection": {"x-b"}, "X-A": {"1"}, "X-B": {"1"}, "Keep-Alive": {"x"},
			"Proxy-Connection": {"x"}, "Transfer-Encoding": {"chunked"}, "Upgrade": {"x"}, "Te": {"x"}}, want: map[string]string{}},
		{name: "value with CRLF", header: http.Header{"X": {"a\r\nSet-Cookie: b"}, "Y": {"y"}}, want: map[string]string{"y": "y"}},
		{name: "value with CR", header: http.Header{"X": {"a\rb"}}, want: map[string]string{}},
		{name: "value with LF", header: http.Header{"X": {"a\nb"}}, want: map[string]string{}},
		{name: "value with NUL", header: http.Header{"X": {"a\x00b"}}, want: map[string]string{}},
		{name: "value with DEL", header: http.Header{"X": {"a\x7f"}}, want: map[string]string{}},
		{name: "one value invalid", header: http.Header{"X": {"a", "b\n", "c"}}, want: map[string]string{"x": "a\x00c"}},
		{name: "invalid names", header: http.Header{"": {"x"}, "X Y": {"x"}, "X:Y": {"x"}, "X\nY": {"x"}, ":status": {"500"}, "Ü": {"x"}, "\u212aeep": {"x"}}, want: map[string]string{}},
		{name: "trailers", header: http.Header{http.TrailerPrefix + "X": {"x"}, "Trailer": {"Y"}}, want: map[string]string{"trailer": "Y"}},
		{name: "length", header: http.Header{"Content-Length": {"5"}}, want: map[string]string{"content-length": "5"}},
		{name: "length twice", header: http.Header{"Content-Length": {"5", " 5"}}, want: map[string]string{"content-length": "5"}},
		{name: "length in conflict", header: http.Header{"Content-Length": {"5"}, "content-length": {"6"}}, want: map[string]string{}},
		{name: "length not a number", header: http.Header{"Content-Length": {"x"}}, want: map[string]string{}},
		{name: "length negative", header: http.Header{"Content-Length": {"-5"}}, want: map[string]string{}},
		{name: "204", status: 204, header: http.Header{"Content-Length": {"0"}, "Etag": {"x"}}, want: map[string]string{"etag": "x"}},
		{name: "304", status: 304, header: http.Header{"Content-Length": {"9"}, "Content-Type": {"a/b"}, "Etag": {"x"}}, want: map[string]string{"etag": "x"}},
	}
	for _, tt := range tests {
		status := tt.status
		if status == 0 {
			status = http.StatusOK
		}
		t.Run(tt.name, func(t *testing.T) {
			for _, v := range httpVersions {
				before := tt.header.Clone()
				h := encodeResponse(t, v, status, tt.header)
				assert.Equal(t, tt.want, ordinary(v, h), v)
				assert.Equal(t, before, tt.header, "the handler's header is not changed")
				_, err := parseResponseBlock(v, h, nil)
				assert.NoError(t, err)
			}
		})
	}
}

func TestResponseBlockPseudoClash(t *testing.T) {
	header := http.Header{"Status": {"500"}, "Version": {"x"}, "Url": {"u"}}
	assert.Equal(t, map[string]string{"status": "500", "version": "x", "url": "u"}, ordinary(SPDY31, encodeResponse(t, SPDY31, 200, header)))
	res, err := parseResponseBlock(SPDY2, encodeResponse(t, SPDY2, 200, header), nil)
	require.NoError(t, err)
	assert.Equal(t, 200, res.StatusCode)
	assert.Equal(t, http.Header{"Url": {"u"}}, res.Header)
}

// A value that SPDY/2 cannot carry is an error before anything is sent (SPEC H14).
func TestResponseBlockTooLongForSPDY2(t *testing.T) {
	header := http.Header{"X": {strings.Repeat("x", 70000)}}
	nv, err := appendResponseBlock([]byte("kept"), SPDY2, 200, header)
	var want *headerError
	require.ErrorAs(t, err, &want)
	assert.Equal(t, "kept", string(nv))
	nv, err = appendTrailerBlock([]byte("kept"), SPDY2, header)
	require.ErrorAs(t, err, &want)
	assert.Equal(t, "kept", string(nv))
}

// What we make of a block is what net/http makes of the same answer in HTTP/1.1,
// where its length is known.
func TestParseResponseLikeNetHTTP(t *testing.T) {
	head := &http.Request{Method: "HEAD"}
	tests := map[string]struct {
		req   *http.Request
		pairs []string
	}{
		"plain":                  {pairs: []string{"content-length", "5"}},
		"reason":                 {pairs: []string{":status", "404 No such  thing", "content-length", "0"}},
		"HTTP/1.0":               {pairs: []string{":version", "HTTP/1.0", "content-length", "0"}},
		"own status":             {pairs: []string{":status", "299 Own", "content-length", "1"}},
		"status 999":             {pairs: []string{":status", "999 x", "content-length", "1"}},
		"values":                 {pairs: []string{"content-length", "1", "set-cookie", "a=b\x00c=d", "vary", "b\x00a", "x-own", "", "y", " z "}},
		"length twice":           {pairs: []string{"content-length", "5\x00 5"}},
		"HEAD":                   {req: head, pairs: []string{"content-length", "5"}},
		"HEAD without length":    {req: head},
		"HEAD 404":               {req: head, pairs: []string{":status", "404 x", "content-length", "7"}},
		"HEAD 304":               {req: head, pairs: []string{":status", "304 x", "content-length", "7"}},
		"204":                    {pairs: []string{":status", "204 No Content"}},
		"204 with length":        {pairs: []string{":status", "204 No Content", "content-length", "5"}},
		"304":                    {pairs: []string{":status", "304 Not Modified", "content-length", "5"}},
		"unknown length":         {},
		"unknown length for GET": {req: &http.Request{Method: "GET"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, v := range httpVersions {
				h := plainOK(v, tt.pairs...)
				got, err := parseResponseBlock(v, h, tt.req)
				require.NoError(t, err)
				want, err := readResponse(responseText(v, h), tt.req)
				require.NoError(t, err)
				assert.Equal(t, want.Status, got.Status)
				assert.Equal(t, want.StatusCode, got.StatusCode)
				assert.Equal(t, want.Proto, got.Proto)
				assert.Equal(t, want.ProtoMajor, got.ProtoMajor)
				assert.Equal(t, want.ProtoMinor, got.ProtoMinor)
				assert.Equal(t, want.Header, got.Header)
				assert.Equal(t, want.ContentLength, got.ContentLength)
				assert.Same(t, tt.req, got.Request)
				assert.False(t, got.Uncompressed)
				assert.Nil(t, got.Body, "the caller's part")
			}
		})
	}
}

func TestParseResponse(t *testing.T) {
	for _, v := range httpVersions {
		for wire, want := range map[string]string{"200": "200 OK", "200 ": "200 OK", "200 Fine": "200 Fine", "599": "599 "} {
			res, err := parseResponseBlock(v, plainOK(v, ":status", wire), nil)
			require.NoError(t, err)
			assert.Equal(t, want, res.Status)
		}
		res, err := parseResponseBlock(v, plainOK(v, "trailer", "x-a,X-B\x00content-length", "connection", "x", "keep-alive", "x",
			"transfer-encoding", "chunked", "upgrade", "x"), nil)
		require.NoError(t, err)
		assert.Equal(t, http.Header{}, res.Header)
		assert.Equal(t, http.Header{"X-A": nil, "X-B": nil}, res.Trailer)
		assert.Empty(t, res.TransferEncoding)

		connect := &http.Request{Method: "CONNECT"}
		res, err = parseResponseBlock(v, plainOK(v, "content-length", "5"), connect)
		require.NoError(t, err)
		assert.EqualValues(t, -1, res.ContentLength, "a tunnel has no length")
		res, err = parseResponseBlock(v, plainOK(v, ":status", "407", "content-length", "5"), connect)
		require.NoError(t, err)
		assert.EqualValues(t, 5, res.ContentLength)
	}
}

// Needs A12, receiving direction: each of these resets the stream (SPEC M4).
func TestParseResponseRefuses(t *testing.T) {
	tests := map[string][]string{
		"no :status":               {":status", "-"},
		"no :version":              {":version", "-"},
		"empty :status":            {":status", ""},
		"empty :version":           {":version", ""},
		"two digits":               {":status", "20"},
		"four digits":              {":status", "2000"},
		"letters":                  {":status", "2xx"},
		"sign":                     {":status", "+20"},
		"zero first":               {":status", "099"},
		"no space":                 {":status", "200OK"},
		"space first":              {":status", " 200"},
		"CRLF in :status":          {":status", "200 OK\r\nX: y"},
		"LF in :status":            {":status", "200 OK\n"},
		"NUL in :status":           {":status", "200\x00404"},
		"CRLF in :version":         {":version", "HTTP/1.1\r\n"},
		"NUL in :version":          {":version", "HTTP/1.1\x00HTTP/1.1"},
		"HTTP/2":                   {":version", "HTTP/2.0"},
		"malformed version":        {":version", "1.1"},
		"unknown colon name":       {":foo", "x"},
		"upper-case name":          {"X", "x"},
		"empty name":               {"", "x"},
		"LF in name":               {"x\ny", "x"},
		"space in name":            {"x ", "x"},
		"CRLF in value":            {"x", "a\r\nb"},
		"LF in second value":       {"x", "a\x00b\n"},
		"control in value":         {"x", "\x02"},
		"doubled NUL":              {"x", "a\x00\x00b"},
		"content-length, conflict": {"content-length", "5\x006"},
		"content-length, letters":  {"content-length", "x"},
		"content-length, negative": {"content-length", "-1"},
		"content-length, empty":    {"content-length", ""},
	}
	for name, pairs := range tests {
		t.Run(name, func(t *testing.T) {
			for _, v := range httpVersions {
				requireBadResponse(t, v, plainOK(v, pairs...))
			}
		})
	}
	for _, v := range []Version{SPDY3, SPDY31} {
		requireBadResponse(t, v, plainOK(v, ":path", "/"))
		requireBadResponse(t, v, plainOK(v, "x", "\x00a"))
	}
	for _, v := range httpVersions {
		requireBadResponse(t, v, append(plainOK(v), plainOK(v)[0]))
		requireBadResponse(t, v, append(plainOK(v, "x", "1"), HeaderField{"x", "1"}))
	}
}

func requireBadResponse(t *testing.T, v Version, h HeaderBlock) {
	t.Helper()
	res, err := parseResponseBlock(v, h, nil)
	var bad *StreamError
	require.ErrorAs(t, err, &bad, v)
	assert.Nil(t, res)
	assert.Equal(t, RstProtocolError, bad.Status)
	assert.False(t, bad.Remote)
}

func TestTrailerBlock(t *testing.T) {
	trailer := http.Header{"X-A": {"1", "2"}, "x-b": {" 3 "}, "X-B": {"0"}, "X-C": {"a\nb"}, "X-D": {"a", "b\r"}, "X-E": nil, "X F": {"x"},
		"Content-Length": {"5"}, "Transfer-Encoding": {"chunked"}, "Host": {"h"}, "Upgrade": {"x"}, "Trailer": {"x"},
		"If-Match": {"x"}, "Authorization": {"x"}, "Grpc-Status": {"0"}}
	want := http.Header{"X-A": {"1", "2"}, "X-B": {"0", "3"}, "X-D": {"a"}, "Grpc-Status": {"0"}}
	for _, v := range httpVersions {
		nv, err := appendTrailerBlock([]byte("kept"), v, trailer)
		require.NoError(t, err)
		require.Equal(t, "kept", string(nv[:4]))
		h := decodeBlock(t, v, nv[4:])
		require.Len(t, h, len(want), "nothing else is on the wire")
		got, err := parseTrailerBlock(v, h)
		require.NoError(t, err)
		assert.Equal(t, want, got)

		// The names that a peer should not have sent are dropped on arrival too.
		got, err = parseTrailerBlock(v, HeaderBlock{{"content-length", "5"}, {"if-match", "h"}, {"upgrade", "x"}, {"connection", "x"}, {"x", "y"}})
		require.NoError(t, err)
		assert.Equal(t, http.Header{"X": {"y"}}, got)

		got, err = parseTrailerBlock(v, nil)
		require.NoError(t, err)
		assert.Empty(t, got)
	}
}

// SPEC M14: no pseudo headers in trailers, neither way.
func TestTrailerBlockPseudo(t *testing.T) {
	for _, v := range httpVersions {
		for p := range pseudoCount {
			_, err := parseTrailerBlock(v, HeaderBlock{{p.name(v), "x"}})
			var bad *StreamError
			require.ErrorAs(t, err, &bad, p.name(v))
		}
		for _, h := range []HeaderBlock{{{"X", "x"}}, {{"x", "a\n"}}, {{"x", "1"}, {"x", "2"}}, {{":foo", "x"}}} {
			_, err := parseTrailerBlock(v, h)
			require.Error(t, err)
		}
	}
	nv, err := appendTrailerBlock(nil, SPDY2, http.Header{"Status": {"500"}, "Url": {"u"}, "X": {"x"}})
	require.NoError(t, err)
	assert.Equal(t, HeaderBlock{{"x", "x"}}, decodeBlock(t, SPDY2, nv))
}

// http.Header -> block -> http.Header keeps every value and their order.
func TestHeaderRoundTripProperty(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	const nameChars = "ABCxyz019-_!#.|~"
	const valueChars = "abcXYZ019 ,;=\"\t\xff\xc3\xbc~"
	text := func(chars string, most int) string {
		b := make([]byte, 1+rnd.IntN(most))
		for i := range b {
			b[i] = chars[rnd.IntN(len(chars))]
		}
		return string(b)
	}
	for range 2000 {
		v := httpVersions[rnd.IntN(len(httpVersions))]
		header := http.Header{}
		for range rnd.IntN(40) {
			var values []string
			for range 1 + rnd.IntN(4) {
				values = append(values, "v"+text(valueChars, 20)+"v")
			}
			header["X-"+http.CanonicalHeaderKey("q"+text(nameChars, 8))] = values
		}
		want := http.Header{} // names in canonical form
		for k, values := range header {
			want[http.CanonicalHeaderKey(k)] = values
		}
		res, err := parseResponseBlock(v, encodeResponse(t, v, 200, header), nil)
		require.NoError(t, err)
		if len(want) == len(header) { // no two names that differ in case only
			require.Equal(t, want, res.Header)
		}
		header["User-Agent"] = []string{""}
		block := encodeRequest(t, v, &http.Request{Host: "h", URL: mustURL("/"), Header: header}, requestOptions{})
		req, err := parseRequestBlock(context.Background(), v, block)
		require.NoError(t, err)
		require.Equal(t, res.Header, req.Header)
	}
}

func TestResponseBlockAllocations(t *testing.T) {
	header := http.Header{"Content-Type": {"text/html; charset=utf-8"}, "Content-Length": {"1234"}, "Date": {"x"}, "Set-Cookie": {"a=b", "c=d"},
		"Etag": {"x"}, "Cache-Control": {"no-cache"}, "Last-Modified": {"x"}, "Connection": {"keep-alive"}}
	trailer := http.Header{"Etag": {"x"}, "Warning": {"y"}}
	dst := make([]byte, 0, 4096)
	for _, v := range httpVersions {
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			if _, err := appendResponseBlock(dst, v, 200, header); err != nil {
				t.Fatal(err)
			}
			if _, err := appendTrailerBlock(dst, v, trailer); err != nil {
				t.Fatal(err)
			}
		}))
	}
	h := encodeResponse(t, SPDY31, 200, header)
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		if _, err := parseResponseBlock(SPDY31, h, nil); err != nil {
			t.Fatal(err)
		}
	}), 4.0)
}

func TestCommonNames(t *testing.T) {
	for _, name := range commonNames {
		lower := strings.ToLower(name)
		assert.Equal(t, http.CanonicalHeaderKey(lower), name, "the list is in canonical form")
		assert.Equal(t, lower, lowerName(name))
		assert.Equal(t, name, canonicalName(lower))
	}
	assert.Equal(t, "X-Rare", canonicalName("x-rare"))
	assert.Equal(t, "x-rare", lowerName("X-Rare"))
}
