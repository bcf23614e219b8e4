package spdystream_test

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	amahi "github.com/amahi/spdy"
	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream"
)

// odd are headers that the original passes and HTTP does not allow, or that cannot be
// told apart on the wire, with what comes of them; nil stands for the same.
var odd = map[string]struct{ sent, came http.Header }{
	"a colon":             {http.Header{"Env:X": {"1"}}, http.Header{"env:x": {"1"}}},
	"a space":             {http.Header{"a b": {"c"}}, nil},
	"a pseudo header":     {http.Header{":path": {"/"}}, nil},
	"beyond ASCII":        {http.Header{"größe": {"é"}}, nil},
	"line ends":           {http.Header{"Script": {"first\r\nsecond: line\n"}}, nil},
	"control bytes":       {http.Header{"Bell": {"\x01\x7f\t\x1b"}}, nil},
	"an empty value":      {http.Header{"A": {""}}, nil},
	"the last one empty":  {http.Header{"A": {"b", ""}}, nil},
	"the first one empty": {http.Header{"A": {"", "b"}}, nil},
	"all empty":           {http.Header{"A": {"", "", ""}}, nil},
	"no value":            {http.Header{"A": {}}, http.Header{"A": {""}}},
	"of a connection":     {http.Header{"Upgrade": {"x"}, "Te": {"y"}}, nil},
	"lower case":          {http.Header{"a": {"b"}}, http.Header{"A": {"b"}}},
}

// TestOddHeaders: headers come as with the original at both ends, in the three frames that
// have some.
func TestOddHeaders(t *testing.T) {
	for name, test := range odd {
		t.Run(name, func(t *testing.T) {
			came := test.came
			if came == nil {
				came = test.sent
			}
			opening := make(chan http.Header, 1)
			rigTest(t, func(s *spdystream.Stream) {
				opening <- s.Headers()
				if s.SendReply(test.sent, false) == nil {
					late, err := s.ReceiveHeader()
					if err == nil {
						_ = s.SendHeader(late, true)
					}
				}
			}, func(t *testing.T, r *rig) {
				s, err := r.client.CreateStream(test.sent, nil, false)
				require.NoError(t, err)
				require.NoError(t, s.Wait())
				require.Equal(t, came, <-opening)
				require.Equal(t, test.sent, s.Headers(), "what the opener has said")
				require.NoError(t, s.SendHeader(test.sent, true))
				late, err := s.ReceiveHeader()
				require.NoError(t, err)
				require.Equal(t, came, late)
			})
		})
	}
}

// TestOriginalOddHeaders: the original takes them from us and we take them from it.
func TestOriginalOddHeaders(t *testing.T) {
	c := dialOriginal(t, serveOriginal(t))
	for name, test := range odd {
		t.Run(name, func(t *testing.T) {
			opening := test.sent.Clone()
			opening.Set("Do", "mirror")
			s, err := c.CreateStream(opening, nil, false)
			require.NoError(t, err)
			require.NoError(t, s.WaitTimeout(patience))
			awaitReady(t, s)
			require.NoError(t, s.SendHeader(test.sent, false))
			late, err := s.ReceiveHeader()
			require.NoError(t, err)
			if test.came == nil {
				test.came = test.sent
			}
			require.Equal(t, test.came, late)
			require.NoError(t, s.Close())
			require.Equal(t, ending{"", nil}, <-readAll(s))
		})
	}
}

// TestHeadersRefused: what stays strict, of which doc.go has the reasons, costs the call or the
// stream, and not the connection.
func TestHeadersRefused(t *testing.T) {
	rigTest(t, nil, func(t *testing.T, r *rig) {
		for name, headers := range map[string]http.Header{
			"NUL in a value":          {"A": {"b\x00c"}},
			"no name":                 {"": {"x"}},
			"a line end in a name":    {"A\nb": {"x"}},
			"NUL in a name":           {"A\x00b": {"x"}},
			"names that are the same": {"A": {"x"}, "a": {"y"}},
		} {
			_, err := r.client.CreateStream(headers, nil, false)
			require.ErrorIs(t, err, amahi.ErrInvalidHeader, name)
		}
		first, _ := r.open()
		require.EqualValues(t, 1, first.Identifier(), "nothing was sent of the others")
		require.ErrorIs(t, first.SendHeader(http.Header{"": {"x"}}, false), amahi.ErrInvalidHeader)
		require.NoError(t, first.SendHeader(http.Header{"A": {"x"}}, false), "the stream goes on")
	})
	wireTest(t, true, nil, func(t *testing.T, w *wire) {
		for i, block := range []amahi.HeaderBlock{
			{{Name: "", Value: "x"}}, {{Name: "Upper:x", Value: "y"}}, {{Name: "a\nb", Value: "y"}},
			{{Name: "a:b", Value: "x"}, {Name: "a:b", Value: "y"}},
			{{Name: "a", Value: strings.Repeat("\x00", 16_000)}}, // one more than is allowed
		} {
			id := uint32(2*i + 1)
			w.send(&amahi.SynStreamFrame{StreamID: id, Headers: block})
			require.Equal(t, id, want[*amahi.RstStreamFrame](w, "what breaks the rules").StreamID)
		}
	})
}

// TestOpenBeforeServe: a stream that is opened before Serve goes out at once with what is
// written to it, and what the peer opens waits for Serve.
func TestOpenBeforeServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc, sc := net.Pipe()
		client, server := newConnection(t, cc, false), newConnection(t, sc, true)
		served := make(chan *spdystream.Stream, 1)
		go server.Serve(func(s *spdystream.Stream) { // ends with the connection
			_ = s.SendReply(http.Header{}, false)
			served <- s
		})
		s, err := client.CreateStream(http.Header{"A": {"b"}}, nil, false)
		require.NoError(t, err)
		require.NoError(t, s.WriteData([]byte("early"), true))
		theirs := <-served
		require.Equal(t, "b", theirs.Headers().Get("A"))
		require.Equal(t, ending{"early", nil}, <-readAll(theirs))
		_, err = client.Ping()
		require.NoError(t, err)
		back, err := server.CreateStream(http.Header{"C": {"d"}}, nil, false)
		require.NoError(t, err)
		require.False(t, isClosed(client))
		accepted := make(chan *spdystream.Stream, 1)
		go client.Serve(func(s *spdystream.Stream) {
			_ = s.SendReply(http.Header{}, false)
			accepted <- s
		})
		require.NoError(t, back.Wait())
		require.Equal(t, "d", (<-accepted).Headers().Get("C"))
		cc.Close()
		sc.Close()
		require.NoError(t, client.Wait(0))
		require.NoError(t, server.Wait(0))
		require.True(t, isClosed(client))
	})
}
