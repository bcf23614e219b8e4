package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/shown"
)

// A fetcher runs the jobs of a get.
type fetcher struct {
	env      *env
	options  *getOptions
	jobs     []job
	console  *console
	progress *progress // nil: no progress is shown
	servers  map[origin]*server
	rawOut   bool // standard output accepts binary data: not a terminal, or -o -
}

// A server handles the jobs of an origin. The first job connects.
type server struct {
	connect func() (*spdy.Client, error)
	used    bool
}

func newFetcher(e *env, o *getOptions, jobs []job) *fetcher {
	f := &fetcher{env: e, options: o, jobs: jobs, console: newConsole(e.stderr), servers: make(map[origin]*server)}
	terminal := isTerminal(e.stdout)
	f.rawOut = !terminal || o.output == "-"
	saving := jobs[0].file != ""
	wanted := f.console.terminal && (saving || !terminal)
	if o.progress != nil {
		wanted = *o.progress
	}
	if wanted {
		f.progress = newProgress(f.console, len(jobs))
	}
	return f
}

// run fetches all jobs: jobs to save in parallel, jobs to print one after the other.
func (f *fetcher) run(ctx context.Context) error {
	f.prepareServers(ctx)
	defer f.closeServers()
	if f.progress != nil {
		defer f.progress.start()()
	}
	failed := make([]bool, len(f.jobs))
	var saving sync.WaitGroup
	for i, j := range f.jobs {
		if j.file == "" {
			failed[i] = !f.try(ctx, j)
			continue
		}
		saving.Go(func() { failed[i] = !f.try(ctx, j) })
	}
	saving.Wait()
	switch {
	case !slices.Contains(failed, true):
		return nil
	case ctx.Err() != nil: // whatever the jobs reported
		return ctx.Err()
	}
	return errFailed
}

func (f *fetcher) prepareServers(ctx context.Context) {
	var trace *tracer
	if f.options.verbose {
		trace = &tracer{out: f.console, secrets: f.options.secrets, now: time.Now}
	}
	for _, j := range f.jobs {
		if f.servers[j.origin] != nil {
			continue
		}
		s := new(server)
		s.connect = sync.OnceValues(func() (*spdy.Client, error) {
			s.used = true
			return f.options.client(ctx, j.origin.addr, j.origin.secure, trace)
		})
		f.servers[j.origin] = s
	}
}

// closeServers ends the started sessions.
func (f *fetcher) closeServers() {
	for o, s := range f.servers {
		if !s.used {
			continue
		}
		client, err := s.connect()
		if err != nil {
			continue
		}
		client.Close()
		if f.options.verbose {
			writeStats(f.console, o.addr, client.Session().Stats())
		}
	}
}

// try fetches a URL and reports a failure, unless Ctrl-C caused the failure.
func (f *fetcher) try(ctx context.Context, j job) bool {
	err := f.fetch(ctx, j)
	if err != nil && ctx.Err() == nil && !errors.Is(err, errBrokenPipe) {
		fmt.Fprintf(f.console, "spdy get: %s: %s\n", shown.Printable(j.url.Redacted()), shown.Printable(strings.TrimPrefix(explain(err).Error(), "spdy: ")))
	}
	return err == nil
}

func (f *fetcher) fetch(ctx context.Context, j job) error {
	client, err := f.servers[j.origin].connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := f.options.request(ctx, f.env, j)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if f.options.ranges != "" && res.StatusCode == http.StatusOK {
		fmt.Fprintf(f.console, "spdy get: %s: the server does not do ranges, this is all of it\n", shown.Printable(j.url.Redacted()))
	}
	if j.file != "" {
		return f.save(j, res)
	}
	if err := f.print(j, res); err != nil {
		return err
	}
	return statusError(res)
}

// statusError returns the error for a response's status, or nil for 2xx.
func statusError(res *http.Response) error {
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return nil
	}
	status := res.Status
	if to := res.Header.Get("Location"); to != "" {
		status += ", to " + to + "; redirects are not followed"
	}
	return errors.New(status)
}

// errBrokenPipe means that the reader of our output has exited. It is not reported.
var errBrokenPipe = errors.New("broken pipe")

// print writes a response to standard output.
func (f *fetcher) print(j job, res *http.Response) error {
	if f.options.include {
		if err := f.printHeader(f.env.stdout, res); err != nil {
			return err
		}
	}
	var out io.Writer = f.env.stdout
	if !f.rawOut {
		out = &textOnly{w: out}
	}
	_, err := f.copyBody(out, j, res)
	if errors.Is(err, os.ErrClosed) || isBrokenPipe(err) {
		return errBrokenPipe
	}
	return err
}

