package faults

import (
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/interop/kubernetes/internal/document"
)

var (
	write  = flag.Bool("write", false, "write the table instead of comparing it")
	dropIn = flag.Bool("drop-in", false, "github.com/moby/spdystream has been replaced, so the faults are gone")
)

// page has the table.
var page = filepath.Join("..", "..", "..", "docs", "kubernetes.md")

// The columns of the table. In a build with the replacement the first is the drop-in.
var columns = []pairing{{moby, moby}, {ours, moby}, {ours, ours}}

// An experiment is one row.
type experiment struct {
	id, what string
	hold     func(r *rig) string
	want     [3]string // by column
	dropIn   string    // with the replacement; empty for that of ours with ours
	conf     spdy.Config
	scripted bool // the peer sends given frames, whose it is does not matter
}

// all is a row in which it is enough that one end is ours.
func all(bad, good string) [3]string { return [3]string{bad, good, good} }

var experiments = []experiment{
	{id: "E1", what: "a stream has 8 MiB that are not read; PING and a new stream",
		hold: unread(8 << 20), want: all(allStops, allGoesOn)},
	{id: "E1, more", what: "the same with 32 MiB, and `ResetOverBudget`: the peer does no flow control",
		hold: unread(32 << 20), want: [3]string{allStops, allGoesOn, allGoesOn}, conf: spdy.Config{ResetOverBudget: true}},
	{id: "E2", what: "RST_STREAM comes when the opener has stopped waiting for the reply",
		hold: lateReset, want: all("a later stream gets no reply", "later streams work")},
	{id: "E3", what: "the peer says GOAWAY, and then the rest of a stream; the reader gets",
		hold: goodbye, want: all(partAsWhole, "all of it")},
	{id: "E4", what: "TCP is reset, or RST_STREAM(INTERNAL_ERROR) comes, in the middle; the reader gets",
		hold: truncated, want: all(partAsWhole, asAnError)},
	{id: "E5", what: "a SYN_STREAM of 100 KiB with 100 headers of 1 MiB", scripted: true,
		hold: headerBomb, want: all("100 MiB are kept", "refused, less than 4 MiB are used")},
	{id: "E6", what: "`SetReadDeadline` on one stream",
		hold: deadline, want: all("the connection is lost", "it alone times out")},
	{id: "E8", what: "the peer opens a stream after our GOAWAY", scripted: true,
		hold: lateStream, want: all("no answer", "REFUSED_STREAM")},
	{id: "E9", what: "DATA and FIN come right after SYN_STREAM", scripted: true,
		hold: earlyData, want: all("they are lost", "they arrive")},
	{id: "E10", what: "60 HEADERS frames are not read; PING and a new stream",
		hold: unreadHeaders, want: all(allStops, allGoesOn)},
	{id: "E12", what: "a Write before the reply, and the connection is lost",
		hold: writeBeforeReply, want: all("Write never returns", "Write returns")},
	{id: "E13", what: "waiting for a reply without a limit, and the connection is lost",
		hold: waitForReply, want: all("Wait never returns", "Wait returns an error")},
	{id: "E14", what: "an idle connection costs each end",
		hold: idle, want: all("12 goroutines, more than 800 KiB", "2 goroutines, less than 20 KiB"),
		dropIn: "3 goroutines, less than 20 KiB"},
	{id: "X1", what: "a frame that a server sends together with its 101", scripted: true,
		hold: with101, want: all("it is lost", "it arrives"), dropIn: "it is lost"},
	{id: "X2", what: "a peer that does flow control sends 1 MiB",
		hold: conformant, want: all("stalls after 64 KiB", "arrives")},
	{id: "X3", what: "Write after Close, then Reset", scripted: true,
		hold: afterFin, want: all("DATA after FIN, no RST_STREAM", "Write fails, RST_STREAM")},
}

// Each experiment comes out as the table says.
func TestFaults(t *testing.T) {
	found := make([][]string, len(experiments))
	for i, e := range experiments {
		for j, p := range columns {
			want := e.want[j]
			if j == 0 && *dropIn {
				if want = e.want[2]; e.dropIn != "" {
					want = e.dropIn
				}
			}
			t.Run(fmt.Sprintf("%s/%v with %v", e.id, p.tested, p.peer), func(t *testing.T) {
				t.Cleanup(func() { checkNothingLeft(t, p) })
				got := e.hold(&rig{t: t, pairing: p, conf: e.conf})
				require.Equal(t, want, got)
				found[i] = append(found[i], got)
			})
		}
	}
	partial := slices.ContainsFunc(found, func(row []string) bool { return len(row) < len(columns) }) // -run
	if t.Failed() || *dropIn || partial {
		return
	}
	table := markdown(found)
	if *write {
		require.NoError(t, document.Write(page, "faults", table))
	}
	section, err := document.Section(page, "faults")
	require.NoError(t, err)
	require.Equal(t, section, table, "go test ./faults -write writes it")
}

// checkNothingLeft checks that ours has ended altogether; spdystream has no such wish.
func checkNothingLeft(t *testing.T, p pairing) {
	if p.tested == ours || p.peer == ours {
		nothingLeft(t)
	}
}

func markdown(found [][]string) string {
	var b strings.Builder
	b.WriteString("| | what happens | moby with moby | ours, with moby as peer | ours with ours |\n| --- | --- | --- | --- | --- |\n")
	for i, e := range experiments {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", e.id, e.what, strings.Join(found[i], " | "))
	}
	return b.String()
}

// With the fault at the other end, ours bears it: its calls return, nothing of it is
// left, and what it reads it reads to the end or with an error.
func TestPeerWithFaults(t *testing.T) {
	for _, e := range experiments {
		if e.scripted || e.id == "E14" {
			continue
		}
		t.Run(e.id, func(t *testing.T) {
			t.Cleanup(func() { nothingLeft(t) })
			t.Log(e.hold(&rig{t: t, pairing: pairing{tested: moby, peer: ours}, conf: e.conf}))
		})
	}
}

// What is written before the reply arrives at a peer that drops what comes so early.
func TestEarlyWriteToFaultyPeer(t *testing.T) {
	t.Cleanup(func() { nothingLeft(t) })
	r := &rig{t: t, pairing: pairing{tested: ours, peer: moby}}
	tested, peer := r.connect(true)
	peer.(*mobySide).eager.Store(true)
	for range 20 {
		opened, err := tested.open()
		require.NoError(t, err)
		wrote := make(chan error, 1)
		go func() { // ends with the stream
			_, err := opened.Write([]byte("early"))
			if err == nil {
				err = opened.closeWrite()
			}
			wrote <- err
		}()
		accepted, err := peer.accept(patience)
		require.NoError(t, err)
		text, err := r.readAll(peer, accepted)
		require.NoError(t, err)
		require.Equal(t, "early", text)
		require.NoError(t, <-wrote)
	}
}

// Our server is silent until its client has said something, for clients lose what comes
// with the 101.
func TestSilentServer(t *testing.T) {
	require.Equal(t, "nothing", silent(&rig{t: t}))
}
