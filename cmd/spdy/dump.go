package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/shown"
)

const dumpHelp = `Usage: spdy dump [-version 2|3|3.1] [-json] [-secrets] [file]

Reads the bytes that one side of a SPDY connection sent, from a file or from
standard input, and prints the frames in them: one line for each, with its
headers, settings or data below. The bytes have to begin where the connection
begins, because headers are compressed with all that came before.

Without -secrets the bytes of DATA frames are not shown, nor are credentials: the
values of headers like cookie, set-cookie, authorization and proxy-authorization,
tokens, and the queries of URLs. Characters that a terminal would obey are shown as
\xNN. Of one value 1000 bytes are shown, and of the headers of a frame 64 KiB.

With -json each line is an object, with -secrets with everything in it. Without it
what is left out of values is said in them, and of headers in "headers_left_out".

What is wrong with the input goes to standard error, with the number of the byte
where the frame begins, counted from 0; the exit code is 1 then.
`

// dumpHeaderBytes is the largest header block that is shown.
const dumpHeaderBytes = 4 << 20

// A framePrinter prints the frames of one direction.
type framePrinter interface {
	// frame prints the result of ReadFrame: a frame, or nil and an error that concerns this frame
	// only.
	frame(raw spdy.RawFrame, f spdy.Frame, err error) error
}

func runDump(ctx context.Context, e *env, args []string) error {
	var version versionFlag
	flags := newFlags("dump")
	flags.Var(&version, "version", "the `dialect`: 2, 3 or 3.1 (default: 2 if the first frame says so, else 3.1)")
	asJSON := flags.Bool("json", false, "print JSON objects, one a line")
	secrets := flags.Bool("secrets", false, "show data, cookies and credentials")
	rest, err := e.parse(flags, args, dumpHelp)
	if err != nil {
		return err
	}
	in := e.stdin
	switch {
	case len(rest) > 1:
		return usagef("one file at a time, not %d", len(rest))
	case len(rest) == 1 && rest[0] != "-":
		f, err := os.Open(rest[0])
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	d := &dumper{ctx: ctx, stderr: e.stderr, in: bufio.NewReaderSize(untilDone(ctx, in), inputBuffer), out: bufio.NewWriter(e.stdout)}
	v := version.Version
	if v == 0 {
		v = guessVersion(d.in)
	}
	if *asJSON {
		d.printer = newJSONPrinter(d.out, v, *secrets)
	} else {
		d.printer = &textPrinter{w: d.out, format: textFormat{version: v, secrets: *secrets}}
	}
	err = d.dump(v)
	if ferr := d.out.Flush(); ferr != nil {
		return ferr
	}
	return err
}

// guessVersion checks the version of the first frame: 2 for SPDY/2, 3 for both other dialects. A
// missing frame is not an error here.
func guessVersion(in *bufio.Reader) spdy.Version {
	first, err := in.Peek(2)
	if err == nil && first[0] == 0x80 && first[1] == 2 {
		return spdy.SPDY2
	}
	return spdy.SPDY31
}

// A dumper prints all frames of an input.
type dumper struct {
	ctx     context.Context
	stderr  io.Writer
	in      *bufio.Reader
	out     *bufio.Writer
	printer framePrinter
	faults  int
}

func (d *dumper) dump(v spdy.Version) error {
	framer := spdy.NewFramer(nil, d.in, v)
	framer.MaxHeaderBytes = dumpHeaderBytes
	for d.ctx.Err() == nil {
		f, err := framer.ReadFrame()
		raw := framer.Raw()
		if err == io.EOF {
			if raw.Offset == 0 && raw.Size == 0 {
				fmt.Fprintln(d.stderr, "spdy dump: the input is empty: this side has sent nothing")
			}
			break
		}
		var fault *spdy.StreamError
		if err != nil && !errors.As(err, &fault) {
			return d.end(raw, err)
		}
		if err := d.printer.frame(raw, f, err); err != nil {
			return err
		}
		if err != nil {
			d.complain(raw, err)
		}
		if d.in.Buffered() == 0 { // the next read may block for long
			if err := d.out.Flush(); err != nil {
				return err
			}
		}
	}
	if err := d.ctx.Err(); err != nil {
		return err
	}
	if d.faults > 0 {
		return errFailed
	}
	return nil
}

// end reports the error that ended reading.
func (d *dumper) end(raw spdy.RawFrame, err error) error {
	var broken *spdy.SessionError
	var other *spdy.NotSPDYError
	switch {
	case d.ctx.Err() != nil:
		return d.ctx.Err()
	case errors.As(err, &other), errors.As(err, &broken), errors.Is(err, io.ErrUnexpectedEOF):
		d.complain(raw, err)
		return errFailed
	}
	return fmt.Errorf("at byte %d: %w", raw.Offset+int64(raw.Size), err)
}

// complain reports the fault of a frame and the offset of the frame. Earlier frames are printed
// first, for a terminal that shows both outputs.
func (d *dumper) complain(raw spdy.RawFrame, err error) {
	d.faults++
	_ = d.out.Flush() // the next write reports the error
	fmt.Fprintf(d.stderr, "spdy dump: byte %d: %s\n", raw.Offset, shown.Printable(faultText(raw, err)))
}

// otherText describes an input that does not begin with a frame.
func otherText(e *spdy.NotSPDYError) string {
	switch e.Protocol {
	case "":
		return fmt.Sprintf("this is not SPDY, it begins with \"%s\"", e.First)
	case "TLS":
		return "this is TLS, not SPDY: the frames are in what it encrypts, and have to be decrypted first"
	}
	return fmt.Sprintf("this is %s, not SPDY, it begins with \"%s\"", e.Protocol, e.First)
}

const headerSize = 8 // of a frame

// faultText describes an error of ReadFrame.
func faultText(raw spdy.RawFrame, err error) string {
	var (
		stream  *spdy.StreamError
		session *spdy.SessionError
		other   *spdy.NotSPDYError
	)
	switch {
	case errors.As(err, &other):
		return otherText(other)
	case errors.Is(err, io.ErrUnexpectedEOF) && raw.Size < headerSize:
		return fmt.Sprintf("the input ends after %s of a frame header", plural(int64(raw.Size), "byte"))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("the input ends after %d of the %d bytes of a %s frame", raw.Size, headerSize+raw.Length, frameName(raw))
	case errors.As(err, &stream):
		return fmt.Sprintf("%s on stream %d: %s", frameName(raw), stream.StreamID, because(stream.Reason, stream.Err))
	case errors.As(err, &session):
		text := because(session.Reason, session.Err)
		if name := frameName(raw); !strings.Contains(text, name) {
			text = name + ": " + text
		}
		return text + "; reading cannot go on" + versionHint(raw)
	}
	return err.Error()
}

// versionHint is a hint for users who read frames with headers in the wrong dialect.
func versionHint(raw spdy.RawFrame) string {
	if raw.Control && (raw.Version == 2 || raw.Version == 3) {
		return fmt.Sprintf(" (the frame says version %d)", raw.Version)
	}
	return ""
}

// because joins the reason and the cause of an error.
func because(reason string, cause error) string {
	if cause == nil {
		return reason
	}
	text := strings.TrimPrefix(cause.Error(), "spdy: ")
	if reason == "" {
		return text
	}
	return reason + ": " + text
}

// frameName is the type of a frame as dumps print the type.
func frameName(raw spdy.RawFrame) string {
	if raw.Control && (raw.Type == spdy.FrameData || raw.Type > spdy.FrameCredential) {
		return fmt.Sprintf("type %d", uint16(raw.Type))
	}
	return raw.Type.String()
}
