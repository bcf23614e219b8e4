package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/shown"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A context of testdata/vectors.json: the frames of one side of one connection.
type vectorContext struct {
	id, version string
	wire        []byte
	offsets     []int
	decoded     []json.RawMessage
}

func loadContexts(t testing.TB) []*vectorContext {
	t.Helper()
	text, err := os.ReadFile("../../testdata/vectors.json")
	require.NoError(t, err)
	var all []struct {
		Version  string
		Session  string `json:"session_id"`
		FrameHex string `json:"frame_hex"`
		Decoded  json.RawMessage
	}
	require.NoError(t, json.Unmarshal(text, &all))
	require.Len(t, all, 183)
	var contexts []*vectorContext
	byID := make(map[string]*vectorContext)
	for _, v := range all {
		c := byID[v.Session]
		if c == nil {
			c = &vectorContext{id: v.Session, version: v.Version}
			byID[c.id] = c
			contexts = append(contexts, c)
		}
		frame, err := hex.DecodeString(v.FrameHex)
		require.NoError(t, err)
		c.offsets = append(c.offsets, len(c.wire))
		c.wire = append(c.wire, frame...)
		c.decoded = append(c.decoded, v.Decoded)
	}
	require.Len(t, contexts, 15)
	return contexts
}

// TestDumpJSON wants dump -json to say what the vectors say, key for key.
func TestDumpJSON(t *testing.T) {
	for _, c := range loadContexts(t) {
		t.Run(c.id, func(t *testing.T) {
			r := tool(t, string(c.wire), "dump", "-json", "-secrets", "-version", c.version)
			require.Equal(t, exitOK, r.code, r.stderr)
			require.Empty(t, r.stderr)
			lines := strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
			require.Len(t, lines, len(c.decoded))
			for i, want := range c.decoded {
				require.JSONEq(t, string(want), lines[i])
			}
		})
	}
}

// TestDumpGuess leaves the version out: SPDY/2 is recognized by its first frame.
func TestDumpGuess(t *testing.T) {
	for _, c := range loadContexts(t) {
		if c.version == "3" {
			continue // the bytes do not say that
		}
		want := tool(t, string(c.wire), "dump", "-json", "-version", c.version)
		require.Equal(t, want, tool(t, string(c.wire), "dump", "-json"), c.id)
	}
}

// TestDumpText compares with golden files; go test -update writes them.
func TestDumpText(t *testing.T) {
	for _, c := range loadContexts(t) {
		for _, secrets := range []bool{false, true} {
			name, args := c.id, []string{"dump", "-version=" + c.version}
			if secrets {
				name, args = name+"-secrets", append(args, "-secrets")
			}
			file := filepath.Join("testdata", "dump-"+name+".txt")
			if _, err := os.Stat(file); err != nil {
				continue // a few are enough
			}
			t.Run(name, func(t *testing.T) {
				in := filepath.Join(t.TempDir(), "capture")
				require.NoError(t, os.WriteFile(in, c.wire, 0o600))
				r := tool(t, "", append(args, in)...)
				require.Equal(t, exitOK, r.code, r.stderr)
				if *update {
					require.NoError(t, os.WriteFile(file, []byte(r.stdout), 0o644))
				}
				want, err := os.ReadFile(file)
				require.NoError(t, err)
				require.Equal(t, string(want), r.stdout)
			})
		}
	}
}

// TestDumpSecrets wants no secret in any context's dump without -secrets, and each
// of them with it.
func TestDumpSecrets(t *testing.T) {
	seen := 0
	for _, c := range loadContexts(t) {
		r := tool(t, string(c.wire), "dump", "-version", c.version)
		open := tool(t, string(c.wire), "dump", "-version", c.version, "-secrets")
		for _, d := range c.decoded {
			var f struct{ Headers [][2]string }
			require.NoError(t, json.Unmarshal(d, &f))
			for _, h := range f.Headers {
				for value := range strings.SplitSeq(h[1], "\x00") {
					hidden := shown.Redact(h[0], value)
					if hidden == value {
						continue
					}
					seen++
					require.NotContains(t, r.stdout, ": "+value+"\n", c.id)
					require.Contains(t, r.stdout, h[0]+": "+hidden+"\n", c.id)
					require.Contains(t, open.stdout, h[0]+": "+value+"\n", c.id)
				}
			}
		}
	}
	require.Greater(t, seen, 10)
}

