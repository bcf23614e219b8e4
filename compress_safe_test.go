package spdy

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const testSecret = "31d4d96e407aad42c18b2f0e6d7a9b35"

// guesses returns guesses of testSecret with ever longer right prefixes, all of
// the same length.
func guesses() []string {
	wrong := strings.Map(func(r rune) rune {
		if r == 'f' {
			return '0'
		}
		return r + 1
	}, testSecret)
	wrong = strings.ReplaceAll(wrong, ":", "a")
	var all []string
	for n := 0; n <= len(testSecret); n++ {
		all = append(all, testSecret[:n]+wrong[n:])
	}
	return all
}

// oracle returns the size of the last block of a session in which the victim's
// requests carry the secret and an attacker chooses what comes of guess.
type oracle func(c *headerCompressor, guess string) int

// sendWith has c compress a request with the given fields and returns the size of
// the block.
func sendWith(c *headerCompressor, fields ...HeaderField) int {
	h := append(HeaderBlock{{":method", "GET"}, {":host", "www.example.com"}}, fields...)
	return len(c.appendBlock(nil, headerBytes(c.version, append(h, HeaderField{"user-agent", "Mozilla/5.0 (X11)"}))))
}

func oracles(v Version) map[string]oracle {
	path, cookie := ":path", "sid="+testSecret+"; theme=dark"
	if v == SPDY2 {
		path = "url"
	}
	send := sendWith
	return map[string]oracle{
		"path before the cookie": func(c *headerCompressor, guess string) int {
			return send(c, HeaderField{path, "/?sid=" + guess}, HeaderField{"cookie", cookie})
		},
		"path after the cookie": func(c *headerCompressor, guess string) int {
			return send(c, HeaderField{"cookie", cookie}, HeaderField{path, "/?sid=" + guess})
		},
		"cookie in the block before": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{path, "/"}, HeaderField{"cookie", cookie})
			return send(c, HeaderField{path, "/?sid=" + guess})
		},
		"cookie in the block after": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{path, "/?sid=" + guess})
			return send(c, HeaderField{path, "/"}, HeaderField{"cookie", cookie})
		},
		"guess of the whole value": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{"authorization", testSecret})
			return send(c, HeaderField{path, guess})
		},
		"guess in the same header": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{"authorization", testSecret})
			return send(c, HeaderField{"authorization", guess})
		},
		"guess in an unknown header": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{"x-csrf-token", testSecret})
			return send(c, HeaderField{"x-reflected", guess})
		},
		"guess in a public header": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{"cookie", cookie})
			return send(c, HeaderField{"content-type", "sid=" + guess})
		},
		"secret in the path": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{path, "/reset?token=" + testSecret})
			return send(c, HeaderField{"referer", "https://www.example.com/reset?token=" + guess})
		},
		"referer of the same page": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{path, testSecret})
			return send(c, HeaderField{"referer", guess})
		},
		"path of the same page": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{"referer", testSecret})
			return send(c, HeaderField{path, guess})
		},
		"cookie in the referer": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{"cookie", "sid=" + testSecret})
			return send(c, HeaderField{"referer", "sid=" + guess})
		},
		"referer in the cookie": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{"referer", testSecret + "; "})
			return send(c, HeaderField{"cookie", guess + "; theme=light"})
		},
		"referer before the cookie": func(c *headerCompressor, guess string) int {
			return send(c, HeaderField{"referer", guess}, HeaderField{"cookie", testSecret})
		},
		"cookie that was set": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{"set-cookie", testSecret})
			return send(c, HeaderField{"cookie", guess})
		},
		"cookie in an unknown header": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{"cookie", testSecret})
			return send(c, HeaderField{"x-reflected", guess})
		},
		"authorization in the cookie": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{"authorization", testSecret})
			return send(c, HeaderField{"cookie", guess})
		},
		"response": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{"set-cookie", cookie})
			return send(c, HeaderField{"location", "/?sid=" + guess})
		},
		"host of another request": func(c *headerCompressor, guess string) int {
			send(c, HeaderField{"host", testSecret + ".example.net"})
			return send(c, HeaderField{"host", guess + ".example.net"})
		},
	}
}

// The CRIME oracle: how long a block is tells an attacker nothing about his
// guess, whether it is wrong, begins well or is right.
func TestNoLengthOracle(t *testing.T) {
	for _, v := range []Version{SPDY2, SPDY31} {
		for name, ask := range oracles(v) {
			sizes := func(p CompressionPolicy) map[int]bool {
				sizes := make(map[int]bool)
				for _, guess := range guesses() {
					c := newHeaderCompressor(v, p)
					for range 3 { // a warm context
						c.appendBlock(nil, headerBytes(v, requestFor("/", "theme=dark")))
					}
					sizes[ask(c, guess)] = true
				}
				return sizes
			}
			assert.Len(t, sizes(CompressSafe), 1, "%s: safe, %s", v, name)
			assert.Len(t, sizes(CompressNone), 1, "%s: none, %s", v, name)
			assert.Greater(t, len(sizes(CompressFull)), 5, "%s: full, %s: the test can tell", v, name)
		}
	}
}

