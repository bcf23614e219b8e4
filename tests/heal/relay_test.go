package heal

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A relay is a TCP path to a server that can die.
type relay struct {
	ln net.Listener
	to string

	mu    sync.Mutex
	pairs []*relayed
	over  bool // the listener is closed
}

// A relayed is a connection through a relay.
type relayed struct {
	client, server net.Conn
	dead           atomic.Bool // what comes from either end vanishes
}

func newRelay(t testing.TB, to string) *relay {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{ln: ln, to: to}
	go r.accept()
	t.Cleanup(func() {
		ln.Close()
		r.mu.Lock()
		r.over = true
		r.mu.Unlock()
		r.cut()
	})
	return r
}

func (r *relay) addr() string { return r.ln.Addr().String() }

func (r *relay) accept() {
	for {
		client, err := r.ln.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.to)
		if err != nil {
			client.Close()
			continue
		}
		p := &relayed{client: client, server: server}
		r.mu.Lock()
		r.pairs = append(r.pairs, p)
		over := r.over
		r.mu.Unlock()
		if over {
			r.cut()
		}
		go p.copy(server, client)
		go p.copy(client, server)
	}
}

// copy ends with the connections.
func (p *relayed) copy(to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && !p.dead.Load() {
			_, _ = to.Write(b[:n])
		}
		if err != nil {
			if !p.dead.Load() {
				to.Close()
			}
			return
		}
	}
}

// hole has the connections that there are die without a word.
func (r *relay) hole() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pairs {
		p.dead.Store(true)
	}
}

// cut ends the connections that there are.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pairs {
		p.client.Close()
		p.server.Close()
	}
}

// count is the number of connections that there have been.
func (r *relay) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pairs)
}
