// Program interop tests this library against independent SPDY implementations, and reports the
// result of every conversation. run.sh installs the peers and starts the program.
package main

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
)

// The peers.
const (
	peerSelf       = "this library"
	peerNode       = "node-spdy"
	peerNetty      = "Netty"
	peerMoby       = "spdystream"
	peerMobyFramer = "spdystream framer"
	peerTshark     = "tshark"
)

// loopback is the address for all listeners.
const loopback = "127.0.0.1"

// A row is a line of the table: a peer in one role, version and transport.
type row struct {
	cell cell // without a conversation
	run  func(c cell) outcome
	stop func()
}

// options are the flags.
type options struct {
	dir, build string
	classpath  string
	only       *regexp.Regexp
	jobs       int
	verbose    bool
	document   string
	write      bool
	without    []string
}

func main() {
	var o options
	only := flag.String("only", "", "hold only conversations whose name, as the report prints it, matches this expression")
	flag.StringVar(&o.dir, "dir", ".", "directory of this program, with node/ and node_modules/")
	flag.StringVar(&o.build, "build", "build", "directory with the compiled Netty peer, and for captures")
	flag.StringVar(&o.document, "document", "", "Markdown file with the results")
	flag.BoolVar(&o.write, "write", false, "write the document instead of checking it")
	without := flag.String("without", "", "peers to leave out, separated by commas")
	flag.StringVar(&o.classpath, "classpath", os.Getenv("CLASSPATH"), "where java finds the compiled Netty peer and Netty")
	flag.IntVar(&o.jobs, "jobs", 3, "rows of the table that run at the same time")
	flag.BoolVar(&o.verbose, "v", false, "print the frames of every conversation")
	flag.Parse()
	o.without = strings.Split(*without, ",")
	o.only = regexp.MustCompile(*only)
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	begun := time.Now()
	b, certFile, keyFile, err := newBench(o.build)
	if err != nil {
		return err
	}
	rows, err := b.rows(o, certFile, keyFile)
	if err != nil {
		return err
	}
	verdicts := holdAll(o, rows)
	printTable(os.Stdout, verdicts)
	failed := 0
	for _, v := range verdicts {
		if v.failure != nil {
			failed++
		}
	}
	fmt.Printf("\n%d passed, %d failed\n", len(verdicts)-failed, failed)
	fmt.Printf("took %v\n", time.Since(begun).Round(time.Second))
	if failed > 0 {
		return fmt.Errorf("%d conversations failed", failed)
	}
	if len(verdicts) == 0 {
		return fmt.Errorf("no conversation was held")
	}
	complete := o.only.String() == "" && !slices.ContainsFunc(rows, o.leavesOut)
	switch {
	case o.document == "" || !complete:
		return nil
	case o.write:
		return writeDocument(o.document, verdicts)
	}
	return checkDocument(o.document, verdicts)
}

func (o options) leavesOut(r row) bool { return slices.Contains(o.without, r.cell.peer) }

func newBench(build string) (b *bench, certFile, keyFile string, err error) {
	cert, pool, err := localcert.New()
	if err != nil {
		return nil, "", "", err
	}
	dir := filepath.Join(build, "pki")
	if err := os.RemoveAll(dir); err != nil {
		return nil, "", "", err
	}
	certFile, keyFile, err = localcert.WritePEM(dir, cert)
	if err != nil {
		return nil, "", "", err
	}
	certFile, _ = filepath.Abs(certFile)
	keyFile, _ = filepath.Abs(keyFile)
	logger := slog.New(slog.NewTextHandler(io.Discard, nil))
	return &bench{cert: cert, pool: pool, logger: logger}, certFile, keyFile, nil
}

// holdAll holds every conversation of every row and returns the verdicts in the order of the rows.
func holdAll(o options, rows []row) []verdict {
	results := make([][]verdict, len(rows))
	turns := make(chan struct{}, o.jobs)
	var all sync.WaitGroup
	var out sync.Mutex
	for i, r := range rows {
		if o.leavesOut(r) {
			continue
		}
		all.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			results[i] = hold(o, r, &out)
		})
	}
	all.Wait()
	return slices.Concat(results...)
}

// tries is the maximum number of attempts for a conversation that a bug breaks by chance.
const tries = 4

