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

// A tsharkObserver captures each conversation from the loopback interface into a
// file of its own and has tshark take it apart: it must find nothing wrong, and the
// same frames as we do.
type tsharkObserver struct {
	dir  string
	host string // of the server
}

func (*tsharkObserver) stop() {}

const (
	flushTime = 400 * time.Millisecond // how long a capture has not grown when it is complete
	pollTime  = 20 * time.Millisecond

	minCapture = 2048 // bytes; the head of a capture is shorter, and the probes soon longer
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
	// Whatever is beyond that frame in its packet has not been looked at.
	return err.Error(), t.dissect(ctx, file, port, o.whole, "-o", "spdy.assemble_data_frames:FALSE")
}

// assemblyFault is how tshark fails over a legal frame, see bug S1.
const assemblyFault = `tvbuff.c:535: failed assertion "tvb && tvb->initialized"`

// A capture is a file under way. dumpcap hands on at once what it writes to a pipe,
// and keeps what it writes to a file to itself.
type capture struct {
	file *os.File
	size atomic.Int64
}

func (c *capture) Write(p []byte) (int, error) {
	n, err := c.file.Write(p)
	c.size.Add(int64(n))
	return n, err
}

// capture starts to capture; finish ends that when the given number of bytes, at
// least, and whatever else comes has been written.
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

// probe makes connections until the capture shows one: what dumpcap says of its
// readiness is not to be relied on.
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

// settle waits until the capture has a size and has stopped growing.
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

// The fields that tshark is asked for, in this order.
var tsharkFields = []string{
	"tcp.srcport", "tcp.dstport", "spdy.control_bit", "spdy.type", "spdy.length", "spdy.header.name", "spdy.header.value",
	"_ws.malformed", "_ws.expert.severity", "_ws.expert.message",
}

// expertError is the severity that tshark gives to errors.
const expertError = 0x800000

// A dissection is what tshark found in one direction.
type dissection struct {
	control, types, lengths, names, values []string
}

// dissect has tshark read a capture.
func (t *tsharkObserver) dissect(ctx context.Context, file, port string, tr *trace, options ...string) error {
	// With two processors a capture of the loopback interface can swap packets.
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

// complaint is what tshark finds wrong with a packet: anything malformed, any
// expert message of its SPDY dissector, and any of the severity of an error.
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

// compare checks that tshark saw the frames of one direction as we do.
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
			value, _, _ := strings.Cut(h.Value, "\x00") // tshark shows no further
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

// headersOf returns the header block of a frame that has one.
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
