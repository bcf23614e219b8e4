// Package workload generates the traffic of the conversations: reproducible bytes, and commands and
// ports of a pod that expose faults of the transport.
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

// Content returns size bytes that depend only on seed.
func Content(seed uint64, size int64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return io.LimitReader(rand.NewChaCha8(key), size)
}

// Digest reads r to its end and returns a digest of the contents.
func Digest(r io.Reader) (string, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return fmt.Sprintf("%d %s", n, hex.EncodeToString(h.Sum(nil))), err
}

// ContentDigest returns the digest of Content.
func ContentDigest(seed uint64, size int64) string {
	d, err := Digest(Content(seed, size))
	if err != nil {
		panic(err) // ChaCha8 does not fail
	}
	return d
}

// Both writes size bytes to w while it reads r to the end. It returns the digest of the input after
// both directions end.
func Both(w io.Writer, r io.Reader, seed uint64, size int64) (string, error) {
	wrote := make(chan error, 1)
	go func() { // ends with the content, or with the stream
		_, err := io.Copy(w, Content(seed, size))
		wrote <- err
	}()
	d, err := Digest(r)
	return d, errors.Join(err, <-wrote)
}
