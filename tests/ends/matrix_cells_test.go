package ends

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// The dimensions of the matrix. The issue names the first five; the others are varied with
// them: every pair of values of any two is in a cell that runs in CI.
const (
	dimFront   = iota // protocol of the client
	dimProxy          // what forwards a request
	dimUpload         // what the client and the handler do with the request's body
	dimSize           // of the answer
	dimReader         // how the client reads the answer
	dimBack           // version of SPDY behind the proxy
	dimAnswer         // whether the answer has a Content-Length
	dimRequest        // whether the request has one
	numDims
)

// A cell is one place of the matrix: for each dimension the index of a value.
type cell [numDims]int

var dimNames = [numDims]string{"front", "proxy", "upload", "size", "reader", "back", "answer", "request"}

// The values of the dimensions that code asks for.
const (
	frontHTTP1 = iota
	frontTLS
	frontHTTP2
	frontSPDY2
	frontSPDY3
	frontSPDY31
)

const (
	proxyReverse = iota // httputil.ReverseProxy and spdy.Transport
	proxyStream         // Session.NewStreamProxy
)

const (
	readerFast = iota
	readerPauses
)

const (
	withLength = iota
	withoutLength
)

var (
	fronts  = []string{"http1", "tls", "http2", "spdy2", "spdy3", "spdy3.1"}
	proxies = []string{"reverse", "stream"}
	readers = []string{"fast", "pauses"}
	backs   = []string{"spdy3.1", "spdy3", "spdy2"}
	lengths = []string{"length", "chunked"}
)

// An end is what a client does behind the last byte of its upload.
type end int

const (
	endWhole     end = iota // the upload is complete
	endHalfClose            // the client closes its direction, too early
	endHangUp               // the client closes the connection
	endBreakOff             // the client resets the connection, or its stream
)

// An upload is what client and handler do with the body of a request.
type upload struct {
	name  string
	total int           // length of the body, as the client announces it
	sent  int           // bytes that the client sends
	reads int           // bytes that the handler reads before it answers; -1 for all
	end   end           // of the upload
	late  bool          // the upload ends before the answer begins, not after
	pause time.Duration // between the eight pieces of the upload
	first bool          // the client sends all before it reads
	racy  string        // why the outcome is a matter of luck in net/http; "" if it is not
}

// drained is the rest of a body that net/http reads behind a handler; of a larger rest it
// reads nothing and closes the connection.
const drained = 256 << 10

const racyRest = "the rest of the upload exceeds 256 KiB: net/http closes with bytes unread, and the kernel resets"

var uploads = []upload{
	{name: "none"},
	{name: "unread", total: 200 << 10, sent: 200 << 10},
	{name: "unread-large", total: 4 * drained, sent: 4 * drained, racy: racyRest},
	{name: "part-read", total: 200 << 10, sent: 200 << 10, reads: 1000},
	{name: "short-early", total: 200 << 10, sent: 100 << 10, end: endHalfClose},
	{name: "short-late", total: 200 << 10, sent: 100 << 10, reads: -1, end: endHalfClose, late: true},
	{name: "hangup-early", total: 200 << 10, sent: 100 << 10, end: endHangUp},
	{name: "hangup-late", total: 200 << 10, sent: 100 << 10, reads: -1, end: endHangUp, late: true},
	{name: "fails-early", total: 200 << 10, sent: 100 << 10, end: endBreakOff},
	{name: "fails-late", total: 200 << 10, sent: 100 << 10, reads: -1, end: endBreakOff, late: true},
	{name: "slow-unread", total: 64 << 10, sent: 64 << 10, pause: 40 * time.Millisecond},
	{name: "slow-read", total: 64 << 10, sent: 64 << 10, reads: -1, pause: 40 * time.Millisecond},
	{name: "all-first", total: 200 << 10, sent: 200 << 10, first: true},
	{name: "all-first-large", total: 4 * drained, sent: 4 * drained, first: true, racy: racyRest},
}

// unread is the index of the upload that goes with everything.
const unread = 1

// leaves reports that the client does not stay for the answer.
func (u upload) leaves() bool { return u.end == endHangUp || u.end == endBreakOff }

