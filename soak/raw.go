package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/amahi/spdy"
)

// rawPath is the path where the relay upgrades to raw streams.
const rawPath = "/-/raw"

// The deeds on a raw stream, as named in the stream's header.
const (
	rawWhole = "whole" // both sides send a file, and close their halves
	rawLate  = "late"  // the opener sends after it has received
	rawReset = "reset" // the opener resets the stream
)

// A rawPeer is one side of a raw session.
type rawPeer struct {
	*spdy.Session
	counts   *tally
	where    string
	patience time.Duration
}

func rawConfig(set settings) *spdy.Config {
	return &spdy.Config{PingInterval: set.Dwell / 2, PingTimeout: set.Dwell, WriteTimeout: 2 * set.Dwell, Logger: quiet}
}

// serveRaw handles an upgrade, and opens a stream for every accepted stream.
func (r *relay) serveRaw(w http.ResponseWriter, req *http.Request) {
	s, _, err := (&spdy.Upgrader{Config: rawConfig(r.set)}).Upgrade(w, req)
	if err != nil {
		r.counts.add("upgrades refused", 1)
		return
	}
	p := &rawPeer{Session: s, counts: &r.counts, where: "raw session at the relay", patience: r.set.Patience}
	var streams sync.WaitGroup
	streams.Go(func() {
		p.accept(func(f file) { p.open(context.Background(), f, rawWhole) })
	})
	p.counts.sessionEnded(p.where, s.Serve())
	streams.Wait()
}

// accept answers streams until the session has ended, and calls too for each, concurrently.
func (p *rawPeer) accept(too func(f file)) {
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		st, err := p.AcceptStream(context.Background())
		if err != nil {
			return
		}
		name, _ := st.Header().Get("file")
		deed, _ := st.Header().Get("deed")
		_, f, err := parseFile(name)
		if err != nil {
			st.Reset(spdy.RstRefusedStream)
			p.counts.never(wrong, p.where+": "+err.Error())
			continue
		}
		streams.Go(func() { p.answer(st, f, deed) })
		if too != nil {
			streams.Go(func() { too(f) })
		}
	}
}

// answer runs the accepting side of a stream.
func (p *rawPeer) answer(st *spdy.RawStream, f file, deed string) {
	defer st.Close()
	st.SetDeadline(time.Now().Add(p.patience))
	if deed == rawReset {
		if _, err := io.Copy(io.Discard, st); err == nil {
			p.counts.never(truncated, p.where+": a stream that its opener resets has come to its FIN")
		}
		return
	}
	if deed == rawLate { // our half is closed before the peer starts to send
		p.judge(p.send(st, f))
		p.judge(p.receive(st, f))
		return
	}
	p.both(st, f)
}

// errNotOpened is the error for a stream that could not be opened.
var errNotOpened = errors.New("no stream was opened")

// open opens a stream, and returns an error if the stream did not complete.
func (p *rawPeer) open(ctx context.Context, f file, deed string) error {
	st, err := p.OpenStream(ctx, spdy.HeaderBlock{{Name: "file", Value: f.name}, {Name: "deed", Value: deed}}, spdy.StreamOptions{})
	if err != nil {
		return errNotOpened
	}
	defer st.Close()
	st.SetDeadline(time.Now().Add(p.patience))
	switch deed {
	case rawReset:
		if _, err := io.CopyN(st, &fileReader{file: f}, f.size/2); err != nil {
			return err
		}
		return st.Reset(spdy.RstCancel)
	case rawLate:
		if err := p.judge(p.receive(st, f)); err != nil {
			return err
		}
		return p.judge(p.send(st, f))
	}
	return p.both(st, f)
}

// both sends and receives a file concurrently.
func (p *rawPeer) both(st *spdy.RawStream, f file) error {
	sent := make(chan error, 1)
	go func() { sent <- p.send(st, f) }()
	received := p.judge(p.receive(st, f))
	if received != nil {
		st.Reset(spdy.RstCancel) // otherwise send would wait for a reader
	}
	return errors.Join(received, p.judge(<-sent))
}

// send sends a file and closes our half: by CloseWrite, or with HEADERS.
func (p *rawPeer) send(st *spdy.RawStream, f file) error {
	_, err := st.ReadFrom(&fileReader{file: f})
	switch {
	case err != nil:
		st.Reset(spdy.RstCancel)
		return err
	case f.seed%2 == 0:
		return st.SendHeaders(spdy.HeaderBlock{{Name: "size", Value: strconv.FormatInt(f.size, 10)}}, true)
	}
	return st.CloseWrite()
}

// receive reads a file to the peer's FIN.
func (p *rawPeer) receive(st *spdy.RawStream, f file) error {
	body := newCheck(f, 0)
	n, err := io.Copy(body, st)
	p.counts.add(received, n)
	if err == nil {
		err = body.whole()
	}
	return err
}

// judge counts failures, and returns err.
func (p *rawPeer) judge(err error) error {
	switch {
	case err == nil:
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.counts.never(hung, p.where+": "+err.Error())
	case errors.Is(err, errCorrupt), errors.Is(err, errTruncated):
		p.counts.failed(p.where, err)
	}
	return err
}

// rawSession upgrades a new connection, opens streams and answers those of the relay, and ends the
// session in one of several ways, perhaps during use.
func (u *user) rawSession(ctx context.Context) {
	ctx, cancel := u.limited(ctx)
	defer cancel()
	var conn *net.TCPConn
	dialer := &spdy.UpgradeDialer{Config: rawConfig(u.set), DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			conn = c.(*net.TCPConn)
		}
		return c, err
	}}
	s, _, err := dialer.Dial(ctx, http.MethodGet, "http://"+u.set.Plain+rawPath)
	if err != nil {
		u.failed(ctx, "upgrade", err)
		return
	}
	p := &rawPeer{Session: s, counts: &u.counts, where: "raw session at a client", patience: u.set.Patience}
	var all, opened sync.WaitGroup
	all.Go(func() { u.counts.sessionEnded(p.where, s.Serve()) })
	all.Go(func() { p.accept(nil) })
	results := make(chan error, 10)
	for range 1 + u.IntN(6) {
		f, deed := newFile("raw", u.Uint64N(100), u.size()/4), []string{rawWhole, rawWhole, rawLate, rawReset}[u.IntN(4)]
		opened.Go(func() {
			err := p.open(ctx, f, deed)
			if err == nil {
				u.counts.add(rawStreams, 1)
			}
			results <- err
		})
	}
	u.endRaw(ctx, p, conn, &opened, results)
	opened.Wait()
	all.Wait()
}

// endRaw ends a raw session. A graceful end must not break off a stream.
func (u *user) endRaw(ctx context.Context, p *rawPeer, conn *net.TCPConn, opened *sync.WaitGroup, results <-chan error) {
	defer p.Close()
	ending := u.IntN(5)
	if ending > 2 {
		opened.Wait() // the other ways end the session during use
	} else {
		pause(ctx, time.Duration(u.IntN(200))*time.Millisecond)
	}
	switch ending {
	case 0:
		conn.SetLinger(0)
		conn.Close()
	case 1, 4:
		err := p.Shutdown(ctx)
		opened.Wait()
		for err == nil && len(results) > 0 {
			if cut := <-results; errors.Is(cut, spdy.ErrSessionClosed) {
				u.counts.never(wrong, p.where+": a stream broke off, and Shutdown returned nil: "+cut.Error())
			}
		}
	}
}
