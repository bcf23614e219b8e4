package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/amahi/spdy"
)

const (
	startTime = 30 * time.Second // limit for the start of a peer
	talkTime  = 40 * time.Second // limit for a conversation
	stallTime = 5 * time.Second  // limit for the time without traffic in a conversation
)

// A bench holds the state shared by all conversations.
type bench struct {
	cert   tls.Certificate
	pool   *x509.CertPool
	logger *slog.Logger // for the library's own messages
}

// A serverPeer is a server peer. Any number of conversations may connect to the address.
type serverPeer interface {
	listen(ctx context.Context) (addr string, err error) // called again after a conversation if the peer has died
	log() string                                         // the peer's output since listen
	stop()
}

// A clientPeer is a client peer that holds conversations with a server.
type clientPeer interface {
	start(ctx context.Context) error                         // called again after a conversation if the peer has died
	converse(ctx context.Context, c cell, addr string) error // nil if the peer reports success
	log() string                                             // the peer's output since converse
	stop()
}

// watch returns a context that ends when the conversation exceeds talkTime or stalls.
func (t *tap) watch() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), talkTime, fmt.Errorf("not finished after %v", talkTime))
	ctx, cause := context.WithCancelCause(ctx)
	go func() { // ends with ctx
		tick := time.NewTicker(stallTime / 10)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if t.quiet() > stallTime {
					cause(&stalled{t.count(ours), t.count(theirs)})
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() { cause(nil); cancel() }
}

// stalled is the error of a conversation without traffic for stallTime.
type stalled struct{ sent, received int }

func (e *stalled) Error() string {
	return fmt.Sprintf("stalled: nothing passed for %v, after %d bytes from the library and %d from the peer", stallTime, e.sent, e.received)
}

// asClient holds a conversation with a server peer.
func (b *bench) asClient(c cell, peer serverPeer) (o outcome) {
	begun := time.Now()
	defer func() { o.took, o.peerLog = time.Since(begun), peer.log() }()
	ready, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	addr, err := peer.listen(ready)
	if err != nil {
		return outcome{err: err}
	}
	t := newTap()
	ctx, cancel := t.watch()
	defer cancel()
	conn, err := b.dial(ctx, c, addr)
	if err != nil {
		return outcome{err: err}
	}
	talk := &clientTalk{ctx: ctx, base: "http://" + addr, tap: t, cell: c}
	if c.tls {
		talk.base = "https://" + addr
	}
	conf := &spdy.Config{Version: c.version, Logger: b.logger}
	if c.conversation == convPush {
		conf.AcceptPush = talk.acceptPush
	}
	o.addr = addr
	if talk.client, err = conf.NewClientConn(tapped(conn, t)); err != nil {
		return outcome{err: err}
	}
	err = clientTalks[c.conversation](talk)
	if why := context.Cause(ctx); err != nil && why != nil && !errors.Is(err, why) {
		err = fmt.Errorf("%w (%w)", err, why)
	}
	o.trace = t.trace(c.version) // before Close adds a GOAWAY of ours
	talk.client.Close()
	o.err = settle(err, t, c, &o)
	return o
}

// dial connects to a peer, with TLS if the cell says so.
func (b *bench) dial(ctx context.Context, c cell, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil || !c.tls {
		return conn, err
	}
	tc := tls.Client(conn, &tls.Config{RootCAs: b.pool, ServerName: "127.0.0.1", NextProtos: []string{c.version.String()}})
	if err := tc.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	if p := tc.ConnectionState().NegotiatedProtocol; p != c.version.String() {
		conn.Close()
		return nil, fmt.Errorf("ALPN negotiated %q, not %v", p, c.version)
	}
	return tc, nil
}

// asServer lets a peer hold a conversation with our server.
func (b *bench) asServer(c cell, peer clientPeer) (o outcome) {
	begun := time.Now()
	if c.conversation == convWindow && c.version == spdy.SPDY2 {
		return outcome{err: errNotHere}
	}
	defer func() { o.took, o.peerLog = time.Since(begun), peer.log() }()
	ready, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if err := peer.start(ready); err != nil {
		return outcome{err: err}
	}
	t := newTap()
	ctx, cancel := t.watch()
	defer cancel()
	talk, err := serve(ctx, c, t, b.cert, b.logger, loopback)
	if err != nil {
		return outcome{err: err}
	}
	err = peer.converse(ctx, c, talk.addr)
	if err == nil {
		err = talk.check()
	}
	o.trace = t.trace(c.version)
	cancel()
	err = errors.Join(err, talk.close())
	o.err = settle(err, t, c, &o)
	return o
}

// settle adds the trace's findings to the result of a conversation.
func settle(err error, t *tap, c cell, o *outcome) error {
	if c.tls && c.server && c.conversation == convGet { // not tapped
		o.trace = nil
		return err
	}
	o.whole = t.trace(c.version)
	most, auditErr := o.whole.audit(!c.server, c.auto)
	if err == nil && c.conversation == convStreams && !c.server && most < 100 {
		err = fmt.Errorf("only %d streams were open at once", most)
	}
	return errors.Join(err, o.whole.undecoded(ours), o.trace.undecoded(theirs), auditErr)
}
