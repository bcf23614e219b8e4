package spdy

import "io"

// This file holds how the application takes the bytes of a stream out of its northbound buffer.

// read waits for bytes, the end, or the read deadline. As in net.Conn, a deadline that has passed
// forbids to read what has come.
func (st *Stream) read(p []byte) (n int, err error) { return st.readPart(p, false) }

// readBody is read for the body of a message. As over HTTP/2, what has come may still be read.
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

// awaitIn waits for bytes of the peer, their end, or the read deadline. bell is the result of
// a first look.
func (st *Stream) awaitIn(bell chan struct{}, look func() (bell chan struct{})) {
	w := wait{limit: &st.readDeadline, crowd: &st.readers}
	w.until(bell, look)
}

// credit returns what the application has taken to both windows.
func (st *Stream) credit(n, grant int64) {
	st.session.creditStream(st, grant)
	st.settle()
	st.session.credit(n)
}

// northbound sends the stream's bytes on to w as they arrive, until the end of
// the stream: it is the northbound buffer sender of a consumer that does not
// read by itself. It returns nil after the peer's FIN. fromWriter tells errors of
// w from those of the stream, the read deadline's among them.
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

// nextView waits for bytes and lends them, see view. It calls flush, if that is not nil,
// whenever it has to wait.
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
