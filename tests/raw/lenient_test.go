package raw

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// foreign are fields that spdystream passes and HTTP does not allow.
var foreign = map[string]spdy.HeaderField{
	"a name with a colon":   {Name: "env:path", Value: "/bin"},
	"a name with a space":   {Name: "a name", Value: "1"},
	"a name beyond ASCII":   {Name: "größe", Value: "1"},
	"a name with a quote":   {Name: `x"y`, Value: "1"},
	"line ends":             {Name: "script", Value: "first\r\nsecond: line\n"},
	"control bytes":         {Name: "bell", Value: "\x07\x7f\x1b[31m"},
	"an empty value first":  {Name: "args", Value: "\x00b"},
	"empty values":          {Name: "args", Value: "\x00\x00"},
	"an empty value within": {Name: "args", Value: "a\x00\x00b"},
}

// rawPair runs two raw sessions over a connection in memory, with a configuration for each.
func rawPair(client, server spdy.Config) *spdytest.Pair {
	pair := spdytest.NewUnstartedPair(nil)
	pair.Config = nil
	pair.ClientConfig, pair.ServerConfig = bubble.Quiet(client, spdy.SPDY31), bubble.Quiet(server, spdy.SPDY31)
	pair.Start()
	return pair
}

// TestLenientHeaders shows that such fields pass between sessions with LenientHeaders as they
// are, in the three frames that have headers, and by no other session.
func TestLenientHeaders(t *testing.T) {
	lenient := spdy.Config{LenientHeaders: true}
	for name, field := range foreign {
		block := spdy.HeaderBlock{field, {Name: "plain", Value: "1"}}
		bubble.Run(t, name, func(t *testing.T) {
			pair := rawPair(lenient, lenient)
			defer pair.Close()
			st, err := pair.Client.OpenStream(t.Context(), block, spdy.StreamOptions{})
			require.NoError(t, err)
			got, err := pair.Server.AcceptStream(t.Context())
			require.NoError(t, err)
			require.Equal(t, block, got.Header())
			require.NoError(t, got.Reply(block, false))
			reply, err := st.AwaitReply(t.Context())
			require.NoError(t, err)
			require.Equal(t, block, reply)
			require.NoError(t, st.SendHeaders(block, true))
			late, err := got.ReceiveHeaders(t.Context())
			require.NoError(t, err)
			require.Equal(t, block, late)
		})
		bubble.Run(t, name+", to others", func(t *testing.T) {
			pair := rawPair(lenient, spdy.Config{})
			defer pair.Close()
			st, err := pair.Client.OpenStream(t.Context(), block, spdy.StreamOptions{})
			require.NoError(t, err)
			_, err = st.AwaitReply(t.Context())
			var reset *spdy.StreamError
			require.ErrorAs(t, err, &reset)
			require.Equal(t, spdy.RstProtocolError, reset.Status)
			_, err = pair.Server.OpenStream(t.Context(), block, spdy.StreamOptions{})
			require.ErrorIs(t, err, spdy.ErrInvalidHeader)
			_, err = pair.Client.PingContext(t.Context())
			require.NoError(t, err, "the sessions go on")
		})
	}
}

// TestLenientBounds shows what LenientHeaders does not let pass.
func TestLenientBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := rawPair(spdy.Config{LenientHeaders: true}, spdy.Config{LenientHeaders: true, MaxHeaderFields: 10})
		defer pair.Close()
		for why, block := range map[string]spdy.HeaderBlock{
			"no name":               {{Name: "", Value: "x"}},
			"upper case":            {{Name: "Env:X", Value: "x"}},
			"upper case, not ASCII": {{Name: "Ä", Value: "x"}},
			"not UTF-8":             {{Name: "\xff", Value: "x"}},
			"a line end in a name":  {{Name: "a\r\nb", Value: "x"}},
			"NUL in a name":         {{Name: "a\x00b", Value: "x"}},
			"a name twice":          {{Name: "a:b", Value: "x"}, {Name: "a:b", Value: "y"}},
		} {
			_, err := pair.Client.OpenStream(t.Context(), block, spdy.StreamOptions{})
			require.ErrorIs(t, err, spdy.ErrInvalidHeader, why)
			require.NotContains(t, err.Error(), "a:b", why)
		}
		open := func(values int) error {
			block := spdy.HeaderBlock{{Name: "a", Value: strings.Repeat("\x00", values-1)}}
			st, err := pair.Client.OpenStream(t.Context(), block, spdy.StreamOptions{})
			require.NoError(t, err)
			synctest.Wait()
			return st.Err()
		}
		require.NoError(t, open(160))
		var reset *spdy.StreamError
		require.ErrorAs(t, open(161), &reset)
		require.Equal(t, spdy.RstFrameTooLarge, reset.Status)
	})
}

