package main

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
	"github.com/stretchr/testify/require"
)

// A site is a server to fetch from.
type site struct {
	url   string // ends with a slash
	addr  string
	ca    string // PEM file, with TLS
	conns *atomic.Int32
}

// A countingListener counts the connections that it accepts.
type countingListener struct {
	net.Listener
	n atomic.Int32
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return c, err
}

func newSite(t testing.TB, h http.HandlerFunc) *site {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	counted := &countingListener{Listener: ln}
	srv := &spdy.Server{Handler: h}
	go srv.Serve(counted)
	t.Cleanup(func() { srv.Close() })
	addr := ln.Addr().String()
	return &site{"http://" + addr + "/", addr, "", &counted.n}
}

// newTLSSite is newSite with TLS that speaks the protocols given.
func newTLSSite(t testing.TB, h http.HandlerFunc, protocols ...string) *site {
	t.Helper()
	cert, _, err := localcert.New()
	require.NoError(t, err)
	ca, _, err := localcert.WritePEM(t.TempDir(), cert)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &spdy.Server{Handler: h}
	go srv.Serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols}))
	t.Cleanup(func() { srv.Close() })
	addr := ln.Addr().String()
	return &site{url: "https://" + addr + "/", addr: addr, ca: ca}
}

func allProtocols() []string { return []string{"spdy/3.1", "spdy/3", "spdy/2"} }

// sayHello answers with what it was asked.
func sayHello(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header()["Date"] = nil
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s %q\n", r.Method, r.Host, r.URL, body)
	for _, name := range []string{"Authorization", "Content-Type", "Range", "X-One", "X-Two"} {
		for _, v := range r.Header[name] {
			fmt.Fprintf(w, "%s: %s\n", name, v)
		}
	}
}

func TestGetPrints(t *testing.T) {
	s := newSite(t, sayHello)
	r := tool(t, "", "get", s.url+"a?b=c")
	require.Equal(t, result{exitOK, fmt.Sprintf("GET %s /a?b=c \"\"\n", s.addr), ""}, r)

	r = tool(t, "", "get", s.addr+"/no-scheme")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Contains(t, r.stdout, " /no-scheme ")

	r = tool(t, "", "get", "-i", s.url)
	require.Equal(t, exitOK, r.code, r.stderr)
	want := fmt.Sprintf("GET %s / \"\"\n", s.addr)
	require.Equal(t, fmt.Sprintf("HTTP/1.1 200 OK\nContent-Length: %d\nContent-Type: text/plain\n\n%s", len(want), want), r.stdout)
}

// TestGetVersions fetches in each dialect, with and without TLS.
func TestGetVersions(t *testing.T) {
	say := func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			io.WriteString(w, r.TLS.NegotiatedProtocol)
		}
	}
	plain, secure := newSite(t, say), newTLSSite(t, say, allProtocols()...)
	for _, v := range dialects {
		r := tool(t, "", "get", "-version", v.String(), "-v", plain.url)
		require.Equal(t, exitOK, r.code, r.stderr)
		require.Contains(t, r.stderr, v.String()+" without TLS\n")
		r = tool(t, "", "get", "-version", v.String(), "-cacert", secure.ca, secure.url)
		require.Equal(t, result{exitOK, v.String(), ""}, r)
	}
	require.Equal(t, result{exitOK, "spdy/3.1", ""}, tool(t, "", "get", "-k", secure.url))
	old := newTLSSite(t, say, "spdy/2")
	require.Equal(t, result{exitOK, "spdy/2", ""}, tool(t, "", "get", "-k", old.url))

	for _, x := range []struct {
		site *site
		args []string
		want string
	}{
		{secure, []string{}, "certificate"},
		{secure, []string{"-cacert", old.ca}, "certificate"},
		{old, []string{"-k", "-version", "3.1"}, "does not speak spdy/3.1"},
		{newTLSSite(t, say, "http/1.1"), []string{"-k"}, "does not speak spdy/3.1, spdy/3 or spdy/2"},
		{newTLSSite(t, say), []string{"-k"}, "has not agreed to speak spdy/3.1, spdy/3 or spdy/2"},
	} {
		r := tool(t, "", append([]string{"get", x.site.url}, x.args...)...)
		require.Equal(t, exitFailure, r.code)
		require.Contains(t, r.stderr, x.want)
		require.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
	}
	r := tool(t, "", "get", "-cacert", filepath.Join(t.TempDir(), "none"), secure.url)
	require.Equal(t, exitFailure, r.code)
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	require.Contains(t, tool(t, "", "get", "-cacert", empty, secure.url).stderr, "holds no certificate")
}

