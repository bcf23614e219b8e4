package strangers

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/amahi/spdy/internal/testconn"
)

// frontSocket makes a connection to a front buffer as sockets do.
var frontSocket = testconn.WriteCap(socket)

// The link to the origin. The path up is wide: a request header of 1 MiB is a single frame
// that no other frame can overtake, and occupies the path for 52 ms.
const (
	Latency = 25 * time.Millisecond // in each direction
	Up      = 20_000_000            // bytes a second towards the origin
	Down    = 4_000_000             // bytes a second from the origin
	socket  = 64 << 10              // bytes that a socket buffers beyond those in flight
	wide    = 8 << 20               // bytes in flight while the link is wide
)

// roundTrip is the time of a byte and a reply on an idle link.
const roundTrip = 2 * Latency

// A Link is the network between a front and an origin. It counts connections.
type Link struct {
	// Listener is where the origin accepts connections.
	Listener *testconn.Listener

	mu    sync.Mutex
	conns []*testconn.Conn // the dialled ends
	broad bool             // see widen
	loose bool             // Writes at the dialled ends never wait
	back  bool             // see Reverse
}

func newLink() *Link { return &Link{Listener: testconn.Listen()} }

// DialTCP is Dial with the round trip that TCP needs: a Transport concludes from the duration how
// soon the first response may arrive.
func (l *Link) DialTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	handshake := time.NewTimer(roundTrip)
	defer handshake.Stop()
	select {
	case <-handshake.C:
		return l.Dial(ctx, network, addr)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Dial connects to the origin. It fits http.Transport.DialContext.
func (l *Link) Dial(context.Context, string, string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	conn, err := l.Listener.Dial(testconn.Latency(Latency))
	if err != nil {
		return nil, err
	}
	l.conns = append(l.conns, conn)
	l.tune(conn)
	return conn, nil
}

// Reverse prepares the link for an origin that dials. Call it before Dial.
func (l *Link) Reverse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.back = true
}

// Connections returns the number of connections dialled so far.
func (l *Link) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// widen removes the bandwidth limit, or restores it for later writes.
func (l *Link) widen(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broad = on
	for _, conn := range l.conns {
		l.tune(conn)
	}
}

// tune sets bandwidth and buffers of both ends of a connection. The buffers keep the line busy
// and hold little more, because queued bytes delay a PING.
func (l *Link) tune(conn *testconn.Conn) {
	front, origin := conn, conn.Peer()
	if l.back {
		front, origin = origin, front
	}
	tuneEnd(front, Up, l.broad)
	tuneEnd(origin, Down, l.broad)
	if l.loose {
		conn.SetWriteCap(0)
	}
}

func tuneEnd(end *testconn.Conn, rate int, broad bool) {
	if broad {
		end.SetBandwidth(0)
		end.SetWriteCap(wide)
		return
	}
	end.SetBandwidth(rate)
	end.SetWriteCap(int(int64(rate)*int64(Latency)/int64(time.Second)) + socket)
}
