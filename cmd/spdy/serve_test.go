package main

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/amahi/spdy/internal/localcert"
	"github.com/stretchr/testify/require"
)

// tree makes a directory to serve, and returns it with something outside of it that
// must not be.
func tree(t testing.TB) string {
	t.Helper()
	base := t.TempDir()
	dir := filepath.Join(base, "public")
	for name, content := range map[string]string{
		"public/a.txt":            "hello\n",
		"public/sub/b c.txt":      "deep\n",
		"public/.secret":          "hidden\n",
		"public/.git/config":      "hidden\n",
		"public/sub/.git/objects": "hidden\n",
		"outside.txt":             "hidden\n",
	} {
		path := filepath.Join(base, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	for link, target := range map[string]string{
		"in": "a.txt", "indir": "sub", "out": "../outside.txt", "outdir": "..", "absolute": filepath.Join(base, "outside.txt"),
		"dangling": "nowhere", "indirect": "sub/.git",
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	makePipe(t, filepath.Join(dir, "fifo"))
	return dir
}

// serve runs the command and returns it with the first URL that it prints.
func serve(t testing.TB, args ...string) (*running, string) {
	t.Helper()
	r := start(t, strings.NewReader(""), append([]string{"serve", "-addr", "127.0.0.1:0"}, args...)...)
	text := r.stdout.await(t, "/\n")
	url := regexp.MustCompile(`https?://\S+/`).FindString(text)
	require.NotEmpty(t, url, text)
	return r, url
}

// stop interrupts a server and wants it to end in good order.
func (r *running) stop(t testing.TB) {
	t.Helper()
	r.interrupt()
	require.Equal(t, exitOK, r.wait(t), r.stderr)
	require.Empty(t, r.stderr.String())
}

// TestServe serves SPDY in each dialect and HTTP/1.1 from one port.
func TestServe(t *testing.T) {
	r, url := serve(t, tree(t))
	for _, v := range dialects {
		require.Equal(t, result{exitOK, "hello\n", ""}, tool(t, "", "get", "-version", v.String(), url+"a.txt"))
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	res, err := client.Get(url + "sub/b%20c.txt")
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, "deep\n", string(body))
	require.Equal(t, result{exitOK, "ell", ""}, tool(t, "", "get", "-range", "1-3", url+"a.txt"))

	log := r.stdout.await(t, " 206 ")
	require.Len(t, regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT\S+ 127\.0\.0\.1:\d+ spdy GET /a\.txt 200 6 \S+s$`).FindAllString(log, -1), 3, log)
	require.Regexp(t, `(?m)^\S+ 127\.0\.0\.1:\d+ http/1\.1 GET /sub/b%20c\.txt 200 5 \S+s$`, log)
	client.CloseIdleConnections()
	r.stop(t)
}

// TestServeHides serves nothing that begins with a dot, leads out of the directory
// or is no file, and does not list it.
func TestServeHides(t *testing.T) {
	dir := tree(t)
	r, url := serve(t, dir)
	for _, path := range []string{
		".secret", ".git/config", "sub/.git/objects", "sub/.git/", "indirect/../.secret", "out", "outdir/", "outdir/outside.txt",
		"absolute", "dangling", "fifo", "%2e%2e/outside.txt", "..%2foutside.txt", "sub/..%2f..%2foutside.txt", "%2esecret", "a.txt%00",
	} {
		got := tool(t, "", "get", url+path)
		require.Equal(t, exitFailure, got.code, path)
		require.Contains(t, got.stderr, "404 Not Found", path)
		require.NotContains(t, got.stdout, "hidden", path)
	}
	list := tool(t, "", "get", url)
	require.Equal(t, exitOK, list.code)
	links := regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(list.stdout, -1)
	var names []string
	for _, l := range links {
		names = append(names, l[1])
	}
	require.Equal(t, []string{"a.txt", "in", "indir/", "indirect/", "sub/"}, names)
	require.Equal(t, "hello\n", tool(t, "", "get", url+"in").stdout)
	require.NotContains(t, tool(t, "", "get", url+"sub/").stdout, ".git")
	r.stop(t)

	r, url = serve(t, "-all", dir)
	require.Equal(t, result{exitOK, "hidden\n", ""}, tool(t, "", "get", url+".git/config"))
	require.Contains(t, tool(t, "", "get", url).stdout, `href=".secret"`)
	require.Equal(t, exitFailure, tool(t, "", "get", url+"out").code)
	r.stop(t)
}

// TestServeTLS serves with a certificate of its own making, which it describes, and
// with a given one.
func TestServeTLS(t *testing.T) {
	dir := tree(t)
	r, url := serve(t, "-tls", dir)
	require.Contains(t, r.stdout.await(t, "SHA-256"), "made up for this run")
	require.Equal(t, result{exitOK, "hello\n", ""}, tool(t, "", "get", "-k", url+"a.txt"))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	res, err := client.Get(url + "a.txt")
	require.NoError(t, err)
	res.Body.Close()
	client.CloseIdleConnections()
	log := r.stdout.await(t, " http/1.1 GET /a.txt 200 ")
	require.Contains(t, log, " spdy/3.1 GET /a.txt 200 ")
	r.stop(t)

	cert, _, err := localcert.New()
	require.NoError(t, err)
	certFile, keyFile, err := localcert.WritePEM(t.TempDir(), cert)
	require.NoError(t, err)
	r, url = serve(t, "-tls", "-cert", certFile, "-key", keyFile, dir)
	require.Equal(t, result{exitOK, "hello\n", ""}, tool(t, "", "get", "-cacert", certFile, url+"a.txt"))
	require.NotContains(t, r.stdout.String(), "made up")
	r.stop(t)
}

// TestServeSPDYOnly turns HTTP/1.1 away.
func TestServeSPDYOnly(t *testing.T) {
	dir := tree(t)
	r, url := serve(t, "-http1=false", dir)
	require.Equal(t, result{exitOK, "hello\n", ""}, tool(t, "", "get", url+"a.txt"))
	res, err := http.Get(url + "a.txt")
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, http.StatusHTTPVersionNotSupported, res.StatusCode)
	require.Equal(t, "This server speaks SPDY only.\n", string(body))
	require.Contains(t, r.stdout.await(t, " http/1.1 "), " 505 ")
	r.stop(t)

	r, url = serve(t, "-http1=false", "-tls", dir)
	require.Equal(t, result{exitOK, "hello\n", ""}, tool(t, "", "get", "-k", url+"a.txt"))
	conf := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}
	_, err = tls.Dial("tcp", strings.Trim(strings.TrimPrefix(url, "https:"), "/"), conf)
	require.ErrorContains(t, err, "no application protocol")
	require.Contains(t, r.stderr.await(t, "\n"), "client requested unsupported application protocols", "as net/http logs it")
	r.interrupt()
	require.Equal(t, exitOK, r.wait(t))
}

// TestServeGraceful lets an answer under way finish: the client has read nothing of
// it when the server is told to stop.
func TestServeGraceful(t *testing.T) {
	dir := t.TempDir()
	content := strings.Repeat("0123456789abcdef", 1<<18)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "large"), []byte(content), 0o644))
	r, url := serve(t, dir)
	pipe, out := io.Pipe()
	fetched := make(chan int, 1)
	go func() {
		code := run(t.Context(), []string{"get", url + "large"}, strings.NewReader(""), out, io.Discard)
		out.Close()
		fetched <- code
	}()
	first := make([]byte, 16)
	_, err := io.ReadFull(pipe, first)
	require.NoError(t, err)
	r.interrupt()
	rest, err := io.ReadAll(pipe)
	require.NoError(t, err)
	require.Equal(t, len(content), len(first)+len(rest))
	require.Equal(t, exitOK, <-fetched)
	require.Equal(t, exitOK, r.wait(t))
	require.Contains(t, r.stdout.String(), " GET /large 200 4194304 ")
}

func TestServeFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	none := filepath.Join(t.TempDir(), "none")
	for _, args := range [][]string{
		{none},
		{"-addr", ln.Addr().String(), t.TempDir()},
		{"-tls", "-cert", none, "-key", none, t.TempDir()},
		{"-addr", "nonsense", t.TempDir()},
	} {
		r := tool(t, "", append([]string{"serve"}, args...)...)
		require.Equal(t, exitFailure, r.code, args)
		require.Contains(t, r.stderr, "spdy serve: ", args)
		require.Empty(t, r.stdout, args)
	}
}

// TestAccessLog writes what a client sends in one line, whatever it is.
func TestAccessLog(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0).UTC()
	log := &accessLog{out: &out, now: func() time.Time { now = now.Add(time.Second); return now }}
	for _, x := range []struct {
		h    http.HandlerFunc
		want string
	}{
		{func(w http.ResponseWriter, r *http.Request) {}, "200 0 1s"},
		{func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "12345") }, "200 5 1s"},
		{func(w http.ResponseWriter, r *http.Request) { io.Copy(w, strings.NewReader("123")) }, "200 3 1s"},
		{func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNotFound)
			w.WriteHeader(http.StatusOK)
		}, "404 0 1s"},
		{func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "- 0 1s"},
	} {
		out.Reset()
		now = time.Unix(0, 0).UTC()
		log.next = x.h
		r := httptest.NewRequest("GET", "/a%0A", nil)
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = "/", "", "x=\u202e\n y"
		r.RemoteAddr = "peer:1"
		func() {
			defer func() { _ = recover() }()
			log.ServeHTTP(httptest.NewRecorder(), r)
		}()
		require.Equal(t, `1970-01-01T00:00:02Z peer:1 http/1.1 GET /?[8-bytes] `+x.want+"\n", out.String())
	}
}

// TestAccessLogIsBounded has a client send a method and a path of a megabyte, which are a few bytes on the
// wire.
func TestAccessLogIsBounded(t *testing.T) {
	var out strings.Builder
	log := &accessLog{out: &out, now: time.Now, next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	r := httptest.NewRequest("GET", "/", nil)
	r.Method, r.URL.Path = strings.Repeat("M", 1<<20), "/"+strings.Repeat("\xff ", 1<<19)
	log.ServeHTTP(httptest.NewRecorder(), r)
	require.Less(t, out.Len(), 10_000)
	require.Contains(t, out.String(), "MMM[1047576-bytes-more] /")
	require.Len(t, strings.Fields(out.String()), 8, "each part is a word")
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
}

func TestURLHosts(t *testing.T) {
	require.Equal(t, []string{"192.0.2.1:80"}, urlHosts(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80}))
	require.Equal(t, []string{"[2001:db8::1]:80"}, urlHosts(&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 80}))
	all := urlHosts(&net.TCPAddr{IP: net.IPv6unspecified, Port: 80})
	require.Equal(t, "localhost:80", all[0])
	require.Len(t, all, 1+len(machineAddrs()))
	require.Equal(t, []string{"sock"}, urlHosts(&net.UnixAddr{Name: "sock"}))

	o := serveOptions{addr: "home.example:443"}
	require.Contains(t, o.hosts(), "home.example")
	o.addr = ":443"
	require.Contains(t, o.hosts(), "localhost")
	require.NotContains(t, o.hosts(), "")
}
