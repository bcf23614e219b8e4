package main

import (
	"context"
	"io"
	"os"
)

// untilDone returns a reader of r whose Read ends with the context. A read of a terminal or a pipe
// cannot be interrupted, so a goroutine reads; a cancelled Read leaves the goroutine behind until
// the process ends. Regular files are returned unchanged.
func untilDone(ctx context.Context, r io.Reader) io.Reader {
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			return r
		}
	}
	return &interruptible{ctx: ctx, r: r}
}

type interruptible struct {
	ctx context.Context
	r   io.Reader
	buf []byte // bytes read and not yet returned
	err error
}

const inputBuffer = 64 << 10

type readResult struct {
	p   []byte
	err error
}

// Read returns bytes of r, or the context's error.
func (i *interruptible) Read(p []byte) (int, error) {
	if len(i.buf) == 0 && i.err == nil {
		result := make(chan readResult, 1) // buffered, so that the goroutine never blocks
		go func() {
			b := make([]byte, inputBuffer)
			n, err := i.r.Read(b)
			result <- readResult{b[:n], err}
		}()
		select {
		case r := <-result:
			i.buf, i.err = r.p, r.err
		case <-i.ctx.Done():
			i.err = i.ctx.Err()
		}
	}
	n := copy(p, i.buf)
	i.buf = i.buf[n:]
	if n == 0 {
		return 0, i.err
	}
	return n, nil
}
