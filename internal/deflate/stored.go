package deflate

import "encoding/binary"

// maxStored is the most a stored block can carry (RFC 1951 §3.2.4).
const maxStored = 1<<16 - 1

// marker is an empty stored block after its three header bits. It ends at a byte
// boundary, which is what zlib calls a sync flush.
const marker = "\x00\x00\xff\xff"

// AppendStored appends p to dst as stored blocks and a marker. It needs a stream
// that is aligned to a byte, as every block leaves it, and keeps no state.
func AppendStored(dst, p []byte) []byte {
	for len(p) > 0 {
		n := min(len(p), maxStored)
		dst = append(dst, 0) // not final, stored, aligned
		dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
		dst = binary.LittleEndian.AppendUint16(dst, ^uint16(n))
		dst = append(dst, p[:n]...)
		p = p[n:]
	}
	dst = append(dst, 0)
	return append(dst, marker...)
}
