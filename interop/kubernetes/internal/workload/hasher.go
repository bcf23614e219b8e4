package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"sync"
)

// A Hasher digests what is written to it.
type Hasher struct {
	mu sync.Mutex
	h  hash.Hash
	n  int64
}

// NewHasher makes one.
func NewHasher() *Hasher { return &Hasher{h: sha256.New()} }

// Write never fails.
func (h *Hasher) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n += int64(len(p))
	return h.h.Write(p)
}

// String is as Digest says it.
func (h *Hasher) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Sprintf("%d %s", h.n, hex.EncodeToString(h.h.Sum(nil)))
}