// hold holds the conversations of one row.
func hold(o options, r row, out *sync.Mutex) (verdicts []verdict) {
	defer r.stop()
	for _, conv := range conversations {
		c := r.cell
		c.conversation = conv.name
		if !o.only.MatchString(c.String()) {
			continue
		}
		outcome := r.run(c)
		for try := 1; try < tries; try++ {
			b := byChance(c, &outcome)
			if b == nil {
				break
			}
			out.Lock()
			fmt.Printf("once more     %s: %s: %s\n", c, b.id, b.title)
			out.Unlock()
			outcome = r.run(c)
		}
		v := judge(c, outcome)
		out.Lock()
		v.report(os.Stdout, o.verbose)
		out.Unlock()
		v.outcome.trace = nil // up to ten MiB each
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// report prints a verdict, and the details of a failure.
func (v *verdict) report(w io.Writer, verbose bool) {
	fmt.Fprintf(w, "%-12s %s (%v)\n", v.text, v.cell, v.outcome.took.Round(time.Millisecond))
	if v.failure != nil {
		fmt.Fprintf(w, "  why: %s\n", indent(v.failure.Error()))
	}
	if (v.failure != nil || verbose) && v.outcome.err != nil {
		fmt.Fprintf(w, "  result: %s\n", indent(v.outcome.err.Error()))
	}
	if v.failure == nil && !verbose {
		return
	}
	if v.outcome.trace != nil {
		fmt.Fprintln(w, "  frames (-> the library, <- the peer):")
		v.outcome.trace.write(w)
	}
	if v.outcome.peerLog != "" {
		fmt.Fprintf(w, "  the peer printed:\n    %s\n", strings.ReplaceAll(v.outcome.peerLog, "\n", "\n    "))
	}
}

func indent(s string) string { return strings.ReplaceAll(s, "\n", "\n       ") }

// rows lists all combinations of peers, versions and transports.
func (b *bench) rows(o options, certFile, keyFile string) (rows []row, err error) {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, err
	}
	for _, v := range []spdy.Version{spdy.SPDY2, spdy.SPDY3, spdy.SPDY31} {
		for _, secure := range []bool{false, true} {
			rows = append(rows, b.self(cell{peer: peerSelf, version: v, tls: secure}))
		}
	}
	for _, v := range []spdy.Version{spdy.SPDY2, spdy.SPDY3, spdy.SPDY31} {
		for _, secure := range []bool{false, true} {
			argv, files := []string{"node", "--no-deprecation", "node/server.js", v.String()}, []string{certFile, keyFile}
			client := []string{"node", "--no-deprecation", "node/client.js", v.String()}
			if secure {
				argv, client = append(argv, files...), append(client, "tls")
			}
			c := cell{peer: peerNode, version: v, tls: secure}
			rows = append(rows, b.serving(c, &childServer{dir: dir, argv: argv}))
			c.server = true
			rows = append(rows, b.asking(c, &childClient{dir: dir, argv: client}))
			if c.auto = v != spdy.SPDY2 && !secure; c.auto {
				rows = append(rows, b.asking(c, &childClient{dir: dir, argv: client}))
			}
		}
	}
	return append(append(rows, b.nettyRows(o, certFile, keyFile)...), append(b.mobyRows(), b.observerRows(o)...)...), nil
}

// observerRows returns the rows of the peers that only read.
func (b *bench) observerRows(o options) (rows []row) {
	for i, v := range []spdy.Version{spdy.SPDY3, spdy.SPDY31} {
		rows = append(rows, b.watching(cell{peer: peerMobyFramer, version: v}, loopback, framerObserver{}))
		host := fmt.Sprintf("127.0.77.%d", i+1)
		rows = append(rows, b.watching(cell{peer: peerTshark, version: v}, host, &tsharkObserver{dir: filepath.Join(o.build, "captures"), host: host}))
	}
	return rows
}

// nettyRows returns the rows of Netty, which supports only SPDY/3.1.
func (b *bench) nettyRows(o options, certFile, keyFile string) (rows []row) {
	java := []string{"java", "-Xmx512m", "-cp", o.classpath}
	for _, secure := range []bool{false, true} {
		server, client := append(slices.Clone(java), "Server"), append(slices.Clone(java), "Client")
		if secure {
			server, client = append(server, certFile, keyFile), append(client, "tls")
		}
		c := cell{peer: peerNetty, version: spdy.SPDY31, tls: secure}
		rows = append(rows, b.serving(c, &childServer{argv: server}))
		c.server = true
		rows = append(rows, b.asking(c, &childClient{argv: client}))
		if c.auto = !secure; c.auto {
			rows = append(rows, b.asking(c, &childClient{argv: client}))
		}
	}
	return rows
}

// mobyRows returns the rows of spdystream, which has the frames of the two versions and does not
// distinguish between them.
func (b *bench) mobyRows() (rows []row) {
	for _, v := range []spdy.Version{spdy.SPDY3, spdy.SPDY31} {
		c := cell{peer: peerMoby, version: v}
		rows = append(rows, b.serving(c, &mobyServer{}))
		c.server = true
		rows = append(rows, b.asking(c, &mobyClient{}))
	}
	return rows
}

// self returns the row of this library with itself.
func (b *bench) self(c cell) row {
	peer := &selfServer{bench: b, host: loopback}
	return row{cell: c, stop: peer.stop, run: func(c cell) outcome {
		peer.cell = c
		return b.asClient(c, peer)
	}}
}

// serving returns the row of a server peer.
func (b *bench) serving(c cell, peer serverPeer) row {
	return row{cell: c, stop: peer.stop, run: func(c cell) outcome { return b.asClient(c, peer) }}
}

// asking returns the row of a client peer.
func (b *bench) asking(c cell, peer clientPeer) row {
	return row{cell: c, stop: peer.stop, run: func(c cell) outcome { return b.asServer(c, peer) }}
}
