package spdy

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/adler32"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDictionaries(t *testing.T) {
	tests := []struct {
		versions []Version
		size     int
		sha256   string
		id       uint32
	}{
		{[]Version{SPDY2}, 907, "0088d05d3b07b510aae796d67857c83308247ae79078d5743f412e483c23fbc6", 0xdfa251b2},
		{[]Version{SPDY3, SPDY31}, 1423, "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02", 0xe3c6a7c2},
	}
	for _, test := range tests {
		for _, v := range test.versions {
			d := v.dictionaryBytes()
			sum := sha256.Sum256(d)
			assert.Len(t, d, test.size, v)
			assert.Equal(t, test.sha256, hex.EncodeToString(sum[:]), v)
			assert.Equal(t, test.id, adler32.Checksum(d), v)
			assert.Equal(t, test.id, v.dictionaryID(), v)
			assert.Equal(t, v.dictionary(), string(d), v)
		}
	}
	noNUL := []byte(dictionarySPDY2[:len(dictionarySPDY2)-1])
	assert.Equal(t, uint32(dictionaryIDNoNUL), adler32.Checksum(noNUL))
}