func TestGetSends(t *testing.T) {
	s := newSite(t, sayHello)
	file := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(file, []byte("from a file"), 0o600))
	nothing := filepath.Join(t.TempDir(), "nothing")
	require.NoError(t, os.WriteFile(nothing, nil, 0o600))
	for _, x := range []struct {
		args string
		want string
	}{
		{"-d a=b", "POST HOST / \"a=b\"\nContent-Type: application/x-www-form-urlencoded\n"},
		{"-d @" + file, "POST HOST / \"from a file\"\nContent-Type: application/octet-stream\n"},
		{"-d @" + nothing, "POST HOST / \"\"\nContent-Type: application/octet-stream\n"},
		{"-d @-", "POST HOST / \"from stdin\"\nContent-Type: application/octet-stream\n"},
		{"-X PUT -d x -H Content-Type:text/plain", "PUT HOST / \"x\"\nContent-Type: text/plain\n"},
		{"-X DELETE", "DELETE HOST / \"\"\n"},
		{"-H X-One:1 -H x-one:2 -H X-Two:3", "GET HOST / \"\"\nX-One: 1\nX-One: 2\nX-Two: 3\n"},
		{"-H Host:other.example", "GET other.example / \"\"\n"},
		{"-H Authorization:mine", "GET HOST / \"\"\nAuthorization: mine\n"},
	} {
		r := tool(t, "from stdin", append([]string{"get", s.url}, strings.Fields(x.args)...)...)
		require.Equal(t, exitOK, r.code, r.stderr)
		require.Equal(t, strings.ReplaceAll(x.want, "HOST", s.addr), r.stdout, x.args)
	}
	r := tool(t, "", "get", "http://user:pw@"+s.addr+"/")
	require.Contains(t, r.stdout, "Authorization: Basic dXNlcjpwdw==\n")
	r = tool(t, "", "get", "-d", "@"+file+"-none", s.url)
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "no such file")
}

// TestGetSavesTogether saves several files: all at once, for no request is answered
// before the last has come, and over one connection.
func TestGetSavesTogether(t *testing.T) {
	var all sync.WaitGroup
	all.Add(4)
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		all.Done()
		all.Wait()
		io.WriteString(w, strings.Repeat(r.URL.Path, 50000))
	})
	t.Chdir(t.TempDir())
	r := tool(t, "", "get", "-O", "-progress", s.url+"one", s.url+"x/two.txt?q", s.url+"x%20y", s.url)
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Empty(t, r.stdout)
	for name, content := range map[string]string{"one": "/one", "two.txt": "/x/two.txt", "x y": "/x y", "index.html": "/"} {
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, strings.Repeat(content, 50000), string(got))
		require.Contains(t, r.stderr, "saved "+name+": ")
	}
	require.Equal(t, int32(1), s.conns.Load())
	require.Len(t, filesIn(t, "."), 4, "nothing else is left")
}

func filesIn(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestGetPrintsInOrder prints several bodies one after the other.
func TestGetPrintsInOrder(t *testing.T) {
	s, other := newSite(t, sayHello), newSite(t, sayHello)
	r := tool(t, "", "get", s.url+"1", other.url+"2", s.url+"3")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Equal(t, fmt.Sprintf("GET %[1]s /1 \"\"\nGET %[2]s /2 \"\"\nGET %[1]s /3 \"\"\n", s.addr, other.addr), r.stdout)
	require.Equal(t, int32(1), s.conns.Load())
	require.Equal(t, int32(1), other.conns.Load())
}

// TestGetTruncated wants an error for a body that breaks off, and no file, whatever
// was there before untouched.
func TestGetTruncated(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", "100000")
		}
		w.Write(make([]byte, 50000))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	for _, path := range []string{"length", "no-length"} {
		dir := t.TempDir()
		file := filepath.Join(dir, "file")
		r := tool(t, "", "get", "-o", file, s.url+path)
		require.Equal(t, exitFailure, r.code)
		require.Contains(t, r.stderr, "the body breaks off after ")
		require.Contains(t, r.stderr, "INTERNAL_ERROR")
		require.Equal(t, path == "length", strings.Contains(r.stderr, " of 100000 bytes"), r.stderr)
		require.Empty(t, filesIn(t, dir))

		require.NoError(t, os.WriteFile(file, []byte("before"), 0o640))
		require.Equal(t, exitFailure, tool(t, "", "get", "-o", file, s.url+path).code)
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, "before", string(got))
		require.Equal(t, []string{"file"}, filesIn(t, dir))
	}
	r := tool(t, "", "get", s.url+"length")
	require.Equal(t, exitFailure, r.code, "printing is no excuse")
	require.Contains(t, r.stderr, "breaks off")
}