// wireOf writes frames the way a peer does.
func wireOf(t testing.TB, v spdy.Version, frames ...spdy.Frame) string {
	t.Helper()
	var b bytes.Buffer
	f := spdy.NewFramer(&b, nil, v)
	for _, frame := range frames {
		require.NoError(t, f.WriteFrame(frame))
	}
	return b.String()
}

func TestDumpSecretNames(t *testing.T) {
	in := wireOf(t, spdy.SPDY31, &spdy.HeadersFrame{StreamID: 1, Headers: spdy.HeaderBlock{
		{Name: "authorization", Value: "hunter2"}, {Name: "proxy-authorization", Value: "hunter2"},
		{Name: "cookie", Value: "hunter2"}, {Name: "set-cookie", Value: "hunter2\x00hunter2"},
	}}, &spdy.DataFrame{StreamID: 1, Data: []byte("hunter2")}, &spdy.UnknownFrame{Version: 3, Type: 99, Data: []byte("hunter2")})
	r := tool(t, in, "dump")
	require.Equal(t, exitOK, r.code)
	require.NotContains(t, r.stdout, "hunter2")
	require.Contains(t, r.stdout, "set-cookie: [7 bytes]\n            set-cookie: [7 bytes]\n")
	r = tool(t, in, "dump", "-secrets")
	require.Equal(t, 7, strings.Count(r.stdout, "hunter2"), r.stdout)

	// A name that breaks the rules hides nothing either.
	w := spdy.NewFramer(nil, nil, spdy.SPDY31)
	in = wireOf(t, spdy.SPDY31, &spdy.HeadersFrame{StreamID: 1, Block: w.CompressBlock(pairs("Cookie", "hunter2"))})
	r = tool(t, in, "dump")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stdout, "Cookie: [7 bytes]")
	require.NotContains(t, r.stdout+r.stderr, "hunter2")

	r = tool(t, in, "dump", "-json")
	require.Contains(t, r.stdout, `"headers":[["Cookie","[7 bytes]"]],"error"`)
	require.NotContains(t, r.stdout+r.stderr, "hunter2")
	require.NotContains(t, r.stdout+r.stderr, hex.EncodeToString([]byte("hunter2")))
}

// pairs is an uncompressed header block of SPDY/3 (SPEC §2.1), legal or not.
func pairs(texts ...string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(texts)/2))
	for _, s := range texts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}

// TestDumpBadHeaders goes on after a header block that breaks a rule, shows what
// is in it, and what was wrong where.
func TestDumpBadHeaders(t *testing.T) {
	var b bytes.Buffer
	w := spdy.NewFramer(&b, nil, spdy.SPDY31)
	require.NoError(t, w.WriteFrame(&spdy.PingFrame{ID: 1}))
	bad := pairs("Upper", "1\x1b[2J", "x", "\u202e2")
	require.NoError(t, w.WriteFrame(&spdy.SynReplyFrame{StreamID: 3, Flags: spdy.FlagFin, Block: w.CompressBlock(bad)}))
	after := b.Len()
	require.NoError(t, w.WriteFrame(&spdy.PingFrame{ID: 3}))

	r := tool(t, b.String(), "dump")
	require.Equal(t, exitFailure, r.code)
	require.Equal(t, "spdy dump: byte 12: SYN_REPLY on stream 3: header block: byte 0x55 in name \"Upper\" (H5)\n", r.stderr)
	require.Contains(t, r.stdout, "SYN_REPLY           3  FIN ")
	require.Contains(t, r.stdout, `            Upper: 1\x1b[2J`+"\n"+`            x: \u{202e}2`+"\n            ! SYN_REPLY on stream 3")
	require.Contains(t, r.stdout, fmt.Sprintf("\n%10d  PING                -  -             4  id 3\n", after))
	require.NotContains(t, r.stdout, "\x1b")

	r = tool(t, b.String(), "dump", "-json", "-secrets")
	require.Equal(t, exitFailure, r.code)
	require.NotContains(t, r.stdout, "\u202e")
	lines := strings.Split(r.stdout, "\n")
	require.Len(t, lines, 4)
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &got))
	require.Equal(t, []any{[]any{"Upper", "1\x1b[2J"}, []any{"x", "\u202e2"}}, got["headers"])
	require.Equal(t, hex.EncodeToString(bad), got["header_block_hex"])
	require.Contains(t, got["error"], "H5")
}

