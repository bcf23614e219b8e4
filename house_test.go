package spdy_test

// The house rules: what this package promises about its own source, checked by
// reading it. The lists in this file are the only place where an exception is made; the
// checker is internal/house, whose own tests show that each rule bites.

import (
	"os"
	"testing"

	"github.com/amahi/spdy/internal/house"
)

// maxFile and maxFunc are how many lines a file and a function may have.
const (
	maxFile = 600
	maxFunc = 60
)

// mayRecover are the files that may call recover: a handler's panic is the only one
// that may be caught. A broken invariant of ours has to be seen.
var mayRecover = []string{"server.go"}

// mayClose are the functions that may close a channel. What is closed is a latch: it
// carries nothing, and it is closed once, under the lock that guards it.
var mayClose = []house.Place{
	{File: "proxyfront.go", Func: "(*proxiedBody).done"},
	{File: "deadline.go", Func: "(*deadline).expireLocked"},
	{File: "receiver.go", Func: "(*Session).receiver"},
	{File: "interim.go", Func: "(*Stream).replyLocked"},
	{File: "sender.go", Func: "(*Session).sender"},
	{File: "server_track.go", Func: "(*Server).done"},
	{File: "sniff.go", Func: "(*connQueue).Close"},
	{File: "flush.go", Func: "(*flushers).wakeLocked"},
	{File: "goaway.go", Func: "(*Session).heardGoAwayLocked"},
	{File: "goaway.go", Func: "(*Session).PeerGoAway"},
	{File: "push_client.go", Func: "(*Stream).startPush"},
	{File: "push_client.go", Func: "(*httpClientApp).headers"},
	{File: "ending.go", Func: "(*Session).shutdown"},
	{File: "streams.go", Func: "(*Session).finishLocked"},
	{File: "internal/budgets/measure.go", Func: "(*victim).end"},
	{File: "internal/budgets/measure.go", Func: "(*victim).read"},
	{File: "internal/testconn/half.go", Func: "(*half).wake"},
	{File: "internal/testconn/listener.go", Func: "(*Listener).wake"},
}

// mayStart are the functions that may start a goroutine. docs/architecture.md says of
// each goroutine how it ends.
var mayStart = []house.Place{
	{File: "client.go", Func: "(*Config).NewClientConn"},
	{File: "ending.go", Func: "(*Session).closeAfterLocked"},
	{File: "handlerqueue.go", Func: "(*httpServerApp).handOver"},
	{File: "handlerqueue.go", Func: "(*httpServerApp).start"},
	{File: "internal/budgets/measure.go", Func: "newVictim"},
	{File: "proxy_tunnel.go", Func: "joinTunnel"},
	{File: "push.go", Func: "(*Stream).Push"},
	{File: "push_client.go", Func: "(*httpClientApp).accept"},
	{File: "requestcancel.go", Func: "obeyCancel"},
	{File: "roundtrip.go", Func: "(*upload).open"},
	{File: "server.go", Func: "(*Server).serve"},
	{File: "session.go", Func: "(*Session).Serve"},
	{File: "dialhook.go", Func: "hookedDial"},
	{File: "transport_dials.go", Func: "(*sessionPool).dialLocked"},
	{File: "transport_session.go", Func: "(*pooledSession).serve"},
}

// maySend are the functions that may send on a channel other than in a select with a
// default. A goroutine of the library never waits for a receiver, so each of these
// needs a reason: capacity one and exactly one post, or the application's own wait.
var maySend = []house.Place{}

// mayWait are the files whose functions may wait for a channel by themselves: wait.go holds
// the wait of all other files, and the rest wait for latches of a session's end alone.
var mayWait = []string{"wait.go", "ending.go", "goaway.go", "session.go"}

// mayBeLong are functions of more than maxFunc lines, with the reason.
var mayBeLong = map[house.Place]string{
	{File: "namevalue.go", Func: "wellKnownName"}: "a table in the form of a switch, so that a lookup allocates nothing",
}

// layers say what some files must not reach, although they share one package with
// everything else. Dependencies point up: errors, frame, compress; flow, buffer,
// scheduler; then stream and session; then HTTP.
var layers = []house.Layer{
	{
		Why:     "the codec turns bytes into frames and back, and does nothing else",
		Files:   []string{"frame*.go", "namevalue.go"},
		Imports: []string{"bytes", "encoding/binary", "errors", "fmt", "io", "math", "math/bits", "slices", "strconv", "strings", "sync"},
		Names:   []string{"Session", "Stream", "Server", "Client", "Transport"},
	},
	{
		Why:     "compression knows header blocks and nothing of sessions",
		Files:   []string{"compress*.go", "decompress*.go", "dictionary.go", "internal/deflate/*.go"},
		Imports: []string{"bytes", "compress/flate", "compress/zlib", "encoding/binary", "errors", "fmt", "hash", "hash/adler32", "io", "math/bits", "slices", "strconv", "strings", "sync", "github.com/amahi/spdy/internal/deflate"},
		Names:   []string{"Session", "Stream", "Server", "Client", "Transport"},
	},
	{
		Why:     "windows, buffers and scheduling are arithmetic: no network, no clock, no session",
		Files:   []string{"flow.go", "northbound.go", "chunk.go", "scheduler.go"},
		Imports: []string{"errors", "fmt", "io", "math", "math/bits", "slices", "sync"},
		Names:   []string{"Session", "Server", "Client", "Transport"},
	},
}

func TestHouseRules(t *testing.T) {
	sources, err := house.Read(os.DirFS("."), ".")
	if err != nil {
		t.Fatal(err)
	}
	rules := house.Rules{
		MayRecover: mayRecover, MayClose: mayClose, MayStart: mayStart, MaySend: maySend,
		MayWait: mayWait, MayBeLong: mayBeLong, Layers: layers, MaxFile: maxFile, MaxFunc: maxFunc,
	}
	for _, complaint := range rules.Check(sources) {
		t.Error(complaint)
	}
}
