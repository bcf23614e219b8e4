package workload

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// A Process is what a command is connected to; what is not is nil.
type Process struct {
	In          io.Reader
	Out, ErrOut io.Writer
	Size        func() (width, height uint16, ok bool) // waits for the next size of the terminal
}

// An ExitCode is how a command can end.
type ExitCode int

func (c ExitCode) Error() string { return "exit status " + strconv.Itoa(int(c)) }

// LeftOpen is the command after which the outputs are left open, as some runtimes do.
const LeftOpen = "left-open"

// errOnFire is what the command "fail" returns.
var errOnFire = errors.New("the container is on fire")

// Run runs a command.
func (p Process) Run(ctx context.Context, command []string) error {
	if len(command) == 0 {
		return errors.New("there is no command")
	}
	number := func(i int) int64 {
		if i >= len(command) {
			return 0
		}
		n, _ := strconv.ParseInt(command[i], 10, 64)
		return n
	}
	switch command[0] {
	case "cat":
		_, err := io.Copy(p.Out, p.In)
		return err
	case "both": // SIZE SEED: writes as much as it reads, at the same time
		d, err := Both(p.Out, p.In, uint64(number(2)), number(1))
		if err == nil {
			_, err = io.WriteString(p.ErrOut, d)
		}
		return err
	case LeftOpen, "write": // SIZE SEED
		_, err := io.Copy(p.Out, Content(uint64(number(2)), number(1)))
		return err
	case "two": // SIZE SEED: stdout and stderr in turns
		return p.two(uint64(number(2)), number(1))
	case "exit": // CODE
		return ExitCode(number(1))
	case "fail":
		return errOnFire
	case "sizes": // COUNT
		return p.sizes(int(number(1)))
	case "endless":
		_, err := io.Copy(p.Out, Content(0, 1<<62))
		return err
	}
	return fmt.Errorf("there is no command %q", command[0])
}

// Attach is a process that echoes, or says how large its terminal is.
func (p Process) Attach(ctx context.Context) error {
	if p.Size != nil {
		return p.Run(ctx, []string{"sizes", "3"})
	}
	return p.Run(ctx, []string{"cat"})
}

func (p Process) two(seed uint64, size int64) error {
	a, b := Content(seed, size), Content(seed+1, size)
	for {
		n, err := io.CopyN(p.Out, a, 10000)
		m, err2 := io.CopyN(p.ErrOut, b, 10000)
		if n == 0 && m == 0 {
			return nil
		}
		if err != nil && err != io.EOF || err2 != nil && err2 != io.EOF {
			return errors.Join(err, err2)
		}
	}
}

func (p Process) sizes(count int) error {
	for range count {
		width, height, ok := p.Size()
		if !ok {
			return errors.New("no more sizes")
		}
		fmt.Fprintf(p.Out, "%dx%d\n", width, height)
	}
	return nil
}

// The ports of the pod. Nobody listens on another one.
const (
	PortEcho = 7001 // writes back what it reads
	PortBoth = 7002 // reads a Head, then writes as much as it reads, and then the digest of what it read
	PortNone = 7003
)

// Head is what a client says first on PortBoth.
func Head(size int64, seed uint64) []byte {
	head := binary.BigEndian.AppendUint64(nil, uint64(size))
	return binary.BigEndian.AppendUint64(head, seed)
}

// Listens reports that somebody listens on a port.
func Listens(port int) bool { return port == PortEcho || port == PortBoth }

// Serve is what listens on a port.
func Serve(port int, conn io.ReadWriter) error {
	if port == PortEcho {
		_, err := io.Copy(conn, conn)
		return err
	}
	var head [16]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	size, seed := int64(binary.BigEndian.Uint64(head[:8])), binary.BigEndian.Uint64(head[8:])
	d, err := Both(conn, conn, seed, size)
	if err == nil {
		_, err = io.WriteString(conn, d)
	}
	return err
}
