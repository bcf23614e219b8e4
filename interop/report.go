package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/amahi/spdy"
)

// A tableRow is a line of the table: a peer in one role and version, with the cells by
// conversation.
type tableRow struct {
	cell  cell
	cells map[string]string
}

// tabulate orders verdicts into rows.
func tabulate(verdicts []verdict) (rows []tableRow) {
	index := make(map[string]int)
	for _, v := range verdicts {
		i, ok := index[v.cell.row()]
		if !ok {
			i = len(rows)
			index[v.cell.row()] = i
			rows = append(rows, tableRow{cell: v.cell, cells: make(map[string]string)})
		}
		rows[i].cells[v.cell.conversation] = v.text
	}
	return rows
}

// line returns the columns of a row.
func (r *tableRow) line() []string {
	cols := []string{r.cell.peer, r.cell.role(), r.cell.version.String(), r.cell.transport()}
	for _, c := range conversations {
		cols = append(cols, r.cells[c.name])
	}
	return cols
}

func heading() []string {
	cols := []string{"peer", "as", "version", "over"}
	for _, c := range conversations {
		cols = append(cols, c.name)
	}
	return cols
}

// printTable prints the table in columns.
func printTable(w io.Writer, verdicts []verdict) {
	lines := [][]string{heading()}
	for _, r := range tabulate(verdicts) {
		lines = append(lines, r.line())
	}
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, text := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	fmt.Fprintln(w)
	for _, line := range lines {
		var b strings.Builder
		for i, text := range line {
			b.WriteString(text + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+2))
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// document returns the text of docs/interop.md.
func document(verdicts []verdict) []byte {
	var b bytes.Buffer
	b.WriteString(introduction)
	b.WriteString("\n## Conversations\n\n| name | what happens |\n| --- | --- |\n")
	for _, c := range conversations {
		fmt.Fprintf(&b, "| %s | %s |\n", c.name, c.about)
	}
	b.WriteString("\n## Results\n\n" + legend + "\n")
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(heading(), " | "), strings.Repeat(" --- |", len(heading())))
	for _, r := range tabulate(verdicts) {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r.line(), " | "))
	}
	b.WriteString("\n## Programs on the way\n\n" + onTheWay)
	b.WriteString("\n## Bugs of the peers\n\n" + bugsIntroduction)
	b.WriteString("\n| no. | peer | versions | bug | evidence |\n| --- | --- | --- | --- | --- |\n")
	fmt.Fprintf(&b, "| N1 | %s | all | %s | every start of the peer |\n", peerNode, bugN1)
	for _, bug := range recorded {
		consequence, versions := "", bug.versions(verdicts)
		switch {
		case bug.chance:
			consequence, versions = " **", "by chance"
		case bug.breaks:
			consequence = " *"
		}
		fmt.Fprintf(&b, "| %s%s | %s | %s | %s | %s |\n", bug.id, consequence, bug.peer, versions, bug.title, bug.evidence)
	}
	return b.Bytes()
}

// versions lists the versions in which a bug occurred.
func (b *bug) versions(verdicts []verdict) string {
	var names []string
	for _, version := range []spdy.Version{spdy.SPDY2, spdy.SPDY3, spdy.SPDY31} {
		for _, v := range verdicts {
			if v.cell.version == version && v.has(b) {
				names = append(names, strings.TrimPrefix(version.String(), "spdy/"))
				break
			}
		}
	}
	return strings.Join(names, ", ")
}

func (v *verdict) has(b *bug) bool {
	return slices.Contains(v.bugs, b)
}

// writeDocument updates the document.
func writeDocument(path string, verdicts []verdict) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, document(verdicts), 0o644)
}

// checkDocument returns an error if the document differs from the results.
func checkDocument(path string, verdicts []verdict) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(old, document(verdicts)) {
		return fmt.Errorf("%s is not what this run found; interop/run.sh -write updates it", path)
	}
	return nil
}

const introduction = `# Interoperability

<!-- Written by interop/run.sh -write. Edit interop/report.go and interop/bugs_peers.go instead. -->

The library talks to SPDY implementations that others wrote. One command installs
them, each from its ordinary registry and pinned, and holds every conversation with
every peer in every version that the peer has, in both roles:

    interop/run.sh

It prints the table below and fails if a conversation neither passes nor shows a
recorded bug of the peer, if a recorded bug is no longer seen, and if this page is not
what the run found. ` + "`interop/run.sh -only EXPRESSION -v`" + ` holds some of the conversations and prints
every frame.

| peer | what it is | from |
| --- | --- | --- |
| this library | the other side of itself, as the measure of the conversations | here |
| node-spdy | node-spdy 4.0.2 on spdy-transport 3.0.0, server and agent | npm, interop/package-lock.json |
| Netty | the SPDY codec of Netty 4.1: frames, session and HTTP, SPDY/3.1 only | Debian, libnetty-java |
| spdystream | moby/spdystream 0.5.1, streams without HTTP; the conversations add the headers | Go module, interop/go.mod |
| spdystream framer | its framer, which reads and writes again every frame of conversations of the library with itself | the same |
| tshark | Wireshark's dissector, which reads a capture of each conversation of the library with itself, every connection in a file of its own | Debian, tshark |

Every conversation has a connection of its own. Besides what the two sides say of it,
each is judged by its frames: all must be readable, and an auditor that knows nothing
of the library's book-keeping checks that the library kept within both windows and
sent nothing on a stream that it had ended. tshark and spdystream's framer must see
the same frames and headers that the library's framer sees.
`

const legend = `` + "`pass`" + `; ` + "`pass (N5)`" + `: passed although the peer showed the bug N5; ` + "`bug N2`" + `: failed because of the
peer's bug N2; – : the version has no such thing. "plain, not told" is a server of the
library that finds out by itself whether a client without TLS speaks SPDY/3 or
SPDY/3.1.
`

const onTheWay = `These hold no conversations of the table. ` + "`interop/run.sh`" + ` runs a test of the library with each of them, in which
everything has to pass, before it holds the conversations.

| program | from | what was run |
| --- | --- | --- |
| haproxy, hitch | Debian | ` + "`TestTerminators`" + `: the program terminates TLS, negotiates nothing, and passes the bytes to a plain port of ` + "`Server.Serve`" + `. HTTP/1.1, and SPDY/2, /3 and /3.1 by a ` + "`Client`" + ` and by a ` + "`Transport`" + `, each with 1 MiB there and back |
| Chromium, headless | Debian | ` + "`TestBrowser`" + `: a page from a home that speaks SPDY, by way of an HTTP/1.1 front, once with ` + "`httputil.ReverseProxy`" + ` and ` + "`Transport`" + `, once with ` + "`NewStreamProxy`" + `. A WebSocket echoes 10 MiB and is closed by the page (clean, code 1000); one is closed by the home (clean, code 1000); one is cut off by the home (code 1006); one is refused (code 1006); one belongs to a frame that is removed; and the browser is killed while one echoes. No stream, handler or goroutine stays. ` + "`interop/run.sh`" + ` runs it in SPDY/3.1, ` + "`go test -tags browser -run TestBrowser .`" + ` in all versions |
`

const bugsIntroduction = `None is worked round in silence. Each is looked for in every conversation it is
recorded for; when it is gone the run fails, so that the record goes too. A star
marks bugs that make the conversation fail, two stars those that do so now and then:
such a conversation is held again, which the run prints.
`
