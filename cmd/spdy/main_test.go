package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/shown"
)

// An output is what a command that still runs has printed.
type output struct {
	mu      sync.Mutex
	b       bytes.Buffer
	changed chan struct{} // closed by the next Write
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// await waits until something has been printed.
func (o *output) await(t testing.TB, text string) string {
	t.Helper()
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	for {
		o.mu.Lock()
		all, changed := o.b.String(), o.changed
		o.mu.Unlock()
		if strings.Contains(all, text) {
			return all
		}
		select {
		case <-changed:
		case <-timeout.C:
			t.Fatalf("no %q in %q", text, all)
		}
	}
}

// A result is what became of a command.
type result struct {
	code           int
	stdout, stderr string
}

// tool runs the program to its end.
func tool(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	var stdout bytes.Buffer
	stderr := newOutput()
	code := run(t.Context(), args, strings.NewReader(stdin), &stdout, stderr)
	return result{code, stdout.String(), stderr.String()}
}

// A running command can be watched and interrupted.
type running struct {
	stdout, stderr *output
	interrupt      context.CancelFunc
	ended          chan int
}

func start(t testing.TB, stdin io.Reader, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{newOutput(), newOutput(), cancel, make(chan int, 1)}
	go func() { r.ended <- run(ctx, args, stdin, r.stdout, r.stderr) }()
	t.Cleanup(cancel)
	return r
}

// wait returns the exit code.
func (r *running) wait(t testing.TB) int {
	t.Helper()
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	select {
	case code := <-r.ended:
		return code
	case <-timeout.C:
		t.Fatalf("still running: %s %s", r.stdout, r.stderr)
		return 0
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}} {
		r := tool(t, "", args...)
		require.Equal(t, exitOK, r.code, args)
		for _, c := range commands {
			require.Contains(t, r.stdout, "  "+c.name+" ")
		}
		require.Empty(t, r.stderr)
	}
	r := tool(t, "")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "Usage: spdy")
	require.Empty(t, r.stdout)

	r = tool(t, "", "dupm")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, `unknown command "dupm"`)
}

// TestHelp wants the help of each command on standard output, with every flag
// explained and no line too wide for a terminal, those of the flag package apart.
func TestHelp(t *testing.T) {
	for _, c := range commands {
		r := tool(t, "", c.name, "-h")
		require.Equal(t, exitOK, r.code, c.name)
		require.Empty(t, r.stderr, c.name)
		require.Contains(t, r.stdout, "Usage: spdy "+c.name)
		require.Equal(t, r, tool(t, "", "help", c.name))
		text, flags, ok := strings.Cut(r.stdout, "\nFlags:\n\n")
		require.True(t, ok, c.name)
		require.Contains(t, flags, "  -version")
		for line := range strings.Lines(text) {
			assert.LessOrEqual(t, len(line), 84, line)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for _, x := range []struct{ args, want string }{
		{"dump -nonsense", "not defined: -nonsense"},
		{"dump -version 4", "want 2, 3 or 3.1"},
		{"dump a b", "one file at a time"},
		{"get", "no URL"},
		{"get -o x -O http://h/", "exclude each other"},
		{"get -o x http://h/ http://i/", "-o is for one URL"},
		{"get -d @- http://h/ http://i/", "one URL only"},
		{"get -d a -d b http://h/", "given twice"},
		{"get -range x http://h/", "-range"},
		{"get -H nonsense http://h/", "Name: value"},
		{"get -H bad=name:x http://h/ -H a@b:c", "not a valid header"},
		{"get -progress=maybe http://h/", "true or false"},
		{"get ftp://h/", "http or https"},
		{"get http:///x", "no host"},
		{"get http://h:port/", "invalid port"},
		{"get -O http://h/a http://i/a", "would both be saved to a"},
		{"get -O http://h/..", "no file name"},
		{"get -O http://h/a%5Cb", "no file name"},
		{"get -connect-timeout 0s http://h/", "-connect-timeout"},
		{"ping", "want one host:port"},
		{"ping -c -1 h:1", "-c"},
		{"ping -i 0s h:1", "-i and -W"},
		{"ping http://h/path", "more than a server"},
		{"serve a b", "one directory"},
		{"serve -cert x", "go together"},
		{"serve -cert x -key y", "-cert is for -tls"},
	} {
		r := tool(t, "", strings.Fields(x.args)...)
		assert.Equal(t, exitUsage, r.code, x.args)
		assert.Contains(t, r.stderr, x.want, x.args)
		assert.Contains(t, r.stderr, "-h' for help", x.args)
		assert.Empty(t, r.stdout, x.args)
	}
}

// TestFlagsAnywhere wants flags to be taken after arguments, and "--" to end them.
func TestFlagsAnywhere(t *testing.T) {
	for _, x := range []struct {
		args string
		rest []string
		b    bool
		s    string
	}{
		{"", nil, false, ""},
		{"a -b c", []string{"a", "c"}, true, ""},
		{"a c -s x", []string{"a", "c"}, false, "x"},
		{"-s x a -- -b", []string{"a", "-b"}, false, "x"},
		{"-b -- a -s", []string{"a", "-s"}, true, ""},
		{"- -b", []string{"-"}, true, ""},
	} {
		flags := newFlags("x")
		b, s := flags.Bool("b", false, ""), flags.String("s", "", "")
		rest, err := (&env{}).parse(flags, strings.Fields(x.args), "")
		require.NoError(t, err, x.args)
		require.Equal(t, x.rest, rest, x.args)
		require.Equal(t, x.b, *b, x.args)
		require.Equal(t, x.s, *s, x.args)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain text":        "plain text",
		"":                  "",
		"Grüße, 世界":         "Grüße, 世界",
		"\x1b[31mred\a":     `\x1b[31mred\x07`,
		"a\r\nb\tc\x00\x7f": `a\x0d\x0ab\x09c\x00\x7f`,
		"\u009b2J":          `\u{9b}2J`,
		"\u202egpj.exe":     `\u{202e}gpj.exe`,
		"\u2028\ufeff":      `\u{2028}\u{feff}`,
		"\xff\xc3":          `\xff\xc3`,
		"\ufffd":            "\ufffd",
		`C:\x1b`:            `C:\\x1b`,
	} {
		require.Equal(t, want, shown.Printable(in), "%q", in)
	}
}

// TestUntilDone interrupts a read that nothing comes for, and reads everything of a
// reader that ends.
func TestUntilDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, w := io.Pipe()
	defer w.Close()
	got := make(chan error, 1)
	go func() {
		_, err := untilDone(ctx, p).Read(make([]byte, 10))
		got <- err
	}()
	cancel()
	require.ErrorIs(t, <-got, context.Canceled)

	text := strings.Repeat("0123456789", 20000)
	b, err := io.ReadAll(untilDone(t.Context(), strings.NewReader(text)))
	require.NoError(t, err)
	require.Equal(t, text, string(b))
}
