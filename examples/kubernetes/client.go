package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/amahi/spdy/examples/kubernetes/kube"
)

// command runs exec and attach.
func (p *program) command(verb string, args []string) error {
	var t target
	t.register(p.flags)
	stdin := p.flags.Bool("i", false, "pass on the standard input")
	tty := p.flags.Bool("t", false, "in a terminal")
	if err := p.flags.Parse(args); err != nil {
		return err
	}
	client, err := t.client()
	if err != nil {
		return err
	}
	streams := kube.Streams{Stdout: p.out, Stderr: p.errOut}
	if *stdin {
		streams.Stdin = p.in
	}
	if *tty {
		restore, sizes, err := p.terminal()
		if err != nil {
			return err
		}
		defer restore()
		streams.TTY, streams.Stderr, streams.Sizes = true, nil, sizes
	}
	url, rest, err := t.requestURL(verb, streams, p.flags.Args(), verb == "exec")
	if err != nil {
		return err
	}
	if verb == "exec" && t.url == "" && len(rest) == 0 {
		return errors.New("exec needs a command")
	}
	return client.Run(p.ctx, url, streams)
}

// terminal switches the program's terminal to raw mode, in which all keys are sent to the command,
// and reports the terminal's size.
func (p *program) terminal() (restore func(), sizes <-chan kube.Size, err error) {
	in, ok := p.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil, nil, errors.New("-t needs a terminal")
	}
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, nil, err
	}
	restore = func() { _ = term.Restore(int(in.Fd()), before) }
	return restore, watchSize(p.ctx, func() (kube.Size, bool) {
		width, height, err := term.GetSize(int(in.Fd()))
		return kube.Size{Width: uint16(width), Height: uint16(height)}, err == nil
	}), nil
}

// forward forwards ports until an interrupt or the end of the session.
func (p *program) forward(args []string) error {
	var t target
	t.register(p.flags)
	address := p.flags.String("address", "127.0.0.1", "`address` of this machine to listen on")
	if err := p.flags.Parse(args); err != nil {
		return err
	}
	client, err := t.client()
	if err != nil {
		return err
	}
	url, ports, err := t.requestURL("portforward", kube.Streams{}, p.flags.Args(), false)
	if err != nil {
		return err
	}
	if len(ports) == 0 {
		return errors.New("forward needs ports: LOCAL:REMOTE, or one number for both")
	}
	pairs, err := parsePorts(ports)
	if err != nil {
		return err
	}
	f, err := client.Forward(p.ctx, url)
	if err != nil {
		return err
	}
	defer f.Close()
	return p.listen(f, *address, pairs)
}

type portPair struct{ local, remote uint16 }

func parsePorts(args []string) (pairs []portPair, err error) {
	for _, arg := range args {
		local, remote, both := strings.Cut(arg, ":")
		if !both {
			remote = local
		}
		l, err := strconv.ParseUint(local, 10, 16)
		r, err2 := strconv.ParseUint(remote, 10, 16)
		if err != nil || err2 != nil || r == 0 {
			return nil, fmt.Errorf("%q is not LOCAL:REMOTE", arg)
		}
		pairs = append(pairs, portPair{uint16(l), uint16(r)})
	}
	return pairs, nil
}

// listen listens for each pair of ports, until all listeners have ended.
func (p *program) listen(f *kube.Forwarder, address string, pairs []portPair) error {
	errs := make([]error, len(pairs))
	var all sync.WaitGroup
	for i, pair := range pairs {
		ln, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(int(pair.local))))
		if err != nil {
			f.Close()
			errs[i] = err
			break
		}
		p.printf("forwarding %s to port %d", ln.Addr(), pair.remote)
		all.Go(func() { // ends with the session, or ctx
			report := func(err error) { p.printf("port %d: %v", pair.remote, err) }
			errs[i] = f.Serve(p.ctx, ln, pair.remote, report)
		})
	}
	all.Wait()
	if p.ctx.Err() != nil {
		return nil // the interrupt is the intended end
	}
	return errors.Join(errs...)
}
