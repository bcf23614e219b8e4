package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/amahi/spdy/internal/overlay"
)

// hookPath is the path of the package hook in the tests. It exists only in the overlay.
const hookPath = "github.com/amahi/spdy/nethttphook"

// mark begins the line logged by a test that uses the protocol under test.
const mark = "nethttp: uses "

// A subject is a package of the standard library with tests.
type subject struct {
	path  string // below GOROOT/src
	hooks string // a file added to the tests
	edits []overlay.Edit
}

// suites returns the packages whose tests run over SPDY.
func suites(goVersion string) []subject {
	return []subject{
		{"net/http", httpHooks, httpEdits(goVersion)},
		{"net/http/httptest", httptestHooks, httptestEdits},
	}
}

const httpHooks = `package http_test

import (
	"net/http"
	"testing"

	hook "` + hookPath + `"
)

var http2Mode = testMode(hook.Mode())

func hookServer(t testing.TB, s *http.Server) {
	t.Helper()
	t.Log("` + mark + `" + t.Name())
	if err := hook.ConfigureServer(s); err != nil {
		t.Fatal(err)
	}
}

func hookTransport(t testing.TB, tr *http.Transport) {
	t.Helper()
	if err := hook.ConfigureTransport(tr); err != nil {
		t.Fatal(err)
	}
}

// hookNegotiated returns the protocol of a request's connection.
func hookNegotiated(r *http.Request) string {
	if r.TLS != nil && r.TLS.NegotiatedProtocol == hook.ALPN() {
		return hook.ALPN()
	}
	return r.Proto
}

var (
	hookALPN      = hook.ALPN()
	hookProto     = hook.Proto
	hookUserAgent = hook.UserAgent()
	hookReset     = hook.Reset()
)
`

// httpEdits returns the edits of the tests of net/http. The protocol under test replaces HTTP/2
// over TLS. The tests also expect the protocol under test in the version of a message, in the
// default User-Agent, and in the error of a stream that was reset. A tls.Config shared by a
// transport and the test's own dial function has to offer the protocol: unlike x/net/http2,
// ConfigureTransport changes a copy of the tls.Config.
func httpEdits(goVersion string) []overlay.Edit {
	const (
		shared = "net/http/clientserver_test.go"
		dial   = "net/http/transport_dial_test.go"
	)
	edits := []overlay.Edit{
		{File: shared, Old: "	http2Mode            = testMode(\"h2\")            // HTTP/2\n"},
		{File: shared, Old: "got.proto = r.Proto\n", New: "got.proto = hookNegotiated(r)\n"},
		{File: shared, Old: "wantProto = \"HTTP/2.0\"\n", New: "wantProto = hookALPN\n"},
		{File: shared, Old: "if res.Proto == wantProto ||", New: "if res.Proto == hookProto(wantProto) ||"},
		{File: dial, Old: "if got, want := rt.res.Proto, wantProto;", New: "if got, want := rt.res.Proto, hookProto(wantProto);"},
		{File: shared, Old: "`[\"Go-http-client/2.0\"]`", New: "hookUserAgent"},
		{File: "net/http/serve_test.go", Old: "\"stream ID 3; INTERNAL_ERROR\"", New: "hookReset"},
		{File: dial, Old: "NextProtos:         []string{\"h2\", ", New: "NextProtos:         []string{hookALPN, "},
	}
	if strings.HasPrefix(goVersion, "go1.26") {
		return append(edits,
			overlay.Edit{File: shared, Old: "	case http2Mode:\n		ExportHttp2ConfigureServer(cst.ts.Config, nil)\n",
				New: "	case http2Mode:\n		hookServer(t, cst.ts.Config)\n"},
			overlay.Edit{File: shared, Old: "	if mode == http2Mode || mode == http2UnencryptedMode {\n		if err :=",
				New: "	if mode == http2Mode {\n		hookTransport(t, cst.tr)\n	} else if mode == http2UnencryptedMode {\n		if err :="},
			overlay.Edit{File: shared, Old: "	if err := ExportHttp2ConfigureTransport(tr); err != nil {\n		t.Fatal(err)\n	}\n",
				New: "	hookTransport(t, tr)\n	tlsConfig = tr.TLSClientConfig\n"},
		)
	}
	return append(edits,
		overlay.Edit{File: shared, Old: "		p.SetHTTP2(true)\n		cst.ts.EnableHTTP2 = true\n",
			New: "		if hookALPN == \"h2\" {\n			p.SetHTTP2(true)\n			cst.ts.EnableHTTP2 = true\n		}\n		hookServer(t, cst.ts.Config)\n"},
		overlay.Edit{File: shared, Old: "	for _, f := range transportFuncs {\n",
			New: "	if mode == http2Mode {\n		hookTransport(t, cst.tr)\n	}\n	for _, f := range transportFuncs {\n"},
		overlay.Edit{File: shared, Old: "	tr.Protocols.SetHTTP2(true)\n	defer tr.CloseIdleConnections()\n",
			New: "	tr.Protocols.SetHTTP2(true)\n	hookTransport(t, tr)\n	tlsConfig = tr.TLSClientConfig\n	defer tr.CloseIdleConnections()\n"},
	)
}

const httptestHooks = `package httptest

import (
	"net/http"
	"testing"

	hook "` + hookPath + `"
)

var hookProto = hook.Proto

// hookStart starts a server for the protocol under test.
func hookStart(t *testing.T, s *Server) {
	t.Helper()
	t.Log("` + mark + `" + t.Name())
	if err := hook.ConfigureServer(s.Config); err != nil {
		t.Fatal(err)
	}
	s.TLS = s.Config.TLSConfig
	s.StartTLS()
	if err := hook.ConfigureTransport(s.Client().Transport.(*http.Transport)); err != nil {
		t.Fatal(err)
	}
}
`

var httptestEdits = []overlay.Edit{
	{File: "net/http/httptest/server_test.go", All: true,
		Old: "				cst.EnableHTTP2 = true\n				cst.StartTLS()\n", New: "				hookStart(t, cst)\n"},
	{File: "net/http/httptest/server_test.go",
		Old: "res.Header.Get(\"X-Proto\"), tt.wantProto;", New: "res.Header.Get(\"X-Proto\"), hookProto(tt.wantProto);"},
}

// writeOverlay writes the overlay for the tests of a suite into dir, and returns its name.
func (s subject) writeOverlay(dir, goroot, module string) (string, error) {
	src := filepath.Join(goroot, "src")
	texts, err := overlay.Apply(src, s.edits)
	if err != nil {
		return "", fmt.Errorf("the tests of this Go are not those the harness knows: %w", err)
	}
	hooks, err := os.ReadFile(filepath.Join(module, "internal", "nethttp", "suite", "hook", "hook.go"))
	if err != nil {
		return "", err
	}
	texts[filepath.Join(module, filepath.Base(hookPath), "hook.go")] = string(hooks)
	texts[s.path+"/nethttp_hook_test.go"] = s.hooks
	return overlay.Write(dir, src, texts)
}
