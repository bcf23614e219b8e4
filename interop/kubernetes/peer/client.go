package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/amahi/spdy/interop/kubernetes/internal/census"
)

// defaultPatience is the limit for a scenario. A slower scenario counts as hanging.
const defaultPatience = 2 * time.Minute

// settlePatience is the time for goroutines and files to disappear.
const settlePatience = 15 * time.Second

// A client runs the scenarios against a server.
type client struct {
	server      string
	size        int64
	connections int
	atOnce      int
	seed        uint64
	only        string
	row         string
	patience    time.Duration
	out         *json.Encoder
}

// A report is the result of a scenario.
type report struct {
	Scenario string
	Error    string // empty on success
	Seconds  float64
	Note     string
	Stacks   string // of leftovers
}

// A scenario returns a note for the reader.
type scenario struct {
	name string
	run  func(c *client, ctx context.Context) (string, error)
}

func scenarios() []scenario {
	return append(append(execScenarios, attachScenarios...), forwardScenarios...)
}

// run first runs every scenario with a small size, so that one-time initialization is done. It then
// takes a census of the two processes, and starts the real run.
func (c *client) run(ctx context.Context) error {
	warm := *c
	warm.size, warm.connections, warm.out = 1000, 2, json.NewEncoder(io.Discard)
	if !warm.runAll(ctx) {
		fmt.Fprintln(os.Stderr, "peer: not all went well when warming up")
	}
	// Leftovers of the first round get time to end. Remaining leftovers are leaks, too, and are
	// detected because the second round adds to them.
	here, there := c.quiet(ctx)
	if err := c.out.Encode(hello{Address: c.server, Library: library()}); err != nil {
		return err
	}
	c.runAll(ctx)
	c.leftovers(ctx, "nothing left in the client", here, c.censusHere)
	c.leftovers(ctx, "nothing left in the server", there, c.censusThere)
	return nil
}

// leftovers reports whether the census does not exceed before. It runs on the goroutine that took
// the first census.
func (c *client) leftovers(ctx context.Context, name string, before census.Census, count func() (census.Census, error)) {
	ctx, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	begun := time.Now()
	now, err := census.Settle(ctx, before, count)
	c.tell(report{Scenario: name, Seconds: time.Since(begun).Seconds(), Note: now.String()}, err)
}

// tell prints a report.
func (c *client) tell(r report, err error) {
	if err != nil {
		r.Error = err.Error()
		r.Stacks = census.Stacks()
		if there, err := c.get("/stacks", nil); err == nil {
			r.Stacks += "\n--- the server\n" + there
		}
	}
	_ = c.out.Encode(r)
}

// quiet waits until neither process changes any more, and returns a census of both.
func (c *client) quiet(ctx context.Context) (here, there census.Census) {
	for range 5 {
		short, cancel := context.WithTimeout(ctx, time.Second)
		h, _ := census.Settle(short, census.Census{}, c.censusHere)
		cancel()
		t, _ := c.censusThere()
		if !here.Exceeds(h) && !there.Exceeds(t) && here.Goroutines != 0 {
			return here, there
		}
		here, there = h, t
	}
	return here, there
}

func (c *client) censusHere() (census.Census, error) {
	http.DefaultClient.CloseIdleConnections()
	return census.Take(), nil
}

func (c *client) censusThere() (n census.Census, err error) {
	text, err := c.get("/census", nil)
	if err != nil {
		return n, err
	}
	return n, json.Unmarshal([]byte(text), &n)
}

func (c *client) runAll(ctx context.Context) bool {
	good := true
	for _, s := range scenarios() {
		if strings.Contains(s.name, c.only) {
			good = c.report(ctx, s) && good
		}
	}
	return good
}

// report runs a scenario. A scenario that hangs is abandoned.
func (c *client) report(ctx context.Context, s scenario) bool {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	type outcome struct {
		note string
		err  error
	}
	ended := make(chan outcome, 1)
	begun := time.Now()
	go func() { // may hang, if the library hangs
		note, err := s.run(c, ctx)
		ended <- outcome{note, err}
	}()
	var o outcome
	select {
	case o = <-ended:
	case <-ctx.Done():
		grace := time.NewTimer(5 * time.Second)
		defer grace.Stop()
		select {
		case o = <-ended:
		case <-grace.C:
			o.err = fmt.Errorf("hangs: not back after %v", c.patience)
		}
	}
	c.tell(report{Scenario: s.name, Seconds: time.Since(begun).Seconds(), Note: o.note}, o.err)
	return o.err == nil
}

// get sends a request to the server on a separate connection.
func (c *client) get(path string, query url.Values) (string, error) {
	req, err := http.NewRequest("GET", "http://"+c.server+path+"?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return string(text), err
}

// executor opens an exec or attach with the streams in o.
func (c *client) executor(verb string, o remotecommand.StreamOptions, cmd ...string) (remotecommand.Executor, error) {
	u, err := c.open(verb, o, cmd...)
	if err != nil {
		return nil, err
	}
	return remotecommand.NewSPDYExecutor(&rest.Config{}, "POST", u)
}

// open returns the URL of an exec or attach.
func (c *client) open(verb string, o remotecommand.StreamOptions, cmd ...string) (*url.URL, error) {
	query := url.Values{"cmd": cmd}
	for name, wanted := range map[string]bool{"stdin": o.Stdin != nil, "stdout": o.Stdout != nil, "stderr": o.Stderr != nil && !o.Tty, "tty": o.Tty} {
		if wanted {
			query.Set(name, "1")
		}
	}
	text, err := c.get("/open/"+verb, query)
	if err != nil {
		return nil, err
	}
	return url.Parse(text)
}

func (c *client) stream(ctx context.Context, verb string, o remotecommand.StreamOptions, cmd ...string) error {
	e, err := c.executor(verb, o, cmd...)
	if err != nil {
		return err
	}
	return e.StreamWithContext(ctx, o)
}

// expect returns an error if got differs from want.
func expect(what, got, want string) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%s: got %.80q, want %.80q", what, got, want)
}

var errNoError = errors.New("it reports no error")
