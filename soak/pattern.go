package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"strings"
)

// A file is a body whose bytes are computed from name and offset, so both ends know the contents
// without storing them. Clients download and upload files.
type file struct {
	name string // path of the URL: /kind/number/size
	seed uint64
	size int64
}

// maxSize limits the size in a path.
const maxSize = 1 << 40

var errNoFile = errors.New("no such file")

// newFile names a file: kind selects how the site serves it, see site.
func newFile(kind string, number uint64, size int64) file {
	return seeded(fmt.Sprintf("/%s/%d/%d", kind, number, size), size)
}

// parseFile returns the file that a path names.
func parseFile(path string) (kind string, f file, err error) {
	part := strings.Split(path, "/")
	if len(part) != 4 || part[0] != "" {
		return "", file{}, errNoFile
	}
	size, err := strconv.ParseInt(part[3], 10, 64)
	if err != nil || size < 0 || size > maxSize {
		return "", file{}, errNoFile
	}
	return part[1], seeded(path, size), nil
}

func seeded(name string, size int64) file {
	h := fnv.New64a()
	io.WriteString(h, name)
	return file{name: name, seed: h.Sum64(), size: size}
}

// word returns the n-th group of eight bytes: the finalizer of SplitMix64 over a counter, so that
// no two stretches of a file are alike.
func (f file) word(n int64) uint64 {
	z := f.seed + uint64(n+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// fill sets p to the bytes of the file from off on, ignoring the file's size.
func (f file) fill(p []byte, off int64) {
	var buf [8]byte
	for len(p) > 0 {
		skip := int(off % 8)
		if skip == 0 && len(p) >= 8 {
			binary.LittleEndian.PutUint64(p, f.word(off/8))
			p, off = p[8:], off+8
			continue
		}
		binary.LittleEndian.PutUint64(buf[:], f.word(off/8))
		n := copy(p, buf[skip:])
		p, off = p[n:], off+int64(n)
	}
}

// A fileReader reads a file; it is an io.ReadSeeker for one goroutine.
type fileReader struct {
	file
	off int64
}

// Read fills all of p unless the file ends first.
func (r *fileReader) Read(p []byte) (int, error) {
	if r.off >= r.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.size-r.off)]
	r.fill(p, r.off)
	r.off += int64(len(p))
	return len(p), nil
}

// Seek implements io.Seeker.
func (r *fileReader) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += r.off
	case io.SeekEnd:
		off += r.size
	}
	if off < 0 {
		return 0, errors.New("before the beginning of the file")
	}
	r.off = off
	return off, nil
}

// errCorrupt is the error of a check for a wrong byte.
var errCorrupt = errors.New("a byte is not what it should be")

// errTruncated is the error for a body that ended normally but incomplete.
var errTruncated = errors.New("the body was passed off as complete and is not")

// A check compares the bytes written to it with a file from off to end.
type check struct {
	file
	off, end int64
	scratch  [4096]byte
}

// newCheck returns a check that expects the bytes of f from off on.
func newCheck(f file, off int64) *check { return &check{file: f, off: off, end: f.size} }

// Write fails at the first wrong or surplus byte.
func (c *check) Write(p []byte) (n int, err error) {
	for n < len(p) {
		part := p[n:min(len(p), n+len(c.scratch))]
		c.fill(c.scratch[:len(part)], c.off)
		for i, b := range part {
			if b != c.scratch[i] || c.off+int64(i) >= c.end {
				return n + i, fmt.Errorf("%s: byte %d of %d: %w", c.name, c.off+int64(i), c.end, errCorrupt)
			}
		}
		c.off += int64(len(part))
		n += len(part)
	}
	return n, nil
}

// whole returns an error if the body is incomplete.
func (c *check) whole() error {
	if c.off != c.end {
		return fmt.Errorf("%s: ended at byte %d of %d: %w", c.name, c.off, c.end, errTruncated)
	}
	return nil
}
