package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/amahi/spdy"
)

// A clientTalk is a conversation with the library as the client.
type clientTalk struct {
	ctx    context.Context
	client *spdy.Client
	base   string // URL of the server
	tap    *tap
	cell   cell
	pushes atomic.Int32 // pushes that arrived and were valid
}

// clientTalks are the client sides of the conversations.
var clientTalks = map[string]func(*clientTalk) error{
	convGet:      (*clientTalk).get,
	convHead:     (*clientTalk).head,
	convEcho:     (*clientTalk).echo,
	convStreams:  (*clientTalk).streams,
	convHeaders:  (*clientTalk).headers,
	convTrailers: (*clientTalk).trailers,
	convWindow:   (*clientTalk).window,
	convPush:     (*clientTalk).push,
	convCancel:   (*clientTalk).cancel,
	convCut:      (*clientTalk).cut,
	convGoAwayC:  (*clientTalk).sayGoAway,
	convGoAwayS:  (*clientTalk).hearGoAway,
	convPing:     (*clientTalk).ping,
}

// do sends a request. The caller must close the response body.
func (t *clientTalk) do(method, path string, body []byte, header ...string) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.ctx, method, t.base+path, r)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return t.client.Do(req)
}

// fetch sends a request and reads the whole response.
func (t *clientTalk) fetch(method, path string, body []byte, header ...string) (*http.Response, []byte, error) {
	res, err := t.do(method, path, body, header...)
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return res, got, fmt.Errorf("%s %s: body after %d bytes: %w", method, path, len(got), err)
	}
	return res, got, nil
}

// greet is a plain GET that verifies a connection.
func (t *clientTalk) greet() error {
	res, body, err := t.fetch("GET", "/get?q=a%20b", nil)
	if err != nil {
		return err
	}
	if res.StatusCode != 200 || !strings.HasPrefix(string(body), "hello from ") {
		return fmt.Errorf("GET /get: %s, body %q", res.Status, body)
	}
	if saw := res.Header.Get("X-Saw"); saw != "GET /get?q=a%20b" {
		return fmt.Errorf("GET /get: the server saw %q", saw)
	}
	return nil
}

func (t *clientTalk) get() error {
	if err := t.greet(); err != nil {
		return err
	}
	res, _, err := t.fetch("GET", "/get", nil)
	if err != nil {
		return err
	}
	if c := res.Header["Set-Cookie"]; len(c) != 2 || c[0] != "a=1" || c[1] != "b=2" {
		return fmt.Errorf("Set-Cookie is %q, sent were a=1 and b=2", c)
	}
	res, _, err = t.fetch("GET", "/nowhere", nil)
	if err == nil && res.StatusCode != 404 {
		err = fmt.Errorf("GET /nowhere: %s", res.Status)
	}
	return err
}

func (t *clientTalk) head() error {
	res, body, err := t.fetch("HEAD", "/get", nil)
	switch {
	case err != nil:
		return err
	case res.StatusCode != 200 || res.Header.Get("X-Saw") != "HEAD /get":
		return fmt.Errorf("%s, the server saw %q", res.Status, res.Header.Get("X-Saw"))
	case len(body) > 0:
		return fmt.Errorf("a body of %d bytes", len(body))
	}
	return t.greet()
}

func (t *clientTalk) echo() error {
	sent := pattern(bigBody)
	res, got, err := t.fetch("POST", "/echo", sent)
	switch {
	case err != nil:
		return err
	case res.StatusCode != 200:
		return fmt.Errorf("status %s", res.Status)
	case !bytes.Equal(got, sent):
		return fmt.Errorf("%d bytes came back that are not the %d that were sent", len(got), len(sent))
	}
	return nil
}

