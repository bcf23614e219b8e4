package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/amahi/spdy"
)

// A tsharkObserver captures each conversation on the loopback interface into a separate file and
// dissects the file with tshark. tshark must find no fault, and the same frames as our framer.
type tsharkObserver struct {
	dir  string
	host string // of the server
}

func (*tsharkObserver) stop() {}

const (
	flushTime = 400 * time.Millisecond // time without growth after which a capture is complete
	pollTime  = 20 * time.Millisecond

	minCapture = 2048 // bytes; the header of a capture is shorter, and the probes soon longer
)

func (t *tsharkObserver) observe(ctx context.Context, c cell, hold func() outcome) (string, error) {
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(t.dir, fmt.Sprintf("%s-%s.pcapng", strings.ReplaceAll(c.version.String(), "/", ""), c.conversation))
	finish, err := t.capture(ctx, file)
	if err != nil {
		return "", err
	}
	o := hold()
	if err := finish(o.whole.size()); err != nil || o.err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(o.addr)
	if err != nil {
		return "", err
	}
	err = t.dissect(ctx, file, port, o.whole)
	if err == nil || !strings.Contains(err.Error(), assemblyFault) {
		return "", err
	}
	// tshark has not examined the rest of the packet after the faulty frame.
	return err.Error(), t.dissect(ctx, file, port, o.whole, "-o", "spdy.assemble_data_frames:FALSE")
}

// assemblyFault is tshark's failure on a legal frame, see bug S1.
const assemblyFault = `tvbuff.c:535: failed assertion "tvb && tvb->initialized"`

// A capture is a capture file in progress. dumpcap writes to a pipe at once, but buffers its writes
// to a file.
type capture struct {
	file *os.File
	size atomic.Int64
}

func (c *capture) Write(p []byte) (int, error) {
	n, err := c.file.Write(p)
	c.size.Add(int64(n))
	return n, err
}

// capture starts a capture. finish ends the capture after at least the given number of bytes, and
// any further traffic, has been written.
func (t *tsharkObserver) capture(ctx context.Context, name string) (finish func(payload int) error, err error) {
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	c := &capture{file: file}
	dump := exec.CommandContext(ctx, "dumpcap", "-q", "-i", "lo", "-B", "64", "-f", "tcp and host "+t.host, "-w", "-")
	dump.WaitDelay = time.Second
	var said bytes.Buffer
	dump.Stdout, dump.Stderr = c, &said
	if err := dump.Start(); err != nil {
		file.Close()
		return nil, err
	}
	probes := int64(0)
	finish = func(payload int) error {
		err := c.settle(ctx, probes+int64(payload))
		_ = dump.Process.Signal(syscall.SIGINT)
		if err := dump.Wait(); err != nil {
			return fmt.Errorf("dumpcap: %w: %s", err, said.String())
		}
		return errors.Join(err, file.Close())
	}
	if err := t.probe(ctx, c); err != nil {
		return nil, errors.Join(fmt.Errorf("dumpcap does not capture: %w", err), finish(0))
	}
	probes = c.size.Load()
	return finish, nil
}

