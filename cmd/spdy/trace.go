package main

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/shown"
)

// A tracer prints the frames of connections in both directions.
type tracer struct {
	out     io.Writer // gets a frame with all lines in one Write
	secrets bool
	now     func() time.Time
}

// conn returns a traced connection. If c has a TLS state, the returned connection has it too.
func (t *tracer) conn(c net.Conn, v spdy.Version) net.Conn {
	start := t.now()
	fmt.Fprintf(t.out, "* connected to %s, %s\n", c.RemoteAddr(), describeConn(c, v))
	fmt.Fprintf(t.out, "      time  %s\n", textTitle)
	ledger := newLedger(v)
	follow := func(sign string, d direction) *decoder {
		return &decoder{
			tracer: t, sign: sign, start: start, ledger: ledger, direction: d,
			format: textFormat{version: v, secrets: t.secrets}, version: v,
		}
	}
	traced := &tracedConn{Conn: c, in: follow("<", incoming), out: follow(">", outgoing)}
	if state, ok := c.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return &tracedTLSConn{traced, state.ConnectionState}
	}
	return traced
}

func describeConn(c net.Conn, v spdy.Version) string {
	if t, ok := c.(*tls.Conn); ok {
		state := t.ConnectionState()
		return fmt.Sprintf("%v over %s with %s", v, tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
	}
	return v.String() + " without TLS"
}

// A tracedConn passes the read and the written bytes to two decoders. The session reads and writes
// in different goroutines, so each has a separate decoder.
type tracedConn struct {
	net.Conn
	in, out *decoder
}

// Read reads and prints.
func (c *tracedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.show(p[:n])
	return n, err
}

// Write prints and then writes, so that no response is printed before the request.
func (c *tracedConn) Write(p []byte) (int, error) {
	c.out.show(p)
	return c.Conn.Write(p)
}

// CloseWrite lets a session end in an orderly way.
func (c *tracedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// A tracedTLSConn is a tracedConn over TLS.
type tracedTLSConn struct {
	*tracedConn
	state func() tls.ConnectionState
}

// ConnectionState returns the negotiated TLS state.
func (c *tracedTLSConn) ConnectionState() tls.ConnectionState { return c.state() }

// traceControlLimit is the largest control frame that is printed. A larger frame is not buffered,
// and ends the trace of the direction, since later headers cannot be decompressed.
const traceControlLimit = 1 << 20

// A decoder prints the frames of one direction. It buffers the bytes of one frame, and of DATA only
// the header, unless the data is to be shown.
type decoder struct {
	tracer    *tracer
	sign      string
	start     time.Time
	direction direction
	ledger    *ledger
	format    textFormat
	version   spdy.Version

	pending bytes.Buffer // the incomplete frame; framer reads from it
	framer  *spdy.Framer
	skip    int  // bytes of DATA still to be skipped
	ended   bool // no more bytes can be decoded
}

// show decodes bytes of the connection.
func (d *decoder) show(p []byte) {
	for len(p) > 0 && !d.ended {
		if d.skip > 0 {
			n := min(d.skip, len(p))
			d.skip -= n
			p = p[n:]
			continue
		}
		want := d.missing()
		n := min(want, len(p))
		d.pending.Write(p[:n])
		p = p[n:]
		if n == want {
			d.advance()
		}
	}
}

// missing returns the number of bytes that pending lacks for a header, or for a frame.
func (d *decoder) missing() int {
	b := d.pending.Bytes()
	if len(b) < headerSize {
		return headerSize - len(b)
	}
	return headerSize + payloadLength(b) - len(b)
}

func payloadLength(header []byte) int {
	return int(binary.BigEndian.Uint32(header[4:]) & spdy.MAX_DATA_PAYLOAD)
}

// advance handles the buffered bytes: a complete frame, or a header that determines the handling of
// the rest.
func (d *decoder) advance() {
	b := d.pending.Bytes()
	length := payloadLength(b)
	isData := b[0]&0x80 == 0
	switch {
	case isData && !d.format.secrets:
		d.data(b, length)
	case !isData && length > traceControlLimit:
		d.giveUp(fmt.Sprintf("a control frame of %d bytes", headerSize+length))
	case d.missing() == 0:
		d.frame()
	}
}

// data prints a DATA frame by the header.
func (d *decoder) data(header []byte, length int) {
	raw := spdy.RawFrame{Size: headerSize, Flags: spdy.FrameFlags(header[4]), Length: length}
	f := &spdy.DataFrame{StreamID: binary.BigEndian.Uint32(header), Flags: raw.Flags}
	d.skip = length
	d.pending.Reset()
	d.print(raw, f, nil)
}

// frame prints the complete frame in pending.
func (d *decoder) frame() {
	if d.framer == nil {
		d.framer = spdy.NewFramer(nil, &d.pending, d.version)
		d.framer.MaxHeaderBytes = traceControlLimit
	}
	f, err := d.framer.ReadFrame()
	raw := d.framer.Raw()
	var fault *spdy.StreamError
	if err != nil && !errors.As(err, &fault) {
		d.giveUp(faultText(raw, err))
		return
	}
	d.print(raw, f, err)
}

// giveUp ends the trace of this direction, and does not affect the connection.
func (d *decoder) giveUp(reason string) {
	d.ended = true
	d.pending = bytes.Buffer{}
	fmt.Fprintf(d.tracer.out, "%s cannot be followed from here on: %s\n", d.sign, shown.Printable(reason))
}

func (d *decoder) print(raw spdy.RawFrame, f spdy.Frame, err error) {
	elapsed := d.tracer.now().Sub(d.start)
	b := fmt.Appendf(nil, "%s %8.1f  ", d.sign, float64(elapsed)/float64(time.Millisecond))
	b = d.format.appendFrame(b, raw, f, d.ledger.note(d.direction, f, raw.Length))
	if err != nil {
		b = fmt.Appendf(b, "%s! %s\n", textIndent, shown.Printable(faultText(raw, err)))
	}
	_, _ = d.tracer.out.Write(b) // a failed trace must not end the transfer
}