// TestDumpUnusual dumps what no vector has: reserved bits, unknown types and
// versions, unknown codes, and a very long value.
func TestDumpUnusual(t *testing.T) {
	in := wireOf(t, spdy.SPDY31,
		&spdy.SynStreamFrame{StreamID: 1, Priority: 5, Flags: 0x80 | spdy.FlagFin, Headers: spdy.HeaderBlock{{Name: "long", Value: strings.Repeat("x", 1500)}}},
		&spdy.UnknownFrame{Version: 3, Type: 99, Flags: 1, Data: []byte("\x00abc")},
		&spdy.UnknownFrame{Version: 7, Type: spdy.FramePing},
		&spdy.RstStreamFrame{StreamID: 1, Status: 77},
		&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: 99, Flags: 7, Value: 5}}},
	)
	raw := []byte(in)
	raw[16] |= 0x15 // SYN_STREAM: unused bits,
	raw[17] = 9     // and what SPDY/3 calls the slot
	in = string(raw)

	r := tool(t, in, "dump", "-secrets")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Contains(t, r.stdout, "SYN_STREAM          1  FIN+0x80")
	require.Contains(t, r.stdout, "  priority 5, slot 9, unused bits 21\n")
	require.Contains(t, r.stdout, "xxx [and 500 bytes more]\n")
	require.Contains(t, r.stdout, "  type 99             -  0x01          4  version 3 on the wire, skipped by spdy/3.1\n"+
		"            00000000  00 61 62 63                                      .abc\n")
	require.Contains(t, r.stdout, "  PING                -  -             0  version 7 on the wire")
	require.Contains(t, r.stdout, "  77, unknown status\n")
	require.Contains(t, r.stdout, "  setting 99 = 5, PERSIST_VALUE, PERSISTED, flags 0x04\n")

	r = tool(t, in, "dump", "-json", "-secrets")
	require.Equal(t, exitOK, r.code)
	lines := strings.Split(r.stdout, "\n")
	require.Contains(t, lines[0], `"priority":5,"slot":9,"unused_bits":21,`)
	require.JSONEq(t, `{"type":"UNKNOWN","type_code":99,"wire_version":3,"flags":1,"length":4,"data_hex":"00616263"}`, lines[1])
}

// TestDumpUnusedSPDY2 finds the unused bits of SPDY/2's frames with headers.
func TestDumpUnusedSPDY2(t *testing.T) {
	in := []byte(wireOf(t, spdy.SPDY2, &spdy.SynStreamFrame{StreamID: 1, Priority: 2}))
	in[16], in[17] = in[16]|0x2a, 0xbc
	r := tool(t, string(in), "dump", "-json")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Contains(t, r.stdout, fmt.Sprintf(`"priority":2,"unused_bits":%d,`, 0x2abc))

	reply := []byte(wireOf(t, spdy.SPDY2, &spdy.SynReplyFrame{StreamID: 1}))
	reply[12], reply[13] = 0xde, 0xf0
	r = tool(t, string(reply), "dump", "-json")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Contains(t, r.stdout, fmt.Sprintf(`"unused_bits":%d,`, 0xdef0))
}