// Cookies and referers may be equal as a whole, which can be told from the length
// of a block. A guess that is right but for one letter is like any other.
func TestWholeValueOracle(t *testing.T) {
	for name, ask := range map[string]oracle{
		"referer": func(c *headerCompressor, guess string) int {
			sendWith(c, HeaderField{"referer", "https://www.example.com/reset?token=" + testSecret})
			return sendWith(c, HeaderField{"referer", "https://www.example.com/reset?token=" + guess})
		},
		"only cookie": func(c *headerCompressor, guess string) int {
			sendWith(c, HeaderField{"cookie", "sid=" + testSecret})
			return sendWith(c, HeaderField{"cookie", "sid=" + guess})
		},
		"first cookie": func(c *headerCompressor, guess string) int {
			sendWith(c, HeaderField{"cookie", "sid=" + testSecret + "; _ga=GA1.2.1720398241.1395048413"})
			return sendWith(c, HeaderField{"cookie", "sid=" + guess + "; _ga=GA1.2.1720398241.0123456789"})
		},
		"last cookie": func(c *headerCompressor, guess string) int {
			sendWith(c, HeaderField{"cookie", "_ga=GA1.2.1720398241.1395048413; sid=" + testSecret})
			return sendWith(c, HeaderField{"cookie", "_ga=GA1.2.1720398241.1395048413; sid=" + guess})
		},
		"cookie of the attacker in the same header": func(c *headerCompressor, guess string) int {
			return sendWith(c, HeaderField{"cookie", "sid=" + guess + "; sid=" + testSecret + "; "})
		},
	} {
		sizes := make(map[int]bool)
		all := guesses()
		for _, guess := range all[:len(all)-1] {
			sizes[ask(newHeaderCompressor(SPDY31, CompressSafe), guess)] = true
		}
		require.Len(t, sizes, 1, name)
		whole := ask(newHeaderCompressor(SPDY31, CompressSafe), testSecret)
		require.False(t, sizes[whole], "%s: the test can tell", name)
	}
}

// A short cookie could be found by trying all its values. It tells nothing, not
// even by a guess that is right, unless its neighbours are right as well.
func TestShortCookieOracle(t *testing.T) {
	for _, victim := range []string{
		"pin=1234", "pin=1234; theme=light", "theme=light; pin=1234", "sid=" + testSecret + "; pin=1234",
		"pin=1234; sid=" + testSecret, "sid=" + testSecret + "; pin=1234; _ga=GA1.2.1720398241.1395048413",
	} {
		for _, attack := range []string{"pin=%s", "pin=%s; ", "a=b; pin=%s", "pin=%s; a=b", "_ga=GA1.2.1720398241.1395048413; pin=%s"} {
			ask := func(guess string) int {
				c := newHeaderCompressor(SPDY31, CompressSafe)
				sendWith(c, HeaderField{"cookie", victim})
				return sendWith(c, HeaderField{"cookie", fmt.Sprintf(attack, guess)})
			}
			require.Equal(t, ask("0000"), ask("1234"), "%s in %s", attack, victim)
		}
	}
}

// What stands next to one another in a cookie header is matched with it only if it
// is long enough to stand alone.
func TestCookieUnits(t *testing.T) {
	for cookie, want := range map[string][]string{
		"":                                    nil,
		"a=1":                                 {"a=1"},
		"a=1; b=2; c=3":                       {"a=1; b=2; c=3"},
		"sid=0123456789abcde":                 {"sid=0123456789abcde"},
		"sid=0123456789abcd; b=0123456789abc": {"sid=0123456789abcd; b=0123456789abc"},
		"sid=0123456789abcd; sid=0123456789abcdef; a=1":      {"sid=0123456789abcd; ", "sid=0123456789abcdef; a=1"},
		"a=1; b=2; sid=0123456789abcdef; id=0123456789abcde": {"a=1; b=2; sid=0123456789abcdef; id=0123456789abcde"},
		"a;b; ; ;; \x00c=0123456789abcdef":                   {"a;b; ; ;; \x00c=0123456789abcdef"},
	} {
		var units []string
		for rest := []byte(cookie); len(rest) > 0; {
			n := cookieUnit(rest)
			units = append(units, string(rest[:n]))
			rest = rest[n:]
		}
		assert.Equal(t, want, units, cookie)
	}
}

