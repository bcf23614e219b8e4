package spdy

import "io"

// This file holds the application's reads from a stream's northbound buffer.

// read waits for bytes, the end, or the read deadline. As in net.Conn, after the deadline even
// bytes that have arrived cannot be read.
func (st *Stream) read(p []byte) (n int, err error) { return st.readPart(p, false) }

// readBody is read for the body of a message. As over HTTP/2, bytes that have arrived may still be
// read after the deadline.
func (st *Stream) readBody(p []byte) (n int, err error) { return st.readPart(p, true) }

func (st *Stream) readPart(p []byte, body bool) (n int, err error) {
	var charged, grant int64
	look := func() (bell chan struct{}) {
		if err = st.readLimit(body); err != nil {
			return nil
		}
		n, charged, grant, err = st.in.read(p)
		if n > 0 || err != nil || len(p) == 0 {
			return nil
		}
		return st.in.bell
	}
	if bell := look(); bell != nil {
		st.awaitIn(bell, look)
	}
	if n > 0 {
		st.credit(charged, grant)
	}
	return n, err
}

// readLimit returns an error if the read deadline forbids a read, see read and readBody.
func (st *Stream) readLimit(body bool) error {
	err := st.readDeadline.err()
	if err != nil && body && st.in.readable() {
		return nil
	}
	return err
}

// awaitIn waits for bytes from the peer, their end, or the read deadline. bell is the result of a
// first call of look.
func (st *Stream) awaitIn(bell chan struct{}, look func() (bell chan struct{})) {
	w := wait{limit: &st.readDeadline, crowd: &st.readers}
	w.until(bell, look)
}

// credit returns the credit for bytes read by the application to both windows.
func (st *Stream) credit(n, grant int64) {
	st.watch()
	st.session.creditStream(st, grant)
	st.settle()
	st.session.credit(n)
}

// northbound copies the stream's bytes to w as they arrive, until the end of the stream, for a
// consumer that does not read by itself. It returns nil after the peer's FIN. fromWriter
// distinguishes errors of w from errors of the stream, including the read deadline.
func (st *Stream) northbound(w io.Writer, flush func()) (n int64, fromWriter bool, err error) {
	for {
		v, err := st.nextView(flush)
		switch {
		case v.c != nil:
			k, werr := st.passOn(w, v)
			n += int64(k)
			if werr != nil {
				return n, true, werr
			}
		case err == io.EOF:
			return n, false, nil
		default:
			return n, false, err
		}
	}
}

// passOn writes a view to w and returns it to the buffer, also if w panics.
func (st *Stream) passOn(w io.Writer, v view) (n int, err error) {
	defer func() {
		consumed, grant := st.in.advance(v)
		st.credit(consumed, grant)
	}()
	p := v.bytes()
	n, err = w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// nextView waits for bytes and returns a view of the buffer, see view. Before a wait it calls
// flush, unless flush is nil.
func (st *Stream) nextView(flush func()) (v view, err error) {
	look := func() (bell chan struct{}) {
		if err = st.readLimit(true); err != nil {
			return nil
		}
		v, err = st.in.view()
		if v.c != nil || err != nil {
			return nil
		}
		return st.in.bell
	}
	bell := look()
	if bell == nil {
		return v, err
	}
	if flush != nil {
		flush()
	}
	st.awaitIn(bell, look)
	return v, err
}
