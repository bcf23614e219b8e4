package spdy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// secretRequest is a request, and the answer to it, full of what must not get into a
// log. Every secret has "sesame" in it.
func secretRequest(r *rig) *http.Request {
	return r.request("POST", "/open?door=sesame#x", strings.NewReader("open sesame"),
		"Authorization", "Bearer sesame", "Cookie", "a=sesame", "X-Api-Key", "sesame", "X-Custom", "basic sesame",
		"Sec-Websocket-Protocol", "base64url.bearer.authorization.k8s.io.sesame",
		"Referer", "https://user:sesame@example.com/from?sesame", "User-Agent", "plain")
}

func secretAnswer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Set-Cookie", "sesame")
	w.Header().Set("Location", "/next?sesame")
	w.Header().Set("Server", "plain/1")
	w.Header().Set("Trailer", "X-Token")
	io.Copy(w, r.Body)
	w.Header().Set("X-Token", "sesame")
}

// The log of a session shows every frame in one line, and no secret.
func TestFrameLog(t *testing.T) {
	run := func(t *testing.T, log *FrameLog) []string {
		var out lockedBuffer
		log.Out = &out
		rigTest(t, secretAnswer, rigSetup{client: &Config{FrameLog: log}}, func(t *testing.T, r *rig) {
			_, body, err := r.fetch(secretRequest(r))
			require.NoError(t, err)
			require.Equal(t, "open sesame", body)
			require.True(t, r.client.Ping(time.Second))
		})
		line := regexp.MustCompile(`^spdy: 192\.0\.2\.\d:\d+ \d\d:\d\d:\d\d\.\d{6} (<-|->) [A-Z_]+ [ -~]*\n$`)
		var lines []string
		for l := range strings.Lines(out.String()) {
			require.Regexp(t, line, l)
			lines = append(lines, l)
		}
		return lines
	}
	has := func(lines []string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			require.Contains(t, strings.Join(lines, ""), part)
		}
	}
	frames := run(t, &FrameLog{})
	require.NotContains(t, strings.Join(frames, ""), "sesame")
	require.NotContains(t, strings.Join(frames, ""), "plain", "headers are not asked for")
	has(frames, "-> SETTINGS ", "-> SYN_STREAM stream=1 ", "-> DATA stream=1 ", "<- SYN_REPLY stream=1 ", "<- HEADERS stream=1 ", "-> PING id=1", "<- PING id=1")

	headers := run(t, &FrameLog{Headers: true})
	for _, frame := range []string{" SETTINGS ", " SYN_STREAM ", " SYN_REPLY ", " HEADERS "} { // the number of others depends on the scheduler
		count := func(lines []string) int { return strings.Count(strings.Join(lines, ""), frame) }
		require.Equal(t, count(frames), count(headers), "still one line for each%sframe", frame)
	}
	require.NotContains(t, strings.Join(headers, ""), "sesame")
	has(headers, " :method=POST ", ` :path="/open?[11 bytes]"`, " user-agent=plain", " authorization=[13 bytes]", " cookie=[8 bytes]",
		" x-api-key=[6 bytes]", " x-custom=[12 bytes]", ` referer="https://[11 bytes]@example.com/from?[6 bytes]"`,
		" set-cookie=[6 bytes]", ` location="/next?[6 bytes]"`, " server=plain/1", " x-token=[6 bytes]")

	secrets := run(t, &FrameLog{Headers: true, Secrets: true})
	require.Len(t, secrets, len(frames))
	has(secrets, " cookie=\"a=sesame\"", " x-token=sesame", `"Bearer sesame"`, `:path="/open?door=sesame"`)
	require.NotContains(t, strings.Join(secrets, ""), "open sesame", "data is never shown")
}

// A Trace gets no secrets either, however it prints what it gets, unless it asks.
func TestTraceHidesSecrets(t *testing.T) {
	for _, secrets := range []bool{false, true} {
		t.Run(fmt.Sprint(secrets), func(t *testing.T) {
			var text, logged lockedBuffer
			logger := slog.New(slog.NewJSONHandler(&logged, nil))
			note := func(_ *Session, f FrameInfo) {
				j, err := json.Marshal(f)
				assert.NoError(t, err)
				fmt.Fprintf(&text, "%v %+v %#v %s\n", f, f, f, j)
				logger.Info("frame", "frame", f)
			}
			conf := &Config{Trace: &Trace{FrameSent: note, FrameReceived: note, Headers: true, Secrets: secrets}}
			rigTest(t, secretAnswer, rigSetup{client: conf}, func(t *testing.T, r *rig) {
				_, _, err := r.fetch(secretRequest(r))
				require.NoError(t, err)
			})
			require.Equal(t, secrets, strings.Contains(text.String(), "sesame"))
			require.Equal(t, secrets, strings.Contains(logged.String(), "sesame"))
			require.Contains(t, logged.String(), `"frame":"SYN_STREAM stream=1 `)
		})
	}
}

