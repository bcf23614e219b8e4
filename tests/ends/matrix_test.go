// Package ends shows that what ends, an answer, an upload, a session, ends as it does in
// net/http: nothing that is short is taken for the whole, and nothing is lost on the way.
package ends

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

var (
	full    = flag.Bool("full", false, "TestMatrix: all cells rather than all pairs")
	oneCell = flag.String("cell", "", "TestMatrix: only this cell, as front=…,proxy=…")
)

// atOnce is the number of cells that run at a time. A cell mostly waits; one of 64 MiB does not.
const (
	atOnce     = 24
	hugeWeight = 8
)

// TestMatrix runs the cells of the matrix over real sockets. Each must be equal to its oracle,
// a front of net/http that forwards to the same handler by ReverseProxy over HTTP/1.1, or
// better: the same answer, whole, is better than a 502, and that is better than a part.
func TestMatrix(t *testing.T) {
	cells, err := chosenCells()
	if err != nil {
		t.Fatal(err)
	}
	start, before := time.Now(), inLibrary()
	m := &matrix{oracles: map[cell]*oracle{}, free: atOnce}
	m.room = sync.NewCond(&m.mu)
	var wg sync.WaitGroup
	for _, c := range cells {
		weight := 1
		if c.size() == huge {
			weight = hugeWeight
		}
		m.enter(weight)
		wg.Go(func() {
			defer m.enter(-weight)
			m.play(c)
		})
	}
	wg.Wait()
	if left := leftBehind(before, 10*time.Second); len(left) > 0 {
		t.Errorf("%d goroutines of the library are left:\n%s", len(left), strings.Join(left, "\n\n"))
	}
	var b strings.Builder
	m.print(&b)
	fmt.Fprintf(&b, "%d cells in %v\n", len(cells), time.Since(start).Round(time.Second))
	if *full || *oneCell != "" {
		fmt.Print(b.String())
	} else {
		t.Log("\n" + b.String())
	}
	for _, v := range m.verdicts {
		if len(v.complaints) > 0 {
			t.Errorf("%s\n\tgot %v\n\toracle %v\n\t%s", v.cell, v.got, v.oracle, strings.Join(v.complaints, "\n\t"))
		}
	}
}

// chosenCells returns the cells that the flags ask for.
func chosenCells() (cells []cell, err error) {
	if *oneCell != "" {
		c, err := parseCell(*oneCell)
		return []cell{c}, err
	}
	if *full {
		return product(), nil
	}
	for _, r := range pairwise() {
		cells = append(cells, r.cell())
	}
	return append(cells, crossed()...), nil
}

// inLibrary returns the stacks of the goroutines that are in the library, by goroutine.
func inLibrary() map[string]string {
	stacks, buf := map[string]string{}, make([]byte, 4<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if id, _, ok := strings.Cut(stack, " ["); ok && strings.Contains(stack, "github.com/amahi/spdy.(") {
			stacks[id] = stack
		}
	}
	return stacks
}

// leftBehind waits until no goroutine is in the library but those that were there before, and
// returns the stacks of those that stay.
func leftBehind(before map[string]string, patience time.Duration) []string {
	for limit := time.Now().Add(patience); ; pass(20 * time.Millisecond) {
		left := inLibrary()
		maps.DeleteFunc(left, func(id, _ string) bool { return before[id] != "" })
		if len(left) == 0 || time.Now().After(limit) {
			return slices.Collect(maps.Values(left))
		}
	}
}

// TestMatrixHasAllPairs shows that the cells of CI have every pair of values that a cell of
// the whole matrix can have.
func TestMatrixHasAllPairs(t *testing.T) {
	have := map[pair]bool{}
	for _, r := range pairwise() {
		if !r.cell().exists() {
			t.Errorf("%s does not exist", r.cell())
		}
		for p := range r.pairs() {
			have[p] = true
		}
	}
	for _, p := range allPairs() {
		var r row
		r[dimUpload] = unread
		r[p.d1], r[p.d2] = p.v1, p.v2
		if can := r.cell().exists(); can != have[p] {
			t.Errorf("pair %v of %s: there %v, possible %v", p, r.cell(), have[p], can)
		}
	}
	for _, c := range product()[:100] {
		if back, err := parseCell(c.String()); err != nil || back != c {
			t.Errorf("%s is read as %s, %v", c, back, err)
		}
	}
}

// A matrix collects what the cells show.
type matrix struct {
	mu       sync.Mutex
	room     *sync.Cond
	free     int // how many cells may still run at the same time
	oracles  map[cell]*oracle
	verdicts []verdict
}

// enter waits for room; with a negative weight it makes room.
func (m *matrix) enter(weight int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.free < weight {
		m.room.Wait()
	}
	m.free -= weight
	m.room.Broadcast()
}

// A verdict is what a cell has shown.
type verdict struct {
	cell       cell
	got        outcome
	oracle     []outcome
	complaints []string
	lucky      bool // the oracle's outcome is a matter of luck, and was better
	better     bool // than the oracle
	unsaid     bool // NewStreamProxy returned nil for an answer that luck has lost
}

// An oracle is what net/http does in a cell.
type oracle struct {
	mu   sync.Mutex
	seen []outcome
}

// ask returns n outcomes of the oracle for a cell, or more.
func (m *matrix) ask(c cell, n int) ([]outcome, error) {
	if c[dimFront] >= frontSPDY2 {
		c[dimFront] = frontHTTP2
	}
	c[dimProxy], c[dimBack] = 0, 0
	m.mu.Lock()
	o := m.oracles[c]
	if o == nil {
		o = new(oracle)
		m.oracles[c] = o
	}
	m.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.seen) < n {
		r, err := newRoad(c, true)
		if err != nil {
			return nil, err
		}
		got, _ := r.run() // the oracle may leave what it likes
		r.end()
		o.seen = append(o.seen, got)
	}
	return slices.Clone(o.seen), nil
}