// sizes are those of the answers: none, a byte, one less and one more than each chunk,
// buffer and window of the library and of net/http, and long ones.
var sizes = func() []int {
	s := []int{0, 1}
	for _, k := range []int{
		512, 2 << 10, 8 << 10, // chunks of a northbound buffer; what net/http buffers of a chunked answer
		4 << 10,  // answerBuffer, wholeFrame; bufio in net/http
		16 << 10, // maxDataFrame, maxPooledBlock, leastParcel
		32 << 10, // readBufferSize, the largest chunk; the buffer of ReverseProxy
		64 << 10, // batchSize, defaultWindow
		drained,  // defaultStreamWindow
		1 << 20,  // defaultUnawareServerWindow; windows of HTTP/2 in net/http
	} {
		s = append(s, k-1, k+1)
	}
	slices.Sort(s)
	return append(s, large, huge)
}()

const (
	large = 4 << 20
	huge  = 64 << 20 // for fast readers only
)

// values are the names of the values of a dimension.
func values(d int) []string {
	switch d {
	case dimFront:
		return fronts
	case dimProxy:
		return proxies
	case dimUpload:
		return namesOf(uploads, func(u upload) string { return u.name })
	case dimSize:
		return namesOf(sizes, sizeName)
	case dimReader:
		return readers
	case dimBack:
		return backs
	}
	return lengths
}

func namesOf[T any](all []T, name func(T) string) []string {
	var names []string
	for _, v := range all {
		names = append(names, name(v))
	}
	return names
}

// sizeName is a number of bytes in short: 64Ki-1.
func sizeName(n int) string {
	for _, unit := range []struct {
		bytes int
		name  string
	}{{1 << 20, "Mi"}, {1 << 10, "Ki"}} {
		for _, off := range []int{0, -1, 1} {
			if k := n - off; k >= unit.bytes && k%unit.bytes == 0 {
				name := fmt.Sprint(k/unit.bytes, unit.name)
				if off != 0 {
					name = fmt.Sprintf("%s%+d", name, off)
				}
				return strings.ReplaceAll(name, " ", "")
			}
		}
	}
	return fmt.Sprint(n)
}

func (c cell) upload() upload { return uploads[c[dimUpload]] }
func (c cell) size() int      { return sizes[c[dimSize]] }

// String is what -cell takes.
func (c cell) String() string {
	var parts []string
	for d, i := range c {
		parts = append(parts, dimNames[d]+"="+values(d)[i])
	}
	return strings.Join(parts, ",")
}

// parseCell reads what String writes. Dimensions that are not named have their first value.
func parseCell(s string) (c cell, err error) {
	for part := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(part, "=")
		d := slices.Index(dimNames[:], name)
		if d < 0 {
			return c, fmt.Errorf("no dimension %q in %q", name, dimNames)
		}
		if c[d] = slices.Index(values(d), value); c[d] < 0 {
			return c, fmt.Errorf("no %s %q in %q", name, value, values(d))
		}
	}
	if !c.exists() {
		return c, fmt.Errorf("there is no such cell: %s", c)
	}
	return c, nil
}

// exists is false for a combination that has no sense or takes too long:
//   - 64 MiB are for fast readers only;
//   - without a Content-Length a stream that ends early is a complete request, in HTTP/2
//     and SPDY, so that short uploads have one;
//   - a request without a body has no length to announce.
//
// Every front has a ResponseWriter on which NewStreamProxy works, so none of the pairs of
// front and proxy is left out.
func (c cell) exists() bool {
	u := c.upload()
	return (c.size() < huge || c[dimReader] == readerFast) &&
		(c[dimRequest] == withLength || u.end != endHalfClose && u.total > 0)
}

// ways is the number of pairs of a front and a proxy, which the covering array takes for the
// values of one dimension: each way is in a cell with each upload, and with each answer.
func ways() int { return len(fronts) * len(proxies) }

// A row is a cell whose first value is that of the way, and whose second one is 0.
type row cell

func (r row) cell() cell {
	c := cell(r)
	c[dimFront], c[dimProxy] = r[0]/len(proxies), r[0]%len(proxies)
	return c
}

