package main

import (
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/examples/internal/exampletest"
	"github.com/amahi/spdy/internal/localcert"
)

func start(t *testing.T, args ...string) *exampletest.Program {
	t.Helper()
	return exampletest.Start(t, func(ctx context.Context, out io.Writer) error { return run(ctx, args, out) })
}

// fetch is what curl -r does.
func fetch(t *testing.T, url, byteRange string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	if byteRange != "" {
		req.Header.Set("Range", "bytes="+byteRange)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(all)
}

func directory(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.txt"), []byte("0123456789"), 0o600))
	return dir
}

func TestDemo(t *testing.T) {
	p := start(t, "-listen", "127.0.0.1:0", "-dir", directory(t))
	public := p.Find(`HTTP clients on (\S+)`)
	p.Find("tunnel to .* is up")
	status, body := fetch(t, "http://"+public+"/home/a.txt", "3-5")
	require.Equal(t, http.StatusPartialContent, status)
	require.Equal(t, "345", body)
	require.Contains(t, p.Output(), "curl http://"+public+"/home/")
}

func TestProxyAndOrigin(t *testing.T) {
	cert, _, err := localcert.New()
	require.NoError(t, err)
	certFile, keyFile, err := localcert.WritePEM(t.TempDir(), cert)
	require.NoError(t, err)
	for name, tt := range map[string]struct{ proxy, origin []string }{
		"TLS":   {[]string{"-cert", certFile, "-key", keyFile}, []string{"-cafile", certFile}},
		"plain": {nil, []string{"-plain"}},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := start(t, append([]string{
				"proxy", "-listen", "127.0.0.1:0", "-tunnels", "127.0.0.1:0", "-status", "127.0.0.1:0", "-origin", "home=secret",
			}, tt.proxy...)...)
			public, status := proxy.Find(`HTTP clients on (\S+)`), proxy.Find(`/status on (\S+)`)
			code, _ := fetch(t, "http://"+public+"/home/", "")
			require.Equal(t, http.StatusServiceUnavailable, code)

			t.Setenv("RELAY_TOKEN", "secret")
			origin := start(t, append([]string{
				"origin", "-proxy", proxy.Find(`origins on (\S+)`), "-dir", directory(t),
			}, tt.origin...)...)
			proxy.Find("home: tunnel 1 from .* is up")
			code, body := fetch(t, "http://"+public+"/home/a.txt", "")
			require.Equal(t, http.StatusOK, code)
			require.Equal(t, "0123456789", body)
			_, body = fetch(t, "http://"+status+"/status", "")
			require.Regexp(t, `home +1 +in use`, body)

			require.NoError(t, origin.Stop())
			proxy.Find("home: tunnel 1 from .* has ended")
			require.NoError(t, proxy.Stop())
			require.Contains(t, proxy.Output(), "closing")
		})
	}
}

func TestOriginWithWrongToken(t *testing.T) {
	proxy := start(t, "proxy", "-listen", "127.0.0.1:0", "-tunnels", "127.0.0.1:0", "-status", "", "-origin", "home=secret")
	err := run(t.Context(), []string{"origin", "-plain", "-token", "guess", "-proxy", proxy.Find(`origins on (\S+)`)}, io.Discard)
	require.ErrorContains(t, err, "401 Unauthorized")
}

func TestMistakes(t *testing.T) {
	t.Setenv("RELAY_TOKEN", "")
	file := filepath.Join(t.TempDir(), "origins")
	require.NoError(t, os.WriteFile(file, []byte("# ours\nhome=a\n\nBad Name=b\n"), 0o600))
	for args, want := range map[string]string{
		"serve":                                `no command "serve"`,
		"proxy":                                "no origin may connect",
		"proxy -origin home":                   "want name=token",
		"proxy -origins " + file:               "line 4",
		"proxy -origins /no/such":              "no such file",
		"-dir . more":                          `unexpected argument "more"`,
		"origin":                               "no token",
		"origin -token x -cafile /no/such":     "no such file",
		"proxy -origin a=b -reconnect perhaps": `"perhaps" is none of`,
		"proxy -origin a=b -cert /no/such":     "no such file",
		"proxy -origin a=b -listen 127.0.0.1:nowhere -tunnels [::]:nope": "nowhere",
	} {
		require.ErrorContains(t, run(t.Context(), strings.Fields(args), io.Discard), want, args)
	}
	var out strings.Builder
	require.ErrorIs(t, run(t.Context(), []string{"origin", "-h"}, &out), flag.ErrHelp)
	require.Contains(t, out.String(), "-cafile")
}