// What a hook does to the headers that it gets does not reach the application.
func TestTraceGetsCopies(t *testing.T) {
	spoil := func(_ *Session, f FrameInfo) {
		for i := range f.Headers {
			f.Headers[i] = HeaderField{"spoilt", "spoilt"}
		}
	}
	for _, secrets := range []bool{false, true} {
		conf := &Config{Trace: &Trace{FrameSent: spoil, FrameReceived: spoil, Headers: true, Secrets: secrets}}
		rigTest(t, secretAnswer, rigSetup{client: conf, server: conf}, func(t *testing.T, r *rig) {
			res, _, err := r.fetch(secretRequest(r))
			require.NoError(t, err)
			require.Equal(t, "sesame", res.Header.Get("Set-Cookie"))
		})
	}
}

// A running session can be told to log, and to stop.
func TestSetFrameLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0, HeaderField{"before", "x"})
		p.wantAccept("a stream", 1)
		p.s.SetFrameLog(&FrameLog{Out: &out, Headers: true})
		p.sendSynStream(3, FlagFin, HeaderField{"after", "y"})
		st := p.wantAccept("a stream", 3)
		p.reply(st, FlagFin)
		p.wantSynReply("a stream", 3)
		require.Regexp(t, `^[^\n]* <- SYN_STREAM stream=3 [^\n]* after=y\n[^\n]* -> SYN_REPLY stream=3 [^\n]* ok=yes\n$`, out.String())
		p.s.SetFrameLog(nil)
		p.wantAlive("it has stopped")
		require.Equal(t, 2, strings.Count(out.String(), "\n"))
	})
}

// A header block that is kept for the log goes with its own frame, also if the log is
// switched while the sender gathers a batch.
func TestSentHeadersFindTheirFrame(t *testing.T) {
	var out lockedBuffer
	one, _ := testconn.Pair()
	s := newSession(one, true, SPDY31, nil, &rawApp{})
	defer s.Close()
	log := &FrameLog{Out: &out, Headers: true}
	var batch []byte
	for i, name := range []string{"first", "second", "third"} {
		if i == 1 {
			s.SetFrameLog(log)
		}
		block := getBlock()
		nv, err := appendNameValue((*block)[:0], SPDY31, HeaderBlock{{"name", name}})
		require.NoError(t, err)
		*block = nv
		st := s.newLocalStream(0)
		st.id = uint32(2*i + 1)
		batch = s.appendHeaderFrame(batch, headerJob{st: st, typ: FrameSynStream, block: block})
	}
	s.traceBatch(batch)
	require.Regexp(t, `^.* stream=1 [^=]+=0 priority=0 flags=0x00 length=\d+\n.* stream=3 .* name=second\n.* stream=5 .* name=third\n$`, out.String())
	out.Reset()
	s.traceBatch(nil)
	s.traceBatch(batch)
	require.NotContains(t, out.String(), "name=", "blocks of an old batch are forgotten")
}

// A hostile peer can neither forge lines nor make them long.
func TestFrameLogIsSafe(t *testing.T) {
	f := FrameInfo{Type: FrameSynReply, Version: 3, StreamID: 1, Headers: HeaderBlock{
		{"a", "\nspdy: forged\x1b[2J\u202e"}, {"b", ""}, {"c", "[36 bytes]"}, {"d", "[36 bytes] x"}, {"e", "x=y"}, {"\xff", "\x00"}, {"f", "36 bytes]"},
	}}
	require.Equal(t, `SYN_REPLY stream=1 flags=0x00 length=0 a="\nspdy: forged\x1b[2J\u202e" b="" c=[36 bytes] d="[36 bytes] x" e="x=y" "\xff"="\x00" f="36 bytes]"`, f.String())
	f.Headers = nil
	for range 1000 {
		f.Headers = append(f.Headers, HeaderField{"name", strings.Repeat("v", 10000)})
	}
	require.Less(t, len(f.String()), 10000)
	require.Regexp(t, `name=v{256}\[9744 bytes more\] .* \(\d+ more\)$`, f.String())

	entries := appendSettings(nil, SPDY31, 0, make([]Setting, 1000))
	d := describeFrame(SPDY31, parseFrameHeader(entries), entries[frameHeaderSize:])
	require.Len(t, d.Settings, 16)
}