// TestGetReplaces keeps the permissions of a file and the link that leads to it, and
// writes to what is no file as it is.
func TestGetReplaces(t *testing.T) {
	s := newSite(t, sayHello)
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	require.NoError(t, os.WriteFile(file, []byte("before"), 0o640))
	require.NoError(t, os.Symlink("file", link))
	require.Equal(t, exitOK, tool(t, "", "get", "-o", link, s.url).code)
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(got), "GET ")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode())
	info, err = os.Lstat(link)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeSymlink)

	require.Equal(t, exitOK, tool(t, "", "get", "-o", os.DevNull, s.url).code)
	info, err = os.Stat(os.DevNull)
	require.NoError(t, err)
	require.False(t, info.Mode().IsRegular())

	r := tool(t, "", "get", "-o", dir, s.url)
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "is a directory")
	require.Equal(t, exitFailure, tool(t, "", "get", "-o", filepath.Join(dir, "none", "x"), s.url).code)
	require.Equal(t, exitOK, tool(t, "", "get", "-i", "-o", filepath.Join(dir, "i"), s.url).code)
	got, err = os.ReadFile(filepath.Join(dir, "i"))
	require.NoError(t, err)
	require.Contains(t, string(got), "HTTP/1.1 200 OK\n")
}

// TestGetStatus wants other answers than 2xx printed, not saved, and failures.
func TestGetStatus(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			w.Header().Set("Location", "/else\u009b")
			w.WriteHeader(http.StatusFound)
		} else {
			w.WriteHeader(http.StatusTeapot)
		}
		io.WriteString(w, "the body\n")
	})
	r := tool(t, "", "get", s.url)
	require.Equal(t, result{exitFailure, "the body\n", "spdy get: " + s.url + ": 418 I'm a teapot\n"}, r)
	r = tool(t, "", "get", s.url+"moved")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, `302 Found, to /else\u{9b}; redirects are not followed`)
	dir := t.TempDir()
	r = tool(t, "", "get", "-o", filepath.Join(dir, "x"), s.url)
	require.Equal(t, exitFailure, r.code)
	require.Empty(t, filesIn(t, dir))

	// One failure among several is one.
	ok := newSite(t, sayHello)
	r = tool(t, "", "get", s.url, ok.url)
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stdout, "the body\nGET ")
}

func TestGetRange(t *testing.T) {
	content := strings.Repeat("0123456789", 100)
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/none" {
			io.WriteString(w, content)
			return
		}
		http.ServeContent(w, r, "x.txt", time.Unix(1e9, 0), strings.NewReader(content))
	})
	for spec, want := range map[string]string{"0-4": "01234", "-3": "789", "995-": "56789"} {
		require.Equal(t, result{exitOK, want, ""}, tool(t, "", "get", "-range", spec, s.url))
	}
	r := tool(t, "", "get", "-range", "0-4", s.url+"none")
	require.Equal(t, exitOK, r.code)
	require.Equal(t, content, r.stdout)
	require.Contains(t, r.stderr, "does not do ranges")
	r = tool(t, "", "get", "-range", "5000-", s.url)
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "416 ")
}

// TestGetGzip unpacks what the server has packed unasked (SPEC M8).
func TestGetGzip(t *testing.T) {
	text := strings.Repeat("hello ", 1000)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	io.WriteString(w, text)
	require.NoError(t, w.Close())
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		switch r.URL.Path {
		case "/":
			w.Write(packed.Bytes())
		case "/cut":
			w.Write(packed.Bytes()[:packed.Len()/2])
		case "/part": // of the packed bytes, which nobody can unpack
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, "a part")
		case "/not":
			io.WriteString(w, "not packed at all")
		}
	})
	require.Equal(t, result{exitOK, text, ""}, tool(t, "", "get", s.url))
	require.Equal(t, result{exitOK, packed.String(), ""}, tool(t, "", "get", "-H", "Accept-Encoding: gzip", s.url))
	require.Equal(t, result{exitOK, "", ""}, tool(t, "", "get", s.url+"empty"))
	require.Equal(t, result{exitOK, "", ""}, tool(t, "", "get", "-X", "HEAD", s.url))
	require.Equal(t, result{exitOK, "a part", ""}, tool(t, "", "get", s.url+"part"))
	require.Contains(t, tool(t, "", "get", s.url+"cut").stderr, "breaks off")
	require.Contains(t, tool(t, "", "get", s.url+"not").stderr, "gzip: invalid header")
}

