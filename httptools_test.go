package spdy

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// httpVersions are the dialects that each HTTP test runs over.
var httpVersions = []Version{SPDY2, SPDY3, SPDY31}

// httpBlock makes a header block of names and values in turn. The names of
// pseudo headers are written as in SPDY/3 and respelled for SPDY/2.
func httpBlock(v Version, pairs ...string) HeaderBlock {
	var h HeaderBlock
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i]
		if p, ok := lookupPseudo(SPDY31, name); ok {
			name = p.name(v)
		}
		h = append(h, HeaderField{Name: name, Value: pairs[i+1]})
	}
	return h
}

// plainGet is the block of a plain GET with more pairs after it. A pair of an
// existing name replaces it; the value "-" removes it.
func plainGet(v Version, pairs ...string) HeaderBlock {
	h := httpBlock(v, ":method", "GET", ":path", "/", ":version", "HTTP/1.1", ":host", "example.com", ":scheme", "https")
	return override(h, httpBlock(v, pairs...))
}

// plainOK is the same for an answer.
func plainOK(v Version, pairs ...string) HeaderBlock {
	return override(httpBlock(v, ":status", "200 OK", ":version", "HTTP/1.1"), httpBlock(v, pairs...))
}

func override(h, more HeaderBlock) HeaderBlock {
next:
	for _, f := range more {
		for i := range h {
			if h[i].Name != f.Name {
				continue
			}
			if f.Value == "-" {
				h = append(h[:i], h[i+1:]...)
			} else {
				h[i].Value = f.Value
			}
			continue next
		}
		h = append(h, f)
	}
	return h
}

// pseudoValue is the value of a pseudo header, named as in SPDY/3.
func pseudoValue(v Version, h HeaderBlock, name string) string {
	p, _ := lookupPseudo(SPDY31, name)
	value, _ := h.Get(p.name(v))
	return value
}

// decodeBlock parses an uncompressed block with all the checks of the codec.
func decodeBlock(t testing.TB, v Version, nv []byte) HeaderBlock {
	t.Helper()
	h, err := parseNameValue(v, nv, 0)
	require.NoError(t, err)
	return h
}

// encodeRequest returns the block that a request is sent as.
func encodeRequest(t testing.TB, v Version, req *http.Request, o requestOptions) HeaderBlock {
	t.Helper()
	nv, err := appendRequestBlock([]byte("kept"), v, req, o)
	require.NoError(t, err)
	require.Equal(t, "kept", string(nv[:4]), "what dst held")
	return decodeBlock(t, v, nv[4:])
}

// encodeResponse returns the block that an answer is sent as.
func encodeResponse(t testing.TB, v Version, status int, header http.Header) HeaderBlock {
	t.Helper()
	nv, err := appendResponseBlock([]byte("kept"), v, status, header)
	require.NoError(t, err)
	require.Equal(t, "kept", string(nv[:4]), "what dst held")
	return decodeBlock(t, v, nv[4:])
}

// ordinary are the pairs of a block that are not pseudo headers.
func ordinary(v Version, h HeaderBlock) map[string]string {
	m := map[string]string{}
	for _, f := range h {
		if _, ok := lookupPseudo(v, f.Name); !ok {
			m[f.Name] = f.Value
		}
	}
	return m
}

// requestText is the HTTP/1.1 request that a block stands for.
func requestText(v Version, h HeaderBlock) string {
	var b strings.Builder
	b.WriteString(pseudoValue(v, h, ":method") + " " + pseudoValue(v, h, ":path") + " " +
		pseudoValue(v, h, ":version") + "\r\nHost: " + pseudoValue(v, h, ":host") + "\r\n")
	writeLines(&b, v, h)
	return b.String()
}

// responseText is the HTTP/1.1 answer that a block stands for.
func responseText(v Version, h HeaderBlock) string {
	var b strings.Builder
	b.WriteString(pseudoValue(v, h, ":version") + " " + pseudoValue(v, h, ":status") + "\r\n")
	writeLines(&b, v, h)
	return b.String()
}

func writeLines(b *strings.Builder, v Version, h HeaderBlock) {
	for _, f := range h {
		if _, ok := lookupPseudo(v, f.Name); ok {
			continue
		}
		for _, value := range strings.Split(f.Value, "\x00") {
			b.WriteString(f.Name + ": " + value + "\r\n")
		}
	}
	b.WriteString("\r\n")
}

// readRequest lets net/http read an HTTP/1.1 request that must be the only one
// in the text.
func readRequest(text string) (*http.Request, error) {
	return http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
}

func readResponse(text string, req *http.Request) (*http.Response, error) {
	return http.ReadResponse(bufio.NewReader(strings.NewReader(text)), req)
}
