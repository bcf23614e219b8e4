package workload

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// A Process holds the streams of a command; unconnected streams are nil.
type Process struct {
	In          io.Reader
	Out, ErrOut io.Writer
	Size        func() (width, height uint16, ok bool) // blocks until the next size of the terminal
}

// An ExitCode is a nonzero exit status.
type ExitCode int

func (c ExitCode) Error() string { return "exit status " + strconv.Itoa(int(c)) }

// LeftOpen is a command that leaves the outputs open, as some runtimes do.
const LeftOpen = "left-open"

// errOnFire is the result of the command "fail".
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
	case "both": // SIZE SEED: writes as many bytes as it reads, concurrently
		d, err := Both(p.Out, p.In, uint64(number(2)), number(1))
		if err == nil {
			_, err = io.WriteString(p.ErrOut, d)
		}
		return err
	case LeftOpen, "write": // SIZE SEED
		_, err := io.Copy(p.Out, Content(uint64(number(2)), number(1)))
		return err
	case "two": // SIZE SEED: alternates between stdout and stderr
		return p.two(uint64(number(2)), number(1))
	case "write-exit": // SIZE SEED CODE
		if _, err := io.Copy(p.Out, Content(uint64(number(2)), number(1))); err != nil {
			return err
		}
		return ExitCode(number(3))
	case "digest": // prints the digest of stdin
		d, err := Digest(p.In)
		if err == nil {
			_, err = io.WriteString(p.Out, d)
		}
		return err
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

// Attach runs a process that echoes, or prints the sizes of its terminal.
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

// The ports of the pod. All other ports are closed.
const (
	PortEcho = 7001 // echoes its input
	PortBoth = 7002 // reads a Head, then writes as much as it reads, and finally the digest of the input
	PortNone = 7003
	PortFull = 7004 // writes without end
	PortBusy = 7005 // answers Busy to the first bytes, and closes without reading the rest
)

// Busy is the answer of PortBusy.
const Busy = "HTTP/1.1 413 too large\r\n\r\n"

// Ports are the open ports.
var Ports = []int{PortEcho, PortBoth, PortFull, PortBusy}

// Head returns the first bytes that a client sends on PortBoth.
func Head(size int64, seed uint64) []byte {
	head := binary.BigEndian.AppendUint64(nil, uint64(size))
	return binary.BigEndian.AppendUint64(head, seed)
}

// Serve serves a connection to a port.
func Serve(port int, conn io.ReadWriter) error {
	switch port {
	case PortEcho:
		_, err := io.Copy(conn, conn)
		return err
	case PortFull:
		_, err := io.Copy(conn, Content(0, 1<<62))
		return err
	case PortBusy:
		_, err := conn.Read(make([]byte, 1024))
		if err == nil {
			_, err = io.WriteString(conn, Busy)
		}
		return err
	}
	var head [16]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	size, seed := int64(binary.BigEndian.Uint64(head[:8])), binary.BigEndian.Uint64(head[8:])
	d, err := Both(conn, io.LimitReader(conn, size), seed, size)
	if err == nil {
		_, err = io.WriteString(conn, d)
	}
	return err
}

// A Pod maps ports to addresses on this machine.
type Pod map[int]string

// NewPod listens on all ports until the context ends.
func NewPod(ctx context.Context) (Pod, error) {
	pod := make(Pod)
	for _, port := range Ports {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { ln.Close() })
		pod[port] = ln.Addr().String()
		go func() { // ends with the context
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				go func() { // ends with the connection
					defer conn.Close()
					_ = Serve(port, conn)
				}()
			}
		}()
	}
	return pod, nil
}