// TestGetInterrupted stops in the middle of a body: no file, no complaint but one.
func TestGetInterrupted(t *testing.T) {
	began := make(chan struct{}, 2)
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 10000))
		w.(http.Flusher).Flush()
		began <- struct{}{}
		<-r.Context().Done()
	})
	dir := t.TempDir()
	t.Chdir(dir)
	r := start(t, strings.NewReader(""), "get", "-O", s.url+"a", s.url+"b")
	<-began
	<-began
	r.interrupt()
	require.Equal(t, exitInterrupted, r.wait(t))
	require.Equal(t, "spdy get: interrupted\n", r.stderr.String())
	require.Empty(t, filesIn(t, dir))
}

// TestGetConnectionLost wants one line about it for each URL.
func TestGetConnectionLost(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	ln.Close()
	r := tool(t, "", "get", "http://"+addr+"/a", "http://"+addr+"/b")
	require.Equal(t, exitFailure, r.code)
	require.Equal(t, 2, strings.Count(r.stderr, "connection refused\n"), r.stderr)
	require.NotContains(t, r.stderr, "spdy: ")
}

// TestGetVerbose looks at the frames of an upload and its answer, both ways, and at
// the windows that they leave.
func TestGetVerbose(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Set-Cookie", "hunter2")
		io.WriteString(w, "got it: sesame")
	})
	args := []string{"get", "-v", "-d", "open sesame", "-H", "Cookie: hunter2", s.url + "x"}
	r := tool(t, "", args...)
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Equal(t, "got it: sesame", r.stdout)
	require.NotContains(t, r.stderr, "hunter2")
	require.NotContains(t, r.stderr, "sesame")
	lines := strings.Split(r.stderr, "\n")
	require.Equal(t, "* connected to "+s.addr+", spdy/3.1 without TLS", lines[0])
	at := -1
	for _, want := range []string{ // in this order, others in between
		"> SYN_STREAM 1 -",
		":path: /x",
		"cookie: [7 bytes]",
		"> DATA 1 ", // with the FIN, or one with the FIN follows
		"< SYN_REPLY 1 -",
		":status: 200 OK",
		"set-cookie: [7 bytes]",
		"< DATA 1 FIN 14 window 262130, session window 99090418",
		"> GOAWAY - - 8 last good stream 0, 0 OK",
		"* " + s.addr + ": 1 stream",
		"* sent ",
		"* received ",
	} {
		next := slices.IndexFunc(lines[at+1:], func(line string) bool {
			return strings.HasPrefix(withoutTime(line), want)
		})
		require.GreaterOrEqual(t, next, 0, "%q after line %d of\n%s", want, at, r.stderr)
		at += next + 1
	}
	require.Regexp(t, `> +[0-9.]+ +DATA +1 +(-  |FIN) +11 +window `, r.stderr)
	require.Regexp(t, `> +[0-9.]+ +DATA +1 +FIN +(11|0) +window `, r.stderr)
	require.Regexp(t, `\* sent     \d+ bytes in [56] frames: 11 bytes of data, headers of \d+ bytes in \d+\n`, r.stderr)
	require.Regexp(t, `\* received \d+ bytes in \d+ frames: 14 bytes of data, headers of \d+ bytes in \d+\n`, r.stderr)
	r = tool(t, "", append(args, "-secrets")...)
	require.Equal(t, 2, strings.Count(r.stderr, "cookie: hunter2"))
	require.Contains(t, r.stderr, "  open sesame\n")
	require.Contains(t, r.stderr, "  got it: sesame\n")
}

// withoutTime is a line of a trace with single spaces and without its time.
func withoutTime(line string) string {
	words := strings.Fields(line)
	if len(words) > 2 && (words[0] == ">" || words[0] == "<") {
		words = slices.Delete(words, 1, 2)
	}
	return strings.Join(words, " ")
}

func TestTextOnly(t *testing.T) {
	var b bytes.Buffer
	w := &textOnly{&b}
	_, err := w.Write([]byte("text\n"))
	require.NoError(t, err)
	n, err := w.Write([]byte("a\x00b"))
	require.ErrorContains(t, err, "binary")
	require.Zero(t, n)
	require.Equal(t, "text\n", b.String())
}