// play runs a cell and judges it.
func (m *matrix) play(c cell) {
	v := verdict{cell: c}
	var asking sync.WaitGroup
	asking.Go(func() { _, _ = m.ask(c, 1) }) // compare asks again
	defer asking.Wait()
	if r, err := newRoad(c, false); err != nil {
		v.complaints = append(v.complaints, err.Error())
	} else {
		got, err := r.run()
		r.end()
		v.got = got
		if err != nil {
			v.complaints = append(v.complaints, err.Error())
		}
		r.view.lock(func() {
			v.complaints = append(v.complaints, r.view.complaints(c, got)...)
			v.unsaid = c.upload().racy != "" && c[dimProxy] == proxyStream && r.view.frontErr == nil && got.worth(c.size()) < 3
		})
	}
	if err := m.compare(&v); err != nil {
		v.complaints = append(v.complaints, err.Error())
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.verdicts = append(m.verdicts, v)
}

// lucky reports that it is a matter of luck what net/http does in a cell.
func (c cell) lucky() bool { return c.upload().racy != "" || c.seemsGone() && !c.upload().late }

// seemsGone reports that the client closes its direction of HTTP/1.1: to net/http it has left
// then, which cancels the request.
func (c cell) seemsGone() bool {
	return c.upload().end == endHalfClose && c[dimFront] <= frontTLS
}

// moreOracles is how often net/http is asked before a cell is called worse.
const moreOracles = 4

// compare compares an outcome with those of the oracle.
func (m *matrix) compare(v *verdict) (err error) {
	u, size := v.cell.upload(), v.cell.size()
	if u.leaves() {
		return nil
	}
	got := v.got.worth(size)
	for _, n := range []int{1, moreOracles} {
		if v.oracle, err = m.ask(v.cell, n); err != nil {
			return err
		}
		least := got
		for i, o := range v.oracle {
			if w := o.worth(size); i == 0 || w < least {
				least = w
			}
		}
		v.better = got > least
		if got >= least {
			return nil
		}
	}
	if v.lucky = v.cell.lucky(); !v.lucky {
		v.complaints = append(v.complaints, "worse than net/http")
	}
	return nil
}

// complaints says what is wrong with an outcome whatever net/http does.
func (v *view) complaints(c cell, got outcome) (bad []string) {
	complain := func(is bool, format string, args ...any) {
		if is {
			bad = append(bad, fmt.Sprintf(format, args...))
		}
	}
	u, worth := c.upload(), got.worth(c.size())
	complain(got.body.wrong && got.status == http.StatusOK, "the client has received bytes that the origin has not sent")
	complain(worth < 0 && !u.leaves(), "the client took a part of the answer for the whole")
	complain(got.ended == endedHung, "the client waits for ever")
	// In HTTP/1.1 net/http takes a client that closes its direction for one that has left. In
	// HTTP/2 the oracle breaks the answer off as well; ours does not.
	complain(u.end == endHalfClose && !u.late && c[dimFront] >= frontHTTP2 && worth < 3,
		"the end of the upload has broken off an answer that had begun")
	complain(got.probe != nil, "%v", got.probe)
	complain(v.requests > 1, "the origin has got the request %d times", v.requests)
	complain(v.body.wrong, "the origin has received bytes that the client has not sent")
	complain(v.bodyErr == io.EOF && v.body.n != u.total, "the origin took %d bytes of the upload for the whole", v.body.n)
	complain(u.reads < 0 && u.end == endWhole && v.requests > 0 && v.bodyErr != io.EOF, "the upload failed: %v", v.bodyErr)
	if c[dimProxy] == proxyStream && !u.leaves() {
		complain(u.racy == "" && v.frontErr == nil && worth < 3, "NewStreamProxy returned nil")
		complain(v.frontErr != nil && worth == 3 && !c.seemsGone(), "the answer is whole, and NewStreamProxy returned %v", v.frontErr)
	}
	return bad
}

// print prints the matrix: for each front and proxy, and each upload, how many of the cells
// are as they should be.
func (m *matrix) print(w io.Writer) {
	slices.SortFunc(m.verdicts, func(a, b verdict) int { return slices.Compare(a.cell[:], b.cell[:]) })
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(tab, "front\tproxy")
	for _, u := range uploads {
		fmt.Fprint(tab, "\t", u.name)
	}
	fmt.Fprintln(tab)
	better, lucky, unsaid := 0, 0, 0
	for f := range fronts {
		for p := range proxies {
			fmt.Fprint(tab, fronts[f], "\t", proxies[p])
			for u := range uploads {
				all, good := 0, 0
				for _, v := range m.verdicts {
					if v.cell[dimFront] == f && v.cell[dimProxy] == p && v.cell[dimUpload] == u {
						all++
						if len(v.complaints) == 0 {
							good++
						}
					}
				}
				fmt.Fprintf(tab, "\t%d/%d", good, all)
			}
			fmt.Fprintln(tab)
		}
	}
	tab.Flush()
	for _, v := range m.verdicts {
		if v.better {
			better++
		}
		if v.lucky {
			lucky++
		}
		if v.unsaid {
			unsaid++
		}
	}
	fmt.Fprintf(w, "%d better than net/http; %d worse where net/http's outcome is a matter of luck\n", better, lucky)
	fmt.Fprintf(w, "%d of these answers were lost after NewStreamProxy had returned nil\n", unsaid)
}
