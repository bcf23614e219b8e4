package tunnel

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/amahi/spdy"
)

// An Origin is a server that clients cannot dial: the origin dials a proxy and serves the requests
// that arrive on that connection.
type Origin struct {
	Endpoint Endpoint
	Handler  http.Handler
	Config   *spdy.Config // of the sessions; nil means the defaults

	Backoff   Backoff
	KeepAlive time.Duration // between two pings; default 30 s
	Grace     time.Duration // for running requests after the end of Run's context; default 10 s

	// Logf, if not nil, logs the events of the connection.
	Logf func(format string, args ...any)
}

// Run keeps a session with the proxy open until ctx ends. Then running requests finish and Run
// returns nil. Run fails only with a permanent *RefusedError: the proxy rejects the token, or
// requires another protocol (status 426).
func (o *Origin) Run(ctx context.Context) error {
	backoff := o.Backoff
	_, longest := backoff.limits()
	for {
		lasted, err := o.serve(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var refused *RefusedError
		if errors.As(err, &refused) && refused.Permanent() {
			return err
		}
		if lasted > longest { // the session worked, so this failure starts a new series
			backoff.reset()
		}
		pause := backoff.next()
		o.logf("%s: no tunnel to %s: %v; next attempt in %v", o.Endpoint.Name, o.Endpoint.Addr, reason(err), pause.Round(time.Millisecond))
		if !backoff.wait(ctx, pause) {
			return nil
		}
	}
}

// serve connects and serves until the session ends. lasted is the duration of the session.
func (o *Origin) serve(ctx context.Context) (lasted time.Duration, err error) {
	conn, err := o.Endpoint.Dial(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	session := o.Config.ServerSession(conn, &http.Server{Handler: o.Handler})
	o.logf("%s: tunnel to %s is up", o.Endpoint.Name, o.Endpoint.Addr)
	stop := context.AfterFunc(ctx, func() { _ = shutdown(session, orDefault(o.Grace, 10*time.Second)) })
	defer stop()
	every := orDefault(o.KeepAlive, 30*time.Second)
	go keepAlive(session, every, every/2) // ends with the session
	err = session.Serve()
	return time.Since(began), err
}

func (o *Origin) logf(format string, args ...any) {
	if o.Logf != nil {
		o.Logf("%s", oneLine(format, args...))
	}
}

// reason returns the text of a session's end, also for an orderly end.
func reason(err error) string {
	if err == nil {
		return "the proxy said goodbye"
	}
	return err.Error()
}

func orDefault(d, usual time.Duration) time.Duration {
	if d <= 0 {
		return usual
	}
	return d
}
