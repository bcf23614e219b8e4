package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
)

// content is size bytes that depend on seed, and on nothing else.
func content(seed uint64, size int64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return io.LimitReader(rand.NewChaCha8(key), size)
}

// digest reads r to its end and says what was in it.
func digest(r io.Reader) (string, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return fmt.Sprintf("%d %s", n, hex.EncodeToString(h.Sum(nil))), err
}

// contentDigest is the digest of content.
func contentDigest(seed uint64, size int64) string {
	d, err := digest(content(seed, size))
	if err != nil {
		panic(err) // ChaCha8 does not fail
	}
	return d
}

// both writes size bytes to w while it reads all that r has, and returns the digest of
// what it read. It calls closeWrite when it has written everything.
func both(w io.Writer, r io.Reader, seed uint64, size int64, closeWrite func() error) (string, error) {
	wrote := make(chan error, 1)
	go func() { // ends with the content, or with the stream
		_, err := io.Copy(w, content(seed, size))
		if closeWrite != nil {
			err = errors.Join(err, closeWrite())
		}
		wrote <- err
	}()
	d, err := digest(r)
	return d, errors.Join(err, <-wrote)
}
