// Package workload is what the conversations are about: bytes that can be made anew to
// compare with, and commands and ports of a pod that show faults of the transport.
package workload

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
)

// Content is size bytes that depend on seed, and on nothing else.
func Content(seed uint64, size int64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return io.LimitReader(rand.NewChaCha8(key), size)
}

// Digest reads r to its end and says what was in it.
func Digest(r io.Reader) (string, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return fmt.Sprintf("%d %s", n, hex.EncodeToString(h.Sum(nil))), err
}

// ContentDigest is the digest of content.
func ContentDigest(seed uint64, size int64) string {
	d, err := Digest(Content(seed, size))
	if err != nil {
		panic(err) // ChaCha8 does not fail
	}
	return d
}

// Both writes size bytes to w while it reads all that r has, and returns the digest of
// what it read when both are done.
func Both(w io.Writer, r io.Reader, seed uint64, size int64) (string, error) {
	wrote := make(chan error, 1)
	go func() { // ends with the content, or with the stream
		_, err := io.Copy(w, Content(seed, size))
		wrote <- err
	}()
	d, err := Digest(r)
	return d, errors.Join(err, <-wrote)
}