// printHeader writes the status and the headers of a response. Control characters are escaped for a
// terminal.
func (f *fetcher) printHeader(w io.Writer, res *http.Response) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s\n", res.Proto, res.Status)
	var lines bytes.Buffer
	if err := res.Header.Write(&lines); err != nil {
		return err
	}
	for line := range strings.Lines(lines.String()) {
		line = strings.TrimRight(line, "\r\n")
		if !f.rawOut {
			line = shown.Printable(line)
		}
		b.WriteString(line + "\n")
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

// save writes a response to a file, which appears when complete.
func (f *fetcher) save(j job, res *http.Response) (err error) {
	if err := statusError(res); err != nil {
		return err
	}
	file, err := createSaved(j.file)
	if err != nil {
		return err
	}
	defer file.abort()
	if f.options.include {
		if err := f.printHeader(file, res); err != nil {
			return err
		}
	}
	begun := time.Now()
	n, err := f.copyBody(file, j, res)
	if err != nil {
		return err
	}
	if err := file.commit(); err != nil {
		return err
	}
	if f.progress != nil {
		f.progress.finished(j.file, n, time.Since(begun))
	}
	return nil
}

// copyBody writes the body of a response and returns the number of received bytes. The error for a
// truncated body includes the position.
func (f *fetcher) copyBody(w io.Writer, j job, res *http.Response) (int64, error) {
	body := &countingReader{r: res.Body}
	if f.progress != nil {
		t := f.progress.add(j.name(), res.ContentLength)
		defer f.progress.remove(t)
		body.transfer = t
	}
	in, err := f.unpacked(body, res)
	switch {
	case err == nil:
		_, err = io.Copy(w, in)
	case err == io.EOF && body.n == 0: // empty body
		err = nil
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		of := ""
		if res.ContentLength >= 0 {
			of = fmt.Sprintf(" of %d", res.ContentLength)
		}
		err = fmt.Errorf("the body breaks off after %d%s bytes: %w", body.n, of, err)
	}
	return body.n, err
}

// unpacked undoes an unrequested compression: a SPDY server may use gzip whatever Accept-Encoding
// says (SPDY/3.1 §3.2.1).
func (f *fetcher) unpacked(body io.Reader, res *http.Response) (io.Reader, error) {
	if f.options.header.Get("Accept-Encoding") != "" || res.StatusCode == http.StatusPartialContent ||
		!strings.EqualFold(res.Header.Get("Content-Encoding"), "gzip") || res.Body == http.NoBody || res.Request.Method == http.MethodHead {
		return body, nil
	}
	return gzip.NewReader(body)
}

// A countingReader counts the bytes read.
type countingReader struct {
	r        io.Reader
	n        int64
	transfer *transfer // may be nil
}

// Read reads and counts.
func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.transfer != nil {
		c.transfer.done.Add(int64(n))
	}
	return n, err
}

// textOnly keeps binary data off a terminal.
type textOnly struct {
	w io.Writer
}

// Write fails if p contains a NUL, which text does not.
func (t *textOnly) Write(p []byte) (int, error) {
	if bytes.IndexByte(p, 0) >= 0 {
		return 0, errors.New("the body is binary; -o file saves it, -o - prints it all the same")
	}
	return t.w.Write(p)
}

// attachData sets the body of a request from -d.
func (o *getOptions) attachData(ctx context.Context, e *env, req *http.Request) error {
	kind := "application/octet-stream"
	switch name, isFile := strings.CutPrefix(o.data, "@"); {
	case !isFile:
		kind = "application/x-www-form-urlencoded"
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(o.data)), int64(len(o.data))
	case name == "-":
		req.Body, req.ContentLength = io.NopCloser(untilDone(ctx, e.stdin)), -1
	default:
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		info, err := file.Stat()
		if err != nil {
			file.Close()
			return err
		}
		req.Body, req.ContentLength = file, -1
		if info.Mode().IsRegular() {
			req.ContentLength = info.Size()
		}
	}
	if req.ContentLength == 0 {
		req.Body.Close()
		req.Body = http.NoBody
	}
	if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", kind)
	}
	return nil
}

// name is the name of a job in a progress line.
func (j job) name() string {
	if j.file != "" {
		return j.file
	}
	return j.url.Redacted()
}