// Of the values that are matched as a whole copies are kept, but not many.
func TestSafeKeepsFewSecrets(t *testing.T) {
	compressors := make([]*headerCompressor, 50)
	growth := heapGrowth(func() {
		for i := range compressors {
			c := newHeaderCompressor(SPDY31, CompressSafe)
			for j := range 200 {
				secret := fmt.Sprintf("%0500d", j)
				c.appendBlock(nil, headerBytes(SPDY31, HeaderBlock{{"cookie", secret}, {"referer", secret}, {":path", secret}}))
			}
			compressors[i] = c
		}
	})
	runtime.KeepAlive(compressors)
	assert.LessOrEqual(t, growth/len(compressors), (8+2+4)<<10+1024, "window, tables, copies")
}

// What is not public must leave no trace in later blocks: not in their length,
// nor in any byte of them.
func TestSecretsDoNotChangeOtherBlocks(t *testing.T) {
	blocks := func(secret string) []string {
		c := newHeaderCompressor(SPDY31, CompressSafe)
		var all []string
		for i := range 50 {
			h := requestFor("/"+secret, secret+secret)
			h = append(h, HeaderField{"x-" + fmt.Sprint(i%7), secret}, HeaderField{"accept", "text/html"})
			block := string(c.appendBlock(nil, headerBytes(SPDY31, h)))
			all = append(all, strings.ReplaceAll(block, secret, ""))
			all = append(all, string(c.appendBlock(nil, headerBytes(SPDY31, HeaderBlock{{"server", "nginx"}, {"vary", "text/html"}}))))
		}
		return all
	}
	one, other := blocks(testSecret), blocks("text/html,nginx;;;Mozilla/5.0 X1")
	for i := range one {
		require.Len(t, other[i], len(one[i]), "block %d", i)
		if i%2 == 1 {
			require.Equal(t, one[i], other[i], "block %d", i)
		}
	}
}

// Headers that carry secrets, or what an attacker chooses, are never public.
func TestPublicHeaders(t *testing.T) {
	for _, name := range []string{
		":path", "url", "cookie", "cookie2", "set-cookie", "set-cookie2", "authorization", "proxy-authorization",
		"www-authenticate", "proxy-authenticate", "authentication-info", "referer", "origin", "location",
		"content-location", "link", "refresh", "etag", "if-match", "if-none-match", "if-modified-since", "last-modified",
		"range", "content-range", "content-length", "content-disposition", "content-security-policy",
		"access-control-allow-origin", "x-csrf-token", "x-api-key", "x-request-id", "x-forwarded-for", "forwarded", "via",
		"from", "date2", "", "USER-AGENT", "sec-websocket-key", "streamtype", "port",
	} {
		c := newHeaderCompressor(SPDY31, CompressSafe)
		assert.False(t, c.isPublic([]byte(name), []byte("v")), name)
	}
	for _, name := range []string{":method", "status", "user-agent", "accept-language", "server", "vary", ":host"} {
		c := newHeaderCompressor(SPDY31, CompressSafe)
		assert.True(t, c.isPublic([]byte(name), []byte("v")), name)
	}
}

// Only the first host of a session is public.
func TestOtherHostsAreNotPublic(t *testing.T) {
	c := newHeaderCompressor(SPDY31, CompressSafe)
	host := []byte(":host")
	assert.True(t, c.isPublic(host, []byte("a.example")))
	assert.False(t, c.isPublic(host, []byte("a.exampl")))
	assert.False(t, c.isPublic(host, []byte("b.example")))
	assert.False(t, c.isPublic(host, []byte("b.example")))
	assert.True(t, c.isPublic(host, []byte("a.example")))
	c = newHeaderCompressor(SPDY31, CompressSafe)
	assert.True(t, c.isPublic(host, nil))
	assert.False(t, c.isPublic(host, []byte("a.example")), "the first host was empty")
}

// A block that is not a name/value block is not matched from where it goes wrong.
func TestSafeMasksMalformedBlocks(t *testing.T) {
	tail := "\x00\x00\x00\x10accept: " + testSecret // declares more than there is
	for _, nv := range []string{
		"", "\x00", "\x00\x00\x00", // no count
		"\x00\x00\x00\x01\x00\x00",                              // no name
		"\x00\x00\x00\x01\xff\xff\xff\xff" + tail,               // name too long
		"\x00\x00\x00\x01\x00\x00\x00\x06accept" + tail[:3],     // no value length
		"\x00\x00\x00\x01\x00\x00\x00\x06accept\x7f" + tail,     // value too long
		"\x00\x00\x00\x01\x00\x00\x00\x06accept\xff" + tail,     // value far too long
		"\x00\x00\x00\x00\x00\x00\x00\x06accept\x00\x00" + tail, // another too long
	} {
		c, peer := newHeaderCompressor(SPDY31, CompressSafe), newZlibStream(SPDY31)
		for range 2 {
			block := c.appendBlock(nil, []byte(nv))
			require.Equal(t, nv, string(peer.read(t, block, len(nv))))
		}
		if strings.Contains(nv, testSecret) {
			block := c.appendBlock(nil, []byte(nv))
			require.Greater(t, len(block), len(testSecret), "%q is matched", nv)
		}
	}
}