// count returns the number of values that rows have in a dimension.
func count(d int) int {
	switch d {
	case dimFront:
		return ways()
	case dimProxy:
		return 1
	}
	return len(values(d))
}

// A pair is two values of two dimensions.
type pair struct{ d1, v1, d2, v2 int }

// allPairs are the pairs of rows. Those of the dimensions with the most values come first:
// they determine how many rows are needed.
func allPairs() (all []pair) {
	for d1 := range int(numDims) {
		for d2 := d1 + 1; d2 < int(numDims); d2++ {
			for v1 := range count(d1) {
				for v2 := range count(d2) {
					all = append(all, pair{d1, v1, d2, v2})
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b pair) int {
		return count(b.d1)*count(b.d2) - count(a.d1)*count(a.d2)
	})
	return all
}

// pairs yields the pairs of a row.
func (r row) pairs() iter.Seq[pair] {
	return func(yield func(pair) bool) {
		for d1 := range r {
			for d2 := d1 + 1; d2 < len(r); d2++ {
				if !yield(pair{d1, r[d1], d2, r[d2]}) {
					return
				}
			}
		}
	}
}

// pairwise returns rows that have every pair of values that a row can have. It always
// returns the same ones.
func pairwise() (rows []row) {
	missing := map[pair]bool{}
	for _, p := range allPairs() {
		missing[p] = true
	}
	for n, p := range allPairs() {
		if !missing[p] {
			continue
		}
		delete(missing, p)
		if r, ok := completed(p, missing, n); ok {
			for q := range r.pairs() {
				delete(missing, q)
			}
			rows = append(rows, r)
		}
	}
	return rows
}

// A partial is a row of which some values are not chosen yet.
type partial struct {
	row
	chosen [numDims]bool
}

func (p *partial) choose(d, v int) { p.row[d], p.chosen[d] = v, true }

// completed returns a row with the pair p and, in each other dimension, the value that brings
// the most missing pairs. Of equal ones the n-th is taken.
func completed(p pair, missing map[pair]bool, n int) (row, bool) {
	var r partial
	r.choose(p.d1, p.v1)
	r.choose(p.d2, p.v2)
	for d := range r.row {
		if r.chosen[d] {
			continue
		}
		best, most := -1, -1
		for i := range count(d) {
			v := (i + n) % count(d)
			if got := r.brings(d, v, missing); got > most && r.possible(d, v) {
				best, most = v, got
			}
		}
		if best < 0 {
			return row{}, false
		}
		r.choose(d, best)
	}
	return r.row, r.cell().exists()
}

// possible reports whether there is a row with the chosen values and v in dimension d.
func (p partial) possible(d, v int) bool {
	p.choose(d, v)
	if !p.chosen[dimUpload] {
		p.row[dimUpload] = unread // goes with everything, as do the first values of the others
	}
	return p.cell().exists()
}

// brings counts the missing pairs of v in dimension d with the chosen values.
func (p *partial) brings(d, v int, missing map[pair]bool) (n int) {
	for e, w := range p.row {
		q := pair{d, v, e, w}
		if e < d {
			q = pair{e, w, d, v}
		}
		if p.chosen[e] && missing[q] {
			n++
		}
	}
	return n
}

// crossed returns the cells that CI runs beside the pairs: each front and proxy with each
// upload and an answer that fits into no window and no socket, as most faults ask for.
func crossed() (cells []cell) {
	for _, c := range product() {
		if c.size() == large && c[dimReader] == (c[dimFront]+c[dimProxy]+c[dimUpload])%2 {
			cells = append(cells, c)
		}
	}
	return cells
}

// product returns all cells of the five dimensions that the issue names. The others take
// turns.
func product() []cell {
	var cells []cell
	var fill func(c cell, d int)
	fill = func(c cell, d int) {
		if d <= dimReader {
			for c[d] = range values(d) {
				fill(c, d+1)
			}
			return
		}
		n := len(cells)
		c[dimBack], c[dimAnswer], c[dimRequest] = n%3, n/3%2, n/6%2
		if !c.exists() {
			c[dimRequest] = withLength
		}
		if c.exists() {
			cells = append(cells, c)
		}
	}
	fill(cell{}, 0)
	return cells
}
