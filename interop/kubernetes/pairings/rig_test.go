//go:build pairings

package pairings

import (
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/interop/kubernetes/internal/rows"
)

var (
	out  = flag.String("out", "", "file for the results, in JSON")
	only = flag.String("only", "", "names of rows, one a line; empty for all")
)

// hangs is how long a call may take of which one of the libraries does not return.
const hangs = 2 * time.Second

var errHangs = errors.New("hangs")

// A rig is a connection in one pairing, and what comes of a row in it.
type rig struct {
	testing.TB
	client, server *end
	accepted       chan stream // replied to, if there is no other handler
	result         rows.Result
}

// A row runs in each pairing. Patient ones mostly wait, and run in all pairings at once.
type row struct {
	name     string
	patient  bool
	unserved bool // the row calls Serve
	rounds   int  // how often it is repeated, in turns with the other pairings; 0 for once
	run      func(r *rig)
}

// TestRows runs all rows.
func TestRows(t *testing.T) {
	var mu sync.Mutex
	var results []rows.Result
	var waiting sync.WaitGroup
	for _, x := range allRows {
		if *only != "" && !slices.Contains(strings.Split(*only, "\n"), x.name) {
			continue
		}
		begun := time.Now()
		for range max(x.rounds, 1) {
			for _, pairing := range rows.Pairings {
				hold := func() {
					r := newRig(t, pairing, x)
					x.run(r)
					r.client.net.Close()
					r.server.net.Close()
					mu.Lock()
					results = rows.Add(results, r.result)
					mu.Unlock()
				}
				if x.patient {
					waiting.Go(hold)
				} else {
					hold()
				}
			}
		}
		t.Logf("%v %s", time.Since(begun), x.name)
	}
	waiting.Wait()
	text, err := json.Marshal(results)
	require.NoError(t, err)
	if *out != "" {
		require.NoError(t, os.WriteFile(*out, text, 0o600))
	}
	table, worse := rows.Table(results)
	t.Logf("worse: %+v\n%s", worse, table)
}

func newRig(t testing.TB, pairing string, x row) *rig {
	r := &rig{TB: t, accepted: make(chan stream, 10_000), result: rows.Result{Row: x.name, Pairing: pairing}}
	r.client, r.server = r.pair()
	if x.unserved {
		return r
	}
	r.serve(func(s stream) {
		_ = s.SendReply(http.Header{}, false)
		r.accepted <- s
	})
	return r
}

// pair makes the two ends of a connection.
func (r *rig) pair() (client, server *end) {
	c, s := tcpPair(r)
	return newEnd(r, r.result.Pairing[0], c, false), newEnd(r, r.result.Pairing[1], s, true)
}

// serve serves both ends.
func (r *rig) serve(handler func(stream)) {
	go r.server.serve(handler)                                                  // ends with the connection
	go r.client.serve(func(s stream) { _ = s.SendReply(http.Header{}, false) }) // ends with the connection
}

// open opens a stream, waits for its reply and returns both ends of it.
func (r *rig) open() (opened, accepted stream) {
	r.Helper()
	s, err := r.client.create(header)
	require.NoError(r, err)
	require.NoError(r, s.Wait())
	return s, <-r.accepted
}

// try counts an attempt, which is given up if it takes longer than most.
func (r *rig) try(most time.Duration, f func() error) error {
	begun := time.Now()
	done := make(chan error, 1)
	go func() { done <- f() }() // may hang, if the library does
	limit := time.NewTimer(most)
	defer limit.Stop()
	err := errHangs
	select {
	case err = <-done:
	case <-limit.C:
	}
	r.result.Of++
	if err == nil {
		r.result.OK++
		r.result.Times = append(r.result.Times, time.Since(begun))
	}
	return err
}

// pass lets time go by.
func pass(d time.Duration) {
	limit := time.NewTimer(d)
	<-limit.C
}

// works tries a PING and six new streams: moby has five workers, and one that is held up
// holds up every fifth stream.
func (r *rig) works() {
	_ = r.try(hangs, func() error { _, err := r.client.Ping(); return err })
	_ = r.try(2*hangs, func() error {
		for range 6 {
			s, err := r.client.create(header)
			if err == nil {
				err = s.WaitTimeout(hangs / 2)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
