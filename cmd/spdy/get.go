package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"

	"github.com/amahi/spdy/internal/shown"
)

const getHelp = `Usage: spdy get [flags] URL...

Fetches URLs over SPDY and prints what they hold, or saves it with -o or -O.
http:// is taken to be SPDY without TLS from the first byte on; https://
negotiates the dialect. URLs of the same server share one session, and those to
save are fetched at the same time.

Answers other than 2xx, redirects included, are failures: they are printed, never
saved. So is a body that breaks off: it leaves no file. A body that the server has
compressed unasked, as SPDY allows, is unpacked.

While it saves, a progress bar is shown if standard error is a terminal.
With -v every frame is shown on standard error as it passes, ">" when it is sent
and "<" when it comes in, with milliseconds since the connection was made and with
what is left of the windows of its stream and session, and in the end what has gone
over each connection.

The exit code is 0 if all went well, 1 if something failed, 2 for a mistake on the
command line, 130 after Ctrl-C.
`

// getOptions are the flags of get.
type getOptions struct {
	dialer
	output     string
	remoteName bool
	include    bool
	verbose    bool
	secrets    bool
	progress   *bool // nil: if standard error is a terminal
	method     string
	header     http.Header
	host       string
	data       string
	hasData    bool
	ranges     string
}

// A job is a URL to fetch.
type job struct {
	url    *url.URL
	origin origin
	file   string // "" means standard output
}

// An origin identifies the server of a session.
type origin struct {
	addr   string
	secure bool
}

func runGet(ctx context.Context, e *env, args []string) error {
	o := &getOptions{header: make(http.Header)}
	flags := newFlags("get")
	o.addFlags(flags)
	flags.StringVar(&o.output, "o", "", "save to this `file`; - means standard output, binary data or not")
	flags.BoolVar(&o.remoteName, "O", false, "save to files named as the URLs' last elements")
	flags.BoolVar(&o.include, "i", false, "print the status and the headers before the body")
	flags.BoolVar(&o.verbose, "v", false, "show each frame as it passes")
	flags.BoolVar(&o.secrets, "secrets", false, "with -v: show data, cookies and credentials too")
	flags.BoolFunc("progress", "show progress: a bar on a terminal, else a line a second; -progress=false never does", o.setProgress)
	flags.StringVar(&o.method, "X", "", "request `method` (default GET, with -d POST)")
	flags.Func("H", "add a header, 'Name: value'; may be repeated", o.addHeader)
	flags.Func("d", "send this `data`, or with @file what is in the file, with @- standard input", o.setData)
	flags.StringVar(&o.ranges, "range", "", "ask for these `bytes` only: 0-99, 100- or -100")
	urls, err := e.parse(flags, args, getHelp)
	if err != nil {
		return err
	}
	jobs, err := o.plan(urls)
	if err != nil {
		return err
	}
	if err := o.prepare(); err != nil {
		return err
	}
	return newFetcher(e, o, jobs).run(ctx)
}

func (o *getOptions) setProgress(s string) error {
	on := s == "true"
	if !on && s != "false" {
		return errors.New("want true or false")
	}
	o.progress = &on
	return nil
}

func (o *getOptions) addHeader(s string) error {
	name, value, ok := strings.Cut(s, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch {
	case !ok:
		return errors.New("want 'Name: value'")
	case !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value):
		return errors.New("not a valid header")
	case strings.EqualFold(name, "Host"):
		o.host = value
	default:
		o.header.Add(name, value)
	}
	return nil
}

func (o *getOptions) setData(s string) error {
	if o.hasData {
		return errors.New("given twice")
	}
	o.data, o.hasData = s, true
	return nil
}

// plan makes jobs of the URLs and checks the flags against them.
func (o *getOptions) plan(urls []string) ([]job, error) {
	switch {
	case len(urls) == 0:
		return nil, usagef("no URL")
	case o.output != "" && o.remoteName:
		return nil, usagef("-o and -O exclude each other")
	case o.output != "" && o.output != "-" && len(urls) > 1:
		return nil, usagef("-o is for one URL; -O saves several")
	case o.data == "@-" && len(urls) > 1:
		return nil, usagef("standard input can be sent to one URL only")
	case strings.Trim(o.ranges, "0123456789-,") != "":
		return nil, usagef("-range %q: want 0-99, 100- or -100", o.ranges)
	}
	jobs := make([]job, len(urls))
	taken := make(map[string]string)
	for i, s := range urls {
		j, err := newJob(s)
		if err != nil {
			return nil, err
		}
		switch {
		case o.remoteName:
			if j.file, err = remoteName(j.url); err != nil {
				return nil, err
			}
			if other, ok := taken[j.file]; ok {
				return nil, usagef("%s and %s would both be saved to %s", other, s, j.file)
			}
			taken[j.file] = s
		case o.output != "-":
			j.file = o.output
		}
		jobs[i] = j
	}
	return jobs, nil
}

// newJob parses a URL. A URL without a scheme is an http URL.
func newJob(s string) (job, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return job{}, usagef("%v", err)
	}
	port := u.Port()
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return job{}, usagef("%s: the scheme must be http or https", s)
	case u.Hostname() == "":
		return job{}, usagef("%s: no host", s)
	case port == "" && u.Scheme == "http":
		port = "80"
	case port == "":
		port = "443"
	}
	addr, err := hostPort(u.Hostname(), port)
	if err != nil {
		return job{}, usagef("%s: %v", s, err)
	}
	return job{url: u, origin: origin{addr, u.Scheme == "https"}}, nil
}

// remoteName returns the file name at the end of a URL. A server's name must not become a local
// path.
func remoteName(u *url.URL) (string, error) {
	name := path.Base(u.Path)
	if u.Path == "" || strings.HasSuffix(u.Path, "/") {
		return "index.html", nil
	}
	if name == "." || name == ".." || strings.ContainsAny(name, "/\\\x00") || !filepath.IsLocal(name) {
		return "", usagef("%s: %q is no file name to save to; use -o", u.Redacted(), name)
	}
	return name, nil
}

// request makes the request of a job.
func (o *getOptions) request(ctx context.Context, e *env, j job) (*http.Request, error) {
	method := o.method
	if method == "" {
		method = http.MethodGet
		if o.hasData {
			method = http.MethodPost
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, j.url.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header = o.header.Clone()
	req.Host = o.host
	if user := j.url.User; user != nil && req.Header.Get("Authorization") == "" {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
	if o.ranges != "" {
		req.Header.Set("Range", "bytes="+o.ranges)
	}
	if o.hasData {
		if err := o.attachData(ctx, e, req); err != nil {
			return nil, err
		}
	}
	return req, nil
}

// hostPort joins a host, in ASCII, and a port.
func hostPort(host, port string) (string, error) {
	if shown.Printable(host) != host {
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", err
		}
		host = ascii
	}
	return net.JoinHostPort(host, port), nil
}

// elapsed formats a duration for people.
func elapsed(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
