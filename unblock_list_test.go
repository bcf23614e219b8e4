package spdy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// waitsElsewhere are calls that look as if they could wait and are not in the table of
// TestEverythingUnblocks, with the reason.
var waitsElsewhere = map[string]string{
	"Client.Close":                     "it is Session.Close",
	"Session.Close":                    "it is how others are unblocked; it waits for the peer to hang up, for linger at most",
	"Session.SendGoaway":               "it waits for nothing",
	"RawStream.Close":                  "it waits for nothing",
	"RawStream.CloseRead":              "it waits for nothing",
	"RawStream.Reset":                  "it waits for nothing",
	"RawStream.Flush":                  "it waits for the connection; tests/flush has its ends",
	"Session.Flush":                    "as RawStream.Flush",
	"RawStream.Reply":                  "it waits for nothing: headers are queued",
	"RawStream.SendHeaders":            "it waits for nothing: headers are queued",
	"Server.Close":                     "it is how others are unblocked; it waits for the peers to hang up, for linger at most",
	"Server.ServeTLS":                  "as Server.Serve",
	"Server.ListenAndServe":            "as Server.Serve",
	"Server.ListenAndServeTLS":         "as Server.Serve",
	"Server.ListenAndServeTLSSpdyOnly": "as Server.Serve",
	"ListenAndServe":                   "there is nothing to end it by",
	"ListenAndServeTLS":                "there is nothing to end it by",
	"ListenAndServeTLSSpdyOnly":        "there is nothing to end it by",
	"Transport.CloseIdleConnections":   "it waits for nothing",
	"ResponseRecorder.Write":           "it is memory only",
	"ResponseRecorder.WriteString":     "it is memory only",
	"ResponseRecorder.Flush":           "it is memory only",
	"Framer.ReadFrame":                 "it waits for its reader, which is the caller's",
	"Framer.WriteFrame":                "it waits for its writer, which is the caller's",
	"Framer.WriteRaw":                  "it waits for its writer, which is the caller's",
	"UpgradeDialer.DialResponse":       "as UpgradeDialer.Dial, which calls it",
	"TrackSession":                     "its context is not waited for",
	"WithPriority":                     "its context is not waited for",
	"SessionFromContext":               "its context is not waited for",
}

// waitingNames are what calls that may wait are called here and in net and net/http.
var waitingNames = []string{
	"Read", "Write", "WriteString", "ReadFrom", "WriteTo", "Flush", "FlushError", "Push", "Request", "Reply",
	"Do", "RoundTrip", "Ping", "NewStreamProxy", "Dial", "Accept", "Serve", "ServeTLS", "ServeConn", "Shutdown",
	"Close", "CloseRead", "CloseWrite", "CloseIdleConnections", "Reset", "SendHeaders", "SendGoaway",
	"ListenAndServe", "ListenAndServeTLS", "ListenAndServeTLSSpdyOnly",
	"ReadFrame", "WriteFrame", "WriteRaw",
}

// Whatever may wait is either in the table or in the list above.
func TestEveryWaitIsListed(t *testing.T) {
	listed := make(map[string]bool)
	for _, c := range waitingCalls() {
		listed[c.call] = true
	}
	found := mayWait(t)
	for _, name := range found {
		_, excused := waitsElsewhere[name]
		require.True(t, listed[name] || excused, "%s may wait: waitingCalls has to say how the wait ends", name)
		require.False(t, listed[name] && excused, name)
	}
	for name := range waitsElsewhere {
		require.Contains(t, found, name)
	}
	for name := range listed {
		foreign := strings.HasPrefix(name, "Response.") || strings.HasPrefix(name, "Request.") || strings.HasPrefix(name, "io.")
		require.True(t, foreign || slices.Contains(found, name), "there is no %s", name)
	}
}

// mayWait returns the exported functions and methods that take a context, or have a name
// that sounds like waiting.
func mayWait(t *testing.T) []string {
	t.Helper()
	found := make(map[string]bool)
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range f.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if !ok || !d.Name.IsExported() {
				continue
			}
			name := d.Name.Name
			if d.Recv != nil {
				recv := d.Recv.List[0].Type
				if star, ok := recv.(*ast.StarExpr); ok {
					recv = star.X
				}
				typ := recv.(*ast.Ident)
				if !typ.IsExported() {
					continue
				}
				name = typ.Name + "." + name
			}
			if slices.Contains(waitingNames, d.Name.Name) || takesContext(d.Type) {
				found[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func takesContext(f *ast.FuncType) bool {
	return slices.ContainsFunc(f.Params.List, func(p *ast.Field) bool {
		sel, ok := p.Type.(*ast.SelectorExpr)
		return ok && sel.Sel.Name == "Context"
	})
}