// A lockedBuffer is a bytes.Buffer for any number of goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestLenientHeadersStayOut shows that a field which HTTP does not allow gets into no http.Header,
// no line of a log, no hook's frame and no block of a session that is not lenient.
func TestLenientHeadersStayOut(t *testing.T) {
	for name, field := range foreign {
		if field.Name == "args" {
			continue // HTTP allows an empty value beside others; SPDY does not
		}
		bubble.Run(t, name, func(t *testing.T) {
			var log lockedBuffer
			conf := spdy.Config{
				LenientHeaders: true,
				FrameLog:       &spdy.FrameLog{Out: &log, Headers: true, Secrets: true},
				Trace: &spdy.Trace{Headers: true, Secrets: true,
					FrameSent:     func(_ *spdy.Session, f spdy.FrameInfo) { log.Write([]byte(f.String() + "\n")) },
					FrameReceived: func(_ *spdy.Session, f spdy.FrameInfo) { log.Write([]byte(f.String() + "\n")) },
				},
			}
			pair := spdytest.NewUnstartedPair(nil)
			pair.Config = nil
			conf.Logger = slog.New(slog.NewTextHandler(&log, nil))
			pair.ClientConfig, pair.ServerConfig = &conf, &conf
			pair.Start()
			block := spdy.HeaderBlock{field, {Name: "plain", Value: "1"}}
			st, err := pair.Client.OpenStream(t.Context(), block, spdy.StreamOptions{})
			require.NoError(t, err)
			got, err := pair.Server.AcceptStream(t.Context())
			require.NoError(t, err)
			require.NoError(t, got.Reply(block, true))
			require.NoError(t, st.SendHeaders(block, true))
			synctest.Wait()
			require.Equal(t, http.Header{"Plain": {"1"}}, got.Header().HTTPHeader())
			require.Equal(t, 12, strings.Count(log.String(), "plain=1"), "three frames, at both ends, each by the log and by a hook")
			for _, line := range strings.Split(log.String(), "\n") {
				require.NotContains(t, line, field.Name+"=")
				require.NotContains(t, line, `\n`)
				require.NotContains(t, line, `\x`)
			}
			requireStrict(t, got.Header())
			pair.Close()
		})
	}
}

// requireStrict checks that a block cannot be handed on to sessions that are not lenient, those of
// HTTP above all, which LenientHeaders has no effect on.
func requireStrict(t *testing.T, block spdy.HeaderBlock) {
	t.Helper()
	strict := rawPair(spdy.Config{}, spdy.Config{})
	defer strict.Close()
	_, err := strict.Client.OpenStream(t.Context(), block, spdy.StreamOptions{})
	require.ErrorIs(t, err, spdy.ErrInvalidHeader)
	st, err := strict.Client.OpenStream(t.Context(), nil, spdy.StreamOptions{})
	require.NoError(t, err)
	require.ErrorIs(t, st.SendHeaders(block, false), spdy.ErrInvalidHeader)
	got, err := strict.Server.AcceptStream(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, got.Reply(block, false), spdy.ErrInvalidHeader)

	conf := bubble.Quiet(spdy.Config{LenientHeaders: true}, spdy.SPDY31)
	served := spdytest.NewUnstartedPair(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a handler has got the fields")
	}))
	served.ClientConfig, served.ServerConfig = conf, conf
	served.Start()
	defer served.Close()
	_, err = served.Client.OpenStream(t.Context(), block, spdy.StreamOptions{})
	require.ErrorIs(t, err, spdy.ErrInvalidHeader)

	ln := spdytest.Listen()
	near, err := ln.DialContext(context.Background(), "", "")
	require.NoError(t, err)
	far, err := ln.Accept()
	require.NoError(t, err)
	client, server := conf.RawSession(near, true), conf.ServerSession(far, &http.Server{Handler: served.Config.Handler})
	go client.Serve()
	go server.Serve()
	request := append(spdy.HeaderBlock{
		{Name: ":method", Value: "GET"}, {Name: ":path", Value: "/"}, {Name: ":scheme", Value: "http"},
		{Name: ":host", Value: "h"}, {Name: ":version", Value: "HTTP/1.1"},
	}, block...)
	st, err = client.OpenStream(t.Context(), request, spdy.StreamOptions{Fin: true})
	require.NoError(t, err)
	_, err = st.AwaitReply(t.Context())
	var reset *spdy.StreamError
	require.ErrorAs(t, err, &reset)
	client.Close()
	server.Close()
	ln.Close()
}
