package spdy

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPriorityFor(t *testing.T) {
	for path, want := range map[string]uint8{
		"": 0, "/": 0, "/a": 0, "/a.b/": 0, "/a.b/c": 0, "/index.html": 0, "/INDEX.HTM": 0, "/a.php": 0, "/a.": 0,
		"/a.css": 1, "/a.min.css": 1, "/a.js": 2, "/a.wasm": 2, "/manifest.webmanifest": 2, "/api.json": 2,
		"/f.woff2": 3, "/f.ttf": 3,
		"/a.png": 4, "/a.JPEG": 4, "/favicon.ico": 4, "/a.svg": 4, "/a.unknown": 4, "/a.averylongextension": 4, "/.hidden": 4,
		"/a.mp4": 5, "/live.m3u8": 5, "/a.mp3": 5, "/a.pdf": 6, "/a.csv": 6, "/a.zip": 7, "/a.tar.gz": 7, "/a.iso": 7, "/a.exe": 7,
	} {
		assert.Equal(t, want, PriorityFor(&url.URL{Path: path}), path)
	}
	assert.Equal(t, uint8(4), PriorityFor(nil))
	assert.Equal(t, uint8(1), PriorityFor(mustURL("https://h.zip/a.css?x=y.iso#z.mp4")), "only the path counts")
}

// The order the API promises.
func TestPriorityOrder(t *testing.T) {
	last := -1
	for _, path := range []string{"/index.html", "/a.css", "/a.js", "/a.woff", "/a.png", "/a.mp4", "/a.zip"} {
		p := int(PriorityFor(&url.URL{Path: path}))
		assert.Greater(t, p, last, path)
		last = p
	}
	assert.Equal(t, 7, last)
}

func TestPriorityForAllocations(t *testing.T) {
	u := mustURL("https://h/a/b/c.HTML")
	assert.Zero(t, testing.AllocsPerRun(100, func() { PriorityFor(u) }))
}
