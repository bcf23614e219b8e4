package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/amahi/spdy"
)

// sizes are upper limits of file sizes, in bytes; the size is a random number below a limit.
var sizes = []int64{2, 5_000, 70_000, 1 << 20, 6 << 20}

func (u *user) size() int64 { return u.Int64N(sizes[u.IntN(len(sizes))]) }

// fetch reads a whole file as fast as it arrives.
func (u *user) fetch(ctx context.Context) {
	ctx, cancel := u.limited(ctx)
	defer cancel()
	f := newFile([]string{"media", "live"}[u.IntN(2)], u.Uint64N(100), u.size())
	u.download(ctx, u.request(ctx, http.MethodGet, f), f, 0)
}

// download sends a request for f and checks that all bytes from off on arrive.
func (u *user) download(ctx context.Context, req *http.Request, f file, off int64) {
	want := http.StatusOK
	if req.Header.Get("Range") != "" {
		want = http.StatusPartialContent
	}
	res, err := u.lane.http.Do(req)
	if err != nil {
		u.failed(ctx, req.Method+" "+f.name, err)
		return
	}
	defer res.Body.Close()
	if !u.answered(res, want) {
		return
	}
	body := newCheck(f, off)
	n, err := io.Copy(body, res.Body)
	if err == nil {
		err = body.whole()
	}
	u.counts.add(received, n)
	if err != nil {
		u.failed(ctx, req.Method+" "+f.name, err)
		return
	}
	u.counts.add(completed, 1)
}

// open requests f from off on, as players do, and returns the response if it is right.
func (u *user) open(ctx context.Context, f file, off int64) (res *http.Response, ok bool) {
	req := u.request(ctx, http.MethodGet, f)
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-", off))
	res, err := u.lane.http.Do(req)
	if err != nil {
		u.failed(ctx, "Range", err)
		return nil, false
	}
	if !u.answered(res, http.StatusPartialContent) {
		res.Body.Close()
		return nil, false
	}
	if got, want := res.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", off, f.size-1, f.size); got != want {
		u.counts.never(wrong, fmt.Sprintf("%s: Content-Range %s instead of %s", u.lane.name, got, want))
	}
	return res, true
}

// take reads n bytes, or all the rest, and checks them. It returns false if the body has ended or
// failed, and counts the outcome.
func (u *user) take(ctx context.Context, res *http.Response, body *check, n int64) bool {
	took, err := io.CopyN(body, res.Body, n)
	u.counts.add(received, took)
	if errors.Is(err, io.EOF) {
		err = body.whole()
		if err == nil {
			u.counts.add(completed, 1)
			return false
		}
	}
	if err != nil {
		u.failed(ctx, "Range", err)
	}
	return err == nil
}

// play acts as a media player: it requests the rest of a film, reads a little, pauses while the
// player's buffer is full, reads on, seeks, and abandons the response.
func (u *user) play(ctx context.Context) {
	film := newFile("media", u.Uint64N(100), 64<<20+u.Int64N(2<<30))
	for range 2 + u.IntN(5) {
		off := u.Int64N(film.size)
		if u.IntN(4) == 0 { // near the end, where some formats have their index
			off = film.size - 1 - u.Int64N(200_000)
		}
		if !u.watch(ctx, film, off) {
			return
		}
	}
}

func (u *user) watch(ctx context.Context, film file, off int64) bool {
	ctx, cancel := u.limited(ctx)
	defer cancel()
	res, ok := u.open(ctx, film, off)
	if !ok {
		return false
	}
	defer res.Body.Close()
	body := newCheck(film, off)
	for range 1 + u.IntN(3) {
		if !u.take(ctx, res, body, 10_000+u.Int64N(400_000)) {
			return true
		}
		if !pause(ctx, time.Duration(u.IntN(700))*time.Millisecond) {
			break
		}
	}
	u.counts.add(abandoned, 1)
	return true
}

