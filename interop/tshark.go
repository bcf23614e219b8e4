package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

// flushTime is how long dumpcap may take until it has what has passed.
const flushTime = 500 * time.Millisecond

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
	if err := finish(); err != nil || o.err != nil {
		return "", err
	}
	err = t.dissect(ctx, file, o.whole)
	if err == nil || !strings.Contains(err.Error(), assemblyFault) {
		return "", err
	}
	// Whatever is beyond that frame in its packet has not been looked at.
	return err.Error(), t.dissect(ctx, file, o.whole, "-o", "spdy.assemble_data_frames:FALSE")
}

// assemblyFault is how tshark fails over a legal frame, see bug S1.
const assemblyFault = `tvbuff.c:535: failed assertion "tvb && tvb->initialized"`

// capture starts to capture; finish ends that when all has been written.
func (t *tsharkObserver) capture(ctx context.Context, file string) (finish func() error, err error) {
	dump := exec.CommandContext(ctx, "dumpcap", "-q", "-i", "lo", "-B", "64", "-f", "tcp and host "+t.host, "-w", file)
	dump.WaitDelay = time.Second
	messages, err := dump.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := dump.Start(); err != nil {
		return nil, err
	}
	said := ""
	ready := false
	lines := bufio.NewScanner(messages)
	for !ready && lines.Scan() {
		said += lines.Text() + "\n"
		ready = strings.HasPrefix(lines.Text(), "File: ")
	}
	if !ready {
		return nil, fmt.Errorf("dumpcap does not capture: %s %w", said, errors.Join(ctx.Err(), dump.Wait()))
	}
	return func() error {
		timer := time.NewTimer(flushTime)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		_ = dump.Process.Signal(syscall.SIGINT)
		for lines.Scan() {
			said += lines.Text() + "\n"
		}
		if err := dump.Wait(); err != nil {
			return fmt.Errorf("dumpcap: %w: %s", err, said)
		}
		return nil
	}, nil
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
func (t *tsharkObserver) dissect(ctx context.Context, file string, tr *trace, options ...string) error {
	port, err := serverPort(ctx, file)
	if err != nil {
		return err
	}
	args := []string{"-r", file, "-d", "tcp.port==" + port + ",spdy", "-T", "fields", "-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=^"}
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

// serverPort finds the server's port in the capture: where the first packet goes.
func serverPort(ctx context.Context, file string) (string, error) {
	out, err := exec.CommandContext(ctx, "tshark", "-r", file, "-c", "1", "-T", "fields", "-e", "tcp.dstport").Output()
	if err != nil {
		return "", fmt.Errorf("tshark: %w", err)
	}
	port := strings.TrimSpace(string(out))
	if port == "" {
		return "", errors.New("the capture is empty")
	}
	return port, nil
}