// probe makes connections until the capture contains a connection: dumpcap's own message of
// readiness is unreliable.
func (t *tsharkObserver) probe(ctx context.Context, c *capture) error {
	ln, err := net.Listen("tcp", net.JoinHostPort(t.host, "0"))
	if err != nil {
		return err
	}
	defer ln.Close()
	tick := time.NewTicker(5 * pollTime)
	defer tick.Stop()
	for c.size.Load() < minCapture {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", ln.Addr().String())
		if err != nil {
			return err
		}
		conn.Close()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// settle waits until the capture has at least the given size and has stopped growing.
func (c *capture) settle(ctx context.Context, atLeast int64) error {
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	last, since := int64(-1), time.Now()
	for last < atLeast || time.Since(since) < flushTime {
		if size := c.size.Load(); size != last {
			last, since = size, time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// The fields requested from tshark, in this order.
var tsharkFields = []string{
	"tcp.srcport", "tcp.dstport", "spdy.control_bit", "spdy.type", "spdy.length", "spdy.header.name", "spdy.header.value",
	"_ws.malformed", "_ws.expert.severity", "_ws.expert.message",
}

// expertError is tshark's severity of errors.
const expertError = 0x800000

// A dissection is tshark's output for one direction.
type dissection struct {
	control, types, lengths, names, values []string
}

// dissect reads a capture with tshark.
func (t *tsharkObserver) dissect(ctx context.Context, file, port string, tr *trace, options ...string) error {
	// On two processors a capture of the loopback interface can reorder packets.
	options = append(options, "-o", "tcp.reassemble_out_of_order:TRUE")
	args := []string{"-r", file, "-Y", "tcp.port==" + port, "-d", "tcp.port==" + port + ",spdy", "-T", "fields", "-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=^"}
	args = append(args, options...)
	for _, f := range tsharkFields {
		args = append(args, "-e", f)
	}
	out, err := exec.CommandContext(ctx, "tshark", args...).Output()
	if err != nil {
		return fmt.Errorf("tshark: %w", err)
	}
	var found [2]dissection
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) != len(tsharkFields) {
			return fmt.Errorf("tshark printed %q", cut(line))
		}
		if err := complaint(f[7:]); err != nil {
			return err
		}
		from := ours
		if f[0] == port {
			from = theirs
		}
		found[from].add(f[2:7])
	}
	return errors.Join(found[ours].compare(tr, ours), found[theirs].compare(tr, theirs))
}

// complaint returns tshark's findings about a packet as an error: a malformed packet, an expert
// message of the SPDY dissector, or an expert message with the severity of an error.
func complaint(f []string) error {
	if f[0] != "" {
		return fmt.Errorf("tshark: malformed packet: %s", f[2])
	}
	messages := strings.Split(f[2], "^")
	for i, severity := range strings.Split(f[1], "^") {
		n, _ := strconv.Atoi(severity)
		message := messages[min(i, len(messages)-1)]
		spdyOnes := []string{"Inflation failed", "Not enough frame data", "SETTINGS frame", "Invalid status code", "Invalid SPDY"}
		ofSPDY := slices.ContainsFunc(spdyOnes, func(s string) bool { return strings.Contains(message, s) })
		if n >= expertError || ofSPDY {
			return fmt.Errorf("tshark: %s (severity %#x)", message, n)
		}
	}
	return nil
}

func (d *dissection) add(f []string) {
	for i, list := range []*[]string{&d.control, &d.types, &d.lengths, &d.names, &d.values} {
		if f[i] != "" {
			*list = append(*list, strings.Split(f[i], "^")...)
		}
	}
}

// compare checks that tshark found the same frames as our framer in one direction.
func (d *dissection) compare(tr *trace, from side) error {
	var want dissection
	for i := range tr.steps {
		s := &tr.steps[i]
		if s.from != from {
			continue
		}
		want.lengths = append(want.lengths, strconv.Itoa(s.length()))
		if s.raw[0]&0x80 == 0 {
			want.control = append(want.control, "0")
			continue
		}
		want.control = append(want.control, "1")
		want.types = append(want.types, strconv.Itoa(int(s.raw[3])))
		for _, h := range headersOf(s.frame) {
			value, _, _ := strings.Cut(h.Value, "\x00") // tshark stops at the first NUL
			want.names = append(want.names, h.Name)
			want.values = append(want.values, value)
		}
	}
	for _, c := range []struct {
		what      string
		got, want []string
	}{
		{"kinds of frames", d.control, want.control}, {"types", d.types, want.types}, {"lengths", d.lengths, want.lengths},
		{"header names", d.names, want.names}, {"header values", d.values, want.values},
	} {
		if !slices.Equal(c.got, c.want) {
			i := 0
			for i < min(len(c.got), len(c.want)) && c.got[i] == c.want[i] {
				i++
			}
			return fmt.Errorf("%s of the %s: tshark has %d, we %d; from number %d on %s against %s", c.what, whose(from),
				len(c.got), len(c.want), i, cut(fmt.Sprintf("%.40q", c.got[i:])), cut(fmt.Sprintf("%.40q", c.want[i:])))
		}
	}
	return nil
}

// headersOf returns the header block of a frame, or nil.
func headersOf(f spdy.Frame) spdy.HeaderBlock {
	switch f := f.(type) {
	case *spdy.SynStreamFrame:
		return f.Headers
	case *spdy.SynReplyFrame:
		return f.Headers
	case *spdy.HeadersFrame:
		return f.Headers
	}
	return nil
}
