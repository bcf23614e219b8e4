package spdy

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"
)

// TestHostsAreSentInASCII: what goes out as :host, by the host that the user names.
func TestHostsAreSentInASCII(t *testing.T) {
	const refused = ""
	for host, want := range map[string]string{
		"example.com":            "example.com",
		"Example.COM:80":         "Example.COM:80", // ASCII is left alone, as in net/http
		"under_score.example":    "under_score.example",
		"127.0.0.1:8080":         "127.0.0.1:8080",
		"[::1]":                  "[::1]",
		"[fe80::1%eth0]:80":      "[fe80::1]:80",
		"[fe80::1%25eth0]":       "[fe80::1]",
		"[fe80::1%ä]:80":         "[fe80::1]:80",
		"xn--bcher-kva.example":  "xn--bcher-kva.example",
		"bücher.example":         "xn--bcher-kva.example",
		"bücher.example:8443":    "xn--bcher-kva.example:8443",
		"bücher.example:":        "xn--bcher-kva.example",
		"BÜCHER.Example":         "xn--bcher-kva.example",
		"bu\u0308cher.example":   "xn--bcher-kva.example", // u and a combining diaeresis
		"ｂücher。ｅxample":         "xn--bcher-kva.example", // full-width letters and an ideographic dot
		"straße.example":         "xn--strae-oqa.example",
		"例え.テスト":                 "xn--r8jz45g.xn--zckzah",
		"пример.испытание:443":   "xn--e1afmkfd.xn--80akhbyknj4f:443",
		"fa\u00adss.example":     "fass.example", // a soft hyphen is nothing
		"☕.example":              "xn--53h.example",
		"bü cher.example":        refused,
		"bü_cher.example":        refused,
		"bücher.example/x":       refused,
		"bücher.example@evil":    refused,
		"ｅｖｉｌ／path.example":      refused, // a full-width slash is one
		"evil＠example.com":       refused,
		"℀.example":              refused, // a/c
		"a\u200db.example":       refused, // a joiner where there is nothing to join
		"אa.example":             refused, // mixed directions
		"xn--a.bücher.example":   refused, // no Punycode
		"bücher.example:8\u0660": refused, // an Arabic digit in the port
		"\u00a0":                 refused,
		"\xff.example":           refused,
		"bücher\n.example":       refused,
		"[::1\u00a0]":            refused,
		"exa mple.com":           refused,
		"example.com\r\nX: y":    refused,
		"example.com/path":       refused,
		"user@example.com":       refused,
		strings.Repeat("ü", 300): strings.Repeat("ü", 300), // see below
	} {
		req := &http.Request{URL: &url.URL{Scheme: "http", Path: "/"}, Host: host}
		got, err := outgoingHost(req, &requestOptions{})
		if len(host) > 500 { // the resolver's business
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(got, "xn--"))
			continue
		}
		if want == refused {
			var invalid *messageError
			require.ErrorAs(t, err, &invalid, "%q became %q", host, got)
			require.NotContains(t, err.Error(), "\n")
			continue
		}
		require.NoError(t, err, "%q", host)
		require.Equal(t, want, got, "%q", host)
		require.True(t, httpguts.ValidHostHeader(got))
		req.Host, req.URL.Host = "", host
		again, err := outgoingHost(req, &requestOptions{})
		require.NoError(t, err)
		require.Equal(t, want, again, "the host of the URL")
	}
}

// FuzzHost: whatever host is named, what goes out is ASCII, valid, and one host.
func FuzzHost(f *testing.F) {
	for _, host := range []string{"example.com:80", "bücher.example", "[fe80::1%ä]:80", "ｅ／.x", "[", "[]", "%", "[%]"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		req := &http.Request{URL: &url.URL{Scheme: "http", Path: "/"}, Host: host}
		got, err := outgoingHost(req, &requestOptions{})
		if err != nil {
			return
		}
		require.True(t, isASCII(got), "%q", got)
		require.True(t, httpguts.ValidHostHeader(got), "%q", got)
		require.NotContains(t, got, "/")
		require.NotContains(t, got, "@")
	})
}
