package host

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"unsafe"

	"github.com/amahi/spdy/examples/kubernetes/kube"
)

// runInTerminal runs a command in a pseudo-terminal of the client's size.
func runInTerminal(cmd *exec.Cmd, p kube.Process) error {
	terminal, slave, err := openTerminal()
	if err != nil {
		return errors.Join(errNoTerminal, err)
	}
	defer terminal.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	select { // the first size, if already available
	case size, ok := <-p.Sizes:
		if ok {
			_ = resize(terminal, size)
		}
	default:
	}
	err = cmd.Start()
	slave.Close()
	if err != nil {
		return err
	}
	go func() { // ends with the stream
		for size := range p.Sizes {
			if resize(terminal, size) != nil {
				return
			}
		}
	}()
	if p.Stdin != nil {
		go func() { _, _ = io.Copy(terminal, p.Stdin) }() // ends with the stream, or the terminal
	}
	out := p.Stdout
	if out == nil {
		out = io.Discard
	}
	// The output of the command can be read until the last process with the terminal open has
	// closed the terminal; then reading fails with EIO.
	_, _ = io.Copy(out, terminal)
	return exitError(cmd.Wait())
}

// openTerminal makes a pseudo-terminal.
func openTerminal() (terminal, slave *os.File, err error) {
	terminal, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	var unlock, number int32
	err = ioctl(terminal, syscall.TIOCSPTLCK, unsafe.Pointer(&unlock))
	if err == nil {
		err = ioctl(terminal, syscall.TIOCGPTN, unsafe.Pointer(&number))
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		terminal.Close()
		return nil, nil, err
	}
	return terminal, slave, nil
}

// resize sets the size of the terminal. The kernel notifies the command of the change.
func resize(terminal *os.File, size kube.Size) error {
	window := struct{ rows, columns, x, y uint16 }{rows: size.Height, columns: size.Width}
	return ioctl(terminal, syscall.TIOCSWINSZ, unsafe.Pointer(&window))
}

func ioctl(f *os.File, request uintptr, arg unsafe.Pointer) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno syscall.Errno
	err = conn.Control(func(fd uintptr) { _, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(arg)) })
	if err == nil && errno != 0 {
		err = errno
	}
	return err
}