// storm requests many positions of a film at once and abandons all requests, like a user dragging a
// slider: by Close, or by the end of the context, perhaps before the response.
func (u *user) storm(ctx context.Context) {
	film := newFile("media", u.Uint64N(100), 64<<20+u.Int64N(2<<30))
	ctx, cancel := u.limited(ctx)
	defer cancel()
	var all sync.WaitGroup
	for range 20 {
		off, read, early := u.Int64N(film.size), u.Int64N(60_000), u.IntN(3) == 0
		limit := time.Duration(1+u.IntN(300)) * time.Millisecond
		all.Go(func() {
			if early {
				var soon context.CancelFunc
				ctx, soon := context.WithTimeout(ctx, limit)
				defer soon()
				u.glance(ctx, film, off, read)
				return
			}
			u.glance(ctx, film, off, read)
		})
	}
	all.Wait()
}

// glance may run concurrently with others of the same user: it does not use the user's random
// source.
func (u *user) glance(ctx context.Context, film file, off, read int64) {
	res, ok := u.open(ctx, film, off)
	if !ok {
		return
	}
	defer res.Body.Close()
	if u.take(ctx, res, newCheck(film, off), read) {
		u.counts.add(abandoned, 1)
	}
}

// readSlowly reads a few bytes at a time with pauses, and finally abandons the response, or reads
// the rest.
func (u *user) readSlowly(ctx context.Context) {
	ctx, cancel := u.limited(ctx)
	defer cancel()
	f := newFile("media", u.Uint64N(100), 300_000+u.Int64N(2<<20))
	res, ok := u.open(ctx, f, 0)
	if !ok {
		return
	}
	defer res.Body.Close()
	body := newCheck(f, 0)
	for range 20 + u.IntN(100) {
		if !u.take(ctx, res, body, 64+u.Int64N(2000)) {
			return
		}
		if !pause(ctx, 50*time.Millisecond) {
			break
		}
	}
	if u.IntN(2) == 0 || ctx.Err() != nil {
		u.counts.add(abandoned, 1)
		return
	}
	u.take(ctx, res, body, f.size+1)
}

// upload sends a file, with or without a length, sometimes slowly.
func (u *user) upload(ctx context.Context) {
	ctx, cancel := u.limited(ctx)
	defer cancel()
	f := newFile("upload", u.Uint64N(100), u.size())
	var body io.Reader = &fileReader{file: f}
	if u.IntN(4) == 0 {
		f = newFile("upload", u.Uint64N(100), 50_000+u.Int64N(200_000))
		body = &dribble{Reader: &fileReader{file: f}, ctx: ctx, size: 5000, wait: 40 * time.Millisecond}
	}
	length := f.size
	if u.IntN(2) == 0 && length > 0 {
		length = -1
	}
	u.send(ctx, u.request(ctx, http.MethodPost, f), f, body, length)
}

// send uploads a file and compares the receipt with the bytes sent.
func (u *user) send(ctx context.Context, req *http.Request, f file, body io.Reader, length int64) {
	sum := fnv.New64a()
	req.Body, req.ContentLength = io.NopCloser(io.TeeReader(body, sum)), length
	if length == 0 {
		req.Body = http.NoBody
	}
	res, err := u.lane.http.Do(req)
	if err != nil {
		u.failed(ctx, "upload", err)
		return
	}
	defer res.Body.Close()
	if !u.answered(res, http.StatusOK) {
		return
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 1000))
	if err != nil {
		u.failed(ctx, "receipt", err)
		return
	}
	var got receipt
	if err := json.Unmarshal(text, &got); err != nil {
		u.counts.never(truncated, u.lane.name+": a receipt: "+err.Error())
		return
	}
	if want := (receipt{Length: f.size, Sum: sum.Sum64()}); got != want {
		u.counts.never(corrupt, fmt.Sprintf("%s: %s was acknowledged as %+v, sent was %+v", u.lane.name, f.name, got, want))
		return
	}
	u.counts.add(acked, 1)
	u.counts.add(completed, 1)
}

// A dribble is a body that arrives in small pieces with pauses in between.
type dribble struct {
	io.Reader
	ctx  context.Context
	size int
	wait time.Duration
}

