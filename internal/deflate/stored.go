package deflate

import "encoding/binary"

// maxStored is the maximum length of a stored block (RFC 1951 §3.2.4).
const maxStored = 1<<16 - 1

// marker is an empty stored block without the three header bits. It ends at a byte boundary, which
// zlib calls a sync flush.
const marker = "\x00\x00\xff\xff"

// AppendStored appends p to dst as stored blocks and a marker. The stream must be byte-aligned, as
// it is after every block. AppendStored keeps no state.
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