func TestRedacted(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"authorization", "Bearer abc", "[10 bytes]"},
		{"proxy-authorization", "x", "[1 bytes]"},
		{"www-authenticate", "Digest nonce=1", "[14 bytes]"},
		{"cookie", "a=b; c=d", "[8 bytes]"},
		{"set-cookie", "a=b\x00c=d", "[7 bytes]"},
		{"x-csrf-token", "abc", "[3 bytes]"},
		{"x-amz-security-token", "abc", "[3 bytes]"},
		{"x-my-password", "abc", "[3 bytes]"},
		{"x-session-id", "abc", "[3 bytes]"},
		{"apikey", "abc", "[3 bytes]"},
		{"Cookie", "as a raw stream may spell it", "[28 bytes]"},
		{"x-what-ever", "Basic YWJj", "[10 bytes]"},
		{"x-what-ever", "bEARER abc", "[10 bytes]"},
		{"cookie", "", ""},
		{":path", "/a/b", "/a/b"},
		{":path", "/a?token=1", "/a?[7 bytes]"},
		{":path", "/a?", "/a?"},
		{":path", "/a#b", "/a#[1 bytes]"},
		{"url", "http://u:p@h/a?b", "http://[3 bytes]@h/a?[1 bytes]"},
		{"location", "//u:p@h/", "//[3 bytes]@h/"},
		{"location", "https://h@?x@y", "https://[1 bytes]@?[3 bytes]"},
		{"referer", "https://h/a@b", "https://h/a@b"},
		{"referer", "https://h", "https://h"},
		{"link", "</a?b>; rel=next", "</a?[12 bytes]"},
		{"link", "<//u@h/>, <http://v:p@h>", "<//[1 bytes]@h/>, <http://[3 bytes]@h>"},
		{"location", "///@", "///@"},
		{":host", "example.com", "example.com"},
		{"user-agent", "x y", "x y"},
		{"accept", "a?b", "a?b"},
	} {
		in := HeaderBlock{{tt.name, tt.value}}
		require.Equal(t, HeaderBlock{{tt.name, tt.want}}, redacted(in), "%s: %s", tt.name, tt.value)
		require.Equal(t, tt.value, in[0].Value, "the original stays")
	}
}

// GODEBUG, and nothing else, switches the log on from outside.
func TestGODEBUG(t *testing.T) {
	for env, want := range map[string]*FrameLog{
		"":                            nil,
		"http2debug=2":                nil,
		"spdydebug":                   nil,
		"spdydebug=":                  nil,
		"spdydebug=0":                 nil,
		"spdydebug=-1":                nil,
		"spdydebug=yes":               nil,
		"xspdydebug=1":                nil,
		"spdydebug=1":                 {},
		"a=b,spdydebug=1,c=d":         {},
		"spdydebug=2":                 {Headers: true},
		"spdydebug=3":                 {Headers: true},
		"spdydebug=2,x=y,spdydebug=1": {},
		"spdydebug=2,spdydebug=0":     nil,
	} {
		require.Equal(t, want, frameLogOf(env), env)
	}
	for level, want := range map[string]bool{"0": false, "1": true, "2": true} {
		cmd, out := runProgram(t, "GODEBUG", "GODEBUG=spdydebug="+level, "SPDYDEBUG=2", "DEBUG=true")
		require.NoError(t, cmd.Wait(), out.String())
		require.Equal(t, want, strings.Contains(out.String(), "-> SYN_STREAM stream=1 "), "%s: %s", level, out)
		require.Equal(t, level == "2", strings.Contains(out.String(), "authorization=[6 bytes]"), "%s: %s", level, out)
		require.NotContains(t, out.String(), "sesame")
	}
}

// A session with a log of its own leaves the package's alone.
func TestFrameLogOfItsOwn(t *testing.T) {
	old := packageFrameLog.Load()
	defer packageFrameLog.Store(old)
	var own, shared lockedBuffer
	packageFrameLog.Store(&FrameLog{Out: &shared})
	setup := rigSetup{client: &Config{FrameLog: &FrameLog{Out: &own}}}
	rigTest(t, func(http.ResponseWriter, *http.Request) {}, setup, func(t *testing.T, r *rig) { r.get("/") })
	require.Contains(t, own.String(), "-> SYN_STREAM")
	require.NotContains(t, own.String(), "<- SYN_STREAM")
	require.Contains(t, shared.String(), "<- SYN_STREAM")
	require.NotContains(t, shared.String(), "-> SYN_STREAM")
	packageFrameLog.Store(&FrameLog{Headers: true})
	EnableDebug()
	require.Equal(t, &FrameLog{Out: standardOutput{}, Headers: true}, packageFrameLog.Load())
}

func init() {
	programs["GODEBUG"] = func() {
		one, two := testconn.Pair()
		server := NewServerSession(two, &http.Server{Handler: http.NotFoundHandler()})
		client := NewClientSession(one)
		go server.Serve()
		go client.Serve()
		req, _ := http.NewRequestWithContext(context.Background(), "GET", "http://x/", nil)
		req.Header.Set("Authorization", "sesame")
		if res, err := client.RoundTrip(req); err == nil {
			res.Body.Close()
		}
		client.Close()
		server.Close()
	}
}

// BenchmarkRoundTrip is a small request and its answer, with nobody who looks and with
// everybody.
func BenchmarkRoundTrip(b *testing.B) {
	count := func(*Session, FrameInfo) {}
	stream := func(*Session, StreamInfo) {}
	for name, conf := range map[string]*Config{
		"off": {},
		"trace": {Trace: &Trace{FrameSent: count, FrameReceived: count, StreamOpened: stream,
			StreamClosed: func(*Session, StreamInfo, error) {}}},
		"headers": {Trace: &Trace{FrameSent: count, FrameReceived: count, Headers: true}},
		"log":     {FrameLog: &FrameLog{Out: io.Discard}},
	} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), rigSetup{client: conf, server: conf})
			defer r.close()
			b.ReportAllocs()
			for b.Loop() {
				res, err := r.client.RoundTrip(r.request("GET", "/", nil))
				if err != nil {
					b.Fatal(err)
				}
				res.Body.Close()
			}
		})
	}
}
