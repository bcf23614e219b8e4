package upgrades

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// A written is an answer that a handler writes as text to the connection that it has hijacked.
type written struct {
	name   string
	pieces []string // a Write each
	reset  bool     // the connection is closed by a reset
	begun  bool     // an ordinary answer is begun before, with 4 bytes of its body
	length string   // of that; "" for none

	// differs is why a client of SPDY sees something else than one of HTTP/1.1, "" if it sees
	// the same.
	differs string
}

const (
	okHead      = "HTTP/1.1 200 OK\r\n"
	chunkedHead = okHead + "Transfer-Encoding: chunked\r\n"
	switchHead  = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"
)

var writtenAnswers = []written{
	{name: "426", pieces: []string{"HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: other/2\r\nSec-WebSocket-Version: 13\r\nContent-Length: 4\r\n\r\nnope"}},
	{name: "400 of a WebSocket", pieces: []string{"HTTP/1.1 400 Bad Request\r\nSec-Websocket-Version: 13\r\nContent-Length: 4\r\n\r\nnope"}},
	{name: "304 with a length", pieces: []string{"HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: \"a\"\r\nContent-Type: text/x\r\n\r\n"}},
	{name: "304 with a length and bytes", pieces: []string{"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\nETag: \"a\"\r\n\r\n", "nope"}},
	{name: "304", pieces: []string{"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"}},
	{name: "304 in chunks", pieces: []string{"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"}},
	{name: "204 with length 0", pieces: []string{"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nX-A: 1\r\n\r\n"}, differs: "RFC 9110 §8.6 forbids the length"},
	{name: "204 with a length and bytes", pieces: []string{"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n", "nope"}, differs: "RFC 9110 §8.6 forbids the length"},
	{name: "204 in chunks", pieces: []string{"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}},
	{name: "205", pieces: []string{"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"}},
	{name: "205 with a body", pieces: []string{"HTTP/1.1 205 Reset Content\r\nContent-Length: 3\r\n\r\nabc"}},
	{name: "interim answers", pieces: []string{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + okHead + "Content-Length: 2\r\n\r\nok"}},
	{name: "interim answers alone", pieces: []string{"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"}},
	{name: "HTTP 1.0", pieces: []string{"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "HTTP 1.0 without length", pieces: []string{"HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nok", "ok"}},
	{name: "HTTP 1.0 keep-alive", pieces: []string{"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "HTTP 1.0 in chunks", pieces: []string{"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"}},
	{name: "HTTP 1.0 upgrade", pieces: []string{"HTTP/1.0 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nok"}},
	{name: "without length, close", pieces: []string{okHead + "Connection: close\r\n\r\nok", "ok"}},
	{name: "without length", pieces: []string{okHead + "X-A: 1\r\n\r\nok", "ok"}},
	{name: "without length, empty", pieces: []string{okHead + "X-A: 1\r\n\r\n"}},
	{name: "403 without length, empty", pieces: []string{"HTTP/1.1 403 Forbidden\r\n\r\n"}},
	{name: "length 0", pieces: []string{okHead + "Content-Length: 0\r\n\r\n"}},
	{name: "trailers announced", pieces: []string{chunkedHead + "Trailer: X-T, X-U\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n"}},
	{name: "trailers announced, in part", pieces: []string{chunkedHead + "Trailer: X-T, X-U\r\n\r\n2\r\nok\r\n0\r\nX-U: 2\r\n\r\n"}},
	{name: "trailers announced and others", pieces: []string{chunkedHead + "Trailer: X-T\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n"}},
	{name: "trailers not announced", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n0\r\nX-T: 1\r\nX-T: 2\r\nX-U: 2\r\n\r\n"}},
	{name: "trailers in pieces", pieces: []string{chunkedHead + "Trailer: X-T\r\n\r\n", "2\r\nok\r\n0\r", "\nX-T", ": 1\r", "\n\r", "\n"}},
	{name: "trailers without a body", pieces: []string{chunkedHead + "Trailer: X-T\r\n\r\n0\r\nX-T: 1\r\n\r\n"}},
	{name: "trailers announced alone", pieces: []string{chunkedHead + "Trailer: X-T\r\n\r\n2\r\nok\r\n0\r\n\r\n"}},
	{name: "trailers forbidden", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n0\r\nContent-Length: 3\r\nConnection: x\r\nX-T: 1\r\n\r\n"}, differs: "names that may not be trailers are left out"},
	{name: "trailers forbidden announced", pieces: []string{chunkedHead + "Trailer: Content-Length\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 3\r\nX-T: 1\r\n\r\n"}},
	{name: "trailer bad line", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n0\r\nX-T\r\n\r\n"}},
	{name: "trailer bad name", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n0\r\nX T: 1\r\n\r\n"}, differs: "names that may not be trailers are left out"},
	{name: "trailer folded", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n0\r\nX-T: 1\r\n 2\r\n\r\n"}},
	{name: "trailer cut", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n0\r\nX-T: 1\r\n"}},
	{name: "trailer with line feeds", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n0\nX-T: 1\n\n"}},
	{name: "trailer of 3K", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n0\r\nX-T: " + strings.Repeat("x", 3000) + "\r\n\r\n"}},
	{name: "trailer of 5K", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n0\r\nX-T: " + strings.Repeat("x", 5000) + "\r\n\r\n"}},
	{name: "trailer of 100K", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n0\r\nX-T: " + strings.Repeat("x", 100000) + "\r\n\r\n"}},
	{name: "chunks then more", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"}},
	{name: "short", pieces: []string{okHead + "Content-Length: 5\r\n\r\nok"}},
	{name: "short, nothing", pieces: []string{okHead + "Content-Length: 5\r\n\r\n"}},
	{name: "short, in pieces", pieces: []string{okHead + "Content-Length: 5\r\n\r\n", "o", "k"}},
	{name: "long", pieces: []string{okHead + "Content-Length: 2\r\n\r\nokmore"}},
	{name: "long, in pieces", pieces: []string{okHead + "Content-Length: 2\r\n\r\no", "kmo", "re"}},
	{name: "two answers", pieces: []string{okHead + "Content-Length: 2\r\n\r\nok" + okHead + "Content-Length: 2\r\n\r\nno"}},
	{name: "bad chunk at once", pieces: []string{chunkedHead + "\r\nzz\r\nok\r\n"}},
	{name: "bad chunk after", pieces: []string{chunkedHead + "\r\n", "zz\r\nok\r\n"}},
	{name: "bad second chunk at once", pieces: []string{chunkedHead + "\r\n2\r\nok\r\nzz\r\nok\r\n"}},
	{name: "bad second chunk after", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n", "zz\r\nok\r\n"}},
	{name: "chunk too long", pieces: []string{chunkedHead + "\r\n2\r\nokay\r\n0\r\n\r\n"}},
	{name: "chunk cut", pieces: []string{chunkedHead + "\r\n5\r\nok"}},
	{name: "chunk size cut", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n5"}},
	{name: "chunks no last", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n"}},
	{name: "chunks last cut", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n0\r\n"}},
	{name: "chunks with line feeds", pieces: []string{chunkedHead + "\r\n2\nok\n0\n\n"}},
	{name: "chunk size empty", pieces: []string{chunkedHead + "\r\n\r\nok\r\n0\r\n\r\n"}},
	{name: "chunk size huge", pieces: []string{chunkedHead + "\r\nfffffffffffffffff\r\nok\r\n"}},
	{name: "chunk size of 64 bits", pieces: []string{chunkedHead + "\r\nffffffffffffffff\r\nok\r\n"}, differs: "the size is refused before the bytes"},
	{name: "chunk size space", pieces: []string{chunkedHead + "\r\n2 \r\nok\r\n0\r\n\r\n"}},
	{name: "chunk size leading space", pieces: []string{chunkedHead + "\r\n 2\r\nok\r\n0\r\n\r\n"}},
	{name: "chunk size zeros", pieces: []string{chunkedHead + "\r\n0002\r\nok\r\n0000\r\n\r\n"}},
	{name: "chunk size plus", pieces: []string{chunkedHead + "\r\n+2\r\nok\r\n0\r\n\r\n"}},
	{name: "chunk size in hex of Go", pieces: []string{chunkedHead + "\r\n0x2\r\nok\r\n0\r\n\r\n"}},
	{name: "chunk size with underscore", pieces: []string{chunkedHead + "\r\n0_2\r\nok\r\n0\r\n\r\n"}},
	{name: "chunk extension of 3K", pieces: []string{chunkedHead + "\r\n2;" + strings.Repeat("x", 3000) + "\r\nok\r\n0\r\n\r\n"}},
	{name: "chunk extension of 5K", pieces: []string{chunkedHead + "\r\n2;" + strings.Repeat("x", 5000) + "\r\nok\r\n0\r\n\r\n"}},
	{name: "ten chunk extensions", pieces: []string{chunkedHead + "\r\n" + strings.Repeat("2;"+strings.Repeat("x", 3000)+"\r\nok\r\n", 10) + "0\r\n\r\n"}},
	{name: "chunk extension with a line feed", pieces: []string{chunkedHead + "\r\n2;a\nok\r\n0\r\n\r\n"}},
	{name: "two lengths same", pieces: []string{okHead + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "two lengths", pieces: []string{okHead + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"}},
	{name: "bad length", pieces: []string{okHead + "Content-Length: 2x\r\n\r\nok"}},
	{name: "negative length", pieces: []string{okHead + "Content-Length: -2\r\n\r\nok"}},
	{name: "empty length", pieces: []string{okHead + "Content-Length: \r\n\r\nok"}},
	{name: "length and chunks", pieces: []string{chunkedHead + "Content-Length: 7\r\n\r\n2\r\nok\r\n0\r\n\r\n"}},
	{name: "gzip in chunks", pieces: []string{okHead + "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"}},
	{name: "coding identity", pieces: []string{okHead + "Transfer-Encoding: identity\r\n\r\nok"}},
	{name: "chunks twice", pieces: []string{okHead + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"}},
	{name: "status no reason", pieces: []string{"HTTP/1.1 404\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "status own reason", pieces: []string{"HTTP/1.1 404 Gone Fishing\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "status 4 digits", pieces: []string{"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "status 099", pieces: []string{"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok"}, differs: "it is no status"},
	{name: "status 000", pieces: []string{"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok"}, differs: "it is no status"},
	{name: "status 999", pieces: []string{"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "status 199", pieces: []string{"HTTP/1.1 199 Odd\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "HTTP/2.0", pieces: []string{"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "HTTP/1.2", pieces: []string{"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "ICY", pieces: []string{"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "leading blank line", pieces: []string{"\r\n" + okHead + "Content-Length: 2\r\n\r\nok"}},
	{name: "folded header", pieces: []string{okHead + "X-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "space before colon", pieces: []string{okHead + "X-A : 1\r\nContent-Length: 2\r\n\r\nok"}, differs: "names that are none are left out"},
	{name: "name with space", pieces: []string{okHead + "X A: 1\r\nContent-Length: 2\r\n\r\nok"}, differs: "names that are none are left out"},
	{name: "no colon", pieces: []string{okHead + "X-A\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "empty name", pieces: []string{okHead + ": a\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "value with control", pieces: []string{okHead + "X-A: a\x01b\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "value with NUL", pieces: []string{okHead + "X-A: a\x00b\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "value with CR", pieces: []string{okHead + "X-A: a\rb\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "value of Latin 1", pieces: []string{okHead + "X-A: a\xe9b\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "empty value", pieces: []string{okHead + "X-A:\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "colon name", pieces: []string{okHead + ":status: 300\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "cookies", pieces: []string{okHead + "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "hop by hop", pieces: []string{okHead + "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nTE: trailers\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "date own", pieces: []string{okHead + "Date: Mon, 01 Jan 2001 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "type and encoding", pieces: []string{okHead + "Content-Type: text/x\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "trailer with length", pieces: []string{okHead + "Trailer: X-T\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "100 header lines", pieces: []string{okHead + strings.Repeat("X-A: 1\r\n", 100) + "Content-Length: 2\r\n\r\nok"}},
	{name: "10000 header lines", pieces: []string{okHead + manyLines(10000) + "Content-Length: 2\r\n\r\nok"}, differs: "Config.MaxHeaderFields is 500"},
	{name: "header of 60K", pieces: []string{okHead + "X-A: " + strings.Repeat("x", 60<<10) + "\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "byte by byte", pieces: strings.Split(chunkedHead+"Trailer: X-T\r\nX-A: 1\r\n\r\n3\r\nok \r\n10;q\r\n0123456789abcdef\r\n0\r\nX-T: 5\r\n\r\n", "")},
	{name: "reset mid length", pieces: []string{okHead + "Content-Length: 10\r\n\r\nok"}, reset: true},
	{name: "reset mid chunks", pieces: []string{chunkedHead + "\r\n2\r\nok\r\n"}, reset: true},
	{name: "reset no length", pieces: []string{okHead + "\r\nok"}, reset: true},
	{name: "reset mid head", pieces: []string{okHead + "X-A: 1\r\n"}, reset: true},
	{name: "begun and closed", begun: true},
	{name: "begun and completed", begun: true, pieces: []string{"3\r\ning\r\n0\r\n\r\n"}},
	{name: "begun with a length and closed", begun: true, length: "10", pieces: []string{"ing"}},
	{name: "begun with a length and completed", begun: true, length: "7", pieces: []string{"ing"}},
	{name: "101 no upgrade", pieces: []string{"HTTP/1.1 101 Switching Protocols\r\n\r\nok"}, differs: "the SYN_REPLY names the protocol"},
	{name: "101 no connection", pieces: []string{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nok"}, differs: "every 101 has it"},
	{name: "101 other protocol", pieces: []string{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\nok"}},
	{name: "101 other case", pieces: []string{"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: ECHO\r\n\r\nok"}},
	{name: "101 two protocols", pieces: []string{switchHead + "Upgrade: other\r\n\r\nok"}, differs: "the first one is meant"},
	{name: "101 not ascii", pieces: []string{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: \xe9cho\r\n\r\nok"}, differs: "the SYN_REPLY names the protocol"},
	{name: "101 with a length", pieces: []string{switchHead + "Content-Length: 2\r\n\r\nokmore"}, differs: "a tunnel has no length"},
	{name: "101 in chunks", pieces: []string{switchHead + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"}},
	{name: "101 with cookies", pieces: []string{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\nUpgrade: echo\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nSec-WebSocket-Accept: abc=\r\nTrailer: X-T\r\nKeep-Alive: 5\r\n\r\nok"}},
	{name: "101 after 103", pieces: []string{"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nok"}},
	{name: "101 own reason", pieces: []string{"HTTP/1.1 101 Go Ahead\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nok"}},
	{name: "101 empty connection", pieces: []string{switchHead + "\r\n"}},
}

// manyLines are n headers.
func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-%d: 1\r\n", i)
	}
	return b.String()
}

// ServeHTTP hijacks, writes the answer or the rest of it, and closes.
func (a *written) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if a.begun {
		if a.length != "" {
			w.Header().Set("Content-Length", a.length)
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "noth")
		_ = http.NewResponseController(w).Flush()
	}
	conn, _ := hijack(w, "")
	defer conn.Close()
	for _, piece := range a.pieces {
		if _, err := io.WriteString(conn, piece); err != nil {
			return
		}
	}
	if a.reset {
		reset(conn)
	}
}

// told is what a client sees of an answer: all but what is for the next recipient only, and the
// texts of errors.
func told(res *http.Response, from io.Reader, err error) string {
	if err != nil {
		return "no answer"
	}
	if res.StatusCode == http.StatusBadGateway {
		return badGateway
	}
	connection := res.Header["Connection"]
	header := maps.Clone(res.Header)
	maps.DeleteFunc(header, func(key string, _ []string) bool {
		switch key {
		case "Connection", "Keep-Alive", "Te", "Date":
			return true
		case "Upgrade":
			return res.StatusCode != http.StatusSwitchingProtocols
		case "Trailer": // of an answer that has no chunks
			return true
		}
		return httpguts.HeaderValuesContainsToken(connection, key)
	})
	body, err := io.ReadAll(from)
	end := "whole"
	if err != nil {
		end = "cut"
	}
	return fmt.Sprintf("%d, %d bytes, %q %s, %q, trailer %q", res.StatusCode, res.ContentLength, body, end, header, res.Trailer)
}

// askHome asks a home by a RoundTripper.
func askHome(t *testing.T, rt http.RoundTripper, url string) string {
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	require.NoError(t, err)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	res, err := rt.RoundTrip(req)
	if err != nil {
		return told(nil, nil, err)
	}
	defer res.Body.Close()
	return told(res, res.Body, nil)
}

// TestWrittenAnswers: a client of SPDY sees of an answer that a handler writes as text what a
// client of HTTP/1.1 sees of it: headers, body, trailer, and whether it is whole.
func TestWrittenAnswers(t *testing.T) {
	for i := range writtenAnswers {
		a := &writtenAnswers[i]
		t.Run(a.name, func(t *testing.T) {
			plain := new(path)
			h1 := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
			want := askHome(t, h1, plain.serve(t, a).URL)
			for _, v := range bubble.Versions {
				var w watcher
				home := spdyServer(t, plain, v, a, w.watch)
				transport := &spdy.Transport{Config: &spdy.Config{Version: v, Logger: quiet}, DisableCompression: true}
				got, want := askHome(t, transport, home.URL), want
				if v == spdy.SPDY2 { // whose clients ignore trailers
					got, _, _ = strings.Cut(got, ", trailer")
					want, _, _ = strings.Cut(want, ", trailer")
				}
				switch {
				case a.differs == "":
					require.Equal(t, want, got, v)
				case v != spdy.SPDY2:
					require.NotEqual(t, want, got, v)
				}
				settles(t, "streams stay", func() bool { return w.openStreams() == 0 })
				transport.CloseIdleConnections()
			}
		})
	}
}

// seen is what a client of a front sees of an answer. What a front that finds a body cut has
// passed on of the answer depends on its buffers, and so do the headers that it adds.
func seen(t *testing.T, conn net.Conn) string {
	_, err := io.WriteString(conn, upgradeText("GET", "echo"))
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(r, &http.Request{Method: "GET"})
		if err != nil {
			return "cut"
		}
		if res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		from := io.Reader(res.Body)
		if res.StatusCode == http.StatusSwitchingProtocols {
			from = r
		}
		for _, key := range []string{"Content-Type", "Content-Length"} {
			delete(res.Header, key)
		}
		res.ContentLength = 0
		text := told(res, from, nil)
		if strings.Contains(text, "\" cut, ") {
			return "cut"
		}
		return text
	}
}

// TestWrittenForwarded: proxies in front of sessions pass such answers as a httputil.ReverseProxy
// in front of a server of HTTP/1.1 does. A ReverseProxy that is served by a session itself answers
// 502 for what is cut off early.
func TestWrittenForwarded(t *testing.T) {
	ways := slices.DeleteFunc(paths(), func(p *path) bool {
		return p.tls || p.name == "HTTP 1.1" || strings.Contains(p.name, "between sessions") || strings.HasPrefix(p.name, "spdy/2 ") || strings.HasPrefix(p.name, "spdy/3 ")
	})
	for i := range writtenAnswers {
		a := &writtenAnswers[i]
		if a.differs != "" {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			var want string
			for _, p := range ways {
				var w watcher
				conn := p.dial(t, p.front(t, p, a, w.watch))
				got := seen(t, conn)
				conn.Close()
				if p == ways[0] {
					want = got
				}
				require.Equal(t, want, got, p.name)
				settles(t, "streams stay", func() bool { return w.openStreams() == 0 })
			}
		})
	}
}