func (t *clientTalk) streams() error {
	want := pattern(smallBody)
	errs := make([]error, manyStreams)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			_, got, err := t.fetch("GET", "/gather?n=100", nil)
			if err == nil && !bytes.Equal(got, want) {
				err = fmt.Errorf("GET /gather: %d wrong bytes", len(got))
			}
			errs[i] = err
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (t *clientTalk) headers() error {
	res, _, err := t.fetch("GET", "/headers", nil, "X-Big", bigHeader)
	if err != nil {
		return err
	}
	if got := res.Header.Get("X-Big"); got != bigHeader {
		return fmt.Errorf("%s, a header of %d bytes came back as %d", res.Status, len(bigHeader), len(got))
	}
	return t.greet()
}

func (t *clientTalk) trailers() error {
	res, body, err := t.fetch("GET", "/trailers", nil)
	switch {
	case err != nil:
		return err
	case string(body) != "body\n":
		return fmt.Errorf("body %q", body)
	case t.cell.version == spdy.SPDY2: // SPDY/2 clients must ignore them (SPEC R12)
		if got := res.Trailer.Get("X-Checksum"); got != "" {
			return fmt.Errorf("HEADERS after DATA count in SPDY/2: %q", got)
		}
	case res.Trailer.Get("X-Checksum") != "deadbeef":
		return fmt.Errorf("trailers %v", res.Trailer)
	}
	return nil
}

// window leaves 1 MiB unread: the peer may send a single window of DATA.
func (t *clientTalk) window() error {
	if t.cell.version == spdy.SPDY2 {
		return errNotHere
	}
	res, err := t.do("GET", "/big", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := t.tap.awaitQuiet(t.ctx, settleTime); err != nil {
		return err
	}
	if n := t.tap.trace(t.cell.version).dataBytes(theirs, 1); n != streamWindow {
		return fmt.Errorf("the peer sent %d bytes of DATA into a window of %d", n, streamWindow)
	}
	got, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("after %d bytes: %w", len(got), err)
	}
	if !bytes.Equal(got, pattern(windowBody)) {
		return fmt.Errorf("%d wrong bytes", len(got))
	}
	return nil
}

// push accepts the resource that the server pushes with a page: the client must not send a request
// for the resource (SPEC U13).
func (t *clientTalk) push() error {
	page, err := t.do("GET", "/push", nil)
	if err != nil {
		return err
	}
	defer page.Body.Close()
	body, err := io.ReadAll(page.Body)
	if err != nil {
		return err
	}
	if string(body) != "page\n" {
		return fmt.Errorf("the page is %q", body)
	}
	for range 1000 { // a request does not wait for acceptPush
		if t.pushes.Load() > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	res, pushed, err := t.fetch("GET", "/pushed", nil)
	switch {
	case err != nil:
		return err
	case t.pushes.Load() == 0:
		return fmt.Errorf("nothing was pushed; the server answers %s when asked", res.Status)
	case string(pushed) != "pushed\n" || res.Header.Get("X-Pushed") != "yes":
		return fmt.Errorf("pushed is %q, X-Pushed %q", pushed, res.Header.Get("X-Pushed"))
	}
	asked := has(t.tap.trace(t.cell.version), ours, func(f *spdy.SynStreamFrame) bool { return f.StreamID > 1 })
	if asked {
		return errors.New("the library asked for what was pushed")
	}
	return nil
}

// acceptPush is the Config.AcceptPush of the push conversation.
func (t *clientTalk) acceptPush(promised, cause *http.Request) bool {
	defer t.pushes.Add(1)
	return promised.URL.Path == "/pushed" && cause.URL.Path == "/push"
}

func (t *clientTalk) cancel() error {
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", t.base+"/endless", nil)
	if err != nil {
		return err
	}
	res, err := t.client.Do(req)
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(res.Body, make([]byte, 20000)); err != nil {
		return err
	}
	res.Body.Close()
	if err := t.greet(); err != nil {
		return fmt.Errorf("after the reset: %w", err)
	}
	if err := t.tap.awaitQuiet(t.ctx, settleTime); err != nil {
		return fmt.Errorf("the server goes on sending: %w", err)
	}
	return nil
}

func (t *clientTalk) cut() error {
	res, got, err := t.fetch("GET", "/cut", nil)
	var reset *spdy.StreamError
	status := spdy.RstInternalError
	if t.cell.peer == peerMoby { // spdystream cannot send any other status
		status = spdy.RstCancel
	}
	switch {
	case res == nil:
		return err
	case err == nil:
		return fmt.Errorf("an answer of %d bytes that was cut off looks complete", len(got))
	case !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &reset):
		return fmt.Errorf("cut off, but: %w", err)
	case !reset.Remote || reset.Status != status:
		return fmt.Errorf("reset by whom, and why? %w", err)
	}
	return t.greet()
}

// sayGoAway shuts the session down while a response is arriving.
func (t *clientTalk) sayGoAway() error {
	res, err := t.do("GET", "/drip", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	first := make([]byte, len("first "))
	if _, err := io.ReadFull(res.Body, first); err != nil {
		return err
	}
	end := make(chan error, 1)
	go func() { end <- t.client.Session().Shutdown(t.ctx) }()
	rest, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Errorf("the answer ended early: %w", err)
	}
	if body := string(first) + string(rest); body != "first last\n" {
		return fmt.Errorf("body %q", body)
	}
	if err := <-end; err != nil {
		return fmt.Errorf("shutting down: %w", err)
	}
	if !has[*spdy.GoAwayFrame](t.tap.trace(t.cell.version), ours, nil) {
		return errors.New("no GOAWAY was sent")
	}
	return nil
}

// hearGoAway lets the server shut the session down during a response.
func (t *clientTalk) hearGoAway() error {
	_, body, err := t.fetch("GET", "/goaway", nil)
	if err != nil {
		return err
	}
	if string(body) != "bye now\n" {
		return fmt.Errorf("body %q", body)
	}
	select {
	case <-t.client.Session().Done():
	case <-t.ctx.Done():
		return fmt.Errorf("the session does not end: %w", context.Cause(t.ctx))
	}
	if err := t.client.Session().Err(); !errors.Is(err, spdy.ErrSessionClosed) {
		return fmt.Errorf("the session ended with %w", err)
	}
	heard := has(t.tap.trace(t.cell.version), theirs, func(f *spdy.GoAwayFrame) bool {
		return f.LastGoodStreamID >= 1 && f.Status == spdy.GoAwayOK
	})
	if !heard {
		return errors.New("the server said no GOAWAY that covers the request")
	}
	return nil
}

func (t *clientTalk) ping() error {
	for range 3 {
		if _, err := t.client.Session().PingContext(t.ctx); err != nil {
			return err
		}
	}
	_, body, err := t.fetch("GET", "/ping", nil)
	if err == nil && string(body) != "pong\n" {
		err = fmt.Errorf("the server says %q of its own ping", body)
	}
	return err
}

// settleTime is the time without traffic after which a connection counts as quiet.
const settleTime = 300 * time.Millisecond
