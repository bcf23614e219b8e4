package strangers_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/tests/strangers"
)

const page = "../../docs/attacks.md"

// knownOfHTTP2 are the deeds from which x/net/http2 does not protect other users. The table
// shows the figures.
var knownOfHTTP2 = strangers.Known{"x/net/http2": {
	"makes the handler answer before it has read":      "the connection's window again, which unread uploads fill",
	"hangs up in the middle of an upload":              "the connection's window of 1 MiB is less than the link carries",
	"uploads to a handler that never reads":            "the connection's window is 1 MiB, as much as one stream may fill",
	"reads, or is read, one byte a second":             "the same window",
	"makes the handler answer with a header of 12 MiB": "the frames of a header hold up all others",
	"all of them together":                             "all of the above",
}}

// No deed of strangers affects the honest users of the same session.
func TestStrangers(t *testing.T) {
	strangers.Run(t, page, strangers.Ways(), knownOfHTTP2)
}

// The page has a row for every deed and a table for every way, and knownOfHTTP2 names deeds.
func TestPageIsComplete(t *testing.T) {
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	names := make(map[string]bool)
	for _, deed := range strangers.Deeds() {
		require.Contains(t, string(text), "\n| "+deed.Name+" |")
		names[deed.Name] = true
	}
	for _, way := range strangers.Ways() {
		begin, end := strangers.Markers(way.Name)
		require.Contains(t, string(text), begin)
		require.Contains(t, string(text), end)
	}
	for _, deeds := range knownOfHTTP2 {
		for name := range deeds {
			require.True(t, names[name], name)
		}
	}
}