// TestDumpBroken says of broken input what is wrong and at which byte.
func TestDumpBroken(t *testing.T) {
	ping := wireOf(t, spdy.SPDY31, &spdy.PingFrame{ID: 1})
	for _, x := range []struct{ name, in, want string }{
		{"half a header", ping + "\x80\x03", "byte 12: the input ends after 2 bytes of a frame header"},
		{"one byte", ping + "\x80", "byte 12: the input ends after 1 byte of a frame header"},
		{"half a payload", ping + ping[:10], "byte 12: the input ends after 10 of the 12 bytes of a PING frame"},
		{"long PING", "\x80\x03\x00\x06\x00\x00\x00\x05hello", "byte 0: PING with a payload of 5 bytes; reading cannot go on"},
		{"no zlib", ping + "\x80\x03\x00\x08\x00\x00\x00\x09\x00\x00\x00\x01hello", "byte 12: HEADERS: first header block of 5 bytes has no zlib header"},
		{"stream 0", "\x00\x00\x00\x00\x00\x00\x00\x01a", "byte 0: DATA on stream 0"},
		{"other version", "\x80\x02\x00\x08\x00\x00\x00\x04\x00\x00\x00\x01", "byte 0: HEADERS of SPDY version 2; reading cannot go on (the frame says version 2)"},
	} {
		for _, format := range []string{"-json", "-json=false"} {
			r := tool(t, x.in, "dump", "-version", "3.1", format)
			require.Equal(t, exitFailure, r.code, x.name)
			require.Contains(t, r.stderr, "spdy dump: "+x.want, x.name)
			require.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
		}
	}
	r := tool(t, "", "dump")
	require.Equal(t, result{stderr: "spdy dump: the input is empty: this side has sent nothing\n"}, r, "which is no error")
	r = tool(t, ping, "dump")
	require.Equal(t, exitOK, r.code)
	require.Empty(t, r.stderr)
}

// TestDumpOthers: an input of another protocol is named.
func TestDumpOthers(t *testing.T) {
	for input, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":         "byte 0: this is HTTP/1.1, not SPDY",
		"GET / HTTP/1.1\r\n\r\n":                               "not SPDY, it begins with \"GET / HT\"",
		"\x16\x03\x01\x02\x00\x01\x00\x01":                     "byte 0: this is TLS, not SPDY",
		"\x15\x03\x01\x00\x02\x02\x46":                         "byte 0: this is TLS, not SPDY",
		"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00": "byte 0: this is HTTP/2, not SPDY",
		"PRI * HTTP/2.0\r\n\r\n":                               "byte 0: this is HTTP/2, not SPDY",
		"SSH-2.0-\x1b[31m\r\n":                                 "byte 0: this is SSH, not SPDY",
	} {
		r := tool(t, input, "dump")
		require.Equal(t, exitFailure, r.code)
		require.Contains(t, r.stderr, want)
		require.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
	}
}

// TestDumpTruncated cuts a capture at every byte: up to there all is shown.
func TestDumpTruncated(t *testing.T) {
	c := loadContexts(t)[0]
	whole := tool(t, string(c.wire), "dump", "-version", c.version)
	frame := 0
	for n := 1; n < min(len(c.wire), 1500); n++ {
		r := tool(t, string(c.wire[:n]), "dump", "-version", c.version)
		require.True(t, strings.HasPrefix(whole.stdout, r.stdout), "cut at %d", n)
		if frame+1 < len(c.offsets) && n == c.offsets[frame+1] {
			frame++
			require.Equal(t, exitOK, r.code, "cut at %d", n)
			continue
		}
		require.Equal(t, exitFailure, r.code, "cut at %d", n)
		require.Contains(t, r.stderr, fmt.Sprintf("byte %d: the input ends", c.offsets[frame]))
	}
}

func TestDumpFiles(t *testing.T) {
	r := tool(t, "", "dump", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "no such file")
	r = tool(t, "", "dump", t.TempDir())
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "at byte 0: ")
	require.Contains(t, tool(t, wireOf(t, spdy.SPDY31, &spdy.PingFrame{ID: 7}), "dump", "-").stdout, "id 7")
}

// TestDumpLive shows frames while the next ones have still to come, and ends when it
// is interrupted.
func TestDumpLive(t *testing.T) {
	in, w := io.Pipe()
	defer w.Close()
	r := start(t, in, "dump")
	_, err := io.WriteString(w, wireOf(t, spdy.SPDY31, &spdy.PingFrame{ID: 9}))
	require.NoError(t, err)
	r.stdout.await(t, "id 9")
	r.interrupt()
	require.Equal(t, exitInterrupted, r.wait(t))
	require.Contains(t, r.stderr.String(), "interrupted")
}

