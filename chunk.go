package spdy

import "sync"

// chunkSizes are the sizes of the chunks of a northbound buffer. The size is chosen by the bytes
// that have arrived, never by a declared length: a slow trickle costs little and a flood uses few
// chunks.
var chunkSizes = [...]int{512, 2 << 10, 8 << 10, 32 << 10}

// A chunk is a piece of a northbound buffer: data[r:w] is unread.
type chunk struct {
	next *chunk
	r, w int
	data []byte
	kept *memoryCount // includes the size of the chunk; nil if the chunk is not counted
}

// keep counts the memory of a chunk until forget. A chunk with a single unread byte takes as much
// memory as a full one. kept may be nil.
func (c *chunk) keep(kept *memoryCount) {
	kept.add(len(c.data))
	c.kept = kept
}

// forget stops counting the memory of a chunk, if it is counted.
func (c *chunk) forget() {
	c.kept.add(-len(c.data))
	c.kept = nil
}

// chunkFor returns the size of a chunk for the next n bytes of a buffer with that many unread bytes:
// the smallest size for all of them that leaves at most a quarter of the unread bytes unused, or
// else a smaller one that is filled.
func chunkFor(n int, unread int64) int {
	for i := len(chunkSizes) - 1; i > 0; i-- {
		if fits := n > chunkSizes[i-1]; fits && int64(chunkSizes[i]-n) <= unread/4 {
			return chunkSizes[i]
		}
	}
	return chunkSizes[0]
}

var chunkPools [len(chunkSizes)]sync.Pool

// countChunk, if not nil, is called for every chunk that leaves or returns to a pool. Only tests
// set it, before any session exists.
var countChunk func(out int)

// getChunk returns an empty chunk for n bytes, or the largest chunk.
func getChunk(n int) *chunk {
	if countChunk != nil {
		countChunk(1)
	}
	class := len(chunkSizes) - 1
	for i, size := range chunkSizes {
		if n <= size {
			class = i
			break
		}
	}
	if c, _ := chunkPools[class].Get().(*chunk); c != nil {
		return c
	}
	return &chunk{data: make([]byte, chunkSizes[class])}
}

// putChunk returns c to the pool. The caller must hold the only reference.
func putChunk(c *chunk) {
	if countChunk != nil {
		countChunk(-1)
	}
	c.forget()
	c.next, c.r, c.w = nil, 0, 0
	for i, size := range chunkSizes {
		if len(c.data) == size {
			chunkPools[i].Put(c)
			return
		}
	}
}

// batchSize is the number of bytes that the sender gathers before it writes to the network.
const batchSize = 64 << 10

// A batch has room beyond batchSize for the headers that are appended before the sender checks the
// length again.
var batchPool = sync.Pool{New: func() any {
	b := make([]byte, 0, batchSize+4<<10)
	return &b
}}

func getBatch() *[]byte { return batchPool.Get().(*[]byte) }

// smallBatch is the batchSize of a session while the pool of buffers is nearly full. The batch has
// room for a frame of wholeFrame bytes besides.
const smallBatch = 1 << 10

// putBatch returns a batch to the pool, unless the batch is small, or a rare large header block has
// grown it.
func putBatch(b *[]byte) {
	if cap(*b) > 2*batchSize || cap(*b) < batchSize {
		return
	}
	*b = (*b)[:0]
	batchPool.Put(b)
}

// blockPool holds uncompressed header blocks on the way to the sender, and inflated header blocks
// from the receiver.
var blockPool = sync.Pool{New: func() any {
	b := make([]byte, 0, 1<<10)
	return &b
}}

// maxPooledBlock keeps a rare huge header block out of the pool.
const maxPooledBlock = 16 << 10

func getBlock() *[]byte { return blockPool.Get().(*[]byte) }

func putBlock(b *[]byte) {
	if cap(*b) > maxPooledBlock {
		return
	}
	*b = (*b)[:0]
	blockPool.Put(b)
}

// answerPool holds buffers for the beginning of responses.
var answerPool = sync.Pool{New: func() any {
	b := make([]byte, 0, answerBuffer)
	return &b
}}

func getAnswerBuffer() *[]byte { return answerPool.Get().(*[]byte) }

func putAnswerBuffer(b *[]byte) {
	*b = (*b)[:0]
	answerPool.Put(b)
}
