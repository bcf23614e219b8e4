package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/amahi/spdy"
)

// serveForward serves port-forward: pairs of streams until the client closes the connection.
func (k *Kubelet) serveForward(w http.ResponseWriter, r *http.Request, c Container) error {
	ctx, s, hangUp, err := k.upgrade(w, r, forwardProtocol)
	if err != nil {
		return err
	}
	defer hangUp()
	f := &forwards{k: k, c: c, ctx: ctx, waiting: make(map[string]*pair)}
	defer f.end()
	for {
		st, err := s.AcceptStream(ctx)
		if err != nil {
			var broken *spdy.SessionError
			if errors.As(err, &broken) {
				return err
			}
			return nil // the client has closed the connection
		}
		f.add(st)
	}
}

// forwards holds the connections of a session.
type forwards struct {
	k   *Kubelet
	c   Container
	ctx context.Context // of the session
	all sync.WaitGroup  // of connections

	mu      sync.Mutex
	waiting map[string]*pair // incomplete pairs by request id
}

// end waits for everything that ends with the session.
func (f *forwards) end() {
	f.all.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.waiting {
		p.late.Stop()
	}
}

// A pair is the two streams of a connection.
type pair struct {
	id             string
	port           uint16
	messages, data *spdy.RawStream
	late           *time.Timer // resets the pair if a stream is missing too long
}

// add handles a stream that the client has opened.
func (f *forwards) add(st *spdy.RawStream) {
	kind, _ := st.Header().Get(headerType)
	portText, _ := st.Header().Get(headerPort)
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 || kind != typeError && kind != typeData {
		_ = st.Reset(spdy.RstProtocolError)
		return
	}
	id, ok := st.Header().Get(headerRequestID)
	if !ok { // clients before 2015: the data stream follows the message stream
		id = "stream " + strconv.FormatUint(uint64(st.ID()), 10)
		if kind == typeData {
			id = "stream " + strconv.FormatUint(uint64(st.ID()-2), 10)
		}
	}
	if st.Reply(nil, false) != nil {
		return // the client has reset the stream
	}
	if p := f.match(id, uint16(port), kind, st); p != nil {
		f.all.Go(func() { f.forward(p) }) // ends with the connection, or the session
	}
}

// match registers a stream and returns the stream's pair if the pair is now complete.
func (f *forwards) match(id string, port uint16, kind string, st *spdy.RawStream) *pair {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.waiting[id]
	if p == nil {
		p = &pair{id: id, port: port}
		p.late = time.AfterFunc(streamTimeout, func() { f.abandon(p) })
		f.waiting[id] = p
	}
	half := &p.data
	if kind == typeError {
		half = &p.messages
		_ = st.CloseRead() // clients send nothing there
	}
	if *half != nil || p.port != port { // a duplicate, or different ports
		_ = st.Reset(spdy.RstProtocolError)
		return nil
	}
	*half = st
	if p.messages == nil || p.data == nil || !p.late.Stop() {
		return nil
	}
	delete(f.waiting, id)
	return p
}

// abandon resets a pair whose second stream has not arrived.
func (f *forwards) abandon(p *pair) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting[p.id] == p {
		delete(f.waiting, p.id)
	}
	for _, st := range []*spdy.RawStream{p.messages, p.data} {
		if st != nil {
			_ = st.Reset(spdy.RstCancel)
		}
	}
}

// forward connects a pair to the port.
func (f *forwards) forward(p *pair) {
	defer p.messages.Close()
	port, err := f.k.Runtime.Dial(f.ctx, f.c, p.port)
	if err != nil {
		_, _ = fmt.Fprintf(p.messages, "forwarding to port %d of %s/%s: %v", p.port, f.c.Namespace, f.c.Pod, err)
		_ = p.data.Reset(spdy.RstCancel)
		return
	}
	defer port.Close()
	defer p.data.Close()
	if err := splice(f.ctx, port, rawTunnel{p.data}); err != nil {
		f.k.logger().Debug("forwarded connection broke off", "pod", f.c.Namespace+"/"+f.c.Pod, "port", p.port, "error", err)
	}
}