func (d *dribble) Read(p []byte) (int, error) {
	if !pause(d.ctx, d.wait) {
		return 0, d.ctx.Err()
	}
	return d.Reader.Read(p[:min(len(p), d.size)])
}

// errLost is the error of a body whose user loses interest.
var errLost = errors.New("the file is gone")

// leaveUpload starts to send a file and abandons the upload: the body fails, or the context ends.
// The response must not be a receipt.
func (u *user) leaveUpload(ctx context.Context) {
	ctx, cancel := u.limited(ctx)
	defer cancel()
	f := newFile("upload", u.Uint64N(100), 10_000+u.size())
	part := u.Int64N(f.size)
	body, end := io.LimitReader(&fileReader{file: f}, part), cancel
	if u.IntN(2) == 0 {
		end = func() {}
	}
	req := u.request(ctx, http.MethodPost, f)
	req.Body, req.ContentLength = io.NopCloser(io.MultiReader(body, &failing{end})), f.size
	if u.IntN(2) == 0 {
		req.ContentLength = -1
	}
	res, err := u.lane.http.Do(req)
	if err != nil {
		u.counts.add(abandoned, 1)
		return
	}
	defer res.Body.Close()
	if u.answered(res, http.StatusBadGateway) {
		u.counts.add(abandoned, 1)
	}
}

// failing is the end of a body that fails instead of ending.
type failing struct{ before func() }

func (f *failing) Read([]byte) (int, error) {
	f.before()
	return 0, errLost
}

// ownSession dials a session by hand, runs downloads and pings, and ends the session in one of
// several ways, perhaps during use.
func (u *user) ownSession(ctx context.Context) {
	ctx, cancel := u.limited(ctx)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.set.Plain)
	if err != nil {
		u.failed(ctx, "dial", err)
		return
	}
	version := []spdy.Version{spdy.SPDY2, spdy.SPDY3, spdy.SPDY31}[u.IntN(3)]
	client, err := (&spdy.Config{Version: version, Logger: quiet, AcceptPush: u.acceptPush}).NewClientConn(conn)
	if err != nil {
		u.failed(ctx, "session", err)
		return
	}
	own := *u
	own.lane = &lane{name: "own " + version.String(), base: "http://" + u.set.Plain, http: &http.Client{Transport: client}}
	var all sync.WaitGroup
	for range 1 + u.IntN(6) {
		f := newFile([]string{"media", "live"}[u.IntN(2)], u.Uint64N(100), u.size())
		pushed := newFile("media", u.Uint64N(100), u.size()/8)
		req, claim := own.request(ctx, http.MethodGet, f), u.IntN(2) == 0
		req.Header.Add(pushHeader, pushed.name)
		all.Go(func() {
			own.download(ctx, req, f, 0)
			if claim {
				own.download(ctx, own.request(ctx, http.MethodGet, pushed), pushed, 0)
			}
		})
	}
	all.Go(func() {
		limit, stop := context.WithTimeout(ctx, 30*time.Second)
		defer stop()
		if _, err := client.Session().PingContext(limit); err != nil {
			u.counts.add(pingsLost, 1)
			return
		}
		u.counts.add(pings, 1)
	})
	ending := u.IntN(5)
	if ending == 4 {
		all.Wait() // the other ways end the session during use
	} else {
		pause(ctx, time.Duration(u.IntN(200))*time.Millisecond)
	}
	switch ending {
	case 0:
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	case 1:
		conn.Close()
	case 2:
		own.leave(ctx, client, &all)
	}
	client.Close()
	all.Wait()
	u.counts.sessionEnded(own.lane.name, client.Session().Err())
	u.counts.add(sessions, 1)
}

// acceptPush refuses a third of the pushed streams.
func (u *user) acceptPush(promised, _ *http.Request) bool {
	_, f, err := parseFile(promised.URL.Path)
	if err != nil || f.seed%3 == 0 {
		return false
	}
	u.counts.add(pushes, 1)
	return true
}

// leave shuts a session down gracefully, which must not break off running requests.
func (u *user) leave(ctx context.Context, client *spdy.Client, all *sync.WaitGroup) {
	if err := client.Shutdown(ctx); err != nil {
		return
	}
	all.Wait()
	if err := client.Session().Err(); !errors.Is(err, spdy.ErrSessionClosed) {
		u.counts.never(wrong, "Shutdown returned nil, and the session ended otherwise: "+err.Error())
	}
}