// A header block of few bytes on the wire does not become a dump without end: of N values of a name
// of N bytes, each has a line with the name.
func TestDumpIsBounded(t *testing.T) {
	w := spdy.NewFramer(nil, nil, spdy.SPDY31)
	w.Compression = spdy.CompressFull
	const n = 500_000
	block := w.CompressBlock(pairs(strings.Repeat("n", n), strings.TrimSuffix(strings.Repeat("a\x00", n), "\x00"), "x", "\u202e\u0085"))
	in := wireOf(t, spdy.SPDY31, &spdy.HeadersFrame{StreamID: 1, Block: block})
	require.Less(t, len(in), 20_000)
	for _, args := range [][]string{{"dump"}, {"dump", "-secrets"}, {"dump", "-json"}, {"dump", "-json", "-secrets"}} {
		r := tool(t, in, args...)
		require.Equal(t, exitOK, r.code, r.stderr)
		most := 2 * longestFrame
		if len(args) > 2 { // all that there is, in JSON and in digits
			most = 3 * n * 5
		}
		require.Less(t, len(r.stdout), most, args)
		require.Equal(t, r.stdout, onlyPrintable(r.stdout), args)
	}
	require.Contains(t, tool(t, in, "dump").stdout, "n [and 499000 bytes more]: a\n")
	require.Regexp(t, `\n +\[and 2 headers more\]\n$`, tool(t, in, "dump").stdout)
}

// onlyPrintable is what a terminal may get of a text.
func onlyPrintable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
}

// inflated is how many bytes the header blocks in an input have, and the input itself.
func inflated(in []byte, v spdy.Version) (n int) {
	f := spdy.NewFramer(nil, bytes.NewReader(in), v)
	f.MaxHeaderBytes = dumpHeaderBytes
	for n = len(in); ; n += len(f.Raw().Block) {
		_, err := f.ReadFrame()
		var fault *spdy.StreamError
		if err != nil && !errors.As(err, &fault) {
			return n + len(f.Raw().Block)
		}
	}
}

// FuzzDump feeds arbitrary bytes: there is always a verdict, and the two formats
// agree about it.
func FuzzDump(f *testing.F) {
	for _, c := range loadContexts(f) {
		f.Add(c.wire[:min(len(c.wire), 600)], c.version)
	}
	f.Add([]byte("\x80\x03\x00\x01\x00\x00\x00\x0a"), "3")
	f.Fuzz(func(t *testing.T, in []byte, version string) {
		if new(versionFlag).Set(version) != nil {
			version = "3.1"
		}
		text := tool(t, string(in), "dump", "-secrets", "-version", version)
		object := tool(t, string(in), "dump", "-json", "-secrets", "-version", version)
		require.Equal(t, text.code, object.code)
		require.Equal(t, text.stderr, object.stderr)
		require.Equal(t, text.code != exitOK, text.stderr != "")
		for _, c := range text.stdout + text.stderr {
			require.True(t, c == '\n' || c >= ' ' && c != 0x7f, "%q", c)
		}
		require.Equal(t, text.stdout, onlyPrintable(text.stdout))
		require.Equal(t, object.stdout, onlyPrintable(object.stdout))
		for line := range strings.Lines(object.stdout) {
			require.True(t, json.Valid([]byte(line)))
		}
		checkRatio(t, in, version)
	})
}

// checkRatio wants a dump to be bounded by what it takes: text and JSON without secrets by the
// number of frames and the size of the input, JSON with secrets by what the input inflates to.
func checkRatio(t *testing.T, in []byte, version string) {
	var v versionFlag
	require.NoError(t, v.Set(version))
	frames := len(in)/headerSize + 1
	for _, args := range [][]string{{}, {"-secrets"}, {"-json"}} {
		out := tool(t, string(in), append([]string{"dump", "-version", version}, args...)...)
		require.Less(t, len(out.stdout), 10*len(in)+500+frames*(6*(longestFrame+2*longestValue)+500), args)
	}
	all := tool(t, string(in), "dump", "-json", "-secrets", "-version", version)
	require.Less(t, len(all.stdout), 10*inflated(in, v.Version)+frames*500)
}