// overlap sends a file, and receives it, in an exchange whose response begins or ends before the
// request does: the rest is sent after half of the response, or never, or the body then fails.
// HTTP/1.1 is skipped, since HTTP/1.1 servers respond only after the request is complete.
func (u *user) overlap(ctx context.Context) {
	if u.lane.name == "HTTP/1.1" {
		return
	}
	ctx, cancel := u.limited(ctx)
	defer cancel()
	kind := []string{"late", "early"}[u.IntN(2)]
	f := newFile(kind, u.Uint64N(100), u.size())
	first := u.Int64N(f.size + 1)
	half := make(chan struct{})
	var rest io.Reader = &fileReader{file: f, off: first}
	if kind == "early" && u.IntN(2) == 0 {
		rest = &failing{func() {}}
	}
	req := u.request(ctx, http.MethodPost, f)
	req.Body, req.ContentLength = io.NopCloser(io.MultiReader(
		io.LimitReader(&fileReader{file: f}, first), &gate{half, ctx}, rest)), -1
	res, err := u.lane.http.Do(req)
	if err != nil {
		close(half)
		u.failed(ctx, kind+" upload", err)
		return
	}
	defer res.Body.Close()
	if !u.answered(res, http.StatusOK) {
		close(half)
		return
	}
	body := newCheck(f, 0)
	n, err := io.CopyN(body, res.Body, f.size/2)
	close(half)
	if err == nil {
		var more int64
		more, err = io.Copy(body, res.Body)
		n += more
	}
	u.counts.add(received, n)
	if err == nil || errors.Is(err, io.EOF) {
		err = body.whole()
	}
	if err != nil {
		u.failed(ctx, kind+" upload", err)
		return
	}
	u.counts.add(overlaps, 1)
	u.counts.add(completed, 1)
}

// A gate is a part of a body without bytes, whose reader has to wait.
type gate struct {
	open <-chan struct{}
	ctx  context.Context
}

func (g *gate) Read([]byte) (int, error) {
	select {
	case <-g.open:
		return 0, io.EOF
	case <-g.ctx.Done():
		return 0, g.ctx.Err()
	}
}

// askIfModified sends the conditional request of a browser that has the file, or a HEAD.
func (u *user) askIfModified(ctx context.Context) {
	ctx, cancel := u.limited(ctx)
	defer cancel()
	f := newFile("media", u.Uint64N(100), u.size())
	req, want := u.request(ctx, http.MethodHead, f), http.StatusOK
	if u.IntN(2) == 0 {
		req, want = u.request(ctx, http.MethodGet, f), http.StatusNotModified
		req.Header.Set("If-Modified-Since", changed.Format(http.TimeFormat))
	}
	res, err := u.lane.http.Do(req)
	if err != nil {
		u.failed(ctx, "HEAD", err)
		return
	}
	defer res.Body.Close()
	if !u.answered(res, want) {
		return
	}
	if n, err := io.Copy(io.Discard, res.Body); n > 0 || err != nil {
		u.counts.never(wrong, fmt.Sprintf("%s: %s has a body of %d bytes: %v", u.lane.name, res.Status, n, err))
		return
	}
	u.counts.add(completed, 1)
}

// goodbye makes the relay end the lane's session.
func (u *user) goodbye(ctx context.Context) {
	ctx, cancel := u.limited(ctx)
	defer cancel()
	res, err := u.lane.http.Do(u.request(ctx, http.MethodGet, file{name: goodbyePath}))
	if err != nil {
		u.failed(ctx, "goodbye", err)
		return
	}
	defer res.Body.Close()
	if u.answered(res, http.StatusNoContent) {
		u.counts.add(completed, 1)
	}
}

// cutLane resets a connection that other users share.
func (u *user) cutLane(context.Context) {
	if u.lane.conns.cutOne() {
		u.counts.add(connsCut, 1)
	}
}
